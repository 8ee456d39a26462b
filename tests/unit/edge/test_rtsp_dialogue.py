"""What is said on an RTSP connection: publishing, playing, refusals and deadlines, in virtual time and without a socket."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeScheduler
from support.rtsp_talk import PCMA_SDP, TCP, UDP, Talk, frame, packet
from support.virtual_time import in_virtual_time, settle

from lalmesh.errors import StreamNotFound
from lalmesh.names import StreamKey
from lalmesh.protocol.http_auth import ClientAuth
from lalmesh.protocol.rtp import Run
from lalmesh.protocol.rtsp import Response, Transport
from lalmesh.runtime.listener import Connection
from lalmesh.runtime.scheduling import Refusal, Refused
from services.edge.metrics import EdgeMetrics
from services.edge.rtp_ports import Received, RtpPorts
from services.edge.rtsp_dialogue import RtspDialogue
from services.edge.rtsp_link import AuthSettings, Described, RtspLink, RtspSettings
from services.edge.rtsp_publish import RECORD_DEADLINE_S
from services.edge.rtsp_service import RtspService

URL = "rtsp://host/live/cam"
ADDRESS = "10.0.0.1"
SILENCE_S = 120.0


class FakeTransport:
    """As far as a dialogue looks at it."""

    def get_write_buffer_size(self) -> int:
        return 0


class FakeWire:
    """Keeps what is sent."""

    is_socket = False

    def __init__(self) -> None:
        self.transport = cast(asyncio.Transport | None, FakeTransport())
        self.sent = b""
        self.closed = ""  # the reason
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def goodbye(self, reason: str) -> None:
        self.closed = reason

    def abort(self) -> None:
        self.aborted = True


class FakePair:
    """Two ports, and what was sent by them."""

    ports = (20_000, 20_001)

    def __init__(self, received: Received) -> None:
        self.received = received
        self.reports: list[bytes] = []
        self.closed = False

    def send(self, runs: Sequence[Run]) -> None:
        pass

    def send_rtcp(self, packet: bytes) -> None:
        self.reports.append(packet)

    def read(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class FakePorts:
    """Ports, as long as there are any."""

    def __init__(self) -> None:
        self.pairs: list[FakePair] = []
        self.exhausted = False

    def open(self, address: str, client_ports: tuple[int, int], received: Received) -> FakePair:
        if self.exhausted:
            raise OSError("no UDP ports are free")
        self.pairs.append(FakePair(received))
        return self.pairs[-1]


class FakePlayer:
    """A player of one sound, which notes what it was asked."""

    def __init__(self, link: RtspLink) -> None:
        self.link = link
        self.asked: list[str] = []

    async def describe(self, stream: StreamKey) -> Described:
        self.asked.append(f"describe {stream}")
        await asyncio.sleep(0)
        if stream.name == "missing":
            raise StreamNotFound("nobody publishes it")
        return Described(sdp=PCMA_SDP, controls=("streamid=0",))

    def setup(self, track: int, transport: Transport) -> Transport:
        self.asked.append(f"setup {track}")
        return transport

    def play(self) -> Mapping[int, tuple[int, int]]:
        self.asked.append("play")
        return {0: (17, 1234)}

    def start(self) -> None:
        self.asked.append("start")

    def pause(self) -> None:
        self.asked.append("pause")

    def transport_full(self) -> None:
        self.asked.append("full")

    def transport_drained(self) -> None:
        self.asked.append("drained")

    def rtcp(self, track: int, packet: bytes) -> None:
        self.asked.append(f"rtcp {track}")

    def close(self, reason: str) -> None:
        self.asked.append(f"close {reason}")


class Stage:
    """One connection to an edge whose scheduler the test drives."""

    def __init__(
        self, settings: RtspSettings | None = None, *, url: str = URL, protocol: str = "rtsp", take_over: bool = False
    ) -> None:
        self.registry = CollectorRegistry()
        metrics = EdgeMetrics(self.registry)
        self.scheduler, self.links, self.ports = FakeScheduler(), FakeLinks(), FakePorts()
        self.players: list[FakePlayer] = []
        context = edge_context(metrics, self.scheduler, self.links, take_over=take_over)
        self.publishers, self.sessions = context.publishers, context.sessions
        self.service = RtspService(context, settings or RtspSettings(), metrics, self._player, silence_s=SILENCE_S)
        self.service.ports = cast(RtpPorts, self.ports)
        self.wire, self.talk = FakeWire(), Talk(url)
        self.loop = asyncio.get_running_loop()
        self.connection = Connection(ADDRESS, self.loop.time(), lambda _: None, refused=False)
        self.dialogue = RtspDialogue(self.service, self.wire, self.connection, protocol, (ADDRESS, f"{ADDRESS}:5"))

    def beside(self) -> Stage:
        """Another connection to the same edge."""
        other = copy.copy(self)
        other.wire, other.talk = FakeWire(), Talk(URL)
        other.dialogue = RtspDialogue(self.service, other.wire, self.connection, "rtsp", (ADDRESS, f"{ADDRESS}:6"))
        return other

    def _player(self, link: RtspLink) -> FakePlayer:
        self.players.append(FakePlayer(link))
        return self.players[-1]

    async def ask(self, request: bytes) -> Response:
        """The answer to a request."""
        self.dialogue.feed(request)
        await settle()
        self.talk.take(self.wire.sent)
        self.wire.sent = b""
        answer = self.talk.answer()
        assert answer is not None
        return answer

    async def status(self, request: bytes) -> int:
        return (await self.ask(request)).status

    async def record(self, transport: str = TCP.format(0, 1)) -> None:
        """Publish one sound."""
        assert await self.status(self.talk.announce()) == 200
        assert await self.status(self.talk.setup(transport)) == 200
        assert await self.status(self.talk.request("RECORD")) == 200

    async def play(self) -> FakePlayer:
        """Play one sound."""
        assert await self.status(self.talk.request("DESCRIBE")) == 200
        assert await self.status(self.talk.setup(TCP.format(0, 1))) == 200
        assert await self.status(self.talk.request("PLAY")) == 200
        return self.players[-1]

    @property
    def units(self) -> int:
        return sum(publishing.core.counters.units for publishing in self.publishers)

    async def later(self, seconds: float) -> None:
        """Let time pass, with its sweeps."""
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            self.service.sweep()


@in_virtual_time
async def test_what_a_publisher_sends_becomes_units() -> None:
    stage = Stage()
    await stage.record()
    stage.dialogue.feed(frame(1) + frame(2) + frame(3))
    assert (stage.units, [str(session.stream) for session in stage.sessions]) == (3, ["live/cam"])
    assert stage.connection.watch_idle


@in_virtual_time
async def test_packets_before_record_are_not_taken() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce()) == 200
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200
    stage.dialogue.feed(frame(1))
    assert stage.units == 0


@in_virtual_time
async def test_a_second_publisher_is_refused_before_it_is_told_of_success() -> None:
    stage = Stage()
    stage.scheduler.claim_refusals = [Refused(Refusal.EXISTS, "elsewhere")]
    assert await stage.status(stage.talk.announce()) == 403
    assert not stage.wire.closed
    assert await stage.status(stage.talk.announce()) == 200


@in_virtual_time
async def test_a_second_publisher_takes_over_where_the_cluster_lets_it() -> None:
    first = Stage(take_over=True)
    await first.record()
    second = first.beside()
    await second.record()
    assert (first.wire.closed, second.wire.closed) == ("taken over: a newer publisher on this edge", "")
    second.dialogue.feed(frame(1))
    assert (len(first.publishers), first.units) == (1, 1)


@in_virtual_time
async def test_a_publisher_that_is_taken_over_loses_its_connection() -> None:
    stage = Stage()
    await stage.record()
    (publishing,) = stage.publishers
    publishing.end("taken over: a newer publisher on this edge")
    assert stage.wire.closed.startswith("taken over")
    assert (len(stage.sessions), len(stage.publishers)) == (0, 0)


@in_virtual_time
@pytest.mark.parametrize(
    ("url", "description", "status"),
    [
        ("rtsp://host/cam", PCMA_SDP, 400),
        ("rtsp://host/live/%2e%2e", PCMA_SDP, 400),
        (URL, b"v=0\r\n", 400),
        (URL, b"v=0\r\nm=application 9 DTLS/SCTP 5000\r\n", 415),
    ],
)
async def test_what_cannot_be_published_is_refused(url: str, description: bytes, status: int) -> None:
    stage = Stage(url=url)
    assert await stage.status(stage.talk.announce(description)) == status
    assert len(stage.sessions) == 0


@in_virtual_time
async def test_a_cluster_without_room_says_when_to_come_again() -> None:
    stage = Stage()
    stage.scheduler.claim_refusals = [Refused(Refusal.NO_ORIGIN, "full", retry_after_s=2.0)]
    answer = await stage.ask(stage.talk.announce())
    assert (answer.status, answer.headers.get("retry-after")) == (503, "2")


@in_virtual_time
async def test_who_announces_has_to_record() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce()) == 200
    await stage.later(RECORD_DEADLINE_S + 2)
    assert stage.wire.closed == f"no RECORD within {RECORD_DEADLINE_S:g} s"
    assert len(stage.publishers) == 0


@in_virtual_time
async def test_a_publisher_that_sends_nothing_is_closed() -> None:
    stage = Stage()
    await stage.record()
    await stage.later(SILENCE_S / 2)
    stage.dialogue.feed(frame(1))
    await stage.later(SILENCE_S - 1)
    assert not stage.wire.closed
    await stage.later(3)
    assert stage.wire.closed == f"no media for {SILENCE_S:g} s"


@in_virtual_time
async def test_a_publisher_by_udp_is_heard_by_its_datagrams() -> None:
    stage = Stage(RtspSettings(session_timeout_s=60))
    await stage.record(UDP.format(5000, 5001))
    (pair,) = stage.ports.pairs
    for number in range(9):
        pair.received(False, [packet(number)])
        await stage.later(10)
    assert (stage.units, stage.wire.aborted, stage.connection.watch_idle) == (9, False, False)
    await stage.later(55)
    assert stage.wire.aborted
    stage.dialogue.lost("closed by the peer")
    assert (pair.closed, len(stage.publishers)) == (True, 0)


@in_virtual_time
async def test_what_is_missing_by_udp_is_given_up_in_time() -> None:
    stage = Stage(RtspSettings(reorder_ms=200))
    await stage.record(UDP.format(5000, 5001))
    (pair,) = stage.ports.pairs
    pair.received(False, [packet(1), packet(3)])
    await asyncio.sleep(0.19)
    assert stage.units == 1
    await asyncio.sleep(0.02)
    assert stage.units == 2


@in_virtual_time
async def test_the_ports_that_a_publisher_sends_to_are_told() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce()) == 200
    answer = await stage.ask(stage.talk.setup(UDP.format(5000, 5001) + ";mode=record"))
    assert answer.headers.get("transport") == "RTP/AVP;unicast;client_port=5000-5001;server_port=20000-20001;mode=record"
    assert answer.headers.get("session").endswith(";timeout=60")


@in_virtual_time
async def test_reports_go_back_as_media_came() -> None:
    stage = Stage()
    await stage.record()
    stage.dialogue.feed(frame(1))
    await stage.later(6)
    stage.talk.take(stage.wire.sent)
    report = stage.talk.frames[0]
    assert (report.channel, report.payload[1]) == (1, 201)
    udp = Stage()
    await udp.record(UDP.format(5000, 5001))
    udp.ports.pairs[0].received(False, [packet(1)])
    await udp.later(6)
    assert udp.ports.pairs[0].reports[0][1] == 201


@in_virtual_time
async def test_without_free_ports_a_client_falls_back() -> None:
    stage = Stage()
    stage.ports.exhausted = True
    assert await stage.status(stage.talk.announce()) == 200
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 461
    assert await stage.status(stage.talk.setup(f"{UDP.format(5000, 5001)},{TCP.format(0, 1)}")) == 200


@in_virtual_time
async def test_what_is_encrypted_gets_no_udp() -> None:
    stage = Stage(protocol="rtsps")
    assert await stage.status(stage.talk.announce()) == 200
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 461
    assert not stage.ports.pairs


@in_virtual_time
async def test_teardown_ends_the_stream_and_not_the_connection() -> None:
    stage = Stage()
    await stage.record(UDP.format(5000, 5001))
    assert await stage.status(stage.talk.request("TEARDOWN")) == 200
    assert (len(stage.publishers), len(stage.sessions), stage.ports.pairs[0].closed) == (0, 0, True)
    stage.talk.session = ""
    await stage.record()
    assert (len(stage.publishers), stage.wire.closed) == (1, "")


@in_virtual_time
async def test_a_publisher_that_goes_while_it_is_answered_leaves_nothing() -> None:
    stage = Stage()
    stage.scheduler.claim_gate.clear()
    stage.dialogue.feed(stage.talk.announce())
    await settle()
    stage.dialogue.lost("closed by the peer")
    stage.scheduler.claim_gate.set()
    await settle()
    assert (len(stage.publishers), len(stage.sessions), len(stage.scheduler.released)) == (0, 0, 1)


@in_virtual_time
async def test_a_publisher_without_credentials_is_asked_for_them_as_often_as_it_is_wrong() -> None:
    stage = Stage(RtspSettings(auth=AuthSettings(publish_users={"alice": "in"})))
    for password in ("wrong", "wrong", "in"):
        answer = await stage.ask(stage.talk.announce())
        assert (answer.status, stage.scheduler.claims) == (401, [])
        user = ClientAuth("alice", password, bytes)
        assert user.challenged(answer.headers.all("www-authenticate"))
        answer = await stage.ask(stage.talk.announce(Authorization=user.authorization("ANNOUNCE", URL) or ""))
    assert (answer.status, stage.wire.closed) == (200, "")
    assert stage.registry.get_sample_value("edge_refused_total", {"protocol": "rtsp", "reason": "credentials"}) == 2.0


@in_virtual_time
async def test_a_player_without_credentials_is_asked_for_them() -> None:
    stage = Stage(RtspSettings(auth=AuthSettings(play_users={"bob": "out"})))
    assert await stage.status(stage.talk.request("DESCRIBE")) == 401
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 401
    assert not stage.players


@in_virtual_time
async def test_a_player_is_told_before_media_come() -> None:
    stage = Stage()
    player = await stage.play()
    assert player.asked == ["describe live/cam", "setup 0", "play", "start"]
    assert not stage.connection.watch_idle


@in_virtual_time
async def test_a_player_hears_which_packet_is_its_first() -> None:
    stage = Stage()
    described = await stage.ask(stage.talk.request("DESCRIBE"))
    assert (described.body, described.headers.get("content-base")) == (PCMA_SDP, f"{URL}/")
    await stage.ask(stage.talk.setup(TCP.format(0, 1)))
    answer = await stage.ask(stage.talk.request("PLAY"))
    assert answer.headers.get("rtp-info") == f"url={URL}/streamid=0;seq=17;rtptime=1234"


@in_virtual_time
async def test_a_missing_stream_is_answered() -> None:
    stage = Stage(url="rtsp://host/live/missing")
    assert await stage.status(stage.talk.request("DESCRIBE")) == 404
    assert (stage.players[0].asked[-1], stage.wire.closed) == ("close refused", "")


@in_virtual_time
async def test_tracks_may_be_set_up_by_who_knows_them() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200
    assert stage.players[0].asked == ["describe live/cam", "setup 0"]
    assert await stage.status(stage.talk.setup(TCP.format(2, 3), "/streamid=1")) == 404
    assert len(stage.players) == 1


@in_virtual_time
async def test_a_player_pauses_and_goes() -> None:
    stage = Stage()
    player = await stage.play()
    assert await stage.status(stage.talk.request("PAUSE")) == 200
    stage.dialogue.full()
    stage.dialogue.drained()
    assert await stage.status(stage.talk.request("TEARDOWN")) == 200
    assert player.asked[-4:] == ["pause", "full", "drained", "close closed by the client"]


@in_virtual_time
async def test_every_other_method_is_answered() -> None:
    stage = Stage()
    answers = [await stage.status(stage.talk.request(name)) for name in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")]
    assert answers == [200, 200, 200]
    assert [await stage.status(stage.talk.request(name)) for name in ("PAUSE", "PLAY", "FROB")] == [455, 455, 501]


@in_virtual_time
async def test_a_connection_over_the_limit_is_told_so() -> None:
    stage = Stage()
    stage.dialogue.refusal = "1 connections"
    assert await stage.status(stage.talk.request("DESCRIBE")) == 503
    assert (stage.wire.closed, stage.players) == ("1 connections", [])


@in_virtual_time
async def test_bytes_that_are_no_rtsp_end_the_connection() -> None:
    stage = Stage()
    assert await stage.status(b"\x16\x03\x01\x02\x00\x01") == 400
    assert stage.wire.closed.startswith("protocol error")
