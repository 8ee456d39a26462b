"""Units known again by their bytes: what was sent, against what came. Containers and times may differ, coded pictures do not."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf
from typing import Final

from lalmesh.codec.nalu import iter_avcc_headers
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import Codec, Kind

TAIL_S: Final = 1.0  #: beyond the longest delay so far, before what has not come is missing and not only on its way

#: of one publisher, or of one player that looks: 7 hours of 77 a second; 32 MB, and 200 MB more while they are matched
MAX_NOTED_UNITS: Final = 2_000_000

_KEY_BYTES: Final = 8
_H264_SLICES: Final = frozenset(range(1, 6))  # nal_unit_type (ISO/IEC 14496-10 Table 7-1)
_H265_SLICES: Final = frozenset(range(32))  # nal_unit_type of VCL NALUs (ISO/IEC 23008-2 Table 7-1)


def unit_key(codec: Codec, payload: bytes) -> int:
    """A number of 64 bits that stands for what is coded in a unit.

    Of H.264 and H.265 only slices count: servers add parameter sets and delimiters to pictures, and take them away.
    """
    digest = blake2b(digest_size=_KEY_BYTES)
    if codec is Codec.H264 or codec is Codec.H265:
        _digest_slices(digest, codec, payload)
    else:
        digest.update(payload)
    return int.from_bytes(digest.digest(), "big")


def _digest_slices(digest: blake2b, codec: Codec, payload: bytes) -> None:
    view = memoryview(payload)
    try:
        for at, length in iter_avcc_headers(payload):
            first = payload[at]
            if (first & 0x1F) in _H264_SLICES if codec is Codec.H264 else (first >> 1 & 0x3F) in _H265_SLICES:
                digest.update(view[at : at + length])
    except RemoteProtocolError:  # known again by nothing, as it should be
        digest.update(payload)


@dataclass(slots=True)
class UnitLog:
    """Units of one track, in order."""

    keys: array[int] = field(default_factory=lambda: array("Q"))
    moments: array[float] = field(default_factory=lambda: array("d"))  #: when each was sent, or came, in seconds

    def add(self, key: int, moment_s: float) -> None:
        """One more."""
        self.keys.append(key)
        self.moments.append(moment_s)


class Noting:
    """All logs of one run stop at once, when the first of them is full: what is in one only would count as missing."""

    def __init__(self) -> None:
        """They go on."""
        self.until_s = inf  #: when they stopped

    def goes_on(self, noted: int, now_s: float) -> bool:
        """Whether who has `noted` so many units notes one more at `now_s`."""
        if noted >= MAX_NOTED_UNITS:
            self.until_s = min(self.until_s, now_s)
        return now_s < self.until_s

    @property
    def is_full(self) -> bool:
        """They have stopped."""
        return self.until_s < inf


@dataclass(slots=True)
class Matched:
    """What came of what was sent."""

    delays_s: array[float] = field(default_factory=lambda: array("d"))  #: of units sent from the beginning of the measurement on
    missing: int = 0  #: sent between others that came, or so long ago that they should have come
    doubled: int = 0
    disordered: int = 0  #: came behind one that was sent after it
    foreign: int = 0  #: was not sent

    def add(self, other: Matched) -> None:
        """Of another track, or another player, as well."""
        self.delays_s += other.delays_s
        self.missing += other.missing
        self.doubled += other.doubled
        self.disordered += other.disordered
        self.foreign += other.foreign


def match_kinds(
    sent: Mapping[Kind, UnitLog], got: Mapping[Kind, UnitLog], *, since_s: float, until_s: float, is_before: bool = True
) -> Matched:
    """As `match`, of all tracks, one that never came included."""
    found = Matched()
    for kind in sorted({*sent, *got}, key=lambda kind: kind.value):
        logs = sent.get(kind, UnitLog()), got.get(kind, UnitLog())
        found.add(match(*logs, since_s=since_s, until_s=until_s, is_before=is_before))
    return found


def match(sent: UnitLog, got: UnitLog, *, since_s: float, until_s: float, is_before: bool = True) -> Matched:
    """Find what came in what was sent.

    Bytes that were sent several times, as those of a file in a loop or of silence are, stand for the unit that is nearest to that
    which is awaited. Where a loss of over half a loop, or one of silence, was in between, nobody can tell.

    Args:
        sent: what was sent, or what came to whom delays are against.
        got: what came.
        since_s: delays count of units that were sent from then on: what a cache has for who joins is older.
        until_s: when there was no more looking.
        is_before: nothing comes before it was sent; False where both are players, of which either may be the first.
    """
    return _Matching(sent, got, is_before).result(since_s, until_s)


class _Matching:
    def __init__(self, sent: UnitLog, got: UnitLog, is_before: bool) -> None:
        self._sent = sent
        self._sent_s = sent.moments
        self._got = got
        self._is_before = is_before
        # by key, and of equal keys in order: two arrays take a tenth of what a dictionary does
        self._places = array("L", sorted(range(len(sent.keys)), key=sent.keys.__getitem__))
        self._keys = array("Q", map(sent.keys.__getitem__, self._places))
        self._seen = bytearray(len(sent.keys))
        self._first, self._last = len(sent.keys), -1  # places of those that came
        self._late_s = self._early_s = 0.0  # the most that one came after it was sent, and before
        self._strange_s = array("d")  # when those came that were not sent
        self._between = 0  # of them, those before one that was

    def result(self, since_s: float, until_s: float) -> Matched:
        found, awaited = Matched(), self._first_place()
        for key, moment_s in zip(self._got.keys, self._got.moments, strict=True):
            place = self._place(key, awaited, moment_s)
            if place is None or awaited is None:
                self._strange_s.append(moment_s)
            elif self._seen[place]:
                found.doubled += 1
            else:
                found.disordered += place < awaited
                awaited = max(place + 1, awaited)
                self._note(place, moment_s)
                if self._sent_s[place] >= since_s:
                    found.delays_s.append(moment_s - self._sent_s[place])
        found.missing = self._missing(since_s, until_s)
        found.foreign = self._foreign(since_s, until_s)
        return found

    def _first_place(self) -> int | None:
        """Which unit the first that came is; None where none was sent.

        Found from the last backwards, since of equal units it can be told which is the newest that was sent by then, and not how
        far behind it a cache or a playlist begins. Wherever this leads to one that was not sent yet, all are older than it seemed.
        """
        place: int | None = None
        for key, moment_s in zip(reversed(self._got.keys), reversed(self._got.moments), strict=True):
            found = self._place(key, None if place is None else place - 1, moment_s)
            place = place if found is None else found
        return place

    def _place(self, key: int, awaited: int | None, moment_s: float) -> int | None:
        """Which unit of that key it is: the nearest to that which is awaited, or in time; None where none was sent."""
        if awaited is not None and self._fits(awaited, key, moment_s):
            return awaited  # as nearly always: the rest takes ten times as long
        begin = bisect_left(self._keys, key)
        end = bisect_right(self._keys, key, begin)
        if self._is_before:  # those after it are not sent yet
            end = bisect_left(self._places, bisect_right(self._sent_s, moment_s), begin, end)
        if begin == end:
            return None
        if awaited is None:
            awaited = bisect_left(self._sent_s, moment_s)
        at = bisect_left(self._places, awaited, begin, end)
        near = self._places[max(at - 1, begin) : min(at + 1, end)]
        return min(near, key=lambda place: (abs(place - awaited), -place))

    def _fits(self, place: int, key: int, moment_s: float) -> bool:
        if not 0 <= place < len(self._sent_s) or self._sent.keys[place] != key:
            return False
        return not self._is_before or self._sent_s[place] <= moment_s

    def _note(self, place: int, moment_s: float) -> None:
        """The unit there came."""
        if self._last < 0 and not self._is_before:  # those before it came before the other player had begun
            del self._strange_s[:]
        self._seen[place] = 1
        self._first, self._last = min(self._first, place), max(self._last, place)
        late_s = moment_s - self._sent_s[place]
        self._late_s, self._early_s = max(self._late_s, late_s), max(self._early_s, -late_s)
        self._between = len(self._strange_s)

    def _missing(self, since_s: float, until_s: float) -> int:
        """Between the first that came and the last, or behind it for longer than it can be on its way."""
        end = bisect_left(self._sent_s, until_s - self._late_s - TAIL_S)
        if self._last < 0:
            return max(end - bisect_left(self._sent_s, since_s), 0)
        return max(end, self._last + 1) - self._first - self._seen.count(1)

    def _foreign(self, since_s: float, until_s: float) -> int:
        """All; of two players those between others, or so long ago that the other should have got them by now."""
        if self._is_before:
            return len(self._strange_s)
        end = bisect_left(self._strange_s, until_s - self._early_s - TAIL_S)
        if self._last < 0:
            return max(end - bisect_left(self._strange_s, since_s), 0)
        return max(end, self._between)
