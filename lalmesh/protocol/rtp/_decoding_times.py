"""Decoding times for pictures of which RTP tells only when they are shown.

Pictures come in decoding order. If at most *d* of those before any picture are shown after it, the picture that is decoded as
number *i* gets as its DTS the *(i - d)*-th of all PTS in rising order: that one is known by then, it rises, and it is never after
the picture's own PTS. So frame rates may vary, and pictures be lost: what is left has no greater depth than the whole.

```
decoded   I0  P8  b4  b2  b6  P16 ...       d = 2
DTS       -   -   0   2   4   6             of the PTS 0 2 4 6 8 16 ...
```
*d* is not what the SPS allows, which with many encoders is all that a decoder may hold, but what has been seen: it begins at 0, so
a stream without B-frames has DTS = PTS at once. It grows where a picture comes that is shown before one that waits. To see that in
time, pictures wait while their picture order counts show that one that is to be shown earlier has not come: above P8 and b4, until
b2. Those that waited share the time between the last DTS and the first PTS. Such a wait ends with the first picture that is not
shown before all that wait, so it is never longer than the depth; with a depth that is known it does not happen at all.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from lalmesh.errors import RemoteProtocolError
from lalmesh.media import TICKS_PER_MS, AccessUnit

MAX_REORDER_DEPTH: Final = 16  #: no standard lets a decoder hold more pictures
#: Gaps in the picture order that nothing filled, after which counts are taken to leave gaps: they count time, not pictures.
MAX_EMPTY_GAPS: Final = 8
#: A sequence that begins later than this after all before it does not go on with their times: too long from decoding to showing.
GAP_TICKS: Final = 500 * TICKS_PER_MS
#: A step back by less is no B-frame, but a clock that jitters: no two pictures are closer.
JITTER_TICKS: Final = 4 * TICKS_PER_MS
DEFAULT_SPACING_TICKS: Final = 40 * TICKS_PER_MS  #: of pictures, where none is known

Place: TypeAlias = tuple[int, int]  #: coded video sequence, and picture order count in it: sorts in output order


class PictureOrder(Protocol):
    """Tells the places of pictures in output order: `lalmesh.codec.h264.PictureOrder`, and that of `h265`."""

    def place(self, payload: bytes) -> Place | None:
        """The place of the next access unit in decoding order; None where it does not tell.

        Raises:
            RemoteProtocolError: its slice header is broken.
        """
        ...


@dataclass(slots=True)
class _Shown:
    """A picture whose PTS is not yet the DTS of one."""

    pts: int
    place: Place | None


class DecodingTimes:
    """Gives the pictures of one track DTS that rise, each at most its PTS."""

    def __init__(self) -> None:
        """Start; without `configure` nothing waits."""
        self._order: PictureOrder | None = None
        self._allowed_depth = 0
        self._step = 1  # of picture order counts from one picture to the next
        self._depth = 0
        self._shown: list[_Shown] = []  # by PTS; `_depth` of them once nothing waits
        self._waiting: list[AccessUnit] = []  # in decoding order
        self._last: int | None = None  # the last DTS
        self._last_shown: int | None = None  # the last DTS that was a PTS
        self._last_place: Place | None = None  # of the picture whose PTS that was
        self._spacing = DEFAULT_SPACING_TICKS  # between those, lately
        self._empty_gaps = 0
        self.mended = 0  #: pictures whose PTS was not after the one before, though they are shown after it: now it is by 1 ms
        self.dropped = 0  #: pictures that are shown before one whose DTS is out already: the depth was not known yet

    @property
    def depth(self) -> int:
        """How many pictures have been seen to be decoded before one that is shown earlier, 0 to `MAX_REORDER_DEPTH`."""
        return self._depth

    def configure(self, order: PictureOrder | None, allowed_depth: int, step: int) -> list[AccessUnit]:
        """Let what follows be under another configuration, beginning with a picture after which all others are shown.

        Args:
            order: tells the places of pictures.
            allowed_depth: the most that a decoder has to expect (from the SPS); with 0, nothing ever waits.
            step: of picture order counts from one picture to the next: 2 of H.264, which counts fields, 1 of H.265.

        Returns:
            The pictures that waited.
        """
        given = self.flush()
        self._order, self._allowed_depth, self._step = order, allowed_depth, step
        self._depth = self._empty_gaps = 0
        self._shown.clear()
        self._last_place = None
        return given

    def feed(self, unit: AccessUnit) -> list[AccessUnit]:
        """Take the next picture in decoding order, its DTS being its PTS; those that have their times now."""
        pts, place = unit.dts, self._place(unit)
        if self._last is not None and pts <= self._last:
            if not self._jitters(self._last - pts, place):
                self._depth = min(self._depth + 1, MAX_REORDER_DEPTH)
                self._empty_gaps = 0
                self.dropped += 1
                return []
            unit.dts = pts = self._last + TICKS_PER_MS
            self.mended += 1
        if place is not None and self._begins_later(pts, place):
            self._bridge(pts)
        insort(self._shown, _Shown(pts, place), key=_pts)
        behind = len(self._shown) - bisect_right(self._shown, pts, key=_pts)  # shown after it, though decoded before
        if behind:
            self._empty_gaps = 0
        self._depth = max(self._depth, min(behind, MAX_REORDER_DEPTH))
        self._empty_gaps += bool(self._waiting) and not behind
        self._waiting.append(unit)
        return self._release(pts)

    def flush(self) -> list[AccessUnit]:
        """The pictures that wait: none is to be shown before them any more."""
        return self._release(None, at_least=1) if self._waiting else []

    def _place(self, unit: AccessUnit) -> Place | None:
        if self._order is None or not self._allowed_depth:
            return None
        try:
            return self._order.place(unit.payload)
        except RemoteProtocolError:
            return None

    def _jitters(self, back: int, place: Place | None) -> bool:
        """Whether a picture `back` ticks before the last DTS is nevertheless the next to be shown."""
        if place is not None and self._last_place is not None:
            return place > self._last_place
        return back < JITTER_TICKS

    def _is_early(self, pts: int) -> bool:
        """Whether the picture at `pts`, the newest, is the next to be shown, and one may still come that is shown before it."""
        first = self._shown[0]
        if first.pts != pts or self._depth >= self._allowed_depth or self._empty_gaps >= MAX_EMPTY_GAPS:
            return False
        if first.place is None or self._last_place is None or first.place[0] != self._last_place[0]:
            return False
        return first.place[1] - self._last_place[1] > self._step

    def _release(self, newest: int | None, *, at_least: int = 0) -> list[AccessUnit]:
        """The pictures that wait, with their times, as far as the depth allows and the one at `newest` is not early."""
        times: list[int] = []
        is_early = False
        for _ in range(max(len(self._shown) - self._depth, at_least)):
            is_early = newest is not None and self._is_early(newest)
            if is_early:
                break
            shown = self._shown.pop(0)
            self._pass(shown)
            times.append(shown.pts)
        if not times:
            return []
        units, self._waiting = self._waiting[: len(self._waiting) - is_early], self._waiting[len(self._waiting) - is_early :]
        given: list[AccessUnit] = []
        for unit, dts in zip(units, [*self._squeezed(len(units) - len(times), times[0]), *times], strict=False):
            self._give(unit, dts, given)
        return given

    def _squeezed(self, count: int, until: int) -> list[int]:
        """The DTS of `count` pictures that have to be decoded between the last one and `until`."""
        last = self._last if self._last is not None else until - (count + 1) * self._spacing
        return [last + (until - last) * (index + 1) // (count + 1) for index in range(count)]

    def _give(self, unit: AccessUnit, dts: int, given: list[AccessUnit]) -> None:
        pts = unit.dts
        if dts > pts or (self._last is not None and dts <= self._last):
            self.dropped += 1
            return
        unit.dts, unit.cts = dts, pts - dts
        self._last = dts
        given.append(unit)

    def _pass(self, shown: _Shown) -> None:
        """A picture has had its turn in output order."""
        place, last = shown.place, self._last_place
        if place is not None and last is not None and place == (last[0], last[1] + 1):
            self._step = 1  # even of H.264, some encoders count pictures
        if self._last_shown is not None and 0 < shown.pts - self._last_shown < GAP_TICKS:
            self._spacing = shown.pts - self._last_shown
        self._last_place, self._last_shown = place, shown.pts

    def _begins_later(self, pts: int, place: Place) -> bool:
        """Whether a picture begins a sequence after a hole in time, with nothing before it that is still to be shown."""
        if not self._shown or self._waiting:
            return False
        newest = self._shown[-1]
        return newest.place is not None and newest.place[0] != place[0] and pts - newest.pts > GAP_TICKS

    def _bridge(self, pts: int) -> None:
        """Let times go on shortly before `pts` instead of with those of pictures long shown."""
        times = [pts - (self._depth - index) * self._spacing for index in range(self._depth)]
        self._shown = [_Shown(time, None) for time in times if self._last is None or time > self._last]


def _pts(shown: _Shown) -> int:
    return shown.pts
