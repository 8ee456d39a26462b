"""Players over RTSP on real sockets: TCP, UDP and WebSocket, what they get first, pauses, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeScheduler, FakeSubscription, location, run_of
from support.loops import Run
from support.packaging import BOTH, H264
from support.rtp_fakes import picture, pictures, sound
from support.rtsp_talk import TCP, UDP, Talk, TalkClient

from lalmesh.media import AccessUnit, TrackSet
from lalmesh.protocol.rtp import Goodbye, RtpPacket, is_rtcp, parse_compound
from lalmesh.protocol.rtsp import Response
from lalmesh.protocol.sdp import parse_session
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.log_setup import is_of_a_session
from services.edge import rtsp_ways
from services.edge.fanout import OTHER_CONFIGURATION, FanOut, FanOutSettings
from services.edge.metrics import EdgeMetrics
from services.edge.relay import RelaySettings
from services.edge.rtp_ports import UdpSettings
from services.edge.rtsp import RtspListener
from services.edge.rtsp_dialogue import RtspDialogue
from services.edge.rtsp_link import RtspSettings, UdpStart
from services.edge.rtsp_play import RtspPlaying
from services.edge.rtsp_service import RtspService
from services.edge.rtsp_websocket import RtspSocketListener

HOST = "127.0.0.1"
LIMIT_S = 30.0
URL = f"rtsp://{HOST}/live/a"
PLAIN = RtspSettings(udp=UdpSettings(first_port=20_400, last_port=20_599), wait_publisher_s=LIMIT_S)
BEGUN = [*pictures(0, 3), sound(2, seq=3), picture(4)]
VIDEO_ONLY = TrackSet((H264,), 2)
BLOCK = b"\x41" + bytes(1 << 20)  #: a picture that no socket takes whole


class Edge:
    """The RTSP ports of an edge, whose origin the test drives."""

    def __init__(self, settings: RtspSettings) -> None:
        self.scheduler, self.links = FakeScheduler(), FakeLinks()
        metrics = EdgeMetrics(CollectorRegistry())
        at_once = RelaySettings(fanout=FanOutSettings(max_delay_ms=0))
        context = edge_context(metrics, self.scheduler, self.links, at_once)
        self.relays, self.sessions = context.relays, context.sessions
        limits = ListenerLimits()
        self.service = RtspService(context, settings, metrics, RtspPlaying, silence_s=limits.idle_timeout_s)
        self.plain = RtspListener(self.service, limits, metrics)
        self.socket = RtspSocketListener(self.service, limits, metrics, CorsPolicy(()))
        self.subscription: FakeSubscription | None = None

    async def dial(self) -> Client:
        return Client(URL, *await asyncio.open_connection(HOST, self.plain.port))

    async def serve(self, units: Sequence[AccessUnit] = BEGUN, tracks: TrackSet = BOTH) -> None:
        """What the origin has, once it is asked."""
        self.scheduler.put(location(1))
        self.subscription = await self.links.opened(1)
        self.subscription.serve(run_of(units, tracks=tracks))

    async def describe_to(self, client: Client) -> Response:
        """Let the stream begin while a client asks what it is; the answer."""
        asking = asyncio.create_task(client.describe())
        await self.serve()
        return await asking

    def send(self, units: Sequence[AccessUnit], tracks: TrackSet = BOTH) -> None:
        assert self.subscription is not None
        self.subscription.events.receive(run_of(units, tracks=tracks))


@asynccontextmanager
async def edge(settings: RtspSettings = PLAIN) -> AsyncIterator[Edge]:
    made = Edge(settings)
    async with asyncio.timeout(LIMIT_S):
        for listener in (made.plain, made.socket):
            await listener.start(HOST, 0)
        try:
            yield made
        finally:
            made.plain.stop_accepting()
            made.plain.close("over")
            await made.plain.admission.emptied()
            await made.socket.close("over")
            await made.relays.close()
            made.service.close()


class Client(TalkClient):
    """A player."""

    async def describe(self) -> Response:
        return await self.ask(self.talk.request("DESCRIBE"))

    async def play(self, *transports: str) -> Response:
        """Set tracks up in order, and play; the answer to PLAY."""
        for index, transport in enumerate(transports):
            answer = await self.ask(self.talk.setup(transport, f"/streamid={index}"))
            assert answer.status == 200
        return await self.ask(self.talk.request("PLAY"))

    async def packets(self, channel: int, count: int) -> list[RtpPacket]:
        """The packets that came on a channel, once there are so many."""
        while len(found := self._packets(channel)) < count:
            await self.read()
        return found

    def _packets(self, channel: int) -> list[RtpPacket]:
        return [RtpPacket.parse(frame.payload) for frame in self.talk.frames if frame.channel == channel]


def told_first(answer: Response) -> dict[int, tuple[int, int]]:
    """Sequence number and time of the first packet, by track, as RTP-Info has them."""
    found = {}
    for part in answer.headers.options("rtp-info"):
        url, seq, time = part.split(";")
        found[int(url[-1])] = int(seq.partition("=")[2]), int(time.partition("=")[2])
    return found


def number_and_time(packet: RtpPacket) -> tuple[int, int]:
    return packet.sequence_number, packet.timestamp


def going_on(packets: Sequence[RtpPacket]) -> bool:
    first = packets[0].sequence_number
    return [packet.sequence_number for packet in packets] == [first + index & 0xFFFF for index in range(len(packets))]


def test_a_player_gets_what_is_cached_and_what_comes(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            described = await server.describe_to(client)
            assert len(parse_session(described.body).media) == 2
            played = await client.play(TCP.format(0, 1), TCP.format(2, 3))
            assert [session.protocol for session in server.sessions] == ["rtsp"]
            count = len(await client.packets(0, 8))
            [heard] = await client.packets(2, 1)
            server.send([picture(5), sound(5, seq=6)])
            pictures_got = await client.packets(0, count + 3)
            assert going_on(pictures_got)
            at_first_picture = heard.timestamp - 2 * 44_100 // 25 & 0xFFFFFFFF
            assert told_first(played) == {0: number_and_time(pictures_got[0]), 1: (heard.sequence_number, at_first_picture)}
            assert len(await client.packets(2, 2)) == 2
            await client.close()
            while len(server.sessions):  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.005)

    run(work())


def test_players_on_other_channels_get_the_same_packets(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            one, other = await server.dial(), await server.dial()
            await server.describe_to(one)
            await other.describe()
            await one.play(TCP.format(0, 1), TCP.format(2, 3))
            await other.play(TCP.format(10, 11), TCP.format(4, 5))
            server.send([picture(5), sound(5, seq=6)])
            assert await one.packets(2, 2) == await other.packets(4, 2)
            assert await one.packets(0, 16) == await other.packets(10, 16)
            await one.close()
            await other.close()

    run(work())


def test_players_on_many_other_channels_get_the_plain_ones(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each choice of channels has a fan-out and a cache of its own."""
    monkeypatch.setattr(rtsp_ways, "MAX_CHANNEL_MAPS", 1)
    monkeypatch.setattr(rtsp_ways, "MAX_LATE_CHANNEL_MAPS", 2)

    async def work() -> None:
        async with edge() as server:
            early = [await server.dial() for _ in range(4)]
            await server.describe_to(early[0])
            for number, client in enumerate(early):
                await client.describe()
                wanted = TCP.format(10 + 2 * number, 11 + 2 * number)
                answer = await client.ask(client.talk.setup(wanted))
                assert f"interleaved={10 + 2 * number}-" in answer.headers.get("transport")
            played = [await client.ask(client.talk.request("PLAY")) for client in early]
            assert [answer.status for answer in played] == [200, 200, 503, 503]
            late = await server.dial()
            await late.describe()
            answer = await late.ask(late.talk.setup(TCP.format(30, 31)))
            assert "interleaved=0-1" in answer.headers.get("transport")
            assert (await late.ask(late.talk.request("PLAY"))).status == 200
            assert await late.packets(0, 8)
            for client in (*early, late):
                await client.close()

    run(work())


