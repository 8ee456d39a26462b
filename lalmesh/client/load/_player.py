"""One player of a load: it joins as any player does, then throws away what comes, or looks at every unit."""

from __future__ import annotations

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from math import inf
from typing import Final, TypeAlias

from lalmesh.client.load._begin import begin
from lalmesh.client.load._crowd import Crowd
from lalmesh.client.load._http_reading import HttpUrl
from lalmesh.client.load._matching import Noting, UnitLog, unit_key
from lalmesh.client.load._reckoning import Flow, UnitOrder
from lalmesh.client.load._rtsp_talk import Ports, RtspTalk, is_rtsp_socket, rtsp_player
from lalmesh.client.load._talks import HttpTalk, RtmpTalk, Talk, demux_for
from lalmesh.client.load._wire import Wire, is_ordinary
from lalmesh.errors import LalmeshError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Kind, MediaEvent, TracksChanged, TrackSet

MAX_DATAGRAMS: Final = 256  #: of one socket at one look; twice what a kernel holds by default

Source: TypeAlias = tuple[int, Callable[[], int]]  #: a descriptor, and what throws away what came on it

_UDP_GRO: Final = 104  #: packets that left as one run come as one (linux/udp.h); `socket` has no name for it before 3.12
_ONE_BYTE: Final = bytearray(1)


class Looked:
    """What a player that looks has seen."""

    def __init__(self, noting: Noting) -> None:
        """Nothing yet; units are noted as long as that goes on."""
        self.order = UnitOrder()
        self.units = 0  #: those that were not noted included
        self.logs: dict[Kind, UnitLog] = {}
        self._noting = noting
        self._tracks = TrackSet()

    def take(self, events: list[MediaEvent], now_s: float) -> None:
        """Look at what came at `now_s`."""
        for event in events:
            if isinstance(event, TracksChanged):
                self._tracks = event.tracks
            elif isinstance(event, AccessUnit):
                self._take_unit(event, now_s)

    def _take_unit(self, unit: AccessUnit, now_s: float) -> None:
        track = self._tracks.get(unit.track_id)
        if track is None or track.kind is Kind.DATA:
            return
        self.order.add(unit.track_id, unit.dts)
        if self._noting.goes_on(self.units, now_s):
            self.logs.setdefault(track.kind, UnitLog()).add(unit_key(track.codec, unit.payload), now_s)
        self.units += 1


class LoadPlayer(ABC):
    """Plays one URL."""

    def __init__(self, url: str, stream: int, crowd: Crowd, *, looks: bool) -> None:
        """Play `url`, which is of that stream of the run; `looks`: at every unit."""
        self.url = url
        self.stream = stream
        self.began_s = 0.0  #: when it began to connect
        self.joined_s: float | None = None  #: when its first picture or sound was there
        self.settled = asyncio.Event()  #: it has begun, or will not
        self.refused = ""  #: why it got none
        self.lost = ""  #: why it ended, once it had begun
        self.ended_s: float | None = None  #: when it was over
        self.asked_until_s = inf  #: when it asked for what it has all of; who is sent what comes does not ask
        self.received_bytes = 0
        self.faults: dict[str, int] = {}  #: what went wrong without ending it, and how often
        self.flow = Flow(0.0)
        self.looked = Looked(crowd.noting) if looks else None
        self._crowd = crowd
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def stall_limit_s(self) -> float:
        """How long a pause is no stall."""
        return self._crowd.sweep.stall_limit_s

    async def run(self) -> None:
        """Play until that ends or is cancelled."""
        self.began_s = time.monotonic()
        try:
            await self._play()
        except Exception as error:
            if not is_ordinary(error):
                raise
            if self.joined_s is None:
                self.refused = str(error)
            else:
                self.lost = str(error)
        finally:
            self.ended_s = time.monotonic()
            self.settled.set()
            if self.joined_s is not None:  # a stall that lasts to the end is one
                self.flow.came(self._crowd.sweep.now(), self.stall_limit_s)

    @abstractmethod
    async def _play(self) -> None:
        """Play until it ends; a reason is raised, or left in `lost`."""

    def _take(self, events: list[MediaEvent], size: int, now_s: float) -> None:
        self.received_bytes += size
        if self.joined_s is None and any(isinstance(event, AccessUnit) for event in events):
            self.joined_s = now_s
            self.flow = Flow(self._crowd.sweep.now())
        if self.looked is not None:
            self.looked.take(events, now_s)
            if self._crowd.media is None:
                self._crowd.note_gap(self.looked.order.longest_step_ticks / TICKS_PER_SECOND)

    def over(self, reason: str) -> None:
        """It has ended."""
        if not self._over.done():
            self._over.set_result(reason)


