"""What a join gets: the blocks of the last random access points of one format of a stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from lalmesh.media import TICKS_PER_SECOND, TrackSet
from lalmesh.remux import Packager


@dataclass(slots=True, frozen=True, kw_only=True)
class JoinCacheSettings:
    """What is kept for joins."""

    gop_num: int = 1  #: random access points back that a join begins at, 0: at the next one
    gop_max_bytes: int = 32 << 20  #: of a longer cache the oldest part is given up; where nothing is left, joins wait
    gop_max_s: float = 60.0
    audio_cache_ms: int = 2_000  #: what a join gets of a stream without video


@dataclass(slots=True)
class JoinPoint:
    """Where a player may join: the tracks and the time there, and the blocks from there up to the next."""

    tracks: TrackSet
    dts: int
    blocks: list[bytes] = field(default_factory=list)
    size_bytes: int = 0


class JoinCache:
    """The newest blocks, from a point where a player may join; bounded in points, bytes and time."""

    def __init__(self, packager: Packager, settings: JoinCacheSettings) -> None:
        """Start empty; headers come from `packager`."""
        self.overflows = 0  #: times that a part was given up because a bound was passed
        self._packager = packager
        self._settings = settings
        self._points: deque[JoinPoint] = deque()
        self._size_bytes = 0
        self._burst: bytes | None = None  # what a join gets, until the cache changes

    def burst(self) -> bytes | None:
        """Headers and blocks, one object for all who join before the next block; None where there is nothing to begin with."""
        if not self._points:
            return None
        if self._burst is None:
            first = self._points[0]
            blocks = [block for point in self._points for block in point.blocks]
            self._burst = b"".join([self._packager.start(first.tracks, first.dts), *blocks])
        return self._burst

    def add(self, block: bytes, opens: JoinPoint | None, *, has_video: bool, dts: int) -> None:
        """Keep a block, which begins at the point `opens` or belongs to the one before it; `dts` is the time at its end."""
        if not self._settings.gop_num:
            return
        self._burst = None
        if opens is not None:
            self._points.append(opens)
        elif not self._points:
            return
        point = self._points[-1]
        point.blocks.append(block)
        point.size_bytes += len(block)
        self._size_bytes += len(block)
        self._trim(has_video=has_video, dts=dts)

    def _trim(self, *, has_video: bool, dts: int) -> None:
        settings = self._settings
        if has_video:
            while len(self._points) > settings.gop_num:
                self._drop_oldest()
        else:
            oldest = dts - settings.audio_cache_ms * TICKS_PER_SECOND // 1000
            while len(self._points) > 1 and self._points[0].dts < oldest:
                self._drop_oldest()
        while self._points and self._is_over_bounds(dts):
            self.overflows += 1
            self._drop_oldest()

    def _is_over_bounds(self, dts: int) -> bool:
        settings = self._settings
        over_time = dts - self._points[0].dts > settings.gop_max_s * TICKS_PER_SECOND
        return over_time or self._size_bytes > settings.gop_max_bytes

    def _drop_oldest(self) -> None:
        self._size_bytes -= self._points.popleft().size_bytes

    def clear(self) -> None:
        """Give everything up."""
        self._points.clear()
        self._size_bytes = 0
        self._burst = None
