"""Behind nginx and HAProxy, clients are known by their own addresses: in sessions, limits, lists and zones."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.balancers import CAN_BALANCE, HAPROXY_ADDRESS, NGINX_ADDRESS, Balancer, haproxy, nginx
from support.certificates import self_signed
from support.cluster import Node, Standalone
from support.ffmpeg import Player, Publisher
from support.ffmpeg import run as ffmpeg
from support.operator_api import block, call, let_in, sessions, sessions_until
from support.ports import LOOPBACK
from support.process import wait_until
from support.recorder import recorder, recording

Media = Callable[[str], Path]

STREAM = "live/cam"
LIMIT_S = 30.0
OTHER = "127.0.0.5"  #: an address of this machine that a client asks from
SPOOFED = "198.51.100.66"
PER_ADDRESS = 12  #: connections that one address may have

pytestmark = pytest.mark.skipif(not CAN_BALANCE, reason="no nginx with its stream module, or no HAProxy here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxies")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Node]:
    certificate = str(self_signed(folder))
    key = folder / "session.key"
    key.write_text("a key of tests for sessions")
    settings = {
        "edge.tls.cert_file": certificate,
        "edge.tls.key_file": certificate,
        "edge.trusted_proxies": [NGINX_ADDRESS, HAPROXY_ADDRESS],
        "edge.proxy_protocol": ["rtmp", "rtmps", "rtsp", "rtsps", "https"],
        "edge.limits.connections_per_address": PER_ADDRESS,
        "edge.session.report_s": 1,
        "hls.session.hash_key_file": str(key),
        "hls.segment_ms": 1000,
        "scheduler.http.trusted_proxies": [NGINX_ADDRESS],
        "scheduler.routing.zones": ["here 127.0.0.1/32", "there 127.0.0.5/32", "balancers 127.0.0.64/26"],
    }
    with Standalone(folder, settings) as node:
        yield node


@pytest.fixture(scope="module")
def front(server: Node, folder: Path) -> Iterator[Balancer]:
    ports = server.ports
    streams = {name: ports[name] for name in ("rtmp", "rtsp")}
    with nginx(folder / "nginx", streams=streams, http={"http": ports["http"], "api": ports["api"]}) as balancer:
        yield balancer


@pytest.fixture(scope="module")
def side(server: Node, folder: Path) -> Iterator[Balancer]:
    streams = {name: server.ports[name] for name in ("rtmp", "rtmps", "rtsps", "https")}
    with haproxy(folder / "haproxy", streams=streams, http={"http": server.ports["http"]}) as balancer:
        yield balancer


@pytest.fixture
def published(front: Balancer, media: Media, tmp_path: Path) -> Iterator[Publisher]:
    with Publisher(media("h264_aac"), front.url("rtmp", "rtmp", STREAM), log=tmp_path / "publisher.log", loops=-1) as publisher:
        yield publisher


async def status(url: str, source: str = LOOPBACK, **headers: str) -> int:
    """What a GET from an address of this machine is answered; of an answer without an end, its beginning."""
    connector = aiohttp.TCPConnector(local_addr=(source, 0), force_close=True)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession(connector=connector) as client, client.get(url, headers=sent) as answer:
        return answer.status


@asynccontextmanager
async def watching(url: str, source: str, count: int) -> AsyncIterator[list[aiohttp.ClientResponse]]:
    """So many players from an address of this machine."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(source, 0), limit=0)) as client:
        answers = [await client.get(url) for _ in range(count)]
        assert {answer.status for answer in answers} == {200}
        try:
            yield answers
        finally:
            for answer in answers:
                answer.close()


async def ended(answer: aiohttp.ClientResponse) -> None:
    """Wait until an answer without an end is cut off."""
    with contextlib.suppress(aiohttp.ClientError):
        while await answer.content.readany():
            pass


async def test_sessions_show_the_clients_and_not_the_balancers(
    server: Node, front: Balancer, side: Balancer, published: Publisher, stack: ExitStack, tmp_path: Path
) -> None:
    recorded = {
        "rtmp": side.url("rtmp", "rtmp", STREAM),
        "rtsp": front.url("rtsp", "rtsp", STREAM),
        "http-flv": front.url("http", "http", f"{STREAM}.flv"),
        "http-ts": side.url("http", "http", f"{STREAM}.ts"),
        "ws-flv": front.url("ws", "http", f"{STREAM}.flv"),
        "hls": front.url("http", "http", f"hls/{STREAM}.m3u8"),
        "rtsps": side.url("rtsps", "rtsps", STREAM),
    }
    by_ffmpeg = {
        "rtmps": side.url("rtmps", "rtmps", STREAM),
        "https-flv": side.url("https", "https", f"{STREAM}.flv"),
    }
    players = [recorder(name, url) for name, url in recorded.items()]
    async with recording(*players):
        for name, url in by_ffmpeg.items():
            stack.enter_context(Player(url, tmp_path / f"{name}.rows", log=tmp_path / f"{name}.log"))
        await asyncio.gather(*(player.more(LIMIT_S) for player in players))
        wanted = {*recorded, *by_ffmpeg}
        found = await asyncio.to_thread(
            sessions_until,
            server.api_url,
            lambda found: {session["protocol"] for session in found} == wanted,  # of HLS one for each question: it keeps no URL
            LIMIT_S,
            stream=STREAM,
        )
    for session in found:
        address, _, port = session["peer"].partition(":")
        assert address == LOOPBACK, session
        assert port.isdigit() or session["protocol"] in ("http-flv", "http-ts", "ws-flv", "hls"), session
    assert {session["role"] for session in found if session["protocol"] == "rtmp"} == {"publisher", "player"}
    assert sessions(server.api_url, stream=STREAM, address=NGINX_ADDRESS) == []


