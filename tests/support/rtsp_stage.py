"""One RTSP connection to an edge whose scheduler, ports and players the test drives: no socket, virtual time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import cast

from prometheus_client import CollectorRegistry

from lalmesh.errors import StreamNotFound
from lalmesh.names import StreamKey
from lalmesh.protocol.rtsp import Response, Transport
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import Connection
from lalmesh.runtime.scheduling import Endpoint
from services.edge.client import Client
from services.edge.entrance import Entrance
from services.edge.metrics import EdgeMetrics
from services.edge.rtp_pairs import Received
from services.edge.rtp_ports import RtpPorts
from services.edge.rtsp_dialogue import RtspDialogue
from services.edge.rtsp_link import Described, RtspLink, RtspSettings
from services.edge.rtsp_service import RtspService
from services.edge.udp_sockets import MAX_READS
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeScheduler
from support.rtsp_talk import PCMA_SDP, TCP, Talk
from support.virtual_time import settle

URL = "rtsp://host/live/cam"
ADDRESS, LOCAL_ADDRESS = "10.0.0.1", "10.0.0.2"
SILENCE_S = 120.0


class FakeTransport:
    """As far as a dialogue looks at it."""

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return {"sockname": (LOCAL_ADDRESS, 5544)}[name]


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

    def __init__(self, number: int, received: Received) -> None:
        self._number = number
        self._received = received
        self.reports: list[bytes] = []
        self.waiting: list[bytes] = []  #: datagrams that have come and are not read yet
        self.closed = False

    def received(self, is_rtcp: bool, datagrams: list[bytes]) -> None:
        self._received(is_rtcp, [(self._number, datagram) for datagram in datagrams])

    def send_rtcp(self, packet: bytes) -> None:
        self.reports.append(packet)

    def read(self, most: int = MAX_READS) -> None:
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            self.received(False, waiting)

    def close(self) -> None:
        self.closed = True


class FakePorts:
    """Ports, as long as there are any."""

    def __init__(self) -> None:
        self.pairs: list[FakePair] = []
        self.exhausted = False

    def open(self, local: str, address: str, client_ports: tuple[int, int], number: int, received: Received) -> FakePair:
        assert local == LOCAL_ADDRESS
        if self.exhausted:
            raise OSError("no UDP ports are free")
        self.pairs.append(FakePair(number, received))
        return self.pairs[-1]


class FakePlayer:
    """A player of one sound, which notes what it was asked."""

    def __init__(self, link: RtspLink) -> None:
        self.link = link
        self.asked: list[str] = []
        self.is_current = True  #: what it was told of is the stream as it is

    async def describe(self, stream: StreamKey, client: Client) -> Described:
        self.asked.append(f"describe {stream}")
        await asyncio.sleep(0)
        if stream.name == "missing":
            raise StreamNotFound("nobody publishes it")
        return Described(sdp=PCMA_SDP, controls=("streamid=0",))

    def describe_again(self) -> Described | None:
        self.asked.append("describe again")
        return Described(sdp=PCMA_SDP, controls=("streamid=0",)) if self.is_current else None

    def setup(self, track: int, transport: Transport) -> Transport:
        self.asked.append(f"setup {track}")
        return transport

    def play(self, tracks: Collection[int]) -> Mapping[int, tuple[int, int]]:
        self.asked.append("play")
        return {0: (17, 1234)}

    def start(self) -> None:
        self.asked.append("start")

    def pause(self, tracks: Collection[int]) -> None:
        self.asked.append("pause")

    def remove(self, tracks: Collection[int]) -> None:
        self.asked.append(f"remove {tracks}")

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
        self,
        settings: RtspSettings | None = None,
        *,
        url: str = URL,
        protocol: str = "rtsp",
        take_over: bool = False,
        is_handed_on: bool = False,
    ) -> None:
        self.registry = CollectorRegistry()
        metrics = EdgeMetrics(self.registry)
        self.scheduler, self.links, self.ports = FakeScheduler(), FakeLinks(takes_all=True), FakePorts()
        self.players: list[FakePlayer] = []
        context = edge_context(metrics, self.scheduler, self.links, take_over=take_over)
        context = replace(context, entrance=Entrance(lambda: self._others, lambda: self._is_full))
        self._others, self._is_full = tuple[Endpoint, ...](), False
        self.publishers, self.sessions = context.publishers, context.sessions
        self.service = RtspService(context, settings or RtspSettings(), metrics, self._player, silence_s=SILENCE_S)
        self.service.ports = cast(RtpPorts, self.ports)
        self.wire, self.talk = FakeWire(), Talk(url)
        self.loop = asyncio.get_running_loop()
        self.connection = Connection(ADDRESS, self.loop.time(), lambda _: None, refused=False)
        client = Remote(ADDRESS, f"{ADDRESS}:5", is_handed_on=is_handed_on)
        self.dialogue = RtspDialogue(self.service, self.wire, self.connection, protocol, client)

    def beside(self) -> Stage:
        """Another connection to the same edge."""
        other = copy.copy(self)
        other.wire, other.talk = FakeWire(), Talk(URL)
        other.dialogue = RtspDialogue(self.service, other.wire, self.connection, "rtsp", Remote(ADDRESS, f"{ADDRESS}:6"))
        return other

    def close_entrance(self, *others: Endpoint) -> None:
        """The edge is full, and knows `others`."""
        self._others, self._is_full = others, True

    def _player(self, link: RtspLink) -> FakePlayer:
        self.players.append(FakePlayer(link))
        return self.players[-1]

    async def ask(self, request: bytes, within_s: float = 0.0) -> Response:
        """The answer to a request."""
        self.dialogue.feed(request)
        await asyncio.sleep(within_s)
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
