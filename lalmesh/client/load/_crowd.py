"""What all publishers and players of one run have in common."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from lalmesh.client._options import ClientOptions
from lalmesh.client.load._matching import Noting, unit_key
from lalmesh.client.load._media import Media
from lalmesh.client.load._pacing import Pacing
from lalmesh.client.load._sweep import Sweep
from lalmesh.client.load._tape import DatagramTape, InterleavedTape, RtmpTape, SocketTape, Tape
from lalmesh.client.load._wire import Dialler
from lalmesh.media import TICKS_PER_SECOND, Kind
from lalmesh.protocol.rtmp import DEFAULT_OUT_CHUNK_SIZE


class Crowd:
    """One run. Make it inside a running loop, and close it there."""

    def __init__(self, options: ClientOptions, media: Media | None, *, udp: bool, stall_s: float) -> None:
        """Publishers send `media`; RTP goes by UDP if `udp`; a stall is over `stall_s`, and over what the stream itself has."""
        self.options = options
        self.media = media
        self.udp = udp
        self.stall_s = stall_s
        self.dialler = Dialler(options)
        self.sweep = Sweep()
        self.pacing = Pacing()
        self.noting = Noting()
        self.longest_gap_s = 0.0 if media is None else media.longest_gap_s  #: between units of the streams themselves
        self._rtmp: dict[int, RtmpTape] = {}
        self._interleaved: InterleavedTape | None = None
        self._socket: SocketTape | None = None
        self._datagrams: DatagramTape | None = None
        self._set_limit()

    def note_gap(self, gap_s: float) -> None:
        """A stream has such a pause in itself."""
        if gap_s > self.longest_gap_s:
            self.longest_gap_s = gap_s
            self._set_limit()

    def _set_limit(self) -> None:
        self.sweep.stall_limit_s = max(self.stall_s, 1.5 * self.longest_gap_s)

    def rtmp_tape(self, stream_id: int) -> RtmpTape:
        """The tape of publishers by RTMP whose message stream is that."""
        if stream_id not in self._rtmp:
            self._rtmp[stream_id] = RtmpTape(self._to_send, chunk_size=DEFAULT_OUT_CHUNK_SIZE, stream_id=stream_id)
        return self._rtmp[stream_id]

    def interleaved_tape(self) -> InterleavedTape:
        """The tape of publishers by RTSP on the connection."""
        if self._interleaved is None:
            self._interleaved = InterleavedTape(self._to_send, os.urandom, wall_us=time.time_ns() // 1000)
        return self._interleaved

    def socket_tape(self) -> SocketTape:
        """The tape of publishers by RTSP over WebSocket."""
        if self._socket is None:
            self._socket = SocketTape(self._to_send, os.urandom, wall_us=time.time_ns() // 1000)
        return self._socket

    def datagram_tape(self) -> DatagramTape:
        """The tape of publishers by RTSP whose packets go by UDP."""
        if self._datagrams is None:
            self._datagrams = DatagramTape(self._to_send, os.urandom, wall_us=time.time_ns() // 1000)
        return self._datagrams

    @property
    def _to_send(self) -> Media:
        assert self.media is not None, "publishers have something to publish"
        return self.media

    @cached_property
    def due_s(self) -> list[float]:
        """When each unit of a run leaves, seconds after its beginning."""
        return [unit.dts / TICKS_PER_SECOND for unit in self._to_send.units]

    @cached_property
    def unit_keys(self) -> list[tuple[Kind, int]]:
        """What each unit of a run of the media is known again by."""
        tracks = {track.track_id: track for track in self._to_send.tracks.tracks}
        told = [(tracks[unit.track_id], unit.payload) for unit in self._to_send.units]
        return [(track.kind, unit_key(track.codec, payload)) for track, payload in told]

    def forget(self, before: int) -> None:
        """No publisher needs units before that number."""
        tapes: list[Tape[Any] | None] = [*self._rtmp.values(), self._interleaved, self._socket, self._datagrams]
        for tape in tapes:
            if tape is not None:
                tape.forget(before)

    def each_second(self, call: Callable[[float], None]) -> Callable[[], None]:
        """Call that once a second; what ends it."""
        self.sweep.each_second.append(call)
        return lambda: self.sweep.each_second.remove(call)

    def close(self) -> None:
        """Stop all timers."""
        self.pacing.close()
        self.sweep.close()
