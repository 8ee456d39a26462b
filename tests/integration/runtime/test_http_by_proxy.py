"""Requests that a proxy hands on, on real sockets of the loopback: each counts for its client, as long as it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from support.members import eventually
from support.proxy_header import binary

from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.forwarded import ForwardedHeader, Remote, TrustedProxies
from lalmesh.runtime.http_gate import WaitingForAnswer, gate_of, remote_of
from lalmesh.runtime.http_port import HttpPort, reading_app
from lalmesh.runtime.listener import ListenerLimits, ListenerMetrics
from services.edge.takeover import TakenOver, take_over

HOST = "127.0.0.1"
LIMIT_S = 30.0
ONE_EACH = ListenerLimits(connections_per_address=1, proxies=TrustedProxies([HOST]))


class Taker(asyncio.Protocol):
    """A player."""


class Site:
    """A port that trusts whoever asks from `HOST`."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.remotes: list[Remote] = []
        self.release = asyncio.Event()

    async def listen(self, limits: ListenerLimits, *, takes_headers: bool = False) -> None:
        metrics = ListenerMetrics("node", CollectorRegistry())
        app = reading_app(self._answer, CorsPolicy(()))
        self.port = HttpPort("http", app, limits, metrics, takes_headers=takes_headers)
        await self.port.start(HOST, 0)
        self._stack.push_async_callback(self.port.close, "over")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.remotes.append(remote_of(request))
        with WaitingForAnswer(request):
            match request.path:
                case "/waits":
                    await self.release.wait()
                case "/stream":
                    transport = take_over(request, Taker())
                    assert transport is not None
                    transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    return TakenOver()
                case "/refused":
                    raise web.HTTPNotFound
                case _:
                    pass
        assert gate_of(request) is not None
        return web.Response(text="ok")

    async def connect(self) -> Talk:
        reader, writer = await asyncio.open_connection(HOST, self.port.port)
        self._stack.callback(writer.close)
        return Talk(reader, writer)


class Talk:
    """One connection of the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, path: str, client: str, header: str = "X-Forwarded-For") -> None:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: node\r\n{header}: {client}\r\n\r\n".encode())

    async def status(self) -> int:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        _, _, rest = head.lower().partition("content-length: ")
        if rest:
            await self._reader.readexactly(int(rest.partition("\r\n")[0]))
        return int(head.split(" ")[1])

    async def ask(self, path: str, client: str, header: str = "X-Forwarded-For") -> int:
        self.send(path, client, header)
        return await self.status()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        yield Site(stack)


async def test_one_connection_carries_requests_of_many(site: Site) -> None:
    await site.listen(ONE_EACH)
    talk, other = await site.connect(), await site.connect()
    for number in range(3):
        assert await talk.ask("/", f"203.0.113.{number}") == 200
        assert await talk.ask("/refused", f"203.0.113.{number}") == 404
        assert await other.ask("/", f"203.0.113.{number}") == 200
    assert {remote.address for remote in site.remotes} == {"203.0.113.0", "203.0.113.1", "203.0.113.2"}


async def test_a_client_counts_while_it_is_answered(site: Site) -> None:
    await site.listen(ONE_EACH)
    waiting, other = await site.connect(), await site.connect()
    waiting.send("/waits", "203.0.113.7")
    await eventually(lambda: bool(site.remotes))
    assert await other.ask("/", "203.0.113.7") == 503
    third = await site.connect()
    assert await third.ask("/", "203.0.113.8") == 200
    site.release.set()
    assert await waiting.status() == 200
    assert await third.ask("/", "203.0.113.7") == 200


async def test_a_live_stream_counts_until_it_ends(site: Site) -> None:
    await site.listen(ONE_EACH)
    player = await site.connect()
    assert await player.ask("/stream", "203.0.113.7") == 200
    assert await (await site.connect()).ask("/", "203.0.113.7") == 503
    player.writer.close()
    await eventually(lambda: len(site.port.admission) == 0)
    assert await (await site.connect()).ask("/", "203.0.113.7") == 200


async def test_a_blocked_client_is_refused_and_the_next_is_not(site: Site) -> None:
    await site.listen(ONE_EACH)
    site.port.admission.blocks = lambda address: address in ("203.0.113.7", HOST)
    assert await (await site.connect()).ask("/", "203.0.113.7") == 403
    assert await (await site.connect()).ask("/", "203.0.113.8") == 200
    assert await (await site.connect()).ask("/", "unknown") == 403, "then it is the proxy that asks"


async def test_half_a_quote_makes_nobody_the_proxy(site: Site) -> None:
    await site.listen(ListenerLimits(proxies=TrustedProxies([HOST], ForwardedHeader.FORWARDED)))
    assert await (await site.connect()).ask("/", 'for="x, for=203.0.113.7', "Forwarded") == 400
    assert await (await site.connect()).ask("/", "for=203.0.113.7;proto=https", "Forwarded") == 200
    assert site.remotes == [Remote("203.0.113.7", "203.0.113.7", "https")]


async def test_the_one_in_the_proxy_header_is_asked_whom_it_speaks_for(site: Site) -> None:
    await site.listen(ListenerLimits(proxies=TrustedProxies([HOST, "10.0.0.1"])), takes_headers=True)
    for source, address in (("10.0.0.1", "203.0.113.7"), ("203.0.113.9", "203.0.113.9")):
        talk = await site.connect()
        talk.writer.write(binary(source, 4711))
        assert await talk.ask("/", "203.0.113.7") == 200
        assert site.remotes[-1].address == address
