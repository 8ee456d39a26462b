"""Publishers over RTSP on real sockets: TCP, UDP, TLS and WebSocket, who is refused, and what ends them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeOutlet, FakeScheduler, place
from support.etcd import make_certificates
from support.leaving import say_and_leave
from support.loops import Run
from support.rtsp_talk import TCP, UDP, Talk, TalkClient, frame, packet

from lalmesh.protocol.http_auth import ClientAuth
from lalmesh.protocol.rtsp import Response
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.scheduling import Refusal, Refused
from services.edge.hls_client import HlsClient, HlsProxySettings
from services.edge.http import HttpListener
from services.edge.metrics import EdgeMetrics
from services.edge.rtp_ports import UdpSettings
from services.edge.rtsp import RtspListener
from services.edge.rtsp_dialogue import RtspDialogue
from services.edge.rtsp_link import AuthSettings, RtspSettings
from services.edge.rtsp_play import RtspPlaying
from services.edge.rtsp_service import RtspService
from services.edge.rtsp_websocket import RtspSocketListener

HOST = "127.0.0.1"
LIMIT_S = 30.0
URL = f"rtsp://{HOST}/live/cam"
UDP_RANGE = UdpSettings(first_port=20_200, last_port=20_399)
UDP_SHARED = UdpSettings(shared_port=0)
PLAIN = RtspSettings(udp=UDP_RANGE)


class Edge:
    """The RTSP ports of an edge, whose scheduler and origins the test drives."""

    def __init__(self, settings: RtspSettings, limits: ListenerLimits, tls: ssl.SSLContext | None) -> None:
        self.scheduler, self.links = FakeScheduler(), FakeLinks()
        self.registry = CollectorRegistry()
        metrics = EdgeMetrics(self.registry)
        context = edge_context(metrics, self.scheduler, self.links, wait_publisher_s=0.1)
        self.publishers, self.relays, self.sessions = context.publishers, context.relays, context.sessions
        self.service = RtspService(context, settings, metrics, RtspPlaying, silence_s=limits.idle_timeout_s)
        cors = CorsPolicy(())
        hls = self.hls = HlsClient(tuple, HlsProxySettings(), asyncio.get_running_loop().time)
        self.plain = RtspListener(self.service, limits, metrics, tls)
        self.socket = RtspSocketListener(self.service, limits, metrics, cors)
        self.http = HttpListener(context, limits, metrics, cors, hls, tls, self.service)

    async def dial(self, tls: ssl.SSLContext | None = None) -> Client:
        """A client of the plain port."""
        return Client(URL, *await asyncio.open_connection(HOST, self.plain.port, ssl=tls))

    async def origin(self) -> FakeOutlet:
        """What the origin has of the stream."""
        outlet = await self.links.published(1)
        outlet.events.publication_opened(None, place(1))
        return outlet


@asynccontextmanager
async def edge(
    settings: RtspSettings = PLAIN, limits: ListenerLimits | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Edge]:
    made = Edge(settings, limits or ListenerLimits(), tls)
    async with asyncio.timeout(LIMIT_S):
        for listener in (made.plain, made.socket, made.http):
            await listener.start(HOST, 0)
        try:
            yield made
        finally:
            made.plain.stop_accepting()
            made.plain.close("over")
            await made.plain.admission.emptied()
            await made.socket.close("over")
            await made.http.close("over")
            await made.publishers.close(1.0)
            await made.relays.close()
            await made.hls.close()
            made.service.close()


class Client(TalkClient):
    """A publisher."""

    async def record(self, transport: str = TCP.format(0, 1)) -> Response:
        """Publish one sound; the answer to SETUP."""
        assert (await self.ask(self.talk.announce())).status == 200
        answer = await self.ask(self.talk.setup(transport))
        assert answer.status == 200
        assert (await self.ask(self.talk.request("RECORD"))).status == 200
        return answer


class Datagrams(asyncio.DatagramProtocol):
    """A UDP port of a client."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.came.put_nowait(data)


async def units(outlet: FakeOutlet, count: int) -> None:
    """Wait until the origin has so many."""
    while len(outlet.seqs) < count:  # noqa: ASYNC110 -- nothing else tells
        await asyncio.sleep(0.005)
    assert outlet.seqs == list(range(count))


