"""Taking connections where balancers say whose they are, and where TLS is spoken, on real sockets of the loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.certificates import self_signed, served_with, trusting
from support.loops import Run
from support.members import eventually
from support.proxy_header import LOCAL, binary, line, raw, tlv

from lalmesh.runtime.acceptor import Acceptor
from lalmesh.runtime.forwarded import Remote, TrustedProxies
from lalmesh.runtime.listener import Admission, ListenerLimits, ListenerMetrics, peer_of, socket_transport

HOST = "127.0.0.1"
CLIENT = ("203.0.113.7", 4711)
MANY = 40  #: that one of two gets none of them, by chance, does not happen
HEADERS = [line(*CLIENT), binary(*CLIENT), binary(*CLIENT, tlv(4, bytes(6000)))]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


class Echo(asyncio.Protocol):
    """Gives everything back, and the address that it is from."""

    def __init__(self, site: Site, client: Remote | None) -> None:
        self._site = site
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = self._transport = socket_transport(transport)
        client = self._client or peer_of(transport)
        self._connection, self._refusal = self._site.admission.admit(client.address, lambda _: made.abort())
        self._site.clients.append(client)
        self._site.sockets.append(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._refusal.encode() or data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._site.admission.leave(self._connection)


@dataclass
class Site:
    """A port that takes headers of the loopback."""

    limits: ListenerLimits = field(default_factory=lambda: ListenerLimits(proxies=TrustedProxies([HOST])))
    tls: ssl.SSLContext | None = None
    takes_headers: bool = True
    shares: int | None = None  # a port of another; 0: a new one

    async def __aenter__(self) -> Site:
        self.registry = CollectorRegistry()
        self.clients: list[Remote] = []
        self.sockets: list[socket.socket] = []
        self.writers: list[asyncio.StreamWriter] = []
        metrics = ListenerMetrics("edge", self.registry)
        self.admission = Admission("rtmp", self.limits, metrics, is_secure=self.tls is not None)
        self.acceptor = Acceptor(self.admission, lambda client: Echo(self, client), self.tls, takes_headers=self.takes_headers)
        self.port = await self.acceptor.start(HOST, self.shares or 0, is_shared=self.shares is not None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.acceptor.close()
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)
        await asyncio.sleep(0.01)

    async def connect(self, local: str = HOST) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, self.port, local_addr=(local, 0))
        self.writers.append(writer)
        return reader, writer

    def refused(self, reason: str) -> float | None:
        return self.registry.get_sample_value("edge_connections_refused_total", {"listener": "rtmp", "reason": reason})


@pytest.mark.parametrize("header", HEADERS, ids=["v1", "v2", "v2-long"])
def test_the_client_is_who_the_balancer_says_and_its_bytes_are_untouched(run: Run, header: bytes) -> None:
    async def check() -> None:
        async with Site() as site:
            reader, writer = await site.connect()
            writer.write(header + b"the first bytes")
            assert await reader.readexactly(15) == b"the first bytes"
            assert site.clients == [Remote(CLIENT[0], "203.0.113.7:4711", is_handed_on=True)]
            assert site.sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(check())


@pytest.mark.parametrize("header", [line(*CLIENT), binary(*CLIENT)], ids=["v1", "v2"])
def test_a_header_that_comes_byte_by_byte_is_waited_for(run: Run, header: bytes) -> None:
    async def check() -> None:
        async with Site() as site:
            reader, writer = await site.connect()
            for byte in header + b"x":
                writer.write(bytes([byte]))
                await asyncio.sleep(0.001)
            assert await reader.readexactly(1) == b"x"
            assert site.clients[0].address == CLIENT[0]

    run(check())


@pytest.mark.parametrize("header", [raw(LOCAL, 0, b""), b"PROXY UNKNOWN\r\n"])
def test_a_balancer_that_speaks_for_itself_is_who_it_is(run: Run, header: bytes) -> None:
    async def check() -> None:
        async with Site() as site:
            reader, writer = await site.connect()
            writer.write(header + b"x")
            assert await reader.readexactly(1) == b"x"
            assert site.clients[0].address == HOST

    run(check())


def test_nobody_else_may_say_who_he_is(run: Run) -> None:
    async def check() -> None:
        async with Site() as site:
            reader, writer = await site.connect("127.0.0.9")
            writer.write(line(*CLIENT))
            assert await reader.readexactly(len(line(*CLIENT))) == line(*CLIENT), "it went to the protocol, as what it is not"
            assert site.clients[0].address == "127.0.0.9"

    run(check())


@pytest.mark.parametrize("said", [b"\x03 no header", b"PROXY nonsense\r\n", b"PROXY TCP4 ", b""])
def test_a_balancer_that_does_not_say_whose_a_connection_is_is_refused(run: Run, said: bytes) -> None:
    async def check() -> None:
        async with Site(ListenerLimits(proxies=TrustedProxies([HOST]), handshake_timeout_s=0.2)) as site:
            reader, writer = await site.connect()
            writer.write(said)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
            assert (site.refused("proxy header"), site.clients) == (1.0, [])

    run(check())


def test_a_balancer_that_goes_before_it_has_said_it_leaves_nothing_behind(run: Run) -> None:
    async def check() -> None:
        async with Site() as site:
            _, writer = await site.connect()
            writer.write(b"PROXY TCP4 ")
            writer.close()
            await eventually(lambda: site.refused("proxy header") == 1.0)

    run(check())


@pytest.mark.parametrize("header", [b"", *HEADERS])
def test_tls_begins_behind_the_header(run: Run, header: bytes, certificate: Path) -> None:
    async def check() -> None:
        async with Site(tls=served_with(certificate), takes_headers=bool(header)) as site:
            answer = await asyncio.get_running_loop().run_in_executor(None, ask_in_tls, site.port, header, trusting(certificate))
            assert answer == b"secret"
            assert site.clients[0].address == (CLIENT[0] if header else HOST)

    run(check())


def ask_in_tls(port: int, header: bytes, context: ssl.SSLContext) -> bytes:
    """What comes back, by a client whose first flight is in one segment with the header."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    with socket.create_connection((HOST, port), timeout=10) as sock:
        first, got = header, b""
        for step in (client.do_handshake, lambda: client.write(b"secret"), lambda: client.read(6)):
            while True:
                try:
                    found = step()
                    got = found if isinstance(found, bytes) else b""
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(first + outgoing.read())
                    first = b""
                    incoming.write(sock.recv(1 << 16))
            sock.sendall(first + outgoing.read())
        return got


