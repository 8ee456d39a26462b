"""What one media playlist, seen alone, must keep (RFC 8216bis). A delta playlist is looked at once it is merged."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

from support.hls_text import ListedSegment, Problem, ReadPlaylist

ROUNDING_S = Decimal("0.001")  #: of durations that are added up; three decimals are the least that playlists say
SHORTEST_PART = Decimal("0.85")  #: of the part target (§4.4.4.9)
OVERLAP_S = 1  #: sub-second overlaps of date and time are allowed at a discontinuity (§6.2.1)


def one_playlist(playlist: ReadPlaylist, date_time_tolerance_s: Decimal) -> Iterator[Problem]:
    """Everything wrong with `playlist` as it stands."""
    yield from playlist.problems
    yield from _promises(playlist)
    yield from _durations(playlist)
    yield from _parts(playlist)
    yield from _date_times(playlist, date_time_tolerance_s)
    yield from _kept_apart(playlist)


def version(playlist: ReadPlaylist) -> Iterator[Problem]:
    """Whether the version allows the tags (§8); of a delta playlist before it is merged."""
    needed = 1
    if any(segment.duration != int(segment.duration) for segment in playlist.segments):
        needed = 3
    if "#EXT-X-MAP" in playlist.tags:
        needed = 6
    if "#EXT-X-SKIP" in playlist.tags:
        needed = 9
    if playlist.version < needed:
        yield Problem("version", "§8", f"version {playlist.version}, the tags need {needed}")


def listed(playlist: ReadPlaylist) -> list[ListedSegment]:
    """All segments, the open one too."""
    return [*playlist.segments, *([playlist.open_segment] if playlist.open_segment else [])]


def total_s(playlist: ReadPlaylist) -> Decimal:
    """The duration of the playlist."""
    return sum((segment.duration for segment in listed(playlist)), Decimal(0))


def _promises(playlist: ReadPlaylist) -> Iterator[Problem]:
    target, control = playlist.target_s or Decimal(0), playlist.control
    if "HOLD-BACK" in control and Decimal(control["HOLD-BACK"]) < 3 * target:
        yield Problem("control", "§4.4.3.8", f"HOLD-BACK {control['HOLD-BACK']} under three targets of {target}")
    if "CAN-SKIP-UNTIL" in control and Decimal(control["CAN-SKIP-UNTIL"]) < 6 * target:
        yield Problem("control", "§4.4.3.8", f"CAN-SKIP-UNTIL {control['CAN-SKIP-UNTIL']} under six targets of {target}")
    if playlist.part_target is None:
        return
    if "PART-HOLD-BACK" not in control:
        yield Problem("control", "§4.4.3.8", "EXT-X-PART-INF without PART-HOLD-BACK")
    elif Decimal(control["PART-HOLD-BACK"]) < 2 * playlist.part_target:
        yield Problem("control", "§4.4.3.8", f"PART-HOLD-BACK {control['PART-HOLD-BACK']} under two part targets")
    if listed(playlist) and all(segment.date_time_s is None for segment in listed(playlist)):
        yield Problem("date-time", "§B.1", "low latency without EXT-X-PROGRAM-DATE-TIME")


def _durations(playlist: ReadPlaylist) -> Iterator[Problem]:
    for segment in playlist.segments:
        if segment.duration.quantize(Decimal(1), ROUND_HALF_UP) > (playlist.target_s or 0):
            yield Problem("target", "§4.4.3.1", f"segment {segment.number} of {segment.duration} s, target {playlist.target_s}")


def _parts(playlist: ReadPlaylist) -> Iterator[Problem]:
    for segment in listed(playlist):
        if segment.parts and playlist.part_target is None:
            yield Problem("part-target", "§4.4.3.7", "EXT-X-PART without EXT-X-PART-INF")
            return
        yield from _part_durations(segment, playlist.part_target or Decimal(0))
        total = sum((part.duration for part in segment.parts), Decimal(0))
        if segment.parts and abs(total - segment.duration) > ROUNDING_S:
            yield Problem("part-sum", "§3.2", f"segment {segment.number} of {segment.duration} s, its parts of {total} s")


def _part_durations(segment: ListedSegment, target: Decimal) -> Iterator[Problem]:
    for index, part in enumerate(segment.parts):
        if part.duration > target:
            yield Problem("part-target", "§4.4.4.9", f"part {segment.number}.{index} of {part.duration} s, target {target}")
        following = segment.parts[index + 1 : index + 2]
        free = not following or part.independent or part.gap or following[0].gap
        if not free and part.duration < SHORTEST_PART * target:
            yield Problem("part-short", "§4.4.4.9", f"part {segment.number}.{index} of {part.duration} s, target {target}")


def _date_times(playlist: ReadPlaylist, tolerance_s: Decimal) -> Iterator[Problem]:
    for earlier, later in pairwise(listed(playlist)):
        if earlier.date_time_s is None or later.date_time_s is None:
            continue
        off = later.date_time_s - earlier.date_time_s - earlier.duration
        if later.date_time_s <= earlier.date_time_s or off <= -OVERLAP_S:
            yield Problem("date-time", "§6.2.1", f"segment {later.number} begins {-off} s before the end of the one before")
        elif not later.discontinuity and abs(off) > tolerance_s:
            yield Problem("date-time", "§6.2.1", f"segment {later.number} begins {off} s off the end of the one before")


def _kept_apart(playlist: ReadPlaylist) -> Iterator[Problem]:
    """Tags that exclude or need each other."""
    if playlist.ended and playlist.hint:
        yield Problem("hint", "§4.4.5.3", "EXT-X-PRELOAD-HINT beside EXT-X-ENDLIST")
    if playlist.kind not in ("", "EVENT", "VOD"):
        yield Problem("syntax", "§4.4.3.5", f"playlist type {playlist.kind}")
    if not playlist.kind and "#EXT-X-DISCONTINUITY" in playlist.tags and "#EXT-X-DISCONTINUITY-SEQUENCE" not in playlist.tags:
        yield Problem("discontinuity-sequence", "§6.2.2", "live playlist with a discontinuity, without its sequence number")
    for segment in listed(playlist):
        if segment.uri.endswith(("m4s", "mp4")) and not segment.map_uri and not segment.gap:
            yield Problem("map", "§3.1.2", f"segment {segment.number} of fMP4 without EXT-X-MAP")
