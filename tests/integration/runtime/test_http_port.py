"""The limits and deadlines of an HTTP port, on real sockets of the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from lalmesh.runtime import http_gate
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.http_gate import WaitingForAnswer, answer_with
from lalmesh.runtime.http_port import HttpPort, reading_app
from lalmesh.runtime.listener import ListenerLimits, ListenerMetrics

HOST = "127.0.0.1"
LIMIT_S = 30.0
GET = b"GET /a HTTP/1.1\r\nHost: node\r\n\r\n"
OK, BUSY = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 503 Service Unavailable\r\n"
BODY = bytes(32 << 20)  #: more than the buffers of two kernels


class Site:
    """A port, and clients of it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.registry = CollectorRegistry()
        self.release = asyncio.Event()
        self.waited_for = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def listen(self, limits: ListenerLimits, cors: CorsPolicy | None = None) -> None:
        metrics = ListenerMetrics("node", self.registry)
        self.port = HttpPort("http", reading_app(self._answer, cors or CorsPolicy(())), limits, metrics)
        await self.port.start(HOST, 0)
        self._stack.push_async_callback(self.port.close, "over")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        with WaitingForAnswer(request):
            match request.path:
                case "/waits":
                    self.waited_for.set()
                    try:
                        await self.release.wait()
                    except asyncio.CancelledError:
                        self.cancelled.set()
                        raise
                case "/large":
                    return await answer_with(request, 200, {}, BODY)
                case _:
                    pass
        return web.Response(text=request.method)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, self.port.port)
        self._stack.callback(writer.close)
        return reader, writer

    async def ask(self, request: bytes = GET) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """The status line of an answer, and the connection."""
        reader, writer = await self.connect()
        writer.write(request)
        return await reader.readline(), reader, writer

    async def swept_away(self, reader: asyncio.StreamReader) -> None:
        """Sweep until the connection is closed."""
        closed = asyncio.ensure_future(ended(reader))
        while not closed.done():
            self.port.sweep()
            await asyncio.wait([closed], timeout=0.02)
        await closed

    def refused(self, reason: str) -> float | None:
        return self.registry.get_sample_value("node_connections_refused_total", {"listener": "http", "reason": reason})


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of the connection, however it comes."""
    try:
        while await reader.read(1 << 16):
            pass
    except ConnectionError:
        pass


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        yield Site(stack)


@pytest.mark.parametrize("said", [b"", GET[:20]])
async def test_who_does_not_come_to_a_request_is_closed(site: Site, said: bytes) -> None:
    await site.listen(ListenerLimits(handshake_timeout_s=0.2))
    reader, writer = await site.connect()
    writer.write(said)
    await site.swept_away(reader)
    assert site.refused("handshake timeout") == 1.0


async def test_a_head_that_comes_byte_by_byte_is_not_waited_for(site: Site) -> None:
    await site.listen(ListenerLimits(handshake_timeout_s=0.3))
    reader, writer = await site.connect()

    async def dribble() -> None:
        for byte in GET:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    dribbling = asyncio.create_task(dribble())
    await site.swept_away(reader)
    dribbling.cancel()
    assert site.refused("handshake timeout") == 1.0


async def test_a_silent_connection_is_closed_and_one_that_waits_for_its_answer_is_not(site: Site) -> None:
    await site.listen(ListenerLimits(idle_timeout_s=0.2))
    _, silent, _ = await site.ask()
    waiting = asyncio.create_task(site.ask(GET.replace(b"/a", b"/waits")))
    await site.swept_away(silent)
    assert not waiting.done()
    site.release.set()
    assert (await waiting)[0] == OK


async def test_one_address_gets_only_so_many_and_is_told_so(site: Site) -> None:
    await site.listen(ListenerLimits(connections_per_address=2))
    kept = [await site.ask() for _ in range(2)]
    line, reader, _ = await site.ask()
    assert (line, b"Retry-After: 1\r\n" in await reader.read()) == (BUSY, True)
    assert site.refused("address limit") == 1.0
    kept[0][2].close()
    await kept[0][2].wait_closed()
    while len(site.port.admission) > 1:  # noqa: ASYNC110 -- bounded by `LIMIT_S`
        await asyncio.sleep(0.01)
    assert (await site.ask())[0] == OK


async def test_who_leaves_is_waited_for_no_longer(site: Site) -> None:
    await site.listen(ListenerLimits())
    _, writer = await site.connect()
    writer.write(GET.replace(b"/a", b"/waits"))
    await site.waited_for.wait()
    writer.close()
    await site.cancelled.wait()
    assert len(site.port.admission) == 0


async def test_who_does_not_take_his_answer_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_gate, "SLOW_CLIENT_S", 0.2)
    await site.listen(ListenerLimits())
    _, reader, _ = await site.ask(GET.replace(b"/a", b"/large"))
    while len(site.port.admission):  # noqa: ASYNC110 -- bounded by `LIMIT_S`
        await asyncio.sleep(0.01)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(len(BODY))


async def test_other_methods_are_refused_and_head_has_no_body(site: Site) -> None:
    await site.listen(ListenerLimits())
    line, reader, _ = await site.ask(GET.replace(b"GET", b"DELETE"))
    assert line == b"HTTP/1.1 405 Method Not Allowed\r\n"
    assert b"Allow: GET,HEAD,OPTIONS\r\n" in await reader.readuntil(b"\r\n\r\n")
    line, reader, writer = await site.ask(GET.replace(b"GET", b"HEAD").replace(b"/a", b"/large"))
    assert f"Content-Length: {len(BODY)}\r\n".encode() in await reader.readuntil(b"\r\n\r\n")
    writer.write(GET)
    assert (line, await reader.readline()) == (OK, OK)


async def test_a_preflight_does_nothing_and_says_what_may_be_done(site: Site) -> None:
    await site.listen(ListenerLimits(), CorsPolicy(("https://tv.example",)))
    asked = b"\r\nOrigin: https://tv.example\r\nAccess-Control-Request-Headers: range\r\n\r\n"
    line, reader, _ = await site.ask(GET.replace(b"GET", b"OPTIONS").replace(b"\r\n\r\n", asked))
    assert line == b"HTTP/1.1 204 No Content\r\n"
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    for said in (
        "Access-Control-Allow-Origin: https://tv.example",
        "Access-Control-Allow-Methods: GET, HEAD",
        "Access-Control-Allow-Headers: range",
        "Vary: Origin",
    ):
        assert f"{said}\r\n" in head


async def test_bytes_that_are_no_http_are_counted(site: Site) -> None:
    await site.listen(ListenerLimits())
    line, _, _ = await site.ask(b"GET no HTTP\r\n\r\n")
    assert line.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert site.registry.get_sample_value("node_protocol_errors_total", {"protocol": "http"}) == 1.0


async def test_who_comes_from_a_blocked_address_gets_403_on_a_connection_that_is_there_and_on_a_new_one(site: Site) -> None:
    await site.listen(ListenerLimits())
    status, reader, writer = await site.ask()
    assert status.startswith(b"HTTP/1.1 200 ")
    while await reader.readline() not in (b"\r\n", b""):
        pass
    await reader.readexactly(len("GET"))
    site.port.admission.blocks = lambda address: address == HOST
    writer.write(GET)
    assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
    assert (await site.ask())[0].startswith(b"HTTP/1.1 403 ")
    assert site.refused("blacklist") == 1.0
