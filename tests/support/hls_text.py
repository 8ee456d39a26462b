"""Read a media playlist for the checker: by RFC 8216bis, sharing nothing with the code that writes them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from urllib.parse import parse_qsl, urljoin, urlsplit

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]+)(?:,|$)')
_EPOCH = re.compile(r"(\d+)\.(\d+)-[^/]*$")


@dataclass(frozen=True)
class ListedPart:
    uri: str
    duration: Decimal
    independent: bool
    gap: bool


@dataclass(frozen=True)
class ListedSegment:
    number: int
    uri: str  #: path on the server, without query; empty while only parts are listed
    duration: Decimal
    discontinuity: bool
    gap: bool
    map_uri: str
    date_time_s: Decimal | None  #: Unix time
    parts: tuple[ListedPart, ...]
    discontinuity_sequence: int


@dataclass(frozen=True)
class Problem:
    rule: str
    section: str
    detail: str


@dataclass
class ReadPlaylist:
    version: int = 1
    target_s: Decimal | None = None
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    segments: list[ListedSegment] = field(default_factory=list)
    open_segment: ListedSegment | None = None  #: its parts come after the last segment
    hint: str = ""
    ended: bool = False
    independent: bool = False
    kind: str = ""
    part_target: Decimal | None = None
    control: dict[str, str] = field(default_factory=dict)
    skipped: int = 0
    tags: set[str] = field(default_factory=set)
    written_uris: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def next_number(self) -> int:
        return self.media_sequence + self.skipped + len(self.segments)

    def segment(self, number: int) -> ListedSegment | None:
        """The segment of that number, whole or open."""
        if self.open_segment is not None and number == self.open_segment.number:
            return self.open_segment
        return next((segment for segment in self.segments if segment.number == number), None)


def epoch_of(uri: str) -> tuple[int, int] | None:
    """Who wrote the file, by its name: ``term.revision-...``."""
    match = _EPOCH.search(uri)
    return (int(match[1]), int(match[2])) if match else None


@functools.lru_cache(maxsize=4096)
def _resolve(path: str, uri: str) -> tuple[list[tuple[str, str]], str]:
    """The parameters of a URI in the playlist of that path, and its own path: a playlist names almost what the last one did."""
    return parse_qsl(urlsplit(uri).query), urlsplit(urljoin(path, uri)).path


def read_playlist(url: str, body: str) -> ReadPlaylist:
    """What `body`, got from `url`, says; what is no playlist at all is told in `problems`."""
    return _Reader(url).read(body)


def merge(delta: ReadPlaylist, known: dict[int, ListedSegment]) -> ReadPlaylist:
    """The full playlist that a player makes of `delta` and the segments that it knows; the first of unknown ones ends the merge."""
    numbers = range(delta.media_sequence, delta.media_sequence + delta.skipped)
    skipped = [replace(known[number], parts=()) for number in numbers if number in known]  # parts are skipped with their segment
    before = delta.discontinuity_sequence + sum(segment.discontinuity for segment in skipped)
    map_uri = skipped[-1].map_uri if skipped else ""
    later = [_carried_on(segment, map_uri, before) for segment in delta.segments]
    opened = _carried_on(delta.open_segment, map_uri, before) if delta.open_segment else None
    if len(skipped) < delta.skipped:
        delta.problems.append(Problem("delta", "§6.2.5.1", f"{delta.skipped} segments skipped, {len(skipped)} of them known"))
        return replace(delta, media_sequence=delta.media_sequence + delta.skipped, skipped=0, segments=later, open_segment=opened)
    return replace(delta, skipped=0, segments=[*skipped, *later], open_segment=opened)


def _carried_on(segment: ListedSegment, map_uri: str, before: int) -> ListedSegment:
    sequence = segment.discontinuity_sequence + before
    return replace(segment, map_uri=segment.map_uri or map_uri, discontinuity_sequence=sequence)


class _Reader:
    def __init__(self, url: str) -> None:
        self._path = urlsplit(url).path
        given = parse_qsl(urlsplit(url).query)
        self._given = [item for item in given if not item[0].startswith("_HLS_") and item[0] != "session_id"]  # files may be shared
        self._playlist = ReadPlaylist()
        self._discontinuities = 0
        self._map = ""
        self._parts: list[ListedPart] = []
        self._duration: Decimal | None = None
        self._discontinuity = False
        self._gap = False
        self._date_time: Decimal | None = None

    def read(self, body: str) -> ReadPlaylist:
        lines = body.split("\n")
        if lines[0].rstrip("\r") != "#EXTM3U":
            self._problem("syntax", "§4.4.1.1", "first line is not #EXTM3U")
        for line in lines[1:]:
            self._line(line.rstrip("\r"))
        self._finish()
        return self._playlist

    def _line(self, line: str) -> None:
        if line.startswith("#EXT"):
            tag, _, value = line.partition(":")
            try:
                self._tag(tag, value)
            except (ValueError, KeyError, InvalidOperation) as error:
                self._problem("syntax", "§4.4", f"{line}: {error!r}")
        elif line and not line.startswith("#"):
            self._segment(line)

    def _tag(self, tag: str, value: str) -> None:
        once, handler = _TAGS.get(tag, (False, None))
        if once and tag in self._playlist.tags:
            self._problem("syntax", "§4.4.3", f"{tag} twice")
        self._playlist.tags.add(tag)
        if handler is not None:
            handler(self, value)

    def _segment(self, line: str) -> None:
        if self._duration is None:
            self._problem("syntax", "§4.4.4.1", f"{line} without EXTINF")
        self._playlist.segments.append(self._made(self._uri(line), self._duration or Decimal(0)))
        self._parts, self._duration, self._discontinuity, self._gap, self._date_time = [], None, False, False, None

    def _made(self, uri: str, duration: Decimal) -> ListedSegment:
        sequence = self._playlist.discontinuity_sequence + self._discontinuities
        if self._playlist.skipped:
            sequence = self._discontinuities  # merge() adds what came before
        number, parts = self._playlist.next_number, tuple(self._parts)
        return ListedSegment(number, uri, duration, self._discontinuity, self._gap, self._map, self._date_time, parts, sequence)

    def _finish(self) -> None:
        if self._duration is not None:
            self._problem("syntax", "§4.4.4.1", "EXTINF without a URI")
        if self._parts:
            self._playlist.open_segment = self._made("", sum((part.duration for part in self._parts), Decimal(0)))
        if self._playlist.target_s is None:
            self._problem("syntax", "§4.4.3.1", "no EXT-X-TARGETDURATION")

    def _uri(self, text: str) -> str:
        self._playlist.written_uris.append(text)
        given, path = _resolve(self._path, text)
        if any(item not in given for item in self._given):
            self._problem("query", "§6.2.5", f"{text} lacks a parameter of the playlist's URL")
        return path

    def _problem(self, rule: str, section: str, detail: str) -> None:
        self._playlist.problems.append(Problem(rule, section, detail))

    def _on_version(self, value: str) -> None:
        self._playlist.version = int(value)

    def _on_target(self, value: str) -> None:
        self._playlist.target_s = Decimal(int(value))

    def _on_media_sequence(self, value: str) -> None:
        if self._playlist.segments or self._playlist.skipped:
            self._problem("syntax", "§4.4.3.2", "EXT-X-MEDIA-SEQUENCE after a segment")
        self._playlist.media_sequence = int(value)

    def _on_discontinuity_sequence(self, value: str) -> None:
        if self._playlist.segments or self._discontinuities:
            self._problem("syntax", "§4.4.3.3", "EXT-X-DISCONTINUITY-SEQUENCE after a segment or a discontinuity")
        self._playlist.discontinuity_sequence = int(value)

    def _on_end(self, _: str) -> None:
        self._playlist.ended = True

    def _on_kind(self, value: str) -> None:
        self._playlist.kind = value

    def _on_independent(self, _: str) -> None:
        self._playlist.independent = True

    def _on_part_inf(self, value: str) -> None:
        self._playlist.part_target = Decimal(_attributes(value)["PART-TARGET"])

    def _on_control(self, value: str) -> None:
        self._playlist.control = _attributes(value)

    def _on_skip(self, value: str) -> None:
        if self._playlist.segments:
            self._problem("syntax", "§4.4.5.2", "EXT-X-SKIP after a segment")
        self._playlist.skipped = int(_attributes(value)["SKIPPED-SEGMENTS"])

    def _on_duration(self, value: str) -> None:
        self._duration = Decimal(value.partition(",")[0])

    def _on_discontinuity(self, _: str) -> None:
        self._before_parts("EXT-X-DISCONTINUITY")
        self._discontinuity = True
        self._discontinuities += 1

    def _on_map(self, value: str) -> None:
        self._before_parts("EXT-X-MAP")
        self._map = self._uri(_attributes(value)["URI"])

    def _on_date_time(self, value: str) -> None:
        self._before_parts("EXT-X-PROGRAM-DATE-TIME")
        moment = datetime.fromisoformat(value)
        self._date_time = Decimal(int(moment.timestamp())) + Decimal(moment.microsecond) / 1_000_000

    def _on_gap(self, _: str) -> None:
        self._gap = True

    def _on_part(self, value: str) -> None:
        given = _attributes(value)
        flags = given.get("INDEPENDENT") == "YES", given.get("GAP") == "YES"
        self._parts.append(ListedPart(self._uri(given["URI"]), Decimal(given["DURATION"]), *flags))

    def _on_hint(self, value: str) -> None:
        given = _attributes(value)
        if given["TYPE"] == "PART":
            if self._playlist.hint:
                self._problem("syntax", "§6.2.6", "two hints at a part")
            self._playlist.hint = self._uri(given["URI"])

    def _before_parts(self, tag: str) -> None:
        if self._parts:
            self._problem("syntax", "§4.4.4.9", f"{tag} after the first EXT-X-PART of its segment")


_TAGS: dict[str, tuple[bool, Callable[[_Reader, str], None]]] = {  # whether a tag may stand there once only, and what takes it
    "#EXT-X-VERSION": (True, _Reader._on_version),
    "#EXT-X-TARGETDURATION": (True, _Reader._on_target),
    "#EXT-X-MEDIA-SEQUENCE": (True, _Reader._on_media_sequence),
    "#EXT-X-DISCONTINUITY-SEQUENCE": (True, _Reader._on_discontinuity_sequence),
    "#EXT-X-ENDLIST": (True, _Reader._on_end),
    "#EXT-X-PLAYLIST-TYPE": (True, _Reader._on_kind),
    "#EXT-X-INDEPENDENT-SEGMENTS": (True, _Reader._on_independent),
    "#EXT-X-PART-INF": (True, _Reader._on_part_inf),
    "#EXT-X-SERVER-CONTROL": (True, _Reader._on_control),
    "#EXT-X-SKIP": (True, _Reader._on_skip),
    "#EXTINF": (False, _Reader._on_duration),
    "#EXT-X-DISCONTINUITY": (False, _Reader._on_discontinuity),
    "#EXT-X-MAP": (False, _Reader._on_map),
    "#EXT-X-PROGRAM-DATE-TIME": (False, _Reader._on_date_time),
    "#EXT-X-GAP": (False, _Reader._on_gap),
    "#EXT-X-PART": (False, _Reader._on_part),
    "#EXT-X-PRELOAD-HINT": (False, _Reader._on_hint),
}


def _attributes(text: str) -> dict[str, str]:
    return dict(_pairs(text))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _ATTRIBUTE.match(text, at)
        if match is None:
            raise ValueError(f"no attribute list from {text[at:]!r} on")
        yield match[1], match[2].strip('"')
        at = match.end()
