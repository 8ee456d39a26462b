"""What publishers sent in each of the last seconds: frames, bytes, and how long their GOPs were.

It is counted when the edge reports, from what the rings hold: the road of a unit has no part in it. Some 300 ns a unit in all.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from lalmesh.media import TICKS_PER_MS, AccessUnit, Kind
from lalmesh.runtime.scheduling.model import MAX_FRAME_SECONDS, MAX_GOPS
from services.edge.publication import Publication

_US = 1_000_000


@dataclass(slots=True, frozen=True)
class Told:
    """What is told of one publication; all of it newest first."""

    frames: tuple[int, ...]  #: pictures, of a stream without video audio frames, of each whole second
    payload_bytes: tuple[int, ...]  #: of all tracks, of each whole second
    gops_end_us: int  #: Unix microseconds of the key frame that ended the newest whole GOP; 0: none has ended
    gop_frames: tuple[int, ...]  #: pictures of each
    gop_ms: tuple[int, ...]  #: from its key frame to the next one


class FrameRate:
    """Those of one publication."""

    __slots__ = ("_bytes", "_counted", "_frames", "_gop_begun", "_gop_frames", "_gops", "_gops_end_us", "frames")

    def __init__(self) -> None:
        """Nothing has come."""
        self.frames = 0  #: all that were looked at; what `Told.frames` counts
        self._counted = 0  # units of the publication that were looked at
        self._frames: dict[int, int] = {}  # by Unix second
        self._bytes: dict[int, int] = {}  # likewise
        self._gops: deque[tuple[int, int]] = deque(maxlen=MAX_GOPS)  # pictures and milliseconds, the newest first
        self._gops_end_us = 0
        self._gop_begun: int | None = None  # time of the key frame of the one that is not whole yet
        self._gop_frames = 0  # pictures of that

    @property
    def gop_s(self) -> float | None:
        """How long the newest whole GOP is; None where there was none."""
        return self._gops[0][1] / 1000 if self._gops else None

    def told(self, core: Publication, now_s: int) -> Told:
        """What came in each whole second before `now_s`."""
        self._count(core)
        oldest = now_s - MAX_FRAME_SECONDS
        for counted in (self._frames, self._bytes):
            for second in [second for second in counted if second < oldest]:
                del counted[second]
        begun_s = core.first_us // _US if core.first_us else now_s
        seconds = range(now_s - 1, max(oldest, begun_s) - 1, -1)
        return Told(
            frames=_of(self._frames, seconds),
            payload_bytes=_of(self._bytes, seconds),
            gops_end_us=self._gops_end_us,
            gop_frames=tuple(frames for frames, _ in self._gops),
            gop_ms=tuple(lasted_ms for _, lasted_ms in self._gops),
        )

    def _count(self, core: Publication) -> None:
        new = core.counters.units - self._counted
        if not new:
            return
        self._counted = core.counters.units
        has_video = core.tracks.has_video
        kind = Kind.VIDEO if has_video else Kind.AUDIO
        counted = {track.track_id for track in core.tracks.tracks if track.kind is kind}
        in_gops = min(counted) if has_video else -1
        second = size_bytes = count = 0
        for unit in core.ring.newest(new):
            if (came := unit.wall_us // _US) != second:
                self._add(second, size_bytes, count)
                second, size_bytes, count = came, 0, 0
            size_bytes += len(unit.payload)
            if unit.track_id in counted:
                count += 1
                if unit.track_id == in_gops:
                    if unit.random_access:
                        self._end_gop(unit)
                    self._gop_frames += 1
        self._add(second, size_bytes, count)

    def _add(self, second: int, size_bytes: int, count: int) -> None:
        if second:
            self._bytes[second] = self._bytes.get(second, 0) + size_bytes
            self._frames[second] = self._frames.get(second, 0) + count
            self.frames += count

    def _end_gop(self, unit: AccessUnit) -> None:
        """The one before ends with this key frame, which begins the next."""
        lasted = 0 if self._gop_begun is None else unit.dts - self._gop_begun
        if lasted > 0:
            self._gops.appendleft((self._gop_frames, lasted // TICKS_PER_MS))
            self._gops_end_us = unit.wall_us
        self._gop_begun, self._gop_frames = unit.dts, 0


def _of(counted: Mapping[int, int], seconds: range) -> tuple[int, ...]:
    return tuple(counted.get(second, 0) for second in seconds)


class FrameRates:
    """Those of all publications, for as long as they live."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """`wall_clock` gives Unix seconds, as the stamps of units do."""
        self._wall_clock = wall_clock
        self._rates: WeakKeyDictionary[Publication, FrameRate] = WeakKeyDictionary()

    def now_s(self) -> int:
        """The Unix second that is not over yet."""
        return int(self._wall_clock())

    def of(self, core: Publication) -> FrameRate | None:
        """What has been seen of a publication; None: nothing yet."""
        return self._rates.get(core)

    def told(self, core: Publication, now_s: int) -> Told:
        """See `FrameRate.told`."""
        rate = self._rates.get(core)
        if rate is None:
            rate = self._rates[core] = FrameRate()
        return rate.told(core, now_s)
