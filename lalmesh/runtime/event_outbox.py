"""What a node has to tell of what happened there: kept in order, within a bound, until the scheduler has it.

```
add -> waiting (bounded; the oldest are dropped, and an event says how many) -> one list at a time is told -> answered: forgotten
                                                                                   not answered: told again, as it was
```
Events are numbered under the incarnation of the node, and nothing is told before all that came earlier was answered. So whoever
keeps them knows by the number what it has already.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.events import Event, Facts, event_id, number_of
from lalmesh.runtime.ownership import NodeId

log = logging.getLogger(__name__)

MAX_WAITING = 10_000  #: some 10 MB; at 100 sessions a second that come and go a minute without a scheduler
MAX_TOLD = 200  #: events of one list: some 200 KB
MAX_TEXT_CHARS = 4096  #: of one fact; a client may send more
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0  #: after a list that was not answered; pauses double

Tell = Callable[[Sequence[Event]], Awaitable[None]]


@dataclass(slots=True)
class OutboxCounters:
    """What became of events. Only rises."""

    told: int = 0
    dropped: int = 0
    failures: int = 0  #: lists that were not answered


class EventOutbox:
    """The events of one node. Run `run` as a task; `add` never blocks."""

    def __init__(
        self,
        node: NodeId,
        tell: Tell,
        *,
        limit: int = MAX_WAITING,
        wall_clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """Begin with none.

        Args:
            node: where things happen.
            tell: takes events, and returns once they are kept; raises `Unavailable` where it is not known that they are.
            limit: most events that wait.
            wall_clock: Unix seconds.
            rng: spreads pauses; a fresh one by default.
        """
        self._node = node
        self._tell = tell
        self._limit = limit
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()
        self._number = 0
        self._waiting: deque[Event] = deque()
        self._told: list[Event] = []  # on their way
        self._lost = 0  # dropped since that was told last
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.counters = OutboxCounters()

    def __len__(self) -> int:
        """How many are not answered yet."""
        return len(self._waiting) + len(self._told)

    def add(
        self, kind: EventKind, stream: StreamKey | None = None, facts: Facts | None = None, *, once: str = "", node: str = ""
    ) -> None:
        """Something happened.

        Args:
            kind: what.
            stream: that it is about.
            facts: as the kind has them; long texts are cut.
            once: an id of its own, for what several tell of and is to be kept once; the numbered one by default.
            node: that it happened to; this one by default.
        """
        self._number += 1
        self._waiting.append(
            Event(
                id=once or event_id(self._node.incarnation, self._number),
                kind=kind.value,
                at_us=round(self._wall_clock() * 1e6),
                node=node or self._node.name,
                stream=stream,
                facts={name: _cut(value) for name, value in (facts or {}).items()},
            )
        )
        while len(self) > self._limit and len(self._waiting) > 1:
            self._drop()
        self._empty.clear()
        self._more.set()

    async def run(self) -> None:
        """Tell, without end."""
        pause_s = FIRST_PAUSE_S
        while True:
            await self._more.wait()
            if await self._tell_some():
                pause_s = FIRST_PAUSE_S
            else:
                await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1.0))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def emptied(self) -> None:
        """Wait until everything has been answered."""
        await self._empty.wait()

    async def _tell_some(self) -> bool:
        """Tell one list; whether it was answered."""
        self._told = self._told or self._take()
        try:
            await self._tell(self._told)
        except Unavailable as exc:
            self._failed(exc)
            return False
        except Exception:  # a bug of ours must not end the events of this node
            log.exception("events could not be told")
            self._failed(None)
            return False
        self.counters.told += len(self._told)
        self._told = []
        if not self._waiting:
            self._more.clear()
            self._empty.set()
        return True

    def _take(self) -> list[Event]:
        taken = [self._waiting.popleft() for _ in range(min(MAX_TOLD, len(self._waiting)))]
        if any(event.kind == EventKind.EVENTS_LOST.value for event in taken):
            self._lost = 0
        return taken

    def _failed(self, exc: Unavailable | None) -> None:
        self.counters.failures += 1
        if exc is not None and (self.counters.failures & (self.counters.failures - 1)) == 0:  # 1, 2, 4, 8 ...
            log.warning("%d events wait: %s", len(self), exc)

    def _drop(self) -> None:
        """Drop the oldest that is not on its way. The one that says so takes its place, and its number."""
        first = self._waiting.popleft()
        if first.kind != EventKind.EVENTS_LOST.value:
            self._lost += 1
            self.counters.dropped += 1
        second = self._waiting.popleft()
        self._lost += 1
        self.counters.dropped += 1
        told_id = second.id if number_of(second.id) else f"{second.id}-lost"
        facts = {"count": self._lost}
        self._waiting.appendleft(replace(second, id=told_id, kind=EventKind.EVENTS_LOST.value, stream=None, facts=facts))


def _cut(value: object) -> object:
    return value[:MAX_TEXT_CHARS] if isinstance(value, str) else value
