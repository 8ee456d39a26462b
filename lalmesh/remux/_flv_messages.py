"""What FLV and RTMP share: the messages that carry tracks and units, before tags or chunks are put around them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lalmesh.container.flv import TAG_SCRIPT, BodyMuxer
from lalmesh.media import AccessUnit, Codec, TrackSet, ticks_to_ms
from lalmesh.remux._packager import Parts

METADATA_MS = 0  #: Interop: ffmpeg takes an onMetaData at any other time for a track of text


class MessagePackager(ABC):
    """A packager whose format is a sequence of FLV messages."""

    def __init__(self, muxer: BodyMuxer) -> None:
        """Write message bodies with `muxer`."""
        self._muxer = muxer

    @abstractmethod
    def _message(self, type_id: int, timestamp_ms: int, prefix: bytes, payload: bytes, parts: Parts) -> int:
        """Add one message of ``prefix + payload`` to `parts`. Gives the bytes added."""

    def _opening(self, tracks: TrackSet) -> bytes:
        """What comes before the first message."""
        return b""

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        """What a player gets first: metadata and configurations, for units from `dts` (ticks) on."""
        parts: Parts = [self._opening(tracks)]
        self._message(TAG_SCRIPT, METADATA_MS, b"", self._muxer.metadata(tracks), parts)
        self._configurations(TrackSet(), tracks, dts, parts)
        return b"".join(parts)

    def change(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        """Add to `parts` what tells a player of `old` about `new`, before the unit at `dts`. Gives the bytes added."""
        metadata = self._muxer.metadata(new)
        size = 0
        if metadata != self._muxer.metadata(old):
            size = self._message(TAG_SCRIPT, METADATA_MS, b"", metadata, parts)
        return size + self._configurations(old, new, dts, parts)

    def _configurations(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        size = 0
        for track in new.tracks:
            before = old.get(track.track_id)
            if track.codec is Codec.OPAQUE:
                continue  # FLV cannot carry it
            if before is not None and (before.codec, before.configuration) == (track.codec, track.configuration):
                continue
            header = self._muxer.sequence_header(track)
            if header is not None:
                type_id, body = header
                size += self._message(type_id, ticks_to_ms(dts), b"", body, parts)
        return size

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add the message of one unit to `parts`. Gives the bytes added, 0 where FLV cannot carry it."""
        for track in tracks.tracks:
            if track.track_id == unit.track_id:
                if track.codec is Codec.OPAQUE:
                    return 0
                muxer = self._muxer
                return self._message(muxer.type_id(track), unit.dts // 90, muxer.body_prefix(track, unit), unit.payload, parts)
        return 0
