"""Playlists of HLS as a player reads them, and what it fetches next (RFC 8216, draft-pantos-hls-rfc8216bis)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

MAX_PLAYLIST_BYTES: Final = 16 << 20  #: a recording of a day in segments of 4 s has 2 MB
MIN_PAUSE_S: Final = 0.1  #: between two playlists with nothing new in the first
HOLD_BACK_TARGETS: Final = 3  #: target durations before the end of a live playlist at which players begin (RFC 8216 §6.3.3)

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')


@dataclass(slots=True, frozen=True)
class Part:
    """A part of a segment."""

    uri: str
    duration_s: float
    is_independent: bool
    is_gap: bool


@dataclass(slots=True)
class Segment:
    """A segment, or one that has begun and has parts only."""

    number: int  #: media sequence number
    uri: str = ""  #: empty: it is not whole yet
    duration_s: float = 0.0
    map_uri: str = ""
    parts: list[Part] = field(default_factory=list)
    is_gap: bool = False


@dataclass(slots=True)
class Playlist:
    """What a playlist says."""

    variants: list[str] = field(default_factory=list)  #: URIs of media playlists, where it is a multivariant one
    target_s: float = 0.0
    part_target_s: float = 0.0  #: 0: there are no parts
    can_block: bool = False
    said_hold_back_s: float = 0.0  #: ``HOLD-BACK``; 0: it is not said
    said_part_hold_back_s: float = 0.0  #: ``PART-HOLD-BACK``; 0: it is not said
    is_over: bool = False
    segments: list[Segment] = field(default_factory=list)  #: in order, the one that has begun last

    @property
    def has_low_latency(self) -> bool:
        """It can be followed part by part."""
        return self.can_block and self.part_target_s > 0

    @property
    def hold_back_s(self) -> float:
        """How far before its end players are (RFC 8216 §6.3.3, rfc8216bis §4.4.3.8)."""
        if self.has_low_latency:
            return self.said_part_hold_back_s or HOLD_BACK_TARGETS * self.part_target_s
        return self.said_hold_back_s or HOLD_BACK_TARGETS * self.target_s

    def wait_s(self, *, has_new: bool, has_changed: bool) -> float:
        """How long after it was asked for to ask again.

        Args:
            has_new: there was something in it to be fetched. Where a server holds playlists back, the next is asked for at once.
            has_changed: it is the first, or not as the one before: "the client MUST wait for at least the target duration",
                else "for a period of one-half the target duration" (RFC 8216 §6.3.4).
        """
        if self.has_low_latency:
            return 0.0 if has_new else max(self.part_target_s / 2, MIN_PAUSE_S)
        return max(self.target_s if has_changed else self.target_s / 2, MIN_PAUSE_S)


def parse_playlist(text: str) -> Playlist:
    """Read a playlist.

    Raises:
        RemoteProtocolError: it is none, or a number in it is none.
        LimitExceeded: it is over `MAX_PLAYLIST_BYTES`.
        UnsupportedError: what it lists is fetched otherwise than whole and as it is, or is not all.
    """
    if len(text) > MAX_PLAYLIST_BYTES:
        raise LimitExceeded("bytes of a playlist", len(text), MAX_PLAYLIST_BYTES)
    lines = text.splitlines()
    if not lines or lines[0].strip() != "#EXTM3U":
        raise RemoteProtocolError("playlist that does not begin with #EXTM3U", section="RFC 8216 §4.3.1.1")
    try:
        return _Reader().read(line.strip() for line in lines[1:])
    except ValueError as error:
        raise RemoteProtocolError(f"playlist: {error}", section="RFC 8216 §4.2") from None


class _Reader:
    def __init__(self) -> None:
        self._playlist = Playlist()
        self._next = Segment(0)
        self._map_uri = ""
        self._is_variant = False

    def read(self, lines: Iterator[str]) -> Playlist:
        for line in lines:
            if line.startswith("#EXT"):
                name, _, value = line.partition(":")
                self._tag(name, value)
            elif line and not line.startswith("#"):
                self._uri(line)
        if self._next.parts:
            self._end_segment()
        return self._playlist

    def _tag(self, name: str, value: str) -> None:
        playlist, attributes = self._playlist, dict(_ATTRIBUTE.findall(value))
        if unsupported := _unsupported(name, attributes):
            raise UnsupportedError(unsupported)
        match name:
            case "#EXT-X-STREAM-INF":
                self._is_variant = True
            case "#EXT-X-TARGETDURATION":
                playlist.target_s = _seconds(value)
            case "#EXT-X-MEDIA-SEQUENCE":
                self._next.number = int(value)
            case "#EXT-X-PART-INF":
                playlist.part_target_s = _seconds(attributes.get("PART-TARGET", "0"))
            case "#EXT-X-SERVER-CONTROL":
                playlist.can_block = attributes.get("CAN-BLOCK-RELOAD") == "YES"
                playlist.said_hold_back_s = _seconds(attributes.get("HOLD-BACK", "0"))
                playlist.said_part_hold_back_s = _seconds(attributes.get("PART-HOLD-BACK", "0"))
            case "#EXT-X-MAP":
                self._map_uri = attributes.get("URI", "").strip('"')
            case "#EXTINF":
                self._next.duration_s = _seconds(value.partition(",")[0])
            case "#EXT-X-GAP":
                self._next.is_gap = True
            case "#EXT-X-PART":
                self._next.parts.append(_part(attributes))
            case "#EXT-X-ENDLIST":
                playlist.is_over = True

    def _uri(self, uri: str) -> None:
        if self._is_variant:
            self._playlist.variants.append(uri)
            self._is_variant = False
            return
        self._next.uri = uri
        self._end_segment()

    def _end_segment(self) -> None:
        self._next.map_uri = self._map_uri
        self._playlist.segments.append(self._next)
        self._next = Segment(self._next.number + 1)


def _unsupported(name: str, attributes: dict[str, str]) -> str:
    """What a tag asks of players that these do not do; empty: nothing."""
    match name:
        case "#EXT-X-BYTERANGE":
            return "EXT-X-BYTERANGE"
        case "#EXT-X-KEY" if (method := attributes.get("METHOD")) != "NONE":
            return f"EXT-X-KEY of {method}"
        case "#EXT-X-MEDIA" if attributes.get("TYPE") == "AUDIO" and "URI" in attributes:
            return "EXT-X-MEDIA, sound in a playlist of its own"
        case "#EXT-X-MAP" | "#EXT-X-PART" if "BYTERANGE" in attributes:
            return f"{name.removeprefix('#')} with BYTERANGE"
    return ""


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < inf:
        raise ValueError(f"{text!r} seconds")
    return seconds


def _part(attributes: dict[str, str]) -> Part:
    return Part(
        uri=attributes.get("URI", "").strip('"'),
        duration_s=_seconds(attributes.get("DURATION", "0")),
        is_independent=attributes.get("INDEPENDENT") == "YES",
        is_gap=attributes.get("GAP") == "YES",
    )


@dataclass(slots=True, frozen=True)
class Item:
    """Something to fetch."""

    uri: str
    map_uri: str  #: of what has to be read before it; empty: nothing
    duration_s: float


class Follower:
    """Where a player of a live stream is, and what it fetches next: parts where there are any, else whole segments."""

    def __init__(self) -> None:
        """Nothing was fetched yet."""
        self.fell_behind = 0  #: segments that had gone, whole or in part, before they were fetched
        self.began_again = 0  #: times that numbers were below all of the playlist before
        self._first = 0  # number in the playlist before
        self._number: int | None = None  # of the segment that is next
        self._part = 0  # of it

    def take(self, playlist: Playlist) -> list[Item]:
        """What is new in a playlist."""
        if not playlist.segments:
            return []
        if self._number is None:
            self._begin(playlist)
        elif playlist.segments[-1].number < self._first:  # an edge that is only behind lists some of them still
            self.began_again += 1
            self._begin(playlist)
        assert self._number is not None
        self._first = playlist.segments[0].number
        if self._number < playlist.segments[0].number:
            self.fell_behind += playlist.segments[0].number - self._number
            self._number, self._part = playlist.segments[0].number, 0
        return [item for segment in playlist.segments if segment.number >= self._number for item in self._of(playlist, segment)]

    def directives(self) -> str:
        """The query that asks for a playlist with what is next in it (rfc8216bis §6.2.5)."""
        return f"_HLS_msn={self._number}&_HLS_part={self._part}"

    def _begin(self, playlist: Playlist) -> None:
        segments, self._part = playlist.segments, 0
        if not playlist.has_low_latency:
            self._number = _begins_before_end(segments, playlist.hold_back_s).number
            return
        for segment in reversed(segments):
            for index in reversed(range(len(segment.parts))):
                if segment.parts[index].is_independent:
                    self._number, self._part = segment.number, index
                    return
        self._number = segments[-1].number

    def _of(self, playlist: Playlist, segment: Segment) -> Iterator[Item]:
        if segment.number != self._number:
            return  # one before it is not whole
        if playlist.has_low_latency and segment.parts:
            for part in segment.parts[self._part :]:
                self._part += 1
                if not part.is_gap:
                    yield Item(part.uri, segment.map_uri, part.duration_s)
        elif segment.uri and not self._part:
            if not segment.is_gap:
                yield Item(segment.uri, segment.map_uri, segment.duration_s)
        elif segment.uri:
            self.fell_behind += 1  # the rest of its parts is not listed any more
        if segment.uri:
            self._number, self._part = segment.number + 1, 0


def _begins_before_end(segments: Sequence[Segment], wanted_s: float) -> Segment:
    """The last that begins so long before the end of them all; the first, where they are shorter."""
    for segment in reversed(segments):
        wanted_s -= segment.duration_s
        if wanted_s <= 0:
            return segment
    return segments[0]