def test_after_a_pause_nothing_comes_until_play(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await server.describe_to(client)
            await client.play(TCP.format(0, 1), TCP.format(2, 3))
            assert (await client.ask(client.talk.request("PAUSE"))).status == 200
            client.talk.frames.clear()
            server.send([picture(5)])
            assert (await client.ask(client.talk.request("GET_PARAMETER"))).status == 200
            assert client.talk.frames == []
            server.send([picture(6, key=True)])
            played = await client.ask(client.talk.request("PLAY"))
            again = await client.packets(0, 3)
            assert again[-1].payload[-1] == 6
            assert told_first(played) == {0: number_and_time(again[0])}
            assert len(server.sessions) == 1
            await client.close()

    run(work())


def test_what_a_player_skipped_before_a_pause_is_told_after_it(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await server.describe_to(client)
            (session,) = server.sessions
            for skips in (3, 2):
                await client.play(TCP.format(0, 1), TCP.format(2, 3))
                (relay,) = server.relays
                (fanout,) = relay.fanouts
                assert isinstance(fanout, FanOut)
                (feed,) = fanout._audience._live
                feed.skips = skips
                assert (await client.ask(client.talk.request("PAUSE"))).status == 200
            assert session.media is not None
            assert session.media().skips == 5
            await client.close()

    run(work())


def test_one_track_pauses_alone_and_comes_back(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await server.describe_to(client)
            await client.play(TCP.format(0, 1), TCP.format(2, 3))
            await client.packets(2, 1)
            assert (await client.ask(client.talk.request("PAUSE", "/streamid=1"))).status == 200
            client.talk.frames.clear()
            server.send([picture(5), picture(6, key=True), sound(6, seq=7)])
            server.send([replace(picture(7), seq=8)])
            while (await client.packets(0, 1))[-1].payload[-1] != 7:
                await client.read()
            seen = {packet.timestamp for packet in await client.packets(0, 1)}
            assert (len(seen), [frame for frame in client.talk.frames if frame.channel == 2]) == (2, [])
            played = await client.ask(client.talk.request("PLAY", "/streamid=1"))
            assert told_first(played) == {1: number_and_time((await client.packets(2, 1))[0])}
            assert (await client.ask(client.talk.request("TEARDOWN", "/streamid=0"))).status == 200
            client.talk.frames.clear()
            server.send([replace(picture(8), seq=9), sound(8, seq=10)])
            await client.packets(2, 1)
            assert {frame.channel for frame in client.talk.frames if not is_rtcp(frame.payload)} == {2}
            await client.close()

    run(work())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("start", ["gop", "next"])
def test_a_player_by_udp(run: Run, *, shared: bool, start: UdpStart) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        udp = UdpSettings(shared_port=0) if shared else PLAIN.udp
        async with edge(replace(PLAIN, udp=udp, udp_start=start)) as server:
            ports = [await loop.create_datagram_endpoint(Datagrams, (HOST, 0)) for _ in range(2)]
            (rtp, media), (rtcp, reports) = sorted(ports, key=lambda port: int(port[0].get_extra_info("sockname")[1]))
            mine = [transport.get_extra_info("sockname")[1] for transport in (rtp, rtcp)]
            client = await server.dial()
            await server.describe_to(client)
            played = await client.play(UDP.format(*mine))
            server.send([picture(5, key=True), picture(6)])
            got = [RtpPacket.parse(await media.came.get())]
            while got[-1].payload[-1] != 6 or not got[-1].marker:
                got.append(RtpPacket.parse(await media.came.get()))
            assert going_on(got)
            assert len({packet.timestamp for packet in got}) == {"gop": 6, "next": 2}[start]
            assert told_first(played) == ({0: number_and_time(got[0])} if start == "gop" else {})
            if start == "gop":
                assert is_rtcp(await reports.came.get())
            assert len(server.service.ports) == 1
            await client.close()
            while len(server.service.ports):  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.005)
            rtp.close()
            rtcp.close()

    run(work())


def test_a_track_that_gets_no_other_ports_keeps_those_that_it_has(run: Run) -> None:
    async def work() -> None:
        one_pair = UdpSettings(first_port=20_602, last_port=20_603)  # that no other test has
        async with edge(replace(PLAIN, udp=one_pair)) as server:
            client = await server.dial()
            await server.describe_to(client)
            answers = [await client.ask(client.talk.setup(UDP.format(port, port + 1))) for port in (5000, 6000, 5000)]
            assert [answer.status for answer in answers] == [200, 461, 200]
            assert (await client.ask(client.talk.request("PLAY"))).status == 200
            assert len(server.service.ports) == 1
            await client.close()

    run(work())


class Datagrams(asyncio.DatagramProtocol):
    """A UDP port of a client."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.came.put_nowait(data)


def test_who_asks_for_its_stream_again_and_again_has_one_session(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            described = await server.describe_to(client)
            for _ in range(100):
                assert (await client.describe()).body == described.body
            assert len(server.sessions) == 1
            await client.play(TCP.format(0, 1))
            assert (await client.describe()).body == described.body
            await client.packets(0, 8)
            await client.close()

    with caplog.at_level("INFO"):
        run(work())
    assert [is_of_a_session(record) for record in caplog.records].count(True) == 2  # its beginning and its end


def test_who_asks_to_play_again_before_it_has_taken_what_it_was_given_waits_until_it_has(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            asking = asyncio.create_task(client.describe())
            large = [replace(unit, payload=len(BLOCK).to_bytes(4, "big") + BLOCK) for unit in pictures(0, 9)]
            await server.serve(large, VIDEO_ONLY)
            await asking
            await client.ask(client.talk.setup(TCP.format(0, 1)))
            [connection] = server.service._connections
            assert isinstance(connection, RtspDialogue)
            client.writer.write(b"".join(client.talk.request(name) for name in ("PLAY", "PAUSE", "PLAY")))
            while not connection._is_full:  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert connection._core.has_held  # PAUSE waits for the client
            held = server.relays.bursts.size_bytes
            assert held > len(BLOCK)
            while connection._core.has_held:
                assert server.relays.bursts.size_bytes <= held
                await client.read()
            await client.close()

    run(work())


def test_a_player_over_websocket(run: Run) -> None:
    async def work() -> None:
        async with edge() as server, aiohttp.ClientSession() as session:
            url = f"ws://{HOST}:{server.socket.port}/live/a"
            async with session.ws_connect(url, protocols=("rtsp",)) as socket:
                talk = Talk(URL)

                async def ask(request: bytes) -> Response:
                    await socket.send_bytes(request)
                    while (answer := talk.answer()) is None:
                        talk.take(await socket.receive_bytes())
                    return answer

                asking = asyncio.create_task(ask(talk.request("DESCRIBE")))
                await server.serve()
                assert (await asking).status == 200
                assert (await ask(talk.setup(TCP.format(0, 1)))).status == 200
                played = await ask(talk.request("PLAY"))
                while not any(frame.channel == 0 for frame in talk.frames):
                    talk.take(await socket.receive_bytes())
                first = next(RtpPacket.parse(frame.payload) for frame in talk.frames if frame.channel == 0)
                assert told_first(played) == {0: number_and_time(first)}
                assert [session.protocol for session in server.sessions] == ["ws-rtsp"]

    run(work())


def test_other_tracks_close_a_player(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await server.describe_to(client)
            await client.play(TCP.format(0, 1))
            server.send([picture(5)], VIDEO_ONLY)
            await client.closed()
            assert len(server.sessions) == 0

    with caplog.at_level("INFO"):
        run(work())
    assert any(OTHER_CONFIGURATION in record.getMessage() for record in caplog.records)


def test_tracks_that_changed_before_play_are_not_found_until_described_anew(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await server.describe_to(client)
            await client.ask(client.talk.setup(TCP.format(0, 1)))
            server.send([picture(5)], VIDEO_ONLY)
            assert (await client.ask(client.talk.request("PLAY"))).status == 404
            assert client.talk.frames == []
            assert (await client.ask(client.talk.request("TEARDOWN"))).status == 200
            client.talk.session = ""
            assert len(parse_session((await client.describe()).body).media) == 1
            assert (await client.play(TCP.format(0, 1))).status == 200
            assert (await client.packets(0, 1))[0].payload[-1] == 5
            await client.close()

    run(work())


def test_a_stream_that_has_changed_is_described_anew_to_who_asks_again(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            assert len(parse_session((await server.describe_to(client)).body).media) == 2
            server.send([picture(5)], VIDEO_ONLY)
            assert len(parse_session((await client.describe()).body).media) == 1
            assert (await client.play(TCP.format(0, 1))).status == 200
            assert (await client.packets(0, 1))[0].payload[-1] == 5
            assert len(server.sessions) == 1
            await client.close()

    run(work())


def test_the_end_of_the_stream_is_said(run: Run) -> None:
    async def work() -> None:
        async with edge() as server:
            client = await server.dial()
            await server.describe_to(client)
            await client.play(TCP.format(0, 1))
            await client.packets(0, 8)
            assert server.subscription is not None
            server.subscription.events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
            await client.closed()
            assert isinstance(parse_compound(client.talk.frames[-1].payload).packets[-1], Goodbye)

    run(work())


def test_a_stream_that_nobody_publishes_is_not_found(run: Run) -> None:
    async def work() -> None:
        async with edge(replace(PLAIN, wait_publisher_s=0.0)) as server:
            client = await server.dial()
            assert (await client.describe()).status == 404
            server.scheduler.put(location(1))
            asking = asyncio.create_task(client.describe())
            await server.serve()
            assert (await asking).status == 200
            await client.close()

    run(work())
