"""A media playlist as text (RFC 8216, draft-pantos-hls-rfc8216bis).

Segments of MPEG-TS give a playlist of version 3 in the words and the order that players of single-node servers are used to, and
nothing of low latency. Every segment says its program date-time, not only the first and those after a discontinuity: what a
playlist says of a segment then never changes while others leave before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

from lalmesh.errors import LocalProtocolError
from lalmesh.media import TICKS_PER_SECOND
from lalmesh.protocol.hls._model import (
    HOLD_BACK_TARGETS,
    PART_HOLD_BACK_TARGETS,
    SAFE_URI,
    SKIP_BOUNDARY_TARGETS,
    MediaPlaylist,
    OpenSegment,
    Part,
    PlaylistKind,
    Segment,
    first_with_parts,
)

VERSION_PLAIN = 3  #: durations with a fraction
VERSION_MAP = 6  #: EXT-X-MAP (rfc8216bis §8)
VERSION_SKIP = 9  #: EXT-X-SKIP (rfc8216bis §8)


def render_media(playlist: MediaPlaylist, *, skip: bool = False, query: str = "", base: str = "") -> str:
    """The text of `playlist`.

    Args:
        playlist: what it says.
        skip: leave out segments that the player knows, where there are any so far from the end (rfc8216bis §6.2.5.1).
        query: put on every URI, percent-encoded (see `kept_query`).
        base: put before every URI (see `HlsPath.folder`).
    Raises:
        LocalProtocolError: `query` or `base` would break the text.
    """
    writer = _Writer(playlist, _Address(base, query), skippable(playlist) if skip else 0)
    return "\n".join(writer.lines()) + "\n"


def skippable(playlist: MediaPlaylist) -> int:
    """How many segments a delta playlist leaves out: those that end beyond the skip boundary (rfc8216bis §6.2.5.1)."""
    if playlist.part_target is None or playlist.ended:
        return 0
    boundary = SKIP_BOUNDARY_TARGETS * playlist.target_duration_s * TICKS_PER_SECOND
    distance = 0
    for index in range(len(playlist.segments) - 1, -1, -1):
        if distance > boundary:
            return index + 1
        distance += playlist.segments[index].duration
    return 0


def checked_uri(text: str, what: str) -> str:
    """`text`, which may stand in a playlist as it is.

    Raises:
        LocalProtocolError: it would end the line or the quoted string that it stands in.
    """
    if text and not SAFE_URI.fullmatch(text):
        raise LocalProtocolError(f"{what} {text[:100]!r} in a playlist", section="rfc8216bis §4.2")
    return text


class _Address:
    """Make the URIs of one answer."""

    def __init__(self, base: str, query: str) -> None:
        self._base = checked_uri(base, "base")
        self._query = f"?{checked_uri(query, 'query')}" if query else ""

    def of(self, uri: str) -> str:
        return f"{self._base}{uri}{self._query}"


@dataclass(slots=True)
class _Writer:
    """Write one playlist, top to bottom."""

    playlist: MediaPlaylist
    address: _Address
    skipped: int  #: segments to leave out
    map_uri: str = ""  #: in force for the next segment

    def lines(self) -> Iterator[str]:
        """All lines of the playlist."""
        yield "#EXTM3U"
        yield f"#EXT-X-VERSION:{self._version()}"
        yield from self._promises()
        yield from self._place()
        yield from self._segments()
        if self.playlist.open_segment is not None:
            yield from self._open(self.playlist.open_segment)
        yield from self._end()

    def _version(self) -> int:
        if self.skipped:
            return VERSION_SKIP
        return VERSION_MAP if self.playlist.fragmented else VERSION_PLAIN

    def _promises(self) -> Iterator[str]:
        """What holds for the whole life of the playlist."""
        playlist = self.playlist
        if not playlist.fragmented and playlist.kind is PlaylistKind.LIVE:
            yield "#EXT-X-ALLOW-CACHE:NO"  # gone from the standard since version 7; old set-top boxes look for it
        yield f"#EXT-X-TARGETDURATION:{playlist.target_duration_s}"
        yield from _playlist_type(playlist.kind)
        if playlist.independent:
            yield "#EXT-X-INDEPENDENT-SEGMENTS"
        if playlist.part_target is not None:
            yield _server_control(playlist.target_duration_s, playlist.part_target)
            yield f"#EXT-X-PART-INF:PART-TARGET={_seconds(playlist.part_target)}"

    def _place(self) -> Iterator[str]:
        """Where in the stream the playlist begins."""
        playlist = self.playlist
        yield f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}"
        if playlist.discontinuity_sequence or _has_discontinuity(playlist):  # absent, it is 0
            yield f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}"
        if self.skipped:
            yield f"#EXT-X-SKIP:SKIPPED-SEGMENTS={self.skipped}"
            self.map_uri = next((segment.map_uri for segment in reversed(playlist.segments[: self.skipped]) if segment.map_uri), "")

    def _segments(self) -> Iterator[str]:
        playlist = self.playlist
        with_parts = first_with_parts(playlist.segments, playlist.target_duration_s)
        decimals = 5 if playlist.fragmented else 3  # asked once: it looks at every segment
        for index in range(self.skipped, len(playlist.segments)):
            segment = playlist.segments[index]
            yield from self._before(segment)
            if index >= with_parts:
                yield from self._parts(segment.parts)
            yield from self._segment(segment, decimals)

    def _before(self, segment: Segment | OpenSegment) -> Iterator[str]:
        """What applies to a segment, and so to its first part, stands before both (rfc8216bis §4.4.4.9)."""
        if segment.discontinuity:
            yield "#EXT-X-DISCONTINUITY"
        if segment.map_uri and segment.map_uri != self.map_uri:
            self.map_uri = segment.map_uri
            yield f'#EXT-X-MAP:URI="{self.address.of(segment.map_uri)}"'
        if segment.program_date_time_us:
            yield f"#EXT-X-PROGRAM-DATE-TIME:{_date_time(segment.program_date_time_us)}"

    def _parts(self, parts: Sequence[Part]) -> Iterator[str]:
        for part in parts:
            flags = (",INDEPENDENT=YES" if part.independent else "") + (",GAP=YES" if part.gap else "")
            yield f'#EXT-X-PART:DURATION={_seconds(part.duration)},URI="{self.address.of(part.uri)}"{flags}'

    def _segment(self, segment: Segment, decimals: int) -> Iterator[str]:
        if segment.gap:
            yield "#EXT-X-GAP"
        yield f"#EXTINF:{_seconds(segment.duration, decimals)},"
        yield self.address.of(segment.uri)

    def _open(self, segment: OpenSegment) -> Iterator[str]:
        if segment.parts:  # without parts nothing of it is there yet, and tags that apply to nothing would be odd
            yield from self._before(segment)
            yield from self._parts(segment.parts)

    def _end(self) -> Iterator[str]:
        if self.playlist.ended:
            yield "#EXT-X-ENDLIST"
        elif self.playlist.hint_uri:  # never beside EXT-X-ENDLIST (rfc8216bis §4.4.5.3)
            yield f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{self.address.of(self.playlist.hint_uri)}"'


def _playlist_type(kind: PlaylistKind) -> Iterator[str]:
    match kind:
        case PlaylistKind.LIVE:
            return  # no value of the tag lets segments leave (rfc8216bis §6.2.2)
        case PlaylistKind.EVENT | PlaylistKind.VOD:
            yield f"#EXT-X-PLAYLIST-TYPE:{kind.name}"
        case _:
            assert_never(kind)


def _server_control(target_duration_s: int, part_target: int) -> str:
    return (
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES"
        f",PART-HOLD-BACK={_seconds(PART_HOLD_BACK_TARGETS * part_target)}"
        f",HOLD-BACK={HOLD_BACK_TARGETS * target_duration_s}.0"
        f",CAN-SKIP-UNTIL={SKIP_BOUNDARY_TARGETS * target_duration_s}.0"
    )


def _has_discontinuity(playlist: MediaPlaylist) -> bool:
    opened = playlist.open_segment is not None and playlist.open_segment.discontinuity
    return opened or any(segment.discontinuity for segment in playlist.segments)


def _seconds(ticks: int, decimals: int = 5) -> str:
    """`ticks` in seconds; a tick is 11 µs, so five decimals tell any two durations apart."""
    return f"{ticks / TICKS_PER_SECOND:.{decimals}f}"


def _date_time(unix_us: int) -> str:
    """A Unix time in the form of ISO 8601, UTC, with milliseconds (rfc8216bis §4.4.4.6)."""
    seconds, us = divmod(unix_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{us // 1000:03d}Z"
