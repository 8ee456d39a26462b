"""A stream on its way to one target elsewhere: an output of a relay that keeps units until the target takes them.

What waits is bounded as for a player: a target that does not keep up goes on at the next random access point, and what it missed is
counted. Its units are those of the relay, whatever format the target has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from lalmesh.media import Track, TrackSet
from lalmesh.runtime.ring import Cursor, Ring, RingLimits, Run
from services.edge.fanout import FanOutCounters, FanOutSettings

READ_BYTES = 256 << 10  #: of units at a time: what waits is looked at again between two reads
LOOK_S = 1.0  #: between two looks at a target that nothing comes for


class PushFanOut:
    """One target, as `Outputs` feeds it."""

    due_s: Final = 0.0  #: nothing is gathered

    def __init__(self, settings: FanOutSettings, left_out: Callable[[TrackSet], tuple[Track, ...]]) -> None:
        """Keep as much as may wait for a player; `left_out` says which tracks the target cannot be sent."""
        self.counters = FanOutCounters(joins=1)
        self.left_out: tuple[Track, ...] = ()  #: the tracks now that the target does not get
        self.ended = ""  #: why nothing more comes; empty while it may
        self._left_out = left_out
        self._tracks = TrackSet()
        self._ring = Ring(
            RingLimits(
                keep_us=int(settings.player_queue_s * 1e6),
                max_us=int(max(settings.player_queue_s, settings.gop_max_s) * 1e6),
                max_bytes=settings.player_queue_bytes,
            )
        )
        self._cursor = Cursor.joining(self._ring)
        self._has_read = False
        self._wake = asyncio.Event()

    # the target

    def read(self) -> Run | None:
        """The next units; None where there are none now."""
        if not self._has_read:  # begins at the newest random access point, whatever came since the dial
            self._cursor = Cursor.joining(self._ring)
        run = self._cursor.read(READ_BYTES)
        if run is not None:
            self._has_read = True
            self.counters.skips += run.missing > 0
        return run

    async def wait(self) -> None:
        """Return when there may be more, or it is over, or after `LOOK_S`."""
        self._wake.clear()
        if self._cursor.pending or self.ended:
            return
        try:
            async with asyncio.timeout(LOOK_S):
                await self._wake.wait()
        except TimeoutError:
            pass

    # the relay

    @property
    def players(self) -> int:
        """None: whoever watches the stream elsewhere is not here, and a relay to elsewhere keeps none alive that fetches it."""
        return 0

    def expect(self) -> bool:
        """Units have come: no, they cannot wait."""
        return False

    def feed(self, run: Run) -> None:
        """The next units."""
        if run.tracks is not self._tracks:
            self._tracks = run.tracks
            self.left_out = self._left_out(run.tracks)
        self._ring.append(run)
        self._wake.set()

    def flush(self) -> None:
        """Nothing: nothing is gathered."""

    def sweep(self) -> None:
        """Nothing: whoever sends finds out that a target takes nothing."""

    def close(self) -> None:
        """Nobody reads it."""
        self.dismiss("nobody takes it")

    def end(self, reason: str) -> None:
        """The stream is over."""
        self.dismiss(reason)

    def dismiss(self, reason: str) -> None:
        """Nothing more comes."""
        self.ended = self.ended or reason
        self._wake.set()
