"""The checksum in headers of the PROXY protocol 2: HAProxy's is right, and a connection with another one is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from support.balancers import CAN_BALANCE, HAPROXY_ADDRESS, haproxy
from support.ports import LOOPBACK
from support.proxy_header import with_checksum

from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.forwarded import TrustedProxies
from lalmesh.runtime.http_gate import remote_of
from lalmesh.runtime.http_port import HttpPort, reading_app
from lalmesh.runtime.listener import ListenerLimits, ListenerMetrics

CLIENT = "127.0.0.5"
LIMIT_S = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"


class Site:
    """A port that answers with the address of whoever asks, and trusts HAProxy."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        limits = ListenerLimits(proxies=TrustedProxies([HAPROXY_ADDRESS]))
        app = reading_app(self._answer, CorsPolicy(()))
        self.port = HttpPort("http", app, limits, ListenerMetrics("node", self.registry), takes_headers=True)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=remote_of(request).address)

    def refused(self) -> float | None:
        labels = {"listener": "http", "reason": "proxy header"}
        return self.registry.get_sample_value("node_connections_refused_total", labels)

    async def answered(self, header: bytes) -> bytes:
        """What a balancer gets that begins with `header`."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port.port, local_addr=(HAPROXY_ADDRESS, 0))
        writer.write(header + REQUEST)
        try:
            return await asyncio.wait_for(reader.read(), LIMIT_S)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.port.start(LOOPBACK, 0)
    yield site
    await site.port.close("over")


@pytest.mark.skipif(not CAN_BALANCE, reason="no nginx with its stream module, or no HAProxy here")
@pytest.mark.parametrize("options", ["crc32c", "crc32c,unique-id"])
async def test_who_comes_by_haproxy_is_known_by_his_address(site: Site, options: str, tmp_path: Path) -> None:
    front = await asyncio.to_thread(
        haproxy, tmp_path, streams={"http": site.port.port}, http={}, says=f"proxy-v2-options {options}"
    )
    with front:
        connector = aiohttp.TCPConnector(local_addr=(CLIENT, 0))
        async with aiohttp.ClientSession(connector=connector) as client, client.get(front.url("http", "http", "")) as answer:
            assert await answer.text() == CLIENT
    assert not site.refused()


async def test_a_connection_whose_checksum_is_wrong_is_closed_and_counted(site: Site) -> None:
    header = with_checksum(CLIENT, 5)
    assert (await site.answered(header)).endswith(CLIENT.encode())
    assert await site.answered(header[:-1] + bytes((header[-1] ^ 1,))) == b""
    assert site.refused() == 1.0