class StreamPlayer(LoadPlayer):
    """Plays a stream that comes by itself once it was asked for."""

    _wire: Wire
    _talk: Talk

    async def _play(self) -> None:
        self._wire, self._talk = await begin(self.url, "play", self._make, self._crowd.dialler, self._take)
        self.settled.set()
        with ExitStack() as stack:
            stack.callback(self._close)
            stack.callback(self._crowd.each_second(self._each_second))
            if self.looked is None:
                self._throw_away(stack)
            else:
                self._look(stack)
            if self._talk.ended:
                self.over(self._talk.ended)
            self.lost = await self._over

    def _make(self, url: str, before: Talk | None) -> Talk:
        if url.startswith("rtmp"):
            return RtmpTalk(url, "play", before if isinstance(before, RtmpTalk) else None)
        if url.startswith("rtsp") or is_rtsp_socket(self.url):
            return rtsp_player(url, Ports() if self._crowd.udp else None)
        return HttpTalk(HttpUrl.parse(url), demux_for(HttpUrl.parse(self.url).path))  # wherever a redirect has led

    def _close(self) -> None:
        with suppress(LalmeshError):
            self._wire.send(self._talk.goodbye())
        ports = _ports_of(self._talk)
        if ports is not None:
            ports.close()
        self._wire.close()

    def _throw_away(self, stack: ExitStack) -> None:
        sweep, ports = self._crowd.sweep, _ports_of(self._talk)
        if ports is None:
            sources: list[Source] = [(self._wire.fileno(), self._wire.discarding())]
        else:
            self._wire.on_readable(self._readable)
            sources = [_datagram_source(pair.rtp) for pair in ports.pairs]
            for pair in ports.pairs:
                pair.pause()
        for descriptor, discard in sources:
            sweep.add(descriptor, discard, self)
            stack.callback(sweep.remove, descriptor)

    def _look(self, stack: ExitStack) -> None:
        self._wire.on_readable(self._readable)
        if isinstance(self._talk, RtspTalk):
            each_time = self._crowd.sweep.each_time
            each_time.append(self._handle_timer)
            stack.callback(each_time.remove, self._handle_timer)
            if self._talk.ports is not None:
                self._talk.ports.connected(self._wire.local, self._wire.peer, partial(self._hear, self._talk))

    def _readable(self) -> None:
        try:
            while (data := self._wire.read()) is not None:
                now_s = time.monotonic()
                self._came(self._talk.feed(data, now_s), len(data), now_s)
                self._say(self._talk.data_to_send())
                if self._talk.ended:
                    self.over(self._talk.ended)
                    break
        except Exception as error:
            if not is_ordinary(error):
                raise
            self._wire.on_readable(None)
            self.over(str(error))

    def _hear(self, talk: RtspTalk, track: int, packets: list[bytes], is_rtcp: bool) -> None:
        now_s = time.monotonic()
        try:
            self._came(talk.receive(track, packets, now_s, is_rtcp=is_rtcp), sum(map(len, packets)), now_s)
        except LalmeshError as error:
            self.over(str(error))

    def _came(self, events: list[MediaEvent], size: int, now_s: float) -> None:
        if events:
            self.flow.came(self._crowd.sweep.now(), self.stall_limit_s)
        self._take(events, size, now_s)

    def _handle_timer(self, now_s: float) -> None:
        if isinstance(self._talk, RtspTalk):
            self._came(self._talk.handle_timer(now_s), 0, now_s)

    def _each_second(self, now_s: float) -> None:
        if self.looked is None or isinstance(self._talk, RtspTalk):
            self._say(self._talk.sign_of_life(self.received_bytes, now_s))

    def _say(self, data: bytes) -> None:
        if data:
            with suppress(LalmeshError):  # a read says it too
                self._wire.send(data)


def _ports_of(talk: Talk) -> Ports | None:
    return talk.ports if isinstance(talk, RtspTalk) else None


def _datagram_source(sock: socket.socket) -> Source:
    with suppress(OSError):  # an old kernel: packet by packet, then
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    return sock.fileno(), partial(_discard_datagrams, sock)


def _discard_datagrams(sock: socket.socket) -> int:
    """Throw away what has come; how much that was. At least one byte of each has to be taken.

    Raises:
        BlockingIOError: there was nothing.
    """
    total = 0
    for _ in range(MAX_DATAGRAMS):
        try:
            total += sock.recv_into(_ONE_BYTE, 1, socket.MSG_TRUNC)
        except OSError:  # nothing more, or what a router said of one that we sent
            break
    if not total:
        raise BlockingIOError
    return total
