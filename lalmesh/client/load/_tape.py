"""The bytes of a publisher, made once for all that send the same: each sends the same units from the same time on.

A tape is read forwards. What all have sent is forgotten; its beginning is there for who begins later until it is told that all did.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Generic, TypeAlias, TypeVar

from lalmesh.client.load._media import Media
from lalmesh.client.load._websocket import binary_message
from lalmesh.container.flv import TAG_SCRIPT, BodyMuxer
from lalmesh.media import TICKS_PER_MS, ticks_to_ms
from lalmesh.protocol.rtmp import MEDIA_CSID, chunk_message
from lalmesh.remux import RtpBurst, RtpStream, rtp_frames

FORGET_ENTRIES: Final = 256  #: at a time: each time moves all that are left

_Entry = TypeVar("_Entry")

#: packets of one track that leave together: index of the track, packets, whether they are RTCP
Datagrams: TypeAlias = tuple[int, tuple[bytes, ...], bool]


class Tape(ABC, Generic[_Entry]):
    """Entry `n` is what is sent for unit `n` of the media."""

    def __init__(self, media: Media) -> None:
        """Nothing is made yet."""
        self._media = media
        self._entries: list[_Entry] = []
        self._first = 0

    def at(self, number: int) -> _Entry:
        """The entry of that number, which was not forgotten."""
        while number >= self._first + len(self._entries):
            self._entries.append(self._make(self._first + len(self._entries)))
        return self._entries[number - self._first]

    def forget(self, before: int) -> None:
        """Nobody asks for entries `before` that number any more."""
        count = min(before - self._first, len(self._entries))
        if count >= FORGET_ENTRIES:
            del self._entries[:count]
            self._first += count

    @abstractmethod
    def _make(self, number: int) -> _Entry:
        """The entry of that number; they are made in order."""


class RtmpTape(Tape[bytes]):
    """Messages as chunks of one chunk size on one message stream."""

    def __init__(self, media: Media, *, chunk_size: int, stream_id: int) -> None:
        """Units of `media` as a publisher with these numbers sends them."""
        super().__init__(media)
        self._muxer = BodyMuxer()
        self._chunk_size = chunk_size
        self._stream_id = stream_id
        self._tracks = {track.track_id: track for track in media.tracks.tracks}

    def head(self) -> list[tuple[int, bytes]]:
        """Type and body of what goes before the first unit: metadata, configurations."""
        headers = (self._muxer.sequence_header(track) for track in self._tracks.values())
        return [(TAG_SCRIPT, self._muxer.metadata(self._media.tracks)), *(header for header in headers if header is not None)]

    def _make(self, number: int) -> bytes:
        unit = self._media.unit(number)
        track = self._tracks[unit.track_id]
        type_id, prefix = self._muxer.type_id(track), self._muxer.body_prefix(track, unit)
        return b"".join(
            chunk_message(
                MEDIA_CSID[type_id],
                type_id,
                ticks_to_ms(unit.dts),
                prefix,
                unit.payload,
                chunk_size=self._chunk_size,
                stream_id=self._stream_id,
            )
        )


class _RtpTape(Tape[_Entry]):
    """Packets of one stream under one description."""

    def __init__(self, media: Media, random_bytes: Callable[[int], bytes], *, wall_us: int) -> None:
        """Packets of `media`, whose first unit is of `wall_us`, Unix µs.

        Raises:
            UnsupportedError: RTP carries none of its tracks.
        """
        super().__init__(media)
        self._stream = RtpStream(media.tracks, random_bytes)
        self._wall_us = wall_us

    @property
    def description(self) -> bytes:
        """Of the stream, SDP."""
        return self._stream.sdp

    @property
    def controls(self) -> list[str]:
        """The control URL of each track that is described."""
        return self._stream.controls

    def _burst(self, number: int) -> RtpBurst | None:
        unit = self._media.unit(number)
        wall_us = self._wall_us + unit.dts * 1000 // TICKS_PER_MS
        return self._stream.package(replace(unit, wall_us=wall_us), self._media.tracks)


class InterleavedTape(_RtpTape[bytes]):
    """Packets as they go among the messages of a connection, on the first channels."""

    def _make(self, number: int) -> bytes:
        return rtp_frames(self._burst(number))


class SocketTape(InterleavedTape):
    """The same in messages of a WebSocket."""

    def _make(self, number: int) -> bytes:
        return binary_message(super()._make(number))


class DatagramTape(_RtpTape[tuple[Datagrams, ...]]):
    """Packets as they go by UDP."""

    def _make(self, number: int) -> tuple[Datagrams, ...]:
        burst = self._burst(number)
        if burst is None:
            return ()
        reports = tuple((index, (packet,), True) for index, packet in burst.reports)
        return (*reports, (burst.track_index, tuple(burst.packets), False))
