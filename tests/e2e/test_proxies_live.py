"""`trusted_proxies` of a running node: by SIGHUP and by the API, who comes next by a proxy is known by his own address."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from support.balancers import CAN_BALANCE, HAPROXY_ADDRESS, NGINX_ADDRESS, Balancer, haproxy, nginx
from support.cluster import Cluster, Node, Standalone
from support.ffmpeg import Publisher
from support.operator_api import call, sessions_until
from support.ports import LOOPBACK
from support.process import wait_until
from support.recorder import recorder, recording

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

KEY = "edge.trusted_proxies"
ELSE = "127.0.0.79"  #: a proxy that is not there
BOTH = [NGINX_ADDRESS, HAPROXY_ADDRESS]
STREAM = "live/cam"
OTHER = "127.0.0.5"  #: an address of this machine that a client asks from
LIMIT_S = 30.0

pytestmark = pytest.mark.skipif(not CAN_BALANCE, reason="no nginx with its stream module, or no HAProxy here")


class Fronts:
    """nginx before the HTTP listener of an edge, HAProxy before that for RTMP."""

    def __init__(self, edge: Node, api_url: str, folder: Path, stack: ExitStack) -> None:
        self._api_url = api_url
        self._nginx: Balancer = stack.enter_context(nginx(folder / "nginx", streams={}, http={"http": edge.ports["http"]}))
        self._haproxy: Balancer = stack.enter_context(haproxy(folder / "haproxy", streams={"rtmp": edge.ports["rtmp"]}, http={}))

    async def address_by_request(self) -> str:
        """What a player from `OTHER` that comes by nginx is known by."""
        connector = aiohttp.TCPConnector(local_addr=(OTHER, 0), force_close=True)
        url = self._nginx.url("http", "http", f"{STREAM}.flv")
        async with aiohttp.ClientSession(connector=connector) as client, client.get(url) as answer:
            assert answer.status == 200
            address = await self._address("http-flv")
        await asyncio.to_thread(sessions_until, self._api_url, lambda found: not found, LIMIT_S, protocol="http-flv")
        return address

    async def address_by_connection(self) -> str:
        """What a player from `LOOPBACK` that comes by HAProxy is known by; empty where it does not come in."""
        player = recorder("rtmp", self._haproxy.url("rtmp", "rtmp", STREAM))
        async with recording(player):
            while not player.got and not player.ended:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            address = await self._address("rtmp") if player.got else ""
        await asyncio.to_thread(sessions_until, self._api_url, lambda found: not found, LIMIT_S, protocol="rtmp", role="player")
        return address

    async def _address(self, protocol: str) -> str:
        (session,) = await asyncio.to_thread(
            sessions_until, self._api_url, lambda found: len(found) == 1, LIMIT_S, protocol=protocol, role="player"
        )
        return str(session["peer"]).partition(":")[0]


def says(node: Node, text: str) -> None:
    logged = json.dumps(text)[1:-1]  # as a line of the log has it
    wait_until(f"{node.name} says {text!r}", lambda: logged in node.output(), LIMIT_S)


def set_by_api(api_url: str, values: Mapping[str, object]) -> None:
    status, answer = call("PATCH", f"{api_url}/v1/settings", {"values": values})
    assert status == 200, answer


async def test_by_sighup(media: Media, tmp_path: Path, stack: ExitStack) -> None:
    file = tmp_path / "lalmesh.yaml"
    text = "edge: {{proxy_protocol: [rtmp], trusted_proxies: {}, session: {{report_s: 1}}}}"
    file.write_text(text.format([ELSE]))
    node = stack.enter_context(Standalone(tmp_path, arguments=("--config", str(file))))
    stack.enter_context(Publisher(media("h264_aac"), node.rtmp_url(STREAM), log=tmp_path / "publisher.log", loops=-1))
    fronts = Fronts(node, node.api_url, tmp_path, stack)
    assert await fronts.address_by_request() == NGINX_ADDRESS
    assert await fronts.address_by_connection() == "", "a PROXY header of nobody's is no RTMP"
    file.write_text(text.format(BOTH))
    os.kill(node.pid, signal.SIGHUP)
    says(node, f"setting changed by the file: {KEY}: ")
    assert await fronts.address_by_request() == OTHER
    assert await fronts.address_by_connection() == LOOPBACK
    file.write_text(text.format([HAPROXY_ADDRESS]))
    os.kill(node.pid, signal.SIGHUP)
    says(node, f'"{HAPROXY_ADDRESS}"] -> ')
    assert await fronts.address_by_request() == NGINX_ADDRESS
    assert await fronts.address_by_connection() == LOOPBACK


async def test_by_the_api_at_every_edge(media: Media, tmp_path: Path, stack: ExitStack, start_cluster: StartCluster) -> None:
    settings = {"edge": {"edge.proxy_protocol": ["rtmp"], KEY: [ELSE], "edge.session.report_s": 1}}
    cluster = start_cluster(origins=1, edges=1, settings=settings)
    edge, api_url = cluster.edges[0], cluster.api_url
    stack.enter_context(Publisher(media("h264_aac"), edge.rtmp_url(STREAM), log=tmp_path / "publisher.log", loops=-1))
    fronts = Fronts(edge, api_url, tmp_path, stack)
    assert await fronts.address_by_request() == NGINX_ADDRESS
    set_by_api(api_url, {KEY: BOTH})
    says(edge, f'setting changed by the api: {KEY}: ["{ELSE}"] -> ')
    assert await fronts.address_by_request() == OTHER
    assert await fronts.address_by_connection() == LOOPBACK
    set_by_api(api_url, {KEY: None})
    says(edge, f'"{HAPROXY_ADDRESS}"] -> ["{ELSE}"]')
    assert await fronts.address_by_request() == NGINX_ADDRESS
