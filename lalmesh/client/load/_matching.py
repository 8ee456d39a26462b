"""Units known again by their bytes: what was sent, against what came. Containers and times may differ, coded pictures do not."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from lalmesh.codec.nalu import iter_avcc_headers
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import Codec

TAIL_S: Final = 1.0  #: beyond the longest delay so far, before what has not come is missing and not only on its way

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


@dataclass(slots=True)
class Matched:
    """What came of what was sent."""

    delays_s: list[float] = field(default_factory=list)  #: of units sent from the beginning of the measurement on
    came: int = 0
    missing: int = 0  #: sent between others that came, or so long ago that they should have come
    doubled: int = 0
    disordered: int = 0  #: came behind one that was sent after it
    foreign: int = 0  #: was not sent

    def add(self, other: Matched) -> None:
        """Of another track, or another player, as well."""
        self.delays_s += other.delays_s
        self.came += other.came
        self.missing += other.missing
        self.doubled += other.doubled
        self.disordered += other.disordered
        self.foreign += other.foreign


def match(sent: UnitLog, got: UnitLog, *, since_s: float, until_s: float, is_before: bool = True) -> Matched:
    """Find what came in what was sent.

    Bytes that were sent several times, as those of a file in a loop or of silence are, stand for the unit that is nearest to that
    which is awaited.

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
        self._got = got
        self._is_before = is_before
        self._places: dict[int, list[int]] = {}
        for place, key in enumerate(sent.keys):
            self._places.setdefault(key, []).append(place)
        self._seen: dict[int, float] = {}  # when the unit at each place came

    def result(self, since_s: float, until_s: float) -> Matched:
        found, awaited = Matched(), None
        for key, moment_s in zip(self._got.keys, self._got.moments, strict=True):
            place = self._place(self._places.get(key, ()), awaited, moment_s)
            if place is None:
                found.foreign += 1
            elif place in self._seen:
                found.doubled += 1
            else:
                self._seen[place] = moment_s
                found.disordered += awaited is not None and place < awaited
                awaited = max(place + 1, awaited or 0)
        sent_s = self._sent.moments
        found.came = len(self._seen)
        found.delays_s = [moment_s - sent_s[place] for place, moment_s in self._seen.items() if sent_s[place] >= since_s]
        found.missing = self._missing(until_s)
        return found

    def _place(self, places: Sequence[int], awaited: int | None, moment_s: float) -> int | None:
        """Which of `places` it is; None where it is none of them."""
        sent_s, end = self._sent.moments, len(places)
        if self._is_before:  # those after it are not sent yet
            end = bisect_left(places, True, key=lambda place: sent_s[place] > moment_s)
        if not end:
            return None
        if awaited is None:
            return min(places[:end], key=lambda place: abs(sent_s[place] - moment_s))
        at = bisect_left(places, awaited, 0, end)
        return min(places[max(at - 1, 0) : min(at + 1, end)], key=lambda place: (abs(place - awaited), -place))

    def _missing(self, until_s: float) -> int:
        """Between the first that came and the last, or behind it for longer than it can be on its way."""
        if not self._seen:
            return 0
        sent_s, first, last = self._sent.moments, min(self._seen), max(self._seen)
        longest_s = max(moment_s - sent_s[place] for place, moment_s in self._seen.items())
        end = bisect_left(sent_s, until_s - max(longest_s, 0.0) - TAIL_S)
        return max(end, last + 1) - first - len(self._seen)