def test_media_come_among_the_messages(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await client.record()
            outlet = await server.origin()
            client.writer.write(b"".join(frame(number) for number in range(50)))
            await units(outlet, 50)
            assert (await client.ask(client.talk.request("TEARDOWN"))).status == 200
            assert len(server.sessions) == 0
            await client.close()

    run(work())


def test_the_last_media_of_who_left_are_taken_though_a_report_to_him_fails_first(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await client.record()
            outlet = await server.origin()
            [connection] = server.service._connections
            assert isinstance(connection, RtspDialogue)
            say_and_leave(client.writer, b"".join(frame(number) for number in range(50)))
            for _ in range(2):  # the first is answered with a reset, the second ends the connection
                connection.write(b"$\x01\0\0")
            await units(outlet, 50)
            with suppress(ConnectionError):
                await client.close()

    run(work())


def test_a_connection_whose_last_words_fail_has_gone_all_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await client.record()
            [connection] = server.service._connections
            assert isinstance(connection, RtspDialogue)

            def fail(_: RtspDialogue, data: bytes) -> None:
                raise IndexError(len(data))

            monkeypatch.setattr(RtspDialogue, "feed", fail)
            say_and_leave(client.writer, frame(0))
            for _ in range(2):  # the first is answered with a reset, the second ends the connection
                connection.write(b"$\x01\0\0")
            while len(server.plain.admission):  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.005)
            assert (len(server.service._connections), len(server.sessions)) == (0, 0)
            with suppress(ConnectionError):
                await client.close()

    run(work())


@pytest.mark.parametrize("udp", [pytest.param(UDP_RANGE, id="range"), pytest.param(UDP_SHARED, id="shared")])
def test_media_come_by_udp(run: Run, udp: UdpSettings) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with edge(replace(PLAIN, udp=udp)) as server:
            rtp, _ = await loop.create_datagram_endpoint(Datagrams, (HOST, 0))
            rtcp, reports = await loop.create_datagram_endpoint(Datagrams, (HOST, 0))
            mine = rtp.get_extra_info("sockname")[1], rtcp.get_extra_info("sockname")[1]
            client = await server.dial()
            if mine[0] > mine[1]:
                (rtp, rtcp), mine = (rtcp, rtp), (mine[1], mine[0])
            answer = await client.record(UDP.format(*mine))
            outlet = await server.origin()
            port = int(answer.headers.get("transport").partition("server_port=")[2].partition("-")[0])
            for number in (0, 1, 3, 2, 4):
                rtp.sendto(packet(number), (HOST, port))
            await units(outlet, 5)
            assert len(server.service.ports) == 1
            await client.close()
            while len(server.sessions):  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.005)
            assert len(server.service.ports) == 0
            assert reports.came.empty()
            rtp.close()
            rtcp.close()

    run(work())


def test_media_come_by_udp_behind_the_goodbye_that_overtook_them(run: Run) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with edge() as server:
            rtp, _ = await loop.create_datagram_endpoint(Datagrams, (HOST, 0))
            mine = rtp.get_extra_info("sockname")[1]
            client = await server.dial()
            answer = await client.record(UDP.format(mine, mine + 1))
            outlet = await server.origin()
            port = int(answer.headers.get("transport").partition("server_port=")[2].partition("-")[0])
            rtp.sendto(packet(0), (HOST, port))
            await units(outlet, 1)
            assert (await client.ask(client.talk.request("TEARDOWN"))).status == 200
            await client.close()
            await asyncio.sleep(0.05)
            rtp.sendto(packet(1), (HOST, port))
            await units(outlet, 2)
            while len(server.sessions):  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.005)
            assert len(server.service.ports) == 0
            rtp.close()

    run(work())


def test_media_come_through_tls(run: Run, tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)

    async def work() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.cert_file("server"), certificates.key_file("server"))
        async with edge(tls=context) as server:
            client = await server.dial(ssl.create_default_context(cafile=str(certificates.ca_file)))
            assert (await client.ask(client.talk.announce())).status == 200
            assert (await client.ask(client.talk.setup(UDP.format(5000, 5001)))).status == 461
            assert (await client.ask(client.talk.setup(TCP.format(0, 1)))).status == 200
            assert (await client.ask(client.talk.request("RECORD"))).status == 200
            client.writer.write(frame(0) + frame(1))
            await units(await server.origin(), 2)
            assert [session.protocol for session in server.sessions] == ["rtsps"]
            await client.close()

    run(work())


async def tell(socket: aiohttp.ClientWebSocketResponse, talk: Talk, request: bytes) -> Response:
    """Ask in messages that begin and end anywhere."""
    await socket.send_bytes(request[:10])
    await socket.send_bytes(request[10:])
    while (answer := talk.answer()) is None:
        talk.take(await socket.receive_bytes())
    return answer


