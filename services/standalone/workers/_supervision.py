"""Which workers run: started, started again, told to end. A pure core.

```
            due             listens                  status 0, or told to end
 waiting ---------> starting --------> running --------------------------------> over
    ^                  | dies             | dies
    +------------------+------------------+     for a pause, which doubles while it dies soon
```
A worker that the scheduler has drain alone stays away, however it ends, as one does that has ended in order. Where one has heard
that all of its node drains, none is started again; who has not heard of it, having been at no scheduler then, is told once one of
them has ended. Until all have run at one time nobody waits for what may not come right: a few deaths, and all are told to end.

The core of a standalone server is number 0. Others leave it in order, so it is told to end when they have; and nothing is there
without it, nor it without them: once it, or the last of them, has ended in order, the rest is told to.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from services.standalone.end_signals import EndSignals, Word
from services.standalone.workers._worker import CORE

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0  #: a worker that dies each time it has started costs a core for a second
STEADY_S = 60.0  #: a worker that ran for so long has nothing to do with its death before
MAX_DEATHS_AT_START = 3  #: one may be chance


class State(Enum):
    """How far a worker is."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    OVER = "over"


@dataclass(slots=True, frozen=True)
class Up:
    """A worker listens."""

    number: int


@dataclass(slots=True, frozen=True)
class Died:
    """The process of a worker has ended."""

    number: int
    status: int  #: negative: the signal that ended it


@dataclass(slots=True, frozen=True)
class Drains:
    """A worker was told by the scheduler that all of its node drains."""

    number: int


@dataclass(slots=True, frozen=True)
class Leaves:
    """A worker was told by the scheduler to drain, while others of its node go on."""

    number: int


@dataclass(slots=True, frozen=True)
class Told:
    """The supervisor was sent a signal: to end, or SIGHUP."""

    signal: int


@dataclass(slots=True, frozen=True)
class Start:
    """Start the process of a worker."""

    number: int


@dataclass(slots=True, frozen=True)
class Send:
    """Send the process of a worker a signal."""

    number: int
    signal: int


@dataclass(slots=True, frozen=True)
class AllUp:
    """All workers that are to run listen: for the first time, or again."""


@dataclass(slots=True, frozen=True)
class End:
    """All is over."""

    reason: str  #: why not well; empty: in order


Event: TypeAlias = Up | Died | Drains | Leaves | Told
Command: TypeAlias = Start | Send | AllUp | End


@dataclass(slots=True)
class _Worker:
    state: State = State.WAITING
    due_at: float = 0.0  # while it waits
    up_at: float = 0.0  # while it runs
    pause_s: float = 0.0  # after its last death
    is_told: bool = False  # to end
    drains: bool = False  # with all of its node, as the scheduler has told it
    leaves: bool = False  # alone, as the scheduler has told it
    reads_again: bool = False  # once it runs: what it was started by may be as it was before


