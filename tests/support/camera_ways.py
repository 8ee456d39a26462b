"""What a camera of tests does, and how its packets go: on the connection or by UDP; some are lost or late, drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TypeAlias

from lalmesh.protocol.rtsp import serialize_frame
from support.ports import LOOPBACK
from support.udp_relay import udp_pair

REORDER_BY = 2  #: packets, of any track, that overtake one that is late: more take too long where there are few

Place: TypeAlias = tuple[int, int]  #: index of a track, and of a unit in it


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSettings:
    """What this one does."""

    user: str = "admin"
    password: str = "Secret-1"
    #: of its Digest; empty: none is sent, as RFC 2069 has it
    algorithm: str = ""
    has_absolute_controls: bool = False
    has_rtpmap: bool = True
    has_sprop: bool = False
    has_extension: bool = True
    #: methods that it says it has; those that it does not say it has it answers all the same
    public: str = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
    does_udp: bool = True
    sends_udp: bool = True  #: False: it says so, but no packet ever comes by UDP
    timeout_s: float = 2.0  #: without a request, after which it closes the connection; told in whole seconds
    first_sequence_number: int = 65_500  #: so that numbers wrap soon
    loss: float = 0.01
    reorder: float = 0.05  #: of what goes by UDP
    seed: int = 1
    speed: float = 1.0  #: times real time
    loops: int = 0  #: of its file; 0: for ever
    reports_late: bool = False  #: the first report of a track comes behind its first picture or sound, not before it
    says_goodbye: bool = False  #: at the end of that, by RTCP


@dataclass(slots=True)
class CameraCounters:
    """What happened so far."""

    methods: list[str] = field(default_factory=list)  #: requests that it answered, in order
    refused: int = 0  #: with 401
    sent: int = 0
    lost: int = 0
    late: int = 0
    touched: set[Place] = field(default_factory=set)  #: units of which something was lost
    reports: int = 0  #: RTCP packets from players
    punched: int = 0  #: other datagrams from players


class Way(ABC):
    """Where the packets of one track go."""

    def __init__(self, settings: CameraSettings, counters: CameraCounters, *, can_reorder: bool) -> None:
        """Lose and reorder as `settings` have it."""
        self._settings = settings
        self._counters = counters
        self._can_reorder = can_reorder
        self._random = random.Random(settings.seed)
        self._late: list[tuple[int, bytes]] = []  # with how many packets are to be sent before

    @abstractmethod
    def _write(self, packet: bytes, *, is_rtcp: bool) -> None:
        """Send a packet."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more is sent."""

    def report(self, packet: bytes) -> None:
        """Send an RTCP packet, if it is one: those arrive."""
        if packet:
            self._write(packet, is_rtcp=True)

    def media(self, packet: bytes, place: Place) -> None:
        """Send an RTP packet of the unit at `place`, or lose it, or keep it until others have overtaken it."""
        self._counters.sent += 1
        if self._random.random() < self._settings.loss:
            self._counters.lost += 1
            self._counters.touched.add(place)
        elif self._can_reorder and self._random.random() < self._settings.reorder:
            self._counters.late += 1
            self._late.append((self._counters.sent + REORDER_BY, packet))
        else:
            self._write(packet, is_rtcp=False)

    def catch_up(self) -> None:
        """Send what enough packets have overtaken."""
        while self._late and self._late[0][0] <= self._counters.sent:
            self._write(self._late.pop(0)[1], is_rtcp=False)

    def finish(self) -> None:
        """Send what is late: nothing more comes to overtake it."""
        for _, packet in self._late:
            self._write(packet, is_rtcp=False)
        self._late.clear()


class InterleavedWay(Way):
    """Two channels of the connection."""

    def __init__(self, settings: CameraSettings, counters: CameraCounters, writer: asyncio.StreamWriter, channel: int) -> None:
        """Send on `channel` of the connection that `writer` writes to, RTCP on the next."""
        super().__init__(settings, counters, can_reorder=False)
        self._writer = writer
        self._channel = channel

    @property
    def transport(self) -> str:
        """The words of a ``Transport`` header."""
        return f"RTP/AVP/TCP;unicast;interleaved={self._channel}-{self._channel + 1}"

    def _write(self, packet: bytes, *, is_rtcp: bool) -> None:
        if not self._writer.is_closing():
            self._writer.write(serialize_frame(self._channel + is_rtcp, packet))

    def close(self) -> None:
        """As `Way.close`: the connection is closed by who made it."""


class DatagramWay(Way):
    """A pair of ports; what comes to it is counted."""

    def __init__(self, settings: CameraSettings, counters: CameraCounters, to: tuple[int, int] | None = None) -> None:
        """Send to these ports of loopback; None: they are not known yet."""
        super().__init__(settings, counters, can_reorder=True)
        self.to = to
        self._sockets = udp_pair()
        self._port: int = self._sockets[0].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        for sock, is_rtcp in zip(self._sockets, (False, True), strict=True):
            self._loop.add_reader(sock, self._read, sock, is_rtcp)

    @property
    def ports(self) -> str:
        """Those that it sends from, as a ``Transport`` header has them."""
        return f"{self._port}-{self._port + 1}"

    def _write(self, packet: bytes, *, is_rtcp: bool) -> None:
        if self._settings.sends_udp and self.to is not None:
            with contextlib.suppress(OSError):
                self._sockets[is_rtcp].sendto(packet, (LOOPBACK, self.to[is_rtcp]))

    def _read(self, sock: socket.socket, is_rtcp: bool) -> None:
        with contextlib.suppress(OSError):
            while sock.recv(65_536):
                self._counters.reports += is_rtcp
                self._counters.punched += not is_rtcp

    def close(self) -> None:
        """As `Way.close`."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
