"""What FLV and RTMP share: the messages that carry tracks and units, before tags or chunks are put around them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

from lalmesh.container.flv import TAG_SCRIPT, BodyMuxer, BodyPrefix, carries
from lalmesh.media import TICKS_PER_MS, AccessUnit, Track, TrackSet, ticks_to_ms
from lalmesh.remux._packager import Parts, not_carried

_Message: TypeAlias = tuple[int, bytes]  # type and body

METADATA_MS = 0  #: Interop: ffmpeg takes an onMetaData at any other time for a track of text


class MessagePackager(ABC):
    """A packager whose format is a sequence of FLV messages."""

    def __init__(self, muxer: BodyMuxer) -> None:
        """Write message bodies with `muxer`."""
        self._muxer = muxer
        self._forms: dict[int, tuple[int, BodyPrefix]] = {}  # message type and prefix of units, by track
        self._forms_of = TrackSet()  # the tracks that these are for

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
            if carries(track.codec):
                for message in self._configuration(old.get(track.track_id), track):
                    size += self._add(message, dts, parts)
        return size

    def _configuration(self, before: Track | None, track: Track) -> tuple[_Message | None, ...]:
        """The messages of a track that a player knew as `before`; after a header the metadata of its video goes again."""
        if before is None or (before.codec, before.configuration) != (track.codec, track.configuration):
            return self._muxer.sequence_header(track), self._muxer.video_metadata(track, before)
        if before.video_metadata != track.video_metadata:
            return (self._muxer.video_metadata(track, before),)
        return ()

    def _add(self, message: _Message | None, dts: int, parts: Parts) -> int:
        return self._message(message[0], ticks_to_ms(dts), b"", message[1], parts) if message is not None else 0

    def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
        """Add to `parts` the end of each track of `tracks` whose form has one, after the unit at `dts`. Gives the bytes added."""
        ended = [track for track in tracks.tracks if carries(track.codec)]
        return sum(self._add(self._muxer.sequence_end(track), dts, parts) for track in ended)

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add the message of one unit to `parts`. Gives the bytes added, 0 where FLV cannot carry it."""
        if tracks is not self._forms_of:
            self._learn(tracks)
        form = self._forms.get(unit.track_id)
        return self._message(form[0], unit.dts // TICKS_PER_MS, form[1](unit), unit.payload, parts) if form is not None else 0

    def _learn(self, tracks: TrackSet) -> None:
        muxer, carried = self._muxer, [track for track in tracks.tracks if carries(track.codec)]
        self._forms = {track.track_id: (muxer.type_id(track), muxer.prefix_writer(track)) for track in carried}
        self._forms_of = tracks

    def left_out(self, tracks: TrackSet) -> tuple[Track, ...]:
        """The tracks that FLV cannot carry."""
        return not_carried(tracks, carries)

    def accepts(self, old: TrackSet, new: TrackSet) -> bool:
        """Always: new configurations are messages like others."""
        return True
