"""A playlist as values of JSON and back, so that a successor goes on with it.

The reader trusts nothing: the state comes from shared storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND
from lalmesh.protocol.hls._model import SAFE_URI, MediaPlaylist, Part, PlaylistKind, Segment, rounded_seconds
from lalmesh.protocol.hls._names import MAX_MEDIA_SEQUENCE, MAX_PART_INDEX

FORMAT = 1  #: version of what is written here

MAX_TARGET_S = 3600  #: an hour: longer segments are no live playlist
MAX_TICKS = (MAX_TARGET_S + 1) * TICKS_PER_SECOND  #: of a segment or a part
MAX_UNIX_US = 253_402_300_799_999_999  #: the last moment of the year 9999
MAX_URI_CHARS = 1000

State: TypeAlias = dict[str, object]  #: values of JSON only


def playlist_state(playlist: MediaPlaylist, *, until: int | None) -> State:
    """The state of `playlist` but for the segment that is being made and those after number `until`."""
    segments = [segment for segment in playlist.segments if until is None or segment.number <= until]
    return {
        "format": FORMAT,
        "target_duration_s": playlist.target_duration_s,
        "part_target": playlist.part_target,
        "independent": playlist.independent,
        "kind": playlist.kind.value,
        "media_sequence": playlist.media_sequence,
        "discontinuity_sequence": playlist.discontinuity_sequence,
        "ended": playlist.ended and len(segments) == len(playlist.segments),
        "segments": [_segment_state(segment) for segment in segments],
    }


def parse_playlist(state: object, max_segments: int) -> tuple[MediaPlaylist, int]:
    """The playlist that `state` describes, and the size of its list.

    Raises:
        RemoteProtocolError: it describes none, or one that breaks its own promises.
        UnsupportedError: a newer version wrote it.
    """
    fields = _Fields(state)
    if fields.integer("format", 1, MAX_MEDIA_SEQUENCE) != FORMAT:
        raise UnsupportedError(f"state of a playlist in format {fields.integer('format', 1, MAX_MEDIA_SEQUENCE)}")
    target_duration_s = fields.integer("target_duration_s", 1, MAX_TARGET_S)
    part_target = None if fields.is_null("part_target") else fields.integer("part_target", 1, MAX_TICKS)
    media_sequence = fields.integer("media_sequence", 0, MAX_MEDIA_SEQUENCE)
    listed = fields.items("segments", max_segments)
    playlist = MediaPlaylist(
        target_duration_s=target_duration_s,
        media_sequence=media_sequence,
        segments=tuple(_parse_segment(item, media_sequence + index, part_target) for index, item in enumerate(listed)),
        discontinuity_sequence=fields.integer("discontinuity_sequence", 0, MAX_MEDIA_SEQUENCE),
        part_target=part_target,
        ended=fields.flag("ended"),
        independent=fields.flag("independent"),
        kind=_parse_kind(fields.text("kind")),
    )
    if any(rounded_seconds(segment.duration) > target_duration_s for segment in playlist.segments):
        raise RemoteProtocolError(f"state with a segment longer than its target of {target_duration_s} s")
    return playlist, fields.integer("list_size", 1, max_segments)


def _segment_state(segment: Segment) -> State:
    return {
        "uri": segment.uri,
        "duration": segment.duration,
        "program_date_time_us": segment.program_date_time_us,
        "discontinuity": segment.discontinuity,
        "gap": segment.gap,
        "map_uri": segment.map_uri,
        "parts": [_part_state(part) for part in segment.parts],
    }


def _part_state(part: Part) -> State:
    return {"uri": part.uri, "duration": part.duration, "independent": part.independent, "gap": part.gap}


def _parse_segment(state: object, number: int, part_target: int | None) -> Segment:
    fields = _Fields(state)
    longest = part_target or 0
    parts = tuple(_parse_part(item, longest) for item in fields.items("parts", MAX_PART_INDEX + 1 if part_target else 0))
    segment = Segment(
        number=number,
        uri=fields.uri("uri"),
        duration=fields.integer("duration", 1, MAX_TICKS),
        program_date_time_us=fields.integer("program_date_time_us", 0, MAX_UNIX_US),
        discontinuity=fields.flag("discontinuity"),
        gap=fields.flag("gap"),
        map_uri=fields.uri("map_uri") if fields.text("map_uri") else "",
        parts=parts,
    )
    if parts and sum(part.duration for part in parts) != segment.duration:
        raise RemoteProtocolError(f"state with a segment of {segment.duration} ticks whose parts do not add up to it")
    return segment


def _parse_part(state: object, longest: int) -> Part:
    fields = _Fields(state)
    return Part(fields.uri("uri"), fields.integer("duration", 1, longest), fields.flag("independent"), fields.flag("gap"))


def _parse_kind(text: str) -> PlaylistKind:
    try:
        return PlaylistKind(text)
    except ValueError:
        raise RemoteProtocolError(f"state of a playlist of the kind {text[:20]!r}") from None


class _Fields:
    """The fields of one JSON object, each checked as it is taken."""

    def __init__(self, state: object) -> None:
        if not isinstance(state, Mapping):
            raise RemoteProtocolError("state of a playlist that is no object")
        self._state = state

    def integer(self, key: str, lowest: int, highest: int) -> int:
        value = self._state.get(key)
        if type(value) is not int or not lowest <= value <= highest:  # a bool is an int to isinstance
            raise self._wrong(key)
        return value

    def flag(self, key: str) -> bool:
        value = self._state.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key)
        return value

    def text(self, key: str) -> str:
        value = self._state.get(key)
        if not isinstance(value, str):
            raise self._wrong(key)
        return value

    def uri(self, key: str) -> str:
        value = self.text(key)
        if len(value) > MAX_URI_CHARS or not SAFE_URI.fullmatch(value):
            raise self._wrong(key)
        return value

    def items(self, key: str, most: int) -> list[object]:
        value = self._state.get(key)
        if not isinstance(value, list) or len(value) > most:
            raise self._wrong(key)
        return value

    def is_null(self, key: str) -> bool:
        return self._state.get(key, self) is None

    @staticmethod
    def _wrong(key: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"state of a playlist with a wrong {key}")
