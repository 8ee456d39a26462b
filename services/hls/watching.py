"""When a worker leaves its stream by itself, and when it closes a segment that nothing comes for any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.hls.cuts import Cut
from services.hls.hosting import Ending, WorkerSettings
from services.hls.output import Output
from services.hls.segmenter import Segmenter

QUIET_S = 1.0  #: a stream of which nothing comes for so long does not keep its node from stopping
WATCHED_S = 15.0  #: since the last request, after which nobody watches: players ask once a target duration, 12 s by default at most
LOOK_S = 3600.0  #: between two looks at a stream that is segmented to its end


class Watch:
    """Knows when the stream was asked for, and when something came of it."""

    def __init__(self, output: Output, settings: WorkerSettings, is_recorded: Callable[[], bool]) -> None:
        """Watch over who asks for `output`; what `is_recorded` is not left because nobody asks."""
        self._output = output
        self._settings = settings
        self._is_recorded = is_recorded
        self._loop = asyncio.get_running_loop()
        self._asked_at = self._delivered_at = self._loop.time()
        self._stopping = False

    def asked(self) -> None:
        """Somebody has asked for the stream."""
        self._asked_at = self._loop.time()

    @property
    def is_watched(self) -> bool:
        """Whether somebody asked not long ago, as players do for each segment."""
        return self._loop.time() - self._asked_at < WATCHED_S

    def delivered(self) -> None:
        """Units have come."""
        self._delivered_at = self._loop.time()

    def stop(self) -> None:
        """The node stops."""
        self._stopping = True
        self._output.wake()

    async def until_left(self, segmenter: Segmenter) -> Ending:
        """Wait until nobody has asked for long enough, or the node stops and the segment that was open is whole."""
        idle_s = self._settings.idle_s
        while not self._stopping and not self._output.ended:  # at its end nothing is waited for
            left_s = self._asked_at + idle_s - self._loop.time() if idle_s is not None else LOOK_S
            if left_s <= 0 and self._is_recorded():
                self.asked()
            elif left_s <= 0:
                return Ending.IDLE
            else:
                await self._output.until(lambda: self._stopping or None, left_s)
        await self._until_whole(segmenter)
        return Ending.STOPPED

    async def _until_whole(self, segmenter: Segmenter) -> None:
        """Wait until the segment that is open is whole; not where nothing comes that could make it so."""
        number, end = segmenter.number, self._loop.time() + self._settings.cuts.max_target_s
        while segmenter.number == number and not self._output.ended and self._loop.time() < end:
            if self._loop.time() - self._delivered_at > QUIET_S:
                return
            await self._output.until(lambda: segmenter.number != number or None, QUIET_S / 2)

    async def close_what_stands_still(self, segmenter: Segmenter, take: Callable[[list[Cut]], None]) -> None:
        """Have the open segment closed when nothing has come for a target duration; `take` gets the cuts. Never returns.

        Its publisher has gone and may come back, or it stalls. Players are some target durations behind, so they get the last of it
        before they have played what they have; without this they would never get it, or when the grace time is over.
        """
        while True:
            targets = self._output.targets
            if targets is None:  # the first segment is not given out before it is whole
                await asyncio.sleep(QUIET_S)
                continue
            left_s = self._delivered_at + targets.targets.duration_s - self._loop.time()
            if left_s <= 0:
                take(segmenter.pause())
                left_s = targets.targets.duration_s
            await asyncio.sleep(left_s)