@pytest.mark.parametrize("port", ["socket", "http"])
def test_media_come_over_websocket(run: Run, port: str) -> None:
    async def work() -> None:
        async with edge() as server, AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            number = server.socket.port if port == "socket" else server.http.port
            socket = await stack.enter_async_context(session.ws_connect(f"ws://{HOST}:{number}/any", protocols=("rtsp",)))
            assert socket.protocol == "rtsp"
            talk = Talk(URL)
            assert (await tell(socket, talk, talk.announce())).status == 200
            assert (await tell(socket, talk, talk.setup(TCP.format(0, 1)))).status == 200
            assert (await tell(socket, talk, talk.request("RECORD"))).status == 200
            outlet = await server.origin()
            await socket.send_bytes(frame(0) + frame(1)[:7])
            await socket.send_bytes(frame(1)[7:])
            await units(outlet, 2)
            assert [one.protocol for one in server.sessions] == ["ws-rtsp"]
            for one in server.sessions:
                one.close("the edge stops")
            message = await socket.receive()
            assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)

    run(work())


def test_the_last_media_by_websocket_are_taken_though_a_report_fails_first(run: Run) -> None:
    async def work() -> None:
        async with (
            edge() as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://{HOST}:{server.socket.port}/any", protocols=("rtsp",)) as socket,
        ):
            talk = Talk(URL)
            for request in (talk.announce(), talk.setup(TCP.format(0, 1)), talk.request("RECORD")):
                assert (await tell(socket, talk, request)).status == 200
            outlet = await server.origin()
            [connection] = server.service._connections
            assert isinstance(connection, RtspDialogue)
            media = b"".join(frame(number) for number in range(50))
            say_and_leave(socket, b"\x82\xfe" + len(media).to_bytes(2, "big") + bytes(4) + media)  # RFC 6455 §5.2, no mask
            for _ in range(2):
                connection.write(b"$\x01\0\0")
            await units(outlet, 50)

    run(work())


def test_the_port_of_websockets_serves_nothing_else(run: Run) -> None:
    async def work() -> None:
        async with edge() as server, aiohttp.ClientSession() as session:
            async with session.get(f"http://{HOST}:{server.socket.port}/live/cam") as answer:
                assert answer.status == 404
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(f"ws://{HOST}:{server.socket.port}/", origin="http://elsewhere.example")

    run(work())


def test_a_second_publisher_is_refused_and_its_connection_goes_on(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            server.scheduler.claim_refusals = [Refused(Refusal.EXISTS, "elsewhere")] * 2
            client = await server.dial()
            assert (await client.ask(client.talk.announce())).status == 403
            assert (await client.ask(client.talk.request("OPTIONS"))).status == 200
            await client.close()

    run(work())


def test_wrong_credentials_get_a_second_401_and_not_a_closed_socket(run: Run) -> None:
    async def work() -> None:
        async with edge(replace(PLAIN, auth=AuthSettings(publish_users={"alice": "in"}))) as server:
            client = await server.dial()
            for password in ("wrong", "in"):
                answer = await client.ask(client.talk.announce())
                assert answer.status == 401
                user = ClientAuth("alice", password, bytes)
                assert user.challenged(answer.headers.all("www-authenticate"))
                answer = await client.ask(client.talk.announce(Authorization=user.authorization("ANNOUNCE", URL) or ""))
                assert answer.status == (200 if password == "in" else 401)
            await client.close()

    run(work())


def test_a_missing_stream_gets_404(run: Run) -> None:
    async def work() -> None:
        async with edge(replace(PLAIN, wait_publisher_s=0.0)) as server:
            client = await server.dial()
            assert (await client.ask(client.talk.request("DESCRIBE"))).status == 404
            await client.close()

    run(work())


def test_who_says_nothing_is_closed(run: Run) -> None:
    async def work() -> None:
        async with edge(limits=ListenerLimits(handshake_timeout_s=0.05, idle_timeout_s=0.2)) as server:
            silent = await server.dial()
            publisher = await server.dial()
            await publisher.record()
            await asyncio.sleep(0.3)
            server.plain.sweep()
            server.service.sweep()
            await silent.closed()
            await publisher.closed()
            assert len(server.sessions) == 0

    run(work())


def test_a_connection_over_the_limit_is_told_so(run: Run) -> None:
    async def work() -> None:
        async with edge(limits=ListenerLimits(connections=1)) as server:
            first, second = await server.dial(), await server.dial()
            assert (await second.ask(second.talk.announce())).status == 503
            await second.closed()
            assert (await first.ask(first.talk.announce())).status == 200
            await first.close()

    run(work())