class Supervision:
    """The workers of one node. `now` is any clock in seconds that does not step."""

    def __init__(self, count: int, *, has_core: bool = False) -> None:
        """All of `count` are due, and before them the core where there `has_core` to be one."""
        self._workers = {number: _Worker() for number in range(CORE if has_core else CORE + 1, count + 1)}
        self._deaths_at_start = 0
        self._all_were_up = False
        self._ends = False
        self._drains = False
        self._signals = EndSignals()
        self._reason = ""
        self._core_is_spared: int | None = None  # until nobody needs it any more: the signal that it is to be sent
        self._is_over = False
        self._asked: set[int] = set()  # how the processes end that were asked to and had nothing left that listens to it

    @property
    def ends(self) -> bool:
        """Whether all are told to end, or to drain."""
        return self._ends or self._drains

    def states(self) -> dict[int, State]:
        """How far each worker is."""
        return {number: worker.state for number, worker in self._workers.items()}

    @property
    def listening(self) -> int:
        """How many of the workers that share the ports of the node listen."""
        return sum(each.state is State.RUNNING for number, each in self._workers.items() if number != CORE)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due, None where no worker waits."""
        return min((worker.due_at for worker in self._workers.values() if worker.state is State.WAITING), default=None)

    def handle_timer(self, now: float) -> list[Command]:
        """Start those that are due."""
        due = [number for number, worker in self._workers.items() if worker.state is State.WAITING and worker.due_at <= now]
        for number in due:
            self._workers[number].state = State.STARTING
        return [Start(number) for number in due]

    def handle(self, event: Event, now: float) -> list[Command]:
        """What is to be done about an event."""
        match event:
            case Up(number):
                return [*self._up(number, now)]
            case Died(number, status):
                return [*self._died(number, status, now)]
            case Drains(number):
                self._node_drains(number)
                return []
            case Leaves(number):
                self._workers[number].leaves = True
                return []
            case Told(signal.SIGHUP):
                return [*self._read_again()]
            case Told(number):
                return [*self._told(number, now)]
            case _:
                assert_never(event)

    def _up(self, number: int, now: float) -> Iterator[Command]:
        worker = self._workers[number]
        worker.state, worker.up_at = State.RUNNING, now
        if worker.reads_again:
            worker.reads_again = False
            yield Send(number, signal.SIGHUP)
        yield from self._look_whether_all_are_up()

    def _look_whether_all_are_up(self) -> Iterator[Command]:
        if not self.ends and {worker.state for worker in self._workers.values()} - {State.OVER} == {State.RUNNING}:
            self._all_were_up = True
            yield AllUp()

    def _died(self, number: int, status: int, now: float) -> Iterator[Command]:
        worker = self._workers[number]
        has_run = worker.state is State.RUNNING
        worker.reads_again = False
        if self._ends or status == 0 or worker.leaves or (self._drains and number != CORE):
            worker.state = State.OVER
            if has_run and self.ends and status not in (0, *self._asked):
                self._reason = self._reason or f"worker {number} {_how(status)}"
            yield from self._end_rest(number)
            yield from self._end_if_over()
            if not self._all_were_up:
                yield from self._look_whether_all_are_up()
            return
        steady = has_run and now - worker.up_at >= STEADY_S
        worker.pause_s = FIRST_PAUSE_S if steady or not worker.pause_s else min(2 * worker.pause_s, LONGEST_PAUSE_S)
        worker.state, worker.due_at = State.WAITING, now + worker.pause_s
        if not self._all_were_up:
            self._deaths_at_start += 1
            if self._deaths_at_start >= MAX_DEATHS_AT_START:
                self._reason = f"workers died {self._deaths_at_start} times before all were up, the last, {number}, {_how(status)}"
                yield from self._end(signal.SIGTERM)

    def _node_drains(self, number: int) -> None:
        self._drains = self._workers[number].drains = True
        for other, worker in self._workers.items():
            if worker.state is State.WAITING and other != CORE:  # without which those that drain have nothing to give
                worker.state = State.OVER

    def _read_again(self) -> Iterator[Command]:
        for number, worker in self._workers.items():
            if worker.state is State.RUNNING:
                yield Send(number, signal.SIGHUP)
            elif worker.state is State.STARTING:  # it would end by it
                worker.reads_again = True

    def _told(self, by: int, now: float) -> Iterator[Command]:
        """Have all end, or with haste where that was said before: each knows what a second signal means."""
        word = self._signals.told(now)
        if word is not Word.NOTHING:
            yield from self._end(by, is_hasty=word is Word.AT_ONCE)

    def _end(self, by: int, *, is_hasty: bool = False) -> Iterator[Command]:
        self._ends = True
        self._asked.add(-by)
        for worker in self._workers.values():
            if worker.state is State.WAITING:
                worker.state = State.OVER
        alive = [number for number, worker in self._workers.items() if worker.state is not State.OVER]
        if CORE in alive and len(alive) > 1 and not is_hasty:
            self._core_is_spared = by
            alive.remove(CORE)
        for number in alive:
            if is_hasty or not self._workers[number].is_told:
                self._workers[number].is_told = True
                yield Send(number, by)
        yield from self._end_if_over()

    def _end_rest(self, gone: int) -> Iterator[Command]:
        """What is told to end since a worker has ended that is not started again."""
        if self._drains:
            yield from self._drain_rest()
        core = self._workers.get(CORE)
        if core is None:
            return
        alive = any(worker.state is not State.OVER for number, worker in self._workers.items() if number != CORE)
        if self._core_is_spared is not None and not alive:
            by, self._core_is_spared = self._core_is_spared, None
            if core.state is not State.OVER and not core.is_told:
                core.is_told = True
                yield Send(CORE, by)
        elif not self._ends and (gone == CORE or not alive):
            yield from self._end(signal.SIGTERM)

    def _drain_rest(self) -> Iterator[Command]:
        self._asked.add(-signal.SIGTERM)
        for number, worker in self._workers.items():
            if number != CORE and worker.state is not State.OVER and not (worker.drains or worker.leaves or worker.is_told):
                worker.is_told = True
                yield Send(number, signal.SIGTERM)

    def _end_if_over(self) -> Iterator[Command]:
        if not self._is_over and all(worker.state is State.OVER for worker in self._workers.values()):
            self._is_over = self._ends = True
            yield End(self._reason)


def _how(status: int) -> str:
    """How a process has ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
