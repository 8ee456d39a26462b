"""Taking connections away from aiohttp, on real sockets of the loopback: there is no other way to see that aiohttp lets go."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from support.certificates import self_signed, served_with, trusting
from support.loops import Run
from support.members import eventually

from lalmesh.runtime.acceptor import Acceptor
from lalmesh.runtime.http_gate import Gate, gate_of
from lalmesh.runtime.listener import Admission, ListenerLimits, ListenerMetrics
from services.edge.takeover import TakenOver, take_over

LIMIT_S = 30.0
REQUEST = b"GET /live/a.flv HTTP/1.1\r\nHost: edge\r\n\r\n"


@dataclass(eq=False)
class Taker(asyncio.Protocol):
    """A player."""

    received: bytes = b""
    events: list[str] = field(default_factory=list)
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def pause_writing(self) -> None:
        self.events.append("paused")

    def resume_writing(self) -> None:
        self.events.append("resumed")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Site:
    """An aiohttp application behind gates, of which every request is taken over."""

    def __init__(self) -> None:
        self.takers: list[Taker] = []
        self.transports: list[asyncio.Transport] = []
        self.refusals: list[str] = []
        self.clients: list[asyncio.StreamWriter] = []
        self.admission = Admission("http", ListenerLimits(connections=3), ListenerMetrics("edge", CollectorRegistry()))
        app = web.Application()
        app.router.add_get("/live/a.flv", self._play)
        app.router.add_get("/plain", self._plain)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self.port = 0

    async def __aenter__(self) -> Site:
        return await self.start(None)

    async def start(self, tls: ssl.SSLContext | None) -> Site:
        await self.runner.setup()
        make = self.runner.server
        assert make is not None
        self.server = Acceptor(self.admission, lambda client: Gate(self.admission, make(), client), tls)
        self.port = await self.server.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for client in self.clients:
            client.close()
        self.admission.expire_all("over")
        await self.runner.cleanup()
        await asyncio.gather(*(client.wait_closed() for client in self.clients), return_exceptions=True)
        await asyncio.sleep(0.01)  # let transports be closed

    async def _plain(self, request: web.Request) -> web.Response:
        gate = gate_of(request)
        assert gate is not None
        self.refusals.append(gate.refusal)
        return web.Response(text="plain")

    async def _play(self, request: web.Request) -> web.StreamResponse:
        taker = Taker()
        transport = take_over(request, taker)
        assert transport is not None
        self.takers.append(taker)
        self.transports.append(transport)
        transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        return TakenOver()

    async def connect(self, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        self.clients.append(writer)
        return reader, writer

    async def play(self, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.connect(tls)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    @property
    def aiohttp_connections(self) -> int:
        assert self.runner.server is not None
        return len(self.runner.server.connections)


def test_a_connection_that_was_taken_over_is_the_takers_alone(run: Run) -> None:
    async def check() -> None:
        async with Site() as site:
            before = len(asyncio.all_tasks())
            players = [await site.play() for _ in range(3)]
            await eventually(lambda: (len(asyncio.all_tasks()), site.aiohttp_connections) == (before, 0))
            assert len(site.admission) == 3
            for number, (reader, writer) in enumerate(players):
                site.transports[number].write(b"media")
                assert await reader.readexactly(5) == b"media"
                writer.write(b"hello")
            await eventually(lambda: [taker.received for taker in site.takers] == [b"hello"] * 3)

    run(check())


def test_the_taker_hears_when_its_client_goes(run: Run) -> None:
    async def check() -> None:
        async with Site() as site:
            _, writer = await site.play()
            writer.close()
            await site.takers[0].lost.wait()
            assert len(site.admission) == 0

    run(check())


def test_the_taker_hears_when_its_transport_fills_and_drains(run: Run) -> None:
    async def check() -> None:
        async with Site() as site:
            reader, _ = await site.play()
            site.transports[0].set_write_buffer_limits(high=1000, low=0)
            site.transports[0].write(bytes(16 << 20))
            await reader.readexactly(16 << 20)
            await eventually(lambda: site.takers[0].events == ["paused", "resumed"])

    run(check())


def test_aiohttp_goes_on_with_other_connections_and_stops_without_the_takers(run: Run) -> None:
    async def check() -> None:
        async with Site() as site:
            await site.play()
            reader, writer = await site.connect()
            writer.write(b"GET /plain HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"plain")
            await site.runner.cleanup()
            site.transports[0].write(b"media")
            assert not site.takers[0].lost.is_set()
            site.admission.expire_all("over")
            await site.takers[0].lost.wait()

    run(check())


def test_a_connection_over_the_limit_says_so_to_its_handler(run: Run) -> None:
    async def check() -> None:
        async with Site() as site:
            for _ in range(3):
                await site.play()
            reader, writer = await site.connect()
            writer.write(b"GET /plain HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
            await reader.read()
            assert site.refusals == ["3 connections"]

    run(check())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key in one file."""
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_a_connection_under_tls_is_taken_over_as_well(run: Run, certificate: Path) -> None:
    async def check() -> None:
        trusted = trusting(certificate)
        site = await Site().start(served_with(certificate))
        reader, writer = await site.play(trusted)
        site.transports[0].write(b"media")
        assert await reader.readexactly(5) == b"media"
        await eventually(lambda: (site.aiohttp_connections, len(site.admission)) == (0, 1))
        writer.close()
        await site.takers[0].lost.wait()
        await site.__aexit__()

    run(check())
