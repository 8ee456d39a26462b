"""RTP among the messages of an RTSP connection (RFC 2326 §10.12), and the same packets as datagrams.

What is kept of a unit are *frames*: its packets, each behind the four bytes that RTSP puts before it, on channels as if a player
had taken the first ones: twice the index of its track, and one more for RTCP. Players that use other channels get other prefixes;
what is in the packets is shared by all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.protocol.rtp import Run, join_runs
from lalmesh.protocol.rtsp import Pair, serialize_frame, serialize_frame_header
from lalmesh.remux._packager import Parts
from lalmesh.remux._rtp import RtpBurst, RtpStream
from lalmesh.remux._websocket import close_message

Channels: TypeAlias = tuple[Pair | None, ...]  #: by track index: those of RTP and RTCP; None: the track is not played
First: TypeAlias = dict[int, tuple[int, int]]  #: by track index: sequence number and RTP timestamp of its first packet

MAX_FIRST_FRAMES: Final = 8192  #: that are looked at for the first packet of each track: more than the largest picture has

_PREFIX_BYTES: Final = 4
_NUMBER_AND_TIME: Final = struct.Struct(">HI")  # of an RTP packet, behind two bytes (RFC 3550 §5.1)
_MASK, _SIZE_16, _SIZE_64 = 0x80, 126, 127  # of a WebSocket message (RFC 6455 §5.2)


def rtp_frames(burst: RtpBurst | None) -> bytes:
    """What is kept of a unit; nothing of one that RTP cannot carry."""
    if burst is None:
        return b""
    channel, parts = 2 * burst.track_index, rtcp_frames(burst.reports)
    for packet in burst.packets:
        parts += (serialize_frame_header(channel, len(packet)), packet)
    return b"".join(parts)


def rtcp_frames(packets: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """RTCP packets, each with the index of its track, as frames."""
    return [serialize_frame(2 * index + 1, packet) for index, packet in packets]


def split_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Channel and packet of each of whole frames."""
    at, end = 0, len(data)
    while at < end:
        after = at + _PREFIX_BYTES + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], data[at + _PREFIX_BYTES : after]
        at = after


@dataclass(slots=True)
class RtpDatagrams:
    """Packets of one track, for everyone who plays it by UDP. Not frozen: built for every unit."""

    track_index: int
    runs: list[Run]  #: RTP packets, in order
    rtcp: list[bytes]  #: RTCP packets, to be sent first
    size_bytes: int  #: of both


def rtp_datagrams(data: bytes) -> list[RtpDatagrams]:
    """What whole frames are as datagrams."""
    packets: dict[int, list[bytes]] = {}
    for channel, packet in split_frames(data):
        packets.setdefault(channel, []).append(packet)
    indices = sorted({channel >> 1 for channel in packets})
    return [_datagrams(index, packets.get(2 * index, []), packets.get(2 * index + 1, [])) for index in indices]


def _datagrams(index: int, rtp: list[bytes], rtcp: list[bytes]) -> RtpDatagrams:
    return RtpDatagrams(index, join_runs(rtp), rtcp, sum(map(len, rtp)) + sum(map(len, rtcp)))


class InterleavedPackager:
    """Frames for all players of an RTSP connection that use the same channels.

    The payloads of its units are frames already.
    """

    def __init__(self, stream: RtpStream, channels: Channels) -> None:
        """Write the packets of `stream` on `channels`."""
        self._stream = stream
        self._prefixes = {
            2 * index + is_rtcp: b"$" + bytes((pair[is_rtcp],))
            for index, pair in enumerate(channels)
            if pair is not None
            for is_rtcp in (False, True)
        }
        self._indices = {pair[0]: index for index, pair in enumerate(channels) if pair is not None}
        self._is_plain = channels == plain_channels(stream)

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        """Nothing: what a player needs first is in the description, and before each random access point."""
        return b""

    def change(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        """Nothing: new parameter sets are in band."""
        return 0

    def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
        """Add the goodbye of each track to `parts`. Gives the bytes added."""
        return self._add(b"".join(rtcp_frames(self._stream.goodbyes())), parts)

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add the frames of one unit to `parts`. Gives the bytes added, 0 where there are none for these players."""
        return self._add(unit.payload, parts)

    def _add(self, data: bytes, parts: Parts) -> int:
        if self._is_plain:
            if data:
                parts.append(data)
            return len(data)
        view, prefixes = memoryview(data), self._prefixes
        at, end, size = 0, len(data), 0
        while at < end:
            after = at + _PREFIX_BYTES + int.from_bytes(data[at + 2 : at + 4], "big")
            prefix = prefixes.get(data[at + 1])
            if prefix is not None:
                parts += (prefix, view[at + 2 : after])
                size += after - at
            at = after
        return size

    def left_out(self, tracks: TrackSet) -> tuple[Track, ...]:
        """The tracks that RTP cannot carry."""
        carried = self._stream.carried(tracks)
        return tuple(track for track in tracks.tracks if track.codec is not Codec.SCRIPT and track not in carried)

    def accepts(self, old: TrackSet, new: TrackSet) -> bool:
        """Whether the description of `old` is true of `new`."""
        return self._stream.describes(new)

    def first_packets(self, burst: bytes) -> First:
        """The first packet of each track in what a player gets first, among its first `MAX_FIRST_FRAMES` frames."""
        first: First = {}
        left = MAX_FIRST_FRAMES
        for at, end in self._whole_frames(burst):
            while at < end and left:
                index = self._indices.get(burst[at + 1])
                if index is not None and index not in first:
                    first[index] = _NUMBER_AND_TIME.unpack_from(burst, at + _PREFIX_BYTES + 2)
                    if len(first) == len(self._indices):
                        return first
                at += _PREFIX_BYTES + (burst[at + 2] << 8 | burst[at + 3])
                left -= 1
        return first

    def _whole_frames(self, written: bytes) -> Iterator[tuple[int, int]]:
        """Where frames begin and end in what was written."""
        yield 0, len(written)


class WebSocketInterleavedPackager(InterleavedPackager):
    """The same in WebSocket messages, one a unit."""

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add one message with the frames of one unit to `parts`. Gives the bytes added, 0 where there are none."""
        at = len(parts)
        parts.append(b"")
        return close_message(parts, at, super().package(unit, tracks, parts))

    def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
        """Add one message with the goodbye of each track to `parts`. Gives the bytes added."""
        at = len(parts)
        parts.append(b"")
        return close_message(parts, at, super().end(tracks, dts, parts))

    def _whole_frames(self, written: bytes) -> Iterator[tuple[int, int]]:
        """Those in the messages, which are whole and unmasked (RFC 6455 §5.2)."""
        at = 0
        while at < len(written):
            said = written[at + 1]
            if said & _MASK:
                raise RemoteProtocolError("masked message of a server", section="RFC 6455 §5.1", at=at)
            extended = {_SIZE_16: 2, _SIZE_64: 8}.get(said, 0)
            begin = at + 2 + extended
            at = begin + (int.from_bytes(written[at + 2 : begin], "big") if extended else said)
            yield begin, at


def plain_channels(stream: RtpStream) -> Channels:
    """The channels of a player that takes all tracks on the first ones: those that frames are kept on."""
    return tuple((2 * index, 2 * index + 1) for index in range(len(stream.controls)))
