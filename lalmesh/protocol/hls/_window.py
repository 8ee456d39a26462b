"""A live playlist while it moves: segments and parts come at its end, old segments leave at its start.

The window holds what must not change over the life of a playlist: target durations and the claim of independent segments are fixed
when it is made, numbers only rise, what is listed stays as it is. Who breaks that has a bug and gets a `LocalProtocolError`. It
knows no clock: whoever owns it tells it what is there, and may hand its state on to a successor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lalmesh.errors import LocalProtocolError
from lalmesh.media import TICKS_PER_SECOND
from lalmesh.protocol.hls._model import (
    MIN_DURATION_TARGETS,
    MediaPlaylist,
    OpenSegment,
    Part,
    PlaylistKind,
    Segment,
    first_with_parts,
    rounded_seconds,
)
from lalmesh.protocol.hls._names import MAX_PART_INDEX
from lalmesh.protocol.hls._render import checked_uri
from lalmesh.protocol.hls._state import State, parse_playlist, playlist_state

MAX_LISTED = 100_000  #: segments in a playlist: over three days of 3 s; a playlist of 5 MB


class PlaylistWindow:
    """One media playlist and the rules of its growth (rfc8216bis §6.2.1, §6.2.2)."""

    def __init__(
        self,
        *,
        target_duration_s: int,
        first_number: int,
        list_size: int,
        part_target: int | None = None,
        independent: bool = False,
        kind: PlaylistKind = PlaylistKind.LIVE,
        discontinuity_sequence: int = 0,
    ) -> None:
        """Begin an empty playlist.

        Args:
            target_duration_s: at least 1; no segment, rounded, may be longer.
            first_number: media sequence number of the first segment.
            list_size: segments to list, 1..`MAX_LISTED`; more are kept as long as the playlist would be shorter than three target
                durations without them. A playlist that is not `LIVE` keeps all, up to `MAX_LISTED`.
            part_target: ticks, at least 1; None: no low latency.
            independent: claim that each segment can be decoded alone.
            kind: what may change.
            discontinuity_sequence: of the first segment.
        """
        if (
            target_duration_s < 1
            or not 1 <= list_size <= MAX_LISTED
            or first_number < 0
            or (part_target is not None and part_target < 1)
        ):
            raise LocalProtocolError(f"playlist of {list_size} segments from {first_number}, target {target_duration_s} s")
        self._list_size = list_size
        self._playlist = MediaPlaylist(
            target_duration_s=target_duration_s,
            media_sequence=first_number,
            discontinuity_sequence=discontinuity_sequence,
            part_target=part_target,
            independent=independent,
            kind=kind,
        )

    @property
    def playlist(self) -> MediaPlaylist:
        """The playlist as it is now; it never changes, a later one is another."""
        return self._playlist

    @property
    def next_number(self) -> int:
        """The number of the segment that is being made or comes next."""
        return self._playlist.next_number

    @property
    def next_discontinuity_sequence(self) -> int:
        """What the playlist that goes on after the last segment begins with."""
        return self._playlist.discontinuity_sequence + sum(segment.discontinuity for segment in self._playlist.segments)

    def begin_segment(
        self, *, program_date_time_us: int, discontinuity: bool = False, map_uri: str = "", hint_uri: str = ""
    ) -> None:
        """Begin the segment `next_number`, whose parts follow; one that was begun and has no part yet is forgotten.

        `hint_uri` is its first part, where `end_segment` did not name it yet.

        Raises:
            LocalProtocolError: the one before has parts and was not ended, or the playlist is ended.
        """
        self._check_growing()
        if self._playlist.open_parts:
            raise LocalProtocolError(f"segment {self.next_number} begun again after {len(self._playlist.open_parts)} parts")
        opened = OpenSegment(program_date_time_us, discontinuity, checked_uri(map_uri, "map"))
        hint_uri = checked_uri(hint_uri, "hint") or self._playlist.hint_uri
        self._playlist = replace(self._playlist, open_segment=opened, hint_uri=hint_uri)

    def add_part(self, part: Part, *, hint_uri: str = "") -> None:
        """List `part` as the next of the segment that was begun; `hint_uri` is the part after it.

        Raises:
            LocalProtocolError: no segment was begun, the part is longer than the part target or the URI hinted at was another.
        """
        opened = self._playlist.open_segment
        if opened is None:
            raise LocalProtocolError(f"part {part.uri} without a segment")
        self._check_parts((*opened.parts, part))
        if self._playlist.hint_uri not in ("", part.uri):
            raise LocalProtocolError(f"part {part.uri} after a hint at {self._playlist.hint_uri}", section="rfc8216bis §4.4.5.3")
        opened = replace(opened, parts=(*opened.parts, part))
        self._playlist = replace(self._playlist, open_segment=opened, hint_uri=checked_uri(hint_uri, "hint"))

    def end_segment(self, uri: str, duration: int, *, hint_uri: str = "") -> tuple[Segment, ...]:
        """List the segment that was begun, of `duration` ticks, with its parts; `hint_uri` is the first part of the next.

        Returns:
            The segments that left the playlist.
        Raises:
            LocalProtocolError: no segment was begun, or as `add_segment`.
        """
        opened = self._playlist.open_segment
        if opened is None:
            raise LocalProtocolError(f"end of segment {self.next_number}, which was not begun")
        segment = Segment(
            number=self.next_number,
            uri=uri,
            duration=duration,
            program_date_time_us=opened.program_date_time_us,
            discontinuity=opened.discontinuity,
            map_uri=opened.map_uri,
            parts=opened.parts,
        )
        return self.add_segment(segment, hint_uri=hint_uri)

    def add_segment(self, segment: Segment, *, hint_uri: str = "") -> tuple[Segment, ...]:
        """List a whole segment, or a gap. A segment that was begun is forgotten, its parts too: what is listed now replaces it.

        Returns:
            The segments that left the playlist.
        Raises:
            LocalProtocolError: its number is not the next, it is longer than the target duration, its parts are too long or do not
                add up to it, or the playlist is ended or full.
        """
        self._check_growing()
        self._check_segment(segment)
        playlist = replace(
            self._playlist,
            segments=(*self._playlist.segments, segment),
            open_segment=None,
            hint_uri=checked_uri(hint_uri, "hint"),
        )
        self._playlist, dropped = self._shortened(playlist)
        return dropped

    def mark_gap(self, number: int) -> bool:
        """Say that a listed segment cannot be had any more; False where it is not listed.

        The standard has no such change of a listed segment (rfc8216bis §6.2.1). A player that meets the tag goes on, one that is
        answered 404 may stop: of two wrongs this is the smaller.
        """
        index = number - self._playlist.media_sequence
        if not 0 <= index < len(self._playlist.segments):
            return False
        segments = list(self._playlist.segments)
        segments[index] = replace(segments[index], gap=True, parts=())
        self._playlist = replace(self._playlist, segments=tuple(segments))
        return True

    def end(self) -> None:
        """Say that no segment comes any more.

        Raises:
            LocalProtocolError: parts are listed of a segment that was not ended.
        """
        if self._playlist.open_parts:
            raise LocalProtocolError(f"playlist ended within segment {self.next_number}")
        self._playlist = replace(self._playlist, ended=True, open_segment=None, hint_uri="")

    def to_state(self, *, until: int | None = None) -> State:
        """All that a successor needs, in values of JSON, but the segment that is being made, which it makes anew.

        Args:
            until: the last segment to include, for one whose followers are not stored yet; None: all.
        """
        return {"list_size": self._list_size, **playlist_state(self._playlist, until=until)}

    @classmethod
    def from_state(cls, state: object) -> PlaylistWindow:
        """The window that `to_state` described.

        Raises:
            RemoteProtocolError: it described none: the state was damaged, or somebody else wrote it.
            UnsupportedError: a newer version wrote it.
        """
        playlist, list_size = parse_playlist(state, MAX_LISTED)
        window = cls(target_duration_s=playlist.target_duration_s, first_number=playlist.media_sequence, list_size=list_size)
        window._playlist = playlist
        return window

    def _check_growing(self) -> None:
        if self._playlist.ended:
            raise LocalProtocolError("segment after the end of the playlist", section="rfc8216bis §4.4.3.4")
        if self._playlist.kind is not PlaylistKind.LIVE and len(self._playlist.segments) >= MAX_LISTED:
            raise LocalProtocolError(f"playlist that keeps all is full with {MAX_LISTED} segments")

    def _check_segment(self, segment: Segment) -> None:
        if segment.number != self.next_number:
            raise LocalProtocolError(f"segment {segment.number} after {self.next_number - 1}", section="rfc8216bis §4.4.3.2")
        if segment.duration < 1 or rounded_seconds(segment.duration) > self._playlist.target_duration_s:
            raise LocalProtocolError(
                f"segment of {segment.duration} ticks, target {self._playlist.target_duration_s} s", section="rfc8216bis §4.4.3.1"
            )
        if not checked_uri(segment.uri, "URI"):
            raise LocalProtocolError("segment without a URI")
        checked_uri(segment.map_uri, "map")
        self._check_parts(segment.parts)
        if segment.parts and sum(part.duration for part in segment.parts) != segment.duration:
            raise LocalProtocolError(f"segment of {segment.duration} ticks whose parts do not add up to it")

    def _check_parts(self, parts: Sequence[Part]) -> None:
        target = self._playlist.part_target
        if parts and target is None:
            raise LocalProtocolError("part in a playlist without a part target", section="rfc8216bis §4.4.3.7")
        if len(parts) > MAX_PART_INDEX + 1:
            raise LocalProtocolError(f"segment of {len(parts)} parts")
        for part in parts:
            if not checked_uri(part.uri, "URI") or part.duration < 1 or (target is not None and part.duration > target):
                raise LocalProtocolError(f"part of {part.duration} ticks, target {target}", section="rfc8216bis §4.4.4.9")

    def _shortened(self, playlist: MediaPlaylist) -> tuple[MediaPlaylist, tuple[Segment, ...]]:
        """The playlist without the segments that have had their time, and those; and without parts that are not listed any more."""
        leaving = self._leaving(playlist.segments) if playlist.kind is PlaylistKind.LIVE else 0
        dropped, kept = playlist.segments[:leaving], list(playlist.segments[leaving:])
        with_parts = first_with_parts(kept, playlist.target_duration_s) if playlist.part_target is not None else 0
        for index in range(with_parts):
            if kept[index].parts:
                kept[index] = replace(kept[index], parts=())
        shorter = replace(
            playlist,
            media_sequence=playlist.media_sequence + leaving,
            segments=tuple(kept),
            discontinuity_sequence=playlist.discontinuity_sequence + sum(segment.discontinuity for segment in dropped),
        )
        return shorter, dropped

    def _leaving(self, segments: Sequence[Segment]) -> int:
        """How many leave: those over the size of the list, while three target durations stay (rfc8216bis §6.2.2)."""
        spare = (
            sum(segment.duration for segment in segments)
            - MIN_DURATION_TARGETS * self._playlist.target_duration_s * TICKS_PER_SECOND
        )
        leaving = 0
        while len(segments) - leaving > self._list_size and segments[leaving].duration <= spare:
            spare -= segments[leaving].duration
            leaving += 1
        return leaving