def test_who_does_not_shake_hands_in_time_is_dropped(run: Run, certificate: Path) -> None:
    async def check() -> None:
        limits = ListenerLimits(handshake_timeout_s=0.2)
        async with Site(limits, tls=served_with(certificate), takes_headers=False) as site:
            reader, _ = await site.connect()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
            await eventually(lambda: site.refused("handshake timeout") == 1.0)
            reader, writer = await site.connect()
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            await eventually(lambda: site.refused("handshake") == 1.0)

    run(check())


def test_who_comes_too_often_is_sent_away_before_tls(run: Run, certificate: Path) -> None:
    async def check() -> None:
        limits = ListenerLimits(handshakes_per_s=0.2)
        async with Site(limits, tls=served_with(certificate), takes_headers=False) as site:
            ask = asyncio.get_running_loop().run_in_executor
            context = trusting(certificate)
            assert await ask(None, ask_in_tls, site.port, b"", context) == b"secret"
            reader, _ = await site.connect()
            assert await reader.read() == b""
            assert site.refused("rate") == 1.0
            reader, writer = await site.connect("127.0.0.9")
            writer.close()

    run(check())


def test_handshakes_of_one_address_keep_nobody_else_out(run: Run, certificate: Path) -> None:
    async def check() -> None:
        limits = ListenerLimits(connections=20, connections_per_address=2)
        async with Site(limits, tls=served_with(certificate), takes_headers=False) as site:
            ask = asyncio.get_running_loop().run_in_executor
            held = [await site.connect("127.0.0.9") for _ in range(20)]
            await eventually(lambda: site.refused("address limit") == 18.0)
            assert await ask(None, ask_in_tls, site.port, b"", trusting(certificate)) == b"secret"
            assert site.refused("limit") == 0.0
            for _, writer in held:
                writer.close()
            await eventually(lambda: site.refused("handshake") == 2.0)  # of those that had begun: there is room for others of it
            reader, _ = await site.connect("127.0.0.9")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.1)

    run(check())


