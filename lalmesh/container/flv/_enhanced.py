"""The headers of enhanced RTMP that audio and video share: ModEx prefixes and multitrack (Enhanced RTMP v2)."""

from __future__ import annotations

from typing import NamedTuple

from lalmesh.container.flv._constants import MOD_EX
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

MAX_MOD_EX = 16  #: prefixes of one message; the standard defines one kind
MAX_TRACKS = 256  #: of one message; a track id has 8 bits
FOURCC_BYTES = 4

_SECTION = "Enhanced RTMP v2, ExVideoTagHeader and ExAudioTagHeader"
_LONG_MOD_EX = 256  # the size in 8 bits that says that one in 16 bits follows
_ONE_TRACK, _MANY_TRACKS, _MANY_TRACKS_MANY_CODECS = 0, 1, 2


class ExPacket(NamedTuple):
    """One track's part of a message."""

    packet_type: int
    fourcc: bytes
    source_id: int  #: the publisher's track id, 0 without multitrack
    start: int  #: where its payload begins in the message body
    end: int  #: where it ends


def split_packets(body: bytes, multitrack: int) -> list[ExPacket]:
    """Give the parts of an enhanced message, past its ModEx prefixes.

    Args:
        body: a message body, at least one byte, whose low nibble is the packet type.
        multitrack: the packet type that means Multitrack, which audio and video number differently.

    Raises:
        RemoteProtocolError: cut off.
        LimitExceeded: over `MAX_MOD_EX` prefixes or `MAX_TRACKS` tracks.
        UnsupportedError: a kind of multitrack that is reserved.
    Source: Enhanced RTMP v2, ExVideoTagHeader, ExVideoTagBody and the same of audio
    """
    packet_type, at = _skip_mod_ex(body)
    if packet_type == multitrack:
        return _split_tracks(body, at)
    start = at + FOURCC_BYTES
    return [ExPacket(packet_type, _piece(body, at, FOURCC_BYTES), 0, start, len(body))]


def _skip_mod_ex(body: bytes) -> tuple[int, int]:
    """The packet type behind the prefixes, and where it ends."""
    packet_type, at = body[0] & 0x0F, 1
    for _ in range(MAX_MOD_EX):
        if packet_type != MOD_EX:
            return packet_type, at
        size = _number(body, at, 1) + 1
        at += 1
        if size == _LONG_MOD_EX:
            size = _number(body, at, 2) + 1
            at += 2
        packet_type = _number(body, at + size, 1) & 0x0F  # the high nibble is the kind: all of them may be skipped
        at += size + 1
    if packet_type == MOD_EX:
        raise LimitExceeded("ModEx prefixes", MAX_MOD_EX + 1, MAX_MOD_EX, section=_SECTION, at=at)
    return packet_type, at


def _split_tracks(body: bytes, at: int) -> list[ExPacket]:
    kind, packet_type = divmod(_number(body, at, 1), 16)
    at += 1
    if kind > _MANY_TRACKS_MANY_CODECS:
        raise UnsupportedError(f"multitrack type {kind}")
    fourcc = b""
    if kind != _MANY_TRACKS_MANY_CODECS:
        fourcc = _piece(body, at, FOURCC_BYTES)
        at += FOURCC_BYTES
    if kind == _ONE_TRACK:
        return [ExPacket(packet_type, fourcc, _number(body, at, 1), at + 1, len(body))]
    packets: list[ExPacket] = []
    while at < len(body):
        if len(packets) == MAX_TRACKS:
            raise LimitExceeded("tracks of a message", MAX_TRACKS + 1, MAX_TRACKS, section=_SECTION, at=at)
        packets.append(_track(body, at, packet_type, fourcc))
        at = packets[-1].end
    return packets


def _track(body: bytes, at: int, packet_type: int, fourcc: bytes) -> ExPacket:
    if not fourcc:
        fourcc = _piece(body, at, FOURCC_BYTES)
        at += FOURCC_BYTES
    source_id, size = _number(body, at, 1), _number(body, at + 1, 3)
    start = at + 4
    if start + size > len(body):
        raise _cut_off(start, size)
    return ExPacket(packet_type, fourcc, source_id, start, start + size)


def _number(body: bytes, at: int, size: int) -> int:
    return int.from_bytes(_piece(body, at, size), "big")


def _piece(body: bytes, at: int, size: int) -> bytes:
    if at + size > len(body):
        raise _cut_off(at, size)
    return body[at : at + size]


def _cut_off(at: int, size: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"enhanced header cut off: {size} bytes wanted", section=_SECTION, at=at)


class SourceChoice:
    """Which of a publisher's tracks of one kind is taken.

    It is the one of lowest id that has been announced: that has been given a configuration which is understood, or a frame of a
    codec that needs none. A message without multitrack counts as track 0. The others are not taken.
    """

    __slots__ = ("chosen",)

    def __init__(self) -> None:
        """Nothing has been announced."""
        self.chosen: int | None = None  #: whoever understands an announcement sets it

    def takes(self, source_id: int, *, announces: bool) -> bool:
        """Whether to look into a message of that track; one that `announces` its track may take over."""
        chosen = self.chosen
        return chosen is None or source_id == chosen or (announces and source_id < chosen)

    def may_be(self, source_id: int) -> bool:
        """Whether frames that are taken may be of that track: the one taken, or 0, as every message without multitrack."""
        return source_id in (0, self.chosen)
