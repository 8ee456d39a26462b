"""Blocking playlist reload: what a player asks for, and whether it is there (rfc8216bis §6.2.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.errors import RemoteProtocolError
from lalmesh.media import TICKS_PER_SECOND
from lalmesh.protocol.hls._model import MediaPlaylist
from lalmesh.protocol.hls._names import MAX_MEDIA_SEQUENCE, MAX_PART_INDEX

MAX_SEGMENTS_AHEAD = 2  #: beyond the last segment (rfc8216bis §6.2.5.2)
ADVANCE_PART_LIMIT = 3  #: parts beyond the last one, or seconds of parts where they are shorter than one second (§6.2.5.2)

_SECTION = "rfc8216bis §6.2.5"
_NUMBER = re.compile(r"[0-9]{1,20}")  # a decimal-integer is below 2**64 (rfc8216bis §4.2)


@dataclass(slots=True, frozen=True)
class ReloadRequest:
    """The delivery directives of a playlist request."""

    msn: int | None = None  #: answer when this segment is listed, None: at once
    part: int | None = None  #: answer when this part of it is listed, None: the whole segment
    skip: bool = False  #: a delta playlist will do


@dataclass(slots=True, frozen=True)
class Ready:
    """Answer with the playlist as it is."""


@dataclass(slots=True, frozen=True)
class Wait:
    """Ask again when the playlist has grown, at most three target durations later (rfc8216bis §6.2.5.2)."""


@dataclass(slots=True, frozen=True)
class Refused:
    """Answer with an HTTP error."""

    status: int
    reason: str


Answer: TypeAlias = Ready | Wait | Refused  #: to a playlist request


def parse_reload(query: Mapping[str, str]) -> ReloadRequest:
    """The directives among the decoded parameters of `query`; others are passed over.

    Raises:
        RemoteProtocolError: a number that is none or too large, a part without a segment, an unknown kind of delta playlist.
    """
    msn = _number(query, "_HLS_msn", MAX_MEDIA_SEQUENCE)
    part = _number(query, "_HLS_part", MAX_PART_INDEX)
    if part is not None and msn is None:
        raise RemoteProtocolError("_HLS_part without _HLS_msn", section=_SECTION)
    skip = query.get("_HLS_skip", "")
    if skip not in ("", "YES", "v2"):  # v2 skips date ranges too, of which there are none here
        raise RemoteProtocolError(f"_HLS_skip of {skip[:20]!r}", section=_SECTION)
    return ReloadRequest(msn, part, bool(skip))


def answer_to(playlist: MediaPlaylist, request: ReloadRequest) -> Answer:
    """Whether `playlist` has what `request` waits for.

    A playlist without parts does not offer to block, so it answers at once; so does one that has ended. Where the wait is in vain
    is decided anew each time that the playlist has grown, since only then is known how many parts a segment has.
    """
    if request.msn is None or playlist.ended or playlist.part_target is None:
        return Ready()
    last = playlist.next_number - 1
    if request.msn > last + MAX_SEGMENTS_AHEAD:
        return Refused(400, f"segment {request.msn} is too far ahead of {last}")
    if request.part is None:
        return Ready() if request.msn <= last else Wait()
    return _answer_to_part(playlist, playlist.part_target, request.msn, request.part)


def _answer_to_part(playlist: MediaPlaylist, part_target: int, msn: int, part: int) -> Answer:
    msn, part = _existing(playlist, msn, part)
    if msn < playlist.next_number:
        return Ready()
    listed = len(playlist.open_parts) if msn == playlist.next_number else 0
    if part < listed:
        return Ready()
    if part > max(listed - 1 + _advance_part_limit(part_target), _parts_of_a_segment(playlist, part_target)):
        return Refused(400, f"part {part} of segment {msn} is too far ahead")
    return Wait()


def _existing(playlist: MediaPlaylist, msn: int, part: int) -> tuple[int, int]:
    """A part after the last one of its segment is the first of the next (rfc8216bis §6.2.5.2)."""
    if msn == playlist.next_number - 1 and playlist.segments:
        parts = len(playlist.segments[-1].parts)
        if part >= parts > 0:
            return msn + 1, 0
    return msn, part


def _advance_part_limit(part_target: int) -> int:
    """How many parts beyond the last one may be asked for; rounded up, so that a player that rounds is not refused."""
    return max(ADVANCE_PART_LIMIT, -(-ADVANCE_PART_LIMIT * TICKS_PER_SECOND // part_target))


def _parts_of_a_segment(playlist: MediaPlaylist, part_target: int) -> int:
    """How many parts a whole segment may have: they may be waited for in any case.

    A worker that takes over begins the segment again and lists fewer parts than its players have seen. They ask for what comes next
    as they know it; the standard's limit, which is only a recommendation, would refuse them.
    """
    longest = playlist.target_duration_s * TICKS_PER_SECOND + TICKS_PER_SECOND // 2  # rounded, it is still the target duration
    return -(-longest // part_target)


def _number(query: Mapping[str, str], name: str, limit: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > limit:
        raise RemoteProtocolError(f"{name} of {text[:20]!r}, limit {limit}", section=_SECTION)
    return int(text)