def test_who_has_all_connections_that_an_address_may_have_gets_no_handshake(run: Run, certificate: Path) -> None:
    async def check() -> None:
        limits = ListenerLimits(connections_per_address=1)
        async with Site(limits, tls=served_with(certificate), takes_headers=False) as site:
            _, writer = await asyncio.open_connection(HOST, site.port, ssl=trusting(certificate))
            site.writers.append(writer)
            await eventually(lambda: len(site.admission) == 1)
            reader, _ = await site.connect()
            assert (await reader.read(), site.refused("address limit"), len(site.clients)) == (b"", 1.0, 1)

    run(check())


def test_who_is_on_the_blacklist_gets_no_handshake(run: Run, certificate: Path) -> None:
    async def check() -> None:
        async with Site(tls=served_with(certificate), takes_headers=False) as site:
            site.admission.blocks = lambda address: address == "127.0.0.9"
            reader, _ = await site.connect("127.0.0.9")
            assert (await reader.read(), site.refused("blacklist"), site.clients) == (b"", 1.0, [])
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await asyncio.open_connection(HOST, site.port, ssl=trusting(certificate), local_addr=("127.0.0.9", 0))
            ask = asyncio.get_running_loop().run_in_executor
            assert await ask(None, ask_in_tls, site.port, b"", trusting(certificate)) == b"secret"

    run(check())


def test_behind_a_balancer_it_is_the_client_whose_handshakes_count(run: Run, certificate: Path) -> None:
    async def check() -> None:
        limits = ListenerLimits(proxies=TrustedProxies([HOST]), connections_per_address=1)
        async with Site(limits, tls=served_with(certificate)) as site:
            site.admission.blocks = lambda address: address == "203.0.113.66"
            ended = []
            for address in ("203.0.113.7", "203.0.113.8", "203.0.113.7", "203.0.113.66", "", ""):  # the last are of itself
                reader, writer = await site.connect()
                writer.write(line(address, 1) if address else raw(LOCAL, 0, b""))
                ended.append(asyncio.ensure_future(reader.read()))
            await eventually(lambda: (site.refused("address limit"), site.refused("blacklist")) == (1.0, 1.0))
            _, waiting = await asyncio.wait(ended, timeout=0.1)
            assert [each in waiting for each in ended] == [True, True, False, False, True, True]
            site.acceptor.close()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(check())


def test_who_comes_too_often_without_tls_is_told_so_by_the_address_of_the_client(run: Run) -> None:
    async def check() -> None:
        async with Site(ListenerLimits(proxies=TrustedProxies([HOST]), handshakes_per_s=0.2)) as site:
            for address, answer in (
                ("203.0.113.7", b"x"),
                ("203.0.113.8", b"x"),
                ("203.0.113.7", b"0.2 connections a second of one"),
            ):
                reader, writer = await site.connect()
                writer.write(line(address, 1) + b"x")
                assert await reader.readexactly(len(answer)) == answer
            assert site.refused("rate") == 1.0

    run(check())


def test_those_who_have_not_begun_are_bounded(run: Run) -> None:
    async def check() -> None:
        async with Site(ListenerLimits(proxies=TrustedProxies([HOST]), connections=2)) as site:
            readers = [(await site.connect())[0] for _ in range(3)]
            done, pending = await asyncio.wait([asyncio.ensure_future(reader.read()) for reader in readers], timeout=0.3)
            assert (len(done), site.refused("limit")) == (1, 1.0)
            site.acceptor.close()
            await asyncio.gather(*pending, return_exceptions=True)

    run(check())


@pytest.mark.parametrize("header", [b"", line(*CLIENT)])
def test_a_port_is_handed_over_to_others_with_nobody_dropped_who_waited(run: Run, header: bytes) -> None:
    async def check() -> None:
        takes = bool(header)
        async with Site(takes_headers=takes, shares=0) as leaving, Site(takes_headers=takes, shares=leaving.port) as staying:
            waiting = [socket.create_connection((HOST, leaving.port)) for _ in range(MANY)]  # the loop does not run meanwhile
            leaving.acceptor.hand_over()
            coming = [socket.create_connection((HOST, leaving.port)) for _ in range(MANY)]
            for client in waiting + coming:
                client.sendall(header + b"x")
            answers = [asyncio.to_thread(client.recv, 1) for client in waiting + coming]
            assert set(await asyncio.gather(*answers)) == {b"x"}
            assert 0 < len(leaving.clients) <= MANY
            assert len(staying.clients) == 2 * MANY - len(leaving.clients)
            for client in waiting + coming:
                client.close()

    run(check())