async def test_a_player_that_prefers_udp_goes_on_over_tcp(front: Balancer, published: Publisher) -> None:
    url = front.url("rtsp", "rtsp", STREAM)
    shown = await asyncio.to_thread(
        ffmpeg, "-i", url, "-t", "1", "-map", "0:v", "-c", "copy", "-f", "framemd5", "-", limit_s=LIMIT_S
    )
    assert len([line for line in shown.splitlines() if not line.startswith("#")]) > 10


async def test_who_is_no_proxy_is_not_believed(server: Node, front: Balancer, published: Publisher) -> None:
    path = f"{STREAM}.flv"
    for url in (server.http_url(path), front.url("http", "http", path)):
        connector = aiohttp.TCPConnector(local_addr=(OTHER, 0))
        headers = {"X-Forwarded-For": SPOOFED, "Forwarded": f"for={SPOOFED}"}
        async with aiohttp.ClientSession(connector=connector) as client, client.get(url, headers=headers):
            (session,) = await asyncio.to_thread(
                sessions_until, server.api_url, lambda found: len(found) == 1, LIMIT_S, stream=STREAM, protocol="http-flv"
            )
            assert session["peer"].partition(":")[0] == OTHER
        await asyncio.to_thread(
            sessions_until, server.api_url, lambda found: not found, LIMIT_S, stream=STREAM, protocol="http-flv"
        )


async def test_a_limit_of_connections_is_for_each_client_behind_a_proxy(front: Balancer, published: Publisher) -> None:
    url = front.url("http", "http", f"{STREAM}.flv")
    async with watching(url, OTHER, PER_ADDRESS):
        assert await status(url, OTHER) == 503
        assert await status(url) == 200
        assert await status(front.url("http", "http", f"hls/{STREAM}.m3u8"), OTHER) == 503
    end = time.monotonic() + LIMIT_S
    while await status(url, OTHER) != 200:  # nginx has to hear that they have gone
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def test_the_blacklist_is_for_clients_behind_a_proxy_too(server: Node, front: Balancer, published: Publisher) -> None:
    url = front.url("http", "http", f"{STREAM}.flv")
    async with watching(url, OTHER, 2) as blocked, watching(url, LOOPBACK, 1) as others:
        await asyncio.to_thread(block, server.api_url, OTHER)
        try:
            async with asyncio.timeout(LIMIT_S):
                await asyncio.gather(*map(ended, blocked))
            assert await status(url, OTHER) == 403
            assert await others[0].content.read(1)
            assert await status(url) == 200
            await asyncio.to_thread(block, server.api_url, NGINX_ADDRESS)
            assert await status(url) == 200, "the proxy is nobody's address"
        finally:
            for network in (OTHER, NGINX_ADDRESS):
                await asyncio.to_thread(let_in, server.api_url, network)


async def test_routing_goes_by_the_zone_of_the_client(server: Node, front: Balancer, published: Publisher) -> None:
    path = f"v1/route/play?stream={STREAM}&protocol=http-flv"
    for source, zone in ((LOOPBACK, "here"), (OTHER, "there")):
        connector = aiohttp.TCPConnector(local_addr=(source, 0))
        async with aiohttp.ClientSession(connector=connector) as client:
            for url in (front.url("http", "api", path), f"{server.api_url}/{path}"):
                async with client.get(url) as answer:
                    assert (await answer.json())["client_zone"] == zone


async def test_what_is_for_this_machine_alone_is_not_for_whoever_comes_by_a_proxy(server: Node, front: Balancer) -> None:
    body = {"lasts_s": 1, "reason": "a test"}
    assert (await asyncio.to_thread(call, "PUT", front.url("http", "api", "v1/blacklist/192.0.2.1"), body))[0] == 403
    assert (await asyncio.to_thread(call, "PUT", f"{server.api_url}/v1/blacklist/192.0.2.1", body))[0] == 200


async def test_a_balancer_that_names_nobody_is_refused_and_counted(server: Node, published: Publisher) -> None:
    for listener, source, served in (("rtmp", NGINX_ADDRESS, False), ("rtmp", OTHER, True), ("https", HAPROXY_ADDRESS, False)):
        reader, writer = await asyncio.open_connection(LOOPBACK, server.ports[listener], local_addr=(source, 0))
        writer.write(b"\x03" + bytes(1536))  # RTMP 1.0 §5.2
        try:
            got = await asyncio.wait_for(reader.read(1), LIMIT_S)
        except ConnectionError:
            got = b""
        assert bool(got) is served
        writer.close()
    await asyncio.to_thread(wait_until, "the count", lambda: refused(server) == 2.0, LIMIT_S)


def refused(server: Node) -> float:
    lines = [line for line in server.metrics().splitlines() if line.startswith("edge_connections_refused_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'reason="proxy header"' in line)
