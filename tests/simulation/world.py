"""Virtual time, and the processes that live in it: each is an asyncio loop of its own, and all share one heap of timers.

A lean loop: no selector, no contexts, no debugging. What a process has to do stands in the shared queue under its name, so a
process can be killed (nothing of it runs any more) or halted (everything of it waits) at any moment, and its clocks may be wrong.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

EPOCH_S = 1_700_000_000.0  #: Unix time at the beginning of the world
ROUNDING_S = 1e-9  #: so that a timer never fires before its time by the clock of its process
Work = Callable[..., object]

if TYPE_CHECKING:
    _Loop = asyncio.BaseEventLoop  # which mypy takes for complete
else:
    _Loop = asyncio.AbstractEventLoop


class Handle:
    """Something that a process is to do; `cancel` takes it back."""

    __slots__ = ("args", "callback", "process", "when_s")

    def __init__(self, process: Process, callback: Work | None, args: tuple[Any, ...], when_s: float = 0.0) -> None:
        self.process = process
        self.callback = callback
        self.args = args
        self.when_s = when_s

    def cancel(self) -> None:
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        """By the clock of the process."""
        return self.process.local(self.when_s)


class World:
    """The clock, the heap of timers and the queue of what is to be done now."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.failures: list[str] = []  #: exceptions that nobody caught
        self.ready: deque[Handle] = deque()
        self._heap: list[tuple[float, int, Handle]] = []
        self._count = 0

    def at(self, when_s: float, process: Process, callback: Work, *args: Any) -> Handle:
        """Have `process` do something at `when_s`."""
        self._count += 1
        handle = Handle(process, callback, args, when_s)
        heappush(self._heap, (when_s, self._count, handle))
        return handle

    def end(self) -> None:
        """Nothing happens any more."""
        self._heap.clear()
        self.ready.clear()

    def run(self, until_s: float) -> None:
        """Let time pass."""
        heap, ready, steps = self._heap, self.ready, 0
        current: Process | None = None
        try:
            while True:
                while ready:
                    handle = ready.popleft()
                    callback = handle.callback
                    if callback is None:
                        continue
                    process = handle.process
                    if process.set_aside is not None:
                        process.set_aside(handle)
                        continue
                    if process is not current:
                        events._set_running_loop(process)
                        current = process
                    steps += 1
                    callback(*handle.args)
                if not heap or heap[0][0] > until_s:
                    break
                self.now, _, handle = heappop(heap)
                if handle.callback is not None:
                    ready.append(handle)
        finally:
            events._set_running_loop(None)
            self.steps += steps
        self.now = until_s


class Process(_Loop):
    """One process: the event loop of everything in it."""

    def __init__(self, world: World, name: str, *, fast: float = 1.0, wall_ahead_s: float = 0.0) -> None:
        """Begin; its monotonic clock runs `fast` times as fast as time, its wall clock is `wall_ahead_s` ahead."""
        self.world = world
        self.name = name
        self.is_alive = True
        self.wall_ahead_s = wall_ahead_s
        self.set_aside: Callable[[Handle], None] | None = None  #: where what it should do goes while it cannot
        self._fast = fast
        self._offset_s = random.uniform(0.0, 1e5)
        self._parked: list[Handle] = []

    def __repr__(self) -> str:
        return self.name

    # faults

    def kill(self) -> None:
        """It is gone, at once and for ever."""
        self.is_alive = False
        self.set_aside = _drop
        self._parked.clear()

    def halt(self) -> None:
        """Everything of it waits."""
        if self.is_alive:
            self.set_aside = self._parked.append

    def resume(self) -> None:
        """It goes on where it was."""
        if self.is_alive:
            self.set_aside = None
            self.world.ready.extend(self._parked)
            self._parked.clear()

    @property
    def is_halted(self) -> bool:
        return self.is_alive and self.set_aside is not None

    # clocks

    def time(self) -> float:
        return self.world.now * self._fast + self._offset_s

    def local(self, when_s: float) -> float:
        """A moment of the world by the clock of this process."""
        return when_s * self._fast + self._offset_s

    def wall_time(self) -> float:
        """Unix seconds, as this process believes."""
        return EPOCH_S + self.world.now + self.wall_ahead_s

    # what asyncio needs

    def call_soon(self, callback: Work, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        handle = Handle(self, callback, args)
        self.world.ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Work, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        return self.world.at(self.world.now + delay / self._fast, self, callback, *args)

    def call_at(self, when: float, callback: Work, *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        when_s = max(self.world.now, (when - self._offset_s) / self._fast + ROUNDING_S)
        return self.world.at(when_s, self, callback, *args)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:  # type: ignore[override]
        return asyncio.Task(coro, loop=self, name=name or "task")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.is_alive and error is not None:
            self.world.failures.append(f"{self.name}: {context.get('message')}: {error!r}")


def wall_time_ns() -> int:
    """In the place of `time.time_ns`: what the process that runs believes."""
    process = asyncio.get_running_loop()
    assert isinstance(process, Process)
    return int(process.wall_time() * 1e9)


def _drop(handle: Handle) -> None:
    """Nobody is there to do it."""
