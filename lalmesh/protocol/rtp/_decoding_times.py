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

A sender's clock may be set back, by NTP say. Without B-frames each picture is then 1 ms after the one before, until times have
caught up. With them that would lose their order: a picture whose PTS is not after that of one that is shown before it goes to where
it would have been, and so do all behind it. Whatever is shown after all before it then takes back half the time of one picture:

```
PTS, 40 ms a picture, B-frames left out; set back by 200 ms     came     0 160 320 280 440 600 760
                                                                given    0 160 320 480 620 760 900
```
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
        self._newest: Place | None = None  # of what is shown last of all under this configuration
        self._late = 0  # how much later than it came a picture is given, ticks: the clock of the sender was set back
        self._spacing = DEFAULT_SPACING_TICKS  # between those, lately
        self._empty_gaps = 0
        self.mended = 0  #: pictures whose PTS was not after one that they are shown after: now it is
        self.dropped = 0  #: pictures that are shown before one whose DTS is out already: the depth was not known yet

    @property
    def depth(self) -> int:
        """How many pictures have been seen to be decoded before one that is shown earlier, 0 to `MAX_REORDER_DEPTH`."""
        return self._depth

    def configure(self, order: PictureOrder | None, allowed_depth: int, step: int) -> list[AccessUnit]:
        """Let what follows be under another configuration, beginning with a picture after which all others are shown.

        Args:
            order: tells the places of pictures.
            allowed_depth: the most that a decoder has to expect (from the SPS); with 0, nothing ever waits nor is dropped.
            step: of picture order counts from one picture to the next: 2 of H.264, which counts fields, 1 of H.265.

        Returns:
            The pictures that waited.
        """
        given = self.flush()
        self._order, self._allowed_depth, self._step = order, allowed_depth, step
        self._depth = self._empty_gaps = 0
        self._shown.clear()
        self._last_place = self._newest = None
        if order is None or not allowed_depth:
            self._late = 0  # nothing would tell how to take it back
        return given

    def feed(self, unit: AccessUnit) -> list[AccessUnit]:
        """Take the next picture in decoding order, its DTS being its PTS; those that have their times now."""
        place = self._place(unit)
        unit.dts = pts = self._set_forward(unit.dts, place)
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
        if place is not None and self._is_shown_last(place):
            self._newest = place
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

    def _is_shown_last(self, place: Place) -> bool:
        return self._newest is None or place > self._newest

    def _set_forward(self, pts: int, place: Place | None) -> int:
        """The PTS of the next picture, later than it came by what the clock of the sender has been set back."""
        came, pts = pts, pts + self._late
        if place is None or not (self._late or self._is_set_back(pts, place)):
            return pts
        if (before := self._shown_before(place)) is None:
            return pts
        pictures, before_pts = before
        if pts <= before_pts:
            pts = before_pts + pictures * self._spacing
            self.mended += 1
        elif self._is_shown_last(place):
            pts -= min(self._late, (pts - before_pts) // (2 * pictures))
        self._late = pts - came
        return pts

    def _is_set_back(self, pts: int, place: Place) -> bool:
        """Whether a picture that is shown before the one at `place` has no earlier PTS, where reordering makes that matter."""
        if self._newest is None:
            return self._last is not None and pts <= self._last
        if not self._depth:
            return False
        for shown in reversed(self._shown):
            if shown.pts < pts:
                break
            if shown.place is not None and shown.place < place:
                return True
        return bool(self._last_place and self._last_place < place and self._last_shown is not None and pts <= self._last_shown)

    def _shown_before(self, place: Place) -> tuple[int, int] | None:
        """Of the pictures so far, the last that is shown before the one at `place`: how many pictures before, and its PTS."""
        if self._newest is None:  # this one begins a configuration, and is shown after all before it
            return (1, self._last) if self._last is not None else None
        placed = [(shown.place, shown.pts) for shown in self._shown if shown.place is not None and shown.place < place]
        if self._last_place is not None and self._last_shown is not None and self._last_place < place:
            placed.append((self._last_place, self._last_shown))
        if not placed:
            return None
        (sequence, count), pts = max(placed)
        pictures = (place[1] - count) // self._step if sequence == place[0] else 1
        return max(1, min(pictures, MAX_REORDER_DEPTH)), pts

    def _jitters(self, back: int, place: Place | None) -> bool:
        """Whether a picture `back` ticks before the last DTS is nevertheless the next to be shown."""
        if not self._allowed_depth:
            return True  # by what the SPS says, it cannot be a B-frame: the clock has been set back
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
