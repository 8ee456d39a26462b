"""What the host of a virtual machine takes from it: what was measured while it took much is measured again, and all of it is told.

Time that was taken is no server's, but each answer is later for it, and what shares the machine's caches makes all code slower.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

MOST_TAKEN = 0.05  #: of the time in which cores had something to do
TRIES = 3  #: the one that least was taken from counts, whatever it has found
PAUSE_S = 20.0  #: before another
PATIENCE_S = 1200.0  #: for all that one process measures again

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Times:
    """Of all cores together since the start, in ticks of the kernel's clock."""

    used: int
    taken: int  #: while there was something to do ("steal")


def times() -> Times:
    """Until now (proc_stat(5))."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text(encoding="ascii").split()[1:9])
    return Times(user + nice + system + irq + softirq, steal)


def share_taken(before: Times, after: Times) -> float:
    """Of the time between in which cores had something to do; from 0 to 1."""
    taken, used = after.taken - before.taken, after.used - before.used
    return taken / (taken + used) if taken > 0 else 0.0


class Host:
    """Watches what is measured in one process."""

    def __init__(
        self,
        read: Callable[[], Times] = times,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Watch by `read`, with `clock` and `pause` in seconds."""
        self.shares: list[float] = []  #: that were taken of what counts
        self.again = 0  #: tries that it took too much of: each was followed by another
        self._read, self._clock, self._pause = read, clock, pause
        self._patience_s = PATIENCE_S

    def watch(self, measure: Callable[[], T]) -> T:
        """Measure; again where the host took more than `MOST_TAKEN`, `TRIES` times at most, and while there is patience left."""
        tries: list[tuple[float, T]] = []
        while True:
            began_s, before = self._clock(), self._read()
            found = measure()
            share = share_taken(before, self._read())
            tries.append((share, found))
            again_s = self._clock() - began_s + PAUSE_S
            if share <= MOST_TAKEN or len(tries) == TRIES or again_s > self._patience_s:
                break
            print(f"           again: the host took {share:.0%} of the time that was wanted", file=sys.stderr, flush=True)
            self.again += 1
            self._patience_s -= again_s
            self._pause(PAUSE_S)
        least, found = min(tries, key=lambda tried: tried[0])
        self.shares.append(least)
        return found

    @property
    def told(self) -> str:
        """In a line."""
        median, most = statistics.median(self.shares), max(self.shares)
        return (
            f"took {median:.1%} of the processor time that was wanted from it (median of {len(self.shares)} samples, at most "
            f"{most:.1%}); measured again, as it took more than {MOST_TAKEN:.0%}: {self.again or 'none'}"
        )


HOST = Host()  #: of this process, which is one benchmark
