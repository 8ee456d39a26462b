"""What this process takes of the machine: processor time and memory."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from weakref import WeakKeyDictionary

_STATM = Path("/proc/self/statm")  #: Linux: sizes in pages; the second is what is resident


class ProcessLoad:
    """Measures from call to call. Where the system does not say, the figures are 0."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        processor_s: Callable[[], float] = time.process_time,
        cores: Callable[[], int] | None = None,
        resident_bytes: Callable[[], int] | None = None,
    ) -> None:
        """Begin to measure now; the arguments are where the readings come from.

        Args:
            clock: seconds, never stepping.
            processor_s: seconds of processor time that the process has had, of all threads, user and system.
            cores: how many it may use; by default asked of the system at each reading, for it may be changed.
            resident_bytes: memory that the process holds, by default Linux' resident set.
        """
        self._clock = clock
        self._processor_s = processor_s
        self._cores = cores or usable_cores
        self._resident_bytes = resident_bytes or read_resident_bytes
        self._read_at = clock()
        self._had_s = processor_s()
        self._fraction = 0.0

    def cpu_fraction(self) -> float:
        """Processor time since the last call, or since the start, as a fraction of all usable cores: 0 to 1."""
        now, had_s = self._clock(), self._processor_s()
        elapsed_s = (now - self._read_at) * max(1, self._cores())
        if elapsed_s > 0:  # else: two calls within one tick, and the last figure is as good
            self._fraction = min(1.0, max(0.0, (had_s - self._had_s) / elapsed_s))
            self._read_at, self._had_s = now, had_s
        return self._fraction

    def memory_bytes(self) -> int:
        """Memory that the process holds now."""
        return self._resident_bytes()


def usable_cores() -> int:
    """How many cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux, or a sandbox that forbids the question
        return os.cpu_count() or 1


def read_resident_bytes(statm: Path = _STATM) -> int:
    """The resident set of this process, 0 where the system has no such file."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


class ByteRate:
    """Bits a second between two looks at a counter of bytes."""

    def __init__(self, clock: Callable[[], float], *, least_s: float = 0.1) -> None:
        """`clock` gives seconds and never goes back; looks that come sooner than `least_s` repeat the last figure."""
        self._clock = clock
        self._least_s = least_s
        self._at = clock()
        self._total = 0
        self._bps = 0

    def bps(self, total_bytes: int) -> int:
        """Bits a second since the last look that counted."""
        now = self._clock()
        elapsed_s = now - self._at
        if elapsed_s >= self._least_s:
            self._bps = int(max(0, total_bytes - self._total) * 8 / elapsed_s)
            self._at, self._total = now, total_bytes
        return self._bps


class AveragedByteRate:
    """Bits a second of bytes that come in bursts: of those within a time, however long there are none between."""

    def __init__(self, clock: Callable[[], float], over_s: float, *, least_s: float = 0.1) -> None:
        """`clock` gives seconds and never goes back; looks that come sooner than `least_s` repeat the last figure."""
        self._clock = clock
        self._over_s = over_s
        self._least_s = least_s
        self._seen = deque([(clock(), 0)])  # looks: the first is `over_s` old, or the only one that old
        self._bps = 0

    def bps(self, total_bytes: int) -> int:
        """Bits a second, as of this look. Less than `over_s` after the start it is as if there had been none before."""
        now, seen = self._clock(), self._seen
        if now - seen[-1][0] >= self._least_s:
            seen.append((now, total_bytes))
            while now - seen[1][0] >= self._over_s:
                seen.popleft()
            at, total = seen[0]
            self._bps = int(max(0, total_bytes - total) * 8 / max(self._over_s, now - at))
        return self._bps


class ByteRates:
    """A `ByteRate` for each of many things, for as long as they live."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds and never goes back."""
        self._clock = clock
        self._rates: WeakKeyDictionary[object, ByteRate] = WeakKeyDictionary()

    def bps(self, counted: object, total_bytes: int) -> int:
        """Bits a second of `counted` since the last look."""
        rate = self._rates.get(counted)
        if rate is None:
            rate = self._rates[counted] = ByteRate(self._clock)
        return rate.bps(total_bytes)
