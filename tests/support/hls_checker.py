"""Watch a live HLS playlist as its players see it and tell where it breaks RFC 8216bis.

The checker gets every answer in the order in which they were received, from whatever replica, full or delta, and knows nothing of
the code that wrote them. One thing is allowed that the standard does not know: another worker takes a stream over. It writes the
*open* segment anew, so the parts of that one, its tags and the hint may change, where the names of the new files carry a higher
epoch (``term.revision-...``). Whole segments stay as they are even then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from support.hls_rules import one_playlist, total_s, version
from support.hls_text import ListedSegment, Problem, ReadPlaylist, epoch_of, merge, read_playlist


@dataclass(frozen=True)
class Violation:
    """One rule broken in one answer."""

    at_s: float
    rule: str  #: in a word, to select by
    section: str  #: of RFC 8216bis
    detail: str

    def __str__(self) -> str:
        return f"{self.at_s:.3f} s: {self.rule} ({self.section}): {self.detail}"


def check(polls: Iterable[tuple[float, str, str]]) -> list[Violation]:
    """All violations in a series of answers: time in seconds, URL, body."""
    checker = HlsChecker()
    for at_s, url, body in polls:
        checker.see(at_s, url, body)
    return checker.violations


class HlsChecker:
    """Watch one media playlist."""

    def __init__(self, *, date_time_tolerance_s: float = 0.1, stall_allowance_s: float = 0.5) -> None:
        """Watch from the first answer on.

        Args:
            date_time_tolerance_s: what date-times and durations may differ by between two segments.
            stall_allowance_s: added to the 1.5 target durations after which a new segment must be there, and to the part target
                duration for a new part.
        """
        self.violations: list[Violation] = []
        self._tolerance = Decimal(str(date_time_tolerance_s))
        self._allowance_s = stall_allowance_s
        self._known: dict[int, ListedSegment] = {}  # every whole segment that was ever listed, as it was first
        self._places: dict[str, str] = {}  # what each URI stands for
        self._contents: dict[str, str] = {}
        self._last: ReadPlaylist | None = None
        self._withdrawn: ListedSegment | None = None  # an open segment whose parts vanished
        self._segment_pace = _Pace("stall", "segment")
        self._part_pace = _Pace("part-stall", "part")

    def see(self, at_s: float, url: str, body: str) -> None:
        """Look at one answer, received at `at_s`."""
        raw = read_playlist(url, body)
        problems = list(version(raw))
        if raw.skipped:
            problems += self._delta(raw, url)
            raw = merge(raw, self._known)
        problems += one_playlist(raw, self._tolerance)
        problems += self._uris(raw)
        if self._last is not None:
            problems += self._since(self._last, raw)
        problems += self._pace(raw, at_s)
        self._remember(raw)
        self.violations += [Violation(at_s, problem.rule, problem.section, problem.detail) for problem in problems]

    def see_file(self, at_s: float, url: str, content: bytes) -> None:
        """Look at a segment, part or initialization section: a URI never stands for two contents."""
        path, digest = urlsplit(url).path, sha256(content).hexdigest()
        if self._contents.setdefault(path, digest) != digest:
            self.violations.append(Violation(at_s, "content", "§6.2.1", f"{path} has another content than before"))

    def _delta(self, raw: ReadPlaylist, url: str) -> Iterator[Problem]:
        if "_HLS_skip" not in parse_qs(urlsplit(url).query):
            yield Problem("delta", "§6.2.5.1", "EXT-X-SKIP that nobody asked for")
        if "CAN-SKIP-UNTIL" not in raw.control or raw.ended:
            yield Problem("delta", "§6.2.5.1", "EXT-X-SKIP after the end or without CAN-SKIP-UNTIL")
            return
        left = sum((segment.duration for segment in raw.segments), Decimal(0))
        if left < Decimal(raw.control["CAN-SKIP-UNTIL"]):
            yield Problem("delta", "§6.2.5.1", f"segments skipped that end {left} s before the end")

    def _uris(self, now: ReadPlaylist) -> Iterator[Problem]:
        for uri, place in _named(now):
            if self._places.setdefault(uri, place) != place:
                yield Problem("uri", "§6.2.1", f"{uri} is {place}, was {self._places[uri]}")

    def _since(self, before: ReadPlaylist, now: ReadPlaylist) -> Iterator[Problem]:
        yield from _constants(before, now)
        yield from _sequence(before, now)
        yield from self._listed_stay(before, now)
        yield from self._discontinuity_sequences(before, now)
        yield from self._open_stays(before, now)
        yield from _hint(before, now)

    def _listed_stay(self, before: ReadPlaylist, now: ReadPlaylist) -> Iterator[Problem]:
        first_with_parts = next((segment.number for segment in now.segments if segment.parts), now.next_number)
        for segment in now.segments:
            known = self._known.get(segment.number)
            if known is None:
                continue
            if segment.gap and not known.gap:
                yield Problem("gap", "§6.2.1", f"segment {segment.number} became a gap")
            elif _lasting(segment) != _lasting(known):
                yield Problem("segment", "§6.2.1", f"segment {segment.number} changed: {known} is {segment}")
            shown = before.segment(segment.number)
            if shown is not None and shown.parts != segment.parts and shown in before.segments:
                yield from _parts_left(segment, shown, first_with_parts)

    def _discontinuity_sequences(self, before: ReadPlaylist, now: ReadPlaylist) -> Iterator[Problem]:
        gone = (segment for segment in before.segments if segment.number < now.media_sequence)
        expected = before.discontinuity_sequence + sum(segment.discontinuity for segment in gone)
        unseen = now.media_sequence > before.next_number  # segments that came and left between two answers
        if now.discontinuity_sequence < expected or (now.discontinuity_sequence > expected and not unseen):
            yield Problem("discontinuity-sequence", "§6.2.2", f"{now.discontinuity_sequence}, should be {expected}")

    def _open_stays(self, before: ReadPlaylist, now: ReadPlaylist) -> Iterator[Problem]:
        """The open segment grows into the whole one, unless another worker wrote it anew."""
        opened = before.open_segment or self._withdrawn
        if opened is None or opened.number < now.media_sequence:
            self._withdrawn = None
            return
        present = now.segment(opened.number)
        self._withdrawn = opened if present is None else None
        if present is None or _epoch(present) > _epoch(opened):
            return  # whether they may vanish is known when others come in their place
        far = bool(present.uri) and not present.parts  # too far from the end by now for parts to be listed
        if not far and present.parts[: len(opened.parts)] != opened.parts:
            yield Problem("parts", "§6.2.1", f"parts of segment {opened.number} changed: {opened.parts} are {present.parts}")
        if _tags(present) != _tags(opened):
            yield Problem("segment", "§6.2.1", f"tags of segment {opened.number} changed: {_tags(opened)} are {_tags(present)}")

    def _pace(self, now: ReadPlaylist, at_s: float) -> Iterator[Problem]:
        segment, part = (now.next_number,), (now.next_number, len(now.open_segment.parts) if now.open_segment else 0)
        yield from self._segment_pace.problems(segment, at_s, 1.5 * float(now.target_s or 0) + self._allowance_s, over=now.ended)
        part_s = float(now.part_target or 0) + self._allowance_s
        yield from self._part_pace.problems(part, at_s, part_s, over=now.ended or now.part_target is None)

    def _remember(self, now: ReadPlaylist) -> None:
        for segment in now.segments:
            self._known.setdefault(segment.number, segment)
        self._last = now


class _Pace:
    """Whether something new comes in time (§6.2.1); of a long wait it is told once."""

    def __init__(self, rule: str, what: str) -> None:
        self._rule, self._what = rule, what
        self._end: tuple[int, ...] = ()
        self._grown_at_s = 0.0
        self._told = False

    def problems(self, end: tuple[int, ...], at_s: float, limit_s: float, *, over: bool) -> Iterator[Problem]:
        if end > self._end or over:
            self._end, self._grown_at_s, self._told = end, at_s, False
        waited_s = at_s - self._grown_at_s
        if waited_s > limit_s and not self._told:
            self._told = True
            yield Problem(self._rule, "§6.2.1", f"no new {self._what} for {waited_s:.3f} s")


def _constants(before: ReadPlaylist, now: ReadPlaylist) -> Iterator[Problem]:
    for rule, section, old, new in (
        ("target", "§6.2.1", before.target_s, now.target_s),
        ("part-target", "§4.4.3.7", before.part_target, now.part_target),
        ("control", "§4.4.3.8", before.control, now.control),
        ("independent", "§4.4.2.1", before.independent, now.independent),
        ("kind", "§4.4.3.5", before.kind, now.kind),
    ):
        if old != new:
            yield Problem(rule, section, f"{rule} was {old}, is {new}")


def _sequence(before: ReadPlaylist, now: ReadPlaylist) -> Iterator[Problem]:
    if now.media_sequence < before.media_sequence:
        yield Problem("media-sequence", "§6.2.2", f"{now.media_sequence} after {before.media_sequence}")
    if now.next_number < before.next_number:
        yield Problem("removal", "§6.2.2", f"ends before {now.next_number}, ended before {before.next_number}")
    if now.media_sequence > before.media_sequence:
        if before.kind:
            yield Problem("removal", "§6.2.1", f"segment removed from a playlist of type {before.kind}")
        if not now.ended and total_s(now) < 3 * (now.target_s or 0):
            yield Problem("removal", "§6.2.2", f"{total_s(now)} s are left, under three targets of {now.target_s}")
    if before.ended and (not now.ended or now.next_number != before.next_number):
        yield Problem("end", "§4.4.3.4", "playlist goes on after EXT-X-ENDLIST")
    if before.kind == "VOD" and now.next_number != before.next_number:
        yield Problem("end", "§6.2.1", "playlist of type VOD changed")


def _parts_left(segment: ListedSegment, shown: ListedSegment, first_with_parts: int) -> Iterator[Problem]:
    """Parts of a whole segment only leave, oldest first."""
    if segment.parts:
        if segment.parts != shown.parts[-len(segment.parts) :]:
            yield Problem("parts", "§6.2.1", f"parts of segment {segment.number} changed: {shown.parts} are {segment.parts}")
    elif first_with_parts < segment.number and not segment.gap:
        yield Problem("parts", "§6.2.2", f"parts of segment {segment.number} left before those of {first_with_parts}")


def _hint(before: ReadPlaylist, now: ReadPlaylist) -> Iterator[Problem]:
    """What was hinted at comes next (§4.4.5.3)."""
    if not before.hint or now.ended:
        return
    number, index = before.next_number, len(before.open_segment.parts) if before.open_segment else 0
    uri = _after_hint(now, number, index)
    if uri and uri != before.hint and not _higher(epoch_of(uri), epoch_of(before.hint)):
        yield Problem("hint", "§4.4.5.3", f"{before.hint} was hinted at, {uri} came")


def _after_hint(now: ReadPlaylist, number: int, index: int) -> str:
    """The part at `index` of a segment, or the first of the next where the segment ended before it; else what is hinted at now."""
    segment, following = now.segment(number), now.segment(number + 1)
    if number < now.media_sequence:
        return ""
    if segment is not None and len(segment.parts) > index:
        return segment.parts[index].uri
    if segment is not None and segment.uri:
        if len(segment.parts) != index or not index:
            return ""  # parts so far from the end are not listed
        if following is not None and following.parts:
            return following.parts[0].uri
    return now.hint


def _higher(one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    return one is not None and (other is None or one > other)


def _named(now: ReadPlaylist) -> Iterator[tuple[str, str]]:
    """Each URI and what it stands for."""
    for segment in [*now.segments, *([now.open_segment] if now.open_segment else [])]:
        if segment.uri:
            yield segment.uri, f"segment {segment.number}"
        if segment.map_uri:
            yield segment.map_uri, "an initialization section"
        for index, part in enumerate(segment.parts):
            yield part.uri, f"part {segment.number}.{index}"


def _lasting(segment: ListedSegment) -> ListedSegment:
    """What never changes of a listed segment; that its discontinuity sequence does not either is a rule of its own.

    Of a gap there is nothing to parse, so it does not matter which initialization section is in force there.
    """
    return replace(segment, parts=(), discontinuity_sequence=0, map_uri="" if segment.gap else segment.map_uri)


def _tags(segment: ListedSegment) -> tuple[object, ...]:
    return segment.discontinuity, segment.map_uri, segment.date_time_s


def _epoch(segment: ListedSegment) -> tuple[int, ...]:
    """The highest epoch among the names of its files; that of the initialization section may be an earlier owner's."""
    names = [segment.uri, *(part.uri for part in segment.parts)]
    return max((epoch for name in names if (epoch := epoch_of(name))), default=())
