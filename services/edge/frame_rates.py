"""Frames that publishers sent in each of the last seconds.

They are counted when the edge reports, from what the rings hold: the road of a unit has no part in it. Some 40 ns a frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from lalmesh.media import Kind
from lalmesh.runtime.scheduling.model import MAX_FRAME_SECONDS
from services.edge.publication import Publication

_US = 1_000_000


class FrameRate:
    """Those of one publication."""

    __slots__ = ("_counted", "_frames")

    def __init__(self) -> None:
        """Nothing has come."""
        self._counted = 0  # units of the publication that were looked at
        self._frames: dict[int, int] = {}  # by Unix second

    def past(self, core: Publication, now_s: int) -> tuple[int, ...]:
        """Pictures, of a stream without video audio frames, in each whole second before `now_s`, the newest first."""
        self._count(core)
        oldest = now_s - MAX_FRAME_SECONDS
        for second in [second for second in self._frames if second < oldest]:
            del self._frames[second]
        begun_s = core.first_us // _US if core.first_us else now_s
        return tuple(self._frames.get(second, 0) for second in range(now_s - 1, max(oldest, begun_s) - 1, -1))

    def _count(self, core: Publication) -> None:
        new = core.counters.units - self._counted
        if not new:
            return
        self._counted = core.counters.units
        kind = Kind.VIDEO if core.tracks.has_video else Kind.AUDIO
        counted = {track.track_id for track in core.tracks.tracks if track.kind is kind}
        frames = self._frames
        for unit in core.ring.newest(new):
            if unit.track_id in counted:
                second = unit.wall_us // _US
                frames[second] = frames.get(second, 0) + 1


class FrameRates:
    """Those of all publications, for as long as they live."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """`wall_clock` gives Unix seconds, as the stamps of units do."""
        self._wall_clock = wall_clock
        self._rates: WeakKeyDictionary[Publication, FrameRate] = WeakKeyDictionary()

    def now_s(self) -> int:
        """The Unix second that is not over yet."""
        return int(self._wall_clock())

    def past(self, core: Publication, now_s: int) -> tuple[int, ...]:
        """See `FrameRate.past`."""
        rate = self._rates.get(core)
        if rate is None:
            rate = self._rates[core] = FrameRate()
        return rate.past(core, now_s)
