"""What a node has to tell of what happened there: kept in order, within a bound, until the scheduler has it.

```
add -> waiting (bounded; the oldest are dropped, and an event says how many) -> one list at a time is told -> answered: forgotten
                                                                                   not answered: told again, as it was
                                                                                   refused: told one by one; those that are refused
                                                                                            alone are lost, and an event says so
```
Events are numbered under the incarnation of the node, and nothing is told before all that came earlier was answered. So whoever
keeps them knows by the number what it has already.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.events import Event, Facts, event_id, number_of, size_bytes
from lalmesh.runtime.foreign_text import well_formed
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.telemetry import TraceContext

log = logging.getLogger(__name__)

MAX_WAITING = 10_000  #: some 7 MB; at 100 sessions a second that come and go a minute without a scheduler
MAX_WAITING_BYTES = 16 << 20  #: twice what so many usual ones are; clients that say much, and lists, take the more
MAX_TOLD = 200  #: events of one list: some 200 KB
MAX_TEXT_CHARS = 4096  #: of one fact; a client may send more
MAX_TEXTS_BYTES = 8 << 10  #: of all of one event, as JSON: clients fill with them what is kept at nodes and in the log
LEAST_TEXT_CHARS = 64  #: to which texts are cut where all of them are too much together; twenty of them fit, whatever they say
JSON_BYTES = 6  #: that one character is written with at the most, ``\u0001``
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0  #: after a list that was not answered; pauses double

Tell = Callable[[Sequence[Event]], Awaitable[None]]


@dataclass(slots=True)
class OutboxCounters:
    """What became of events. Only rises."""

    told: int = 0
    dropped: int = 0
    failures: int = 0  #: lists that were not answered
    refused: int = 0  #: events that nobody will ever take; among those that were dropped


class EventOutbox:
    """The events of one node. Run `run` as a task; `add` never blocks."""

    def __init__(
        self,
        node: NodeId,
        tell: Tell,
        *,
        limit: int = MAX_WAITING,
        limit_bytes: int = MAX_WAITING_BYTES,
        wall_clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """Begin with none.

        Args:
            node: where things happen.
            tell: takes events, and returns once they are kept; raises `Unavailable` where it is not known that they are, and
                anything else where they will never be.
            limit: most events that wait, those on their way included.
            limit_bytes: most that they are together, by `size_bytes`. One list that is on its way, and one event, may be more.
            wall_clock: Unix seconds.
            rng: spreads pauses; a fresh one by default.
        """
        self.node = node
        self._tell = tell
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()
        self._number = 0
        self._waiting = _Queue()
        self._told: list[Event] = []  # on their way
        self._told_bytes = 0
        self._alone = 0  # so many of those that come first are told one by one
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.counters = OutboxCounters()

    def __len__(self) -> int:
        """How many are not answered yet."""
        return len(self._waiting) + len(self._told)

    @property
    def size_bytes(self) -> int:
        """What they are together, by `lalmesh.runtime.events.size_bytes`."""
        return self._waiting.size_bytes + self._told_bytes

    def add(
        self,
        kind: EventKind,
        stream: StreamKey | None = None,
        facts: Facts | None = None,
        *,
        once: str = "",
        node: str = "",
        trace: TraceContext | None = None,
    ) -> None:
        """Something happened.

        Args:
            kind: what.
            stream: that it is about.
            facts: as the kind has them; long texts are cut.
            once: an id of its own, for what several tell of and is to be kept once; the numbered one by default.
            node: that it happened to; this one by default.
            trace: the span that it is a part of.
        """
        self._number += 1
        self._waiting.add(
            Event(
                id=once or event_id(self.node.incarnation, self._number),
                kind=kind.value,
                at_us=round(self._wall_clock() * 1e6),
                node=node or self.node.name,
                stream=stream,
                facts=_bounded(facts or {}),
                trace=trace,
            )
        )
        while (len(self) > self._limit or self.size_bytes > self._limit_bytes) and len(self._waiting) > 1:
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
        if not self._told:
            self._take()
        try:
            await self._tell(self._told)
        except Unavailable as exc:
            self._failed(exc)
            return False
        except Exception as exc:  # one that cannot be told must not end the events of this node
            self._refused(exc)
            return True
        self.counters.told += len(self._told)
        self._told, self._told_bytes = [], 0
        self._note_emptied()
        return True

    def _take(self) -> None:
        most = 1 if self._alone else MAX_TOLD
        self._alone = max(0, self._alone - 1)
        before = self._waiting.size_bytes
        self._told = [self._waiting.pop() for _ in range(min(most, len(self._waiting)))]
        self._told_bytes = before - self._waiting.size_bytes

    def _failed(self, exc: Unavailable) -> None:
        self.counters.failures += 1
        if (self.counters.failures & (self.counters.failures - 1)) == 0:  # 1, 2, 4, 8 ...
            log.warning("%d events wait: %s", len(self), exc)

    def _refused(self, exc: Exception) -> None:
        """What is on its way will never be taken as it is: find the one that it is about, and say that it is lost."""
        refused, self._told, self._told_bytes = self._told, [], 0
        if len(refused) > 1:
            self._alone = len(refused)
            for event in reversed(refused):
                self._waiting.add_first(event)
            return
        (event,) = refused
        self.counters.refused += 1
        log.error("an event %s cannot be told: %s", event.kind, exc, exc_info=exc)
        if event.kind == EventKind.EVENTS_LOST.value:  # no words are left for it
            self._note_emptied()
            return
        self._alone += 1
        self._waiting.add_first(self._lost_in_place_of(event))

    def _note_emptied(self) -> None:
        if not self._waiting:
            self._more.clear()
            self._empty.set()

    def _drop(self) -> None:
        """Drop the oldest that is not on its way. The one that says so takes its place, and its number."""
        first = self._waiting.pop()
        self._waiting.add_first(self._lost_in_place_of(self._waiting.pop(), first))

    def _lost_in_place_of(self, event: Event, *earlier: Event) -> Event:
        """What says that an event, and some before it, are lost."""
        told_id = event.id if number_of(event.id) else f"{event.id}-lost"
        lost = [each for each in (*earlier, event) if each.kind != EventKind.EVENTS_LOST.value]
        told = sum(each.facts["count"] for each in (*earlier, event) if each.kind == EventKind.EVENTS_LOST.value)
        self.counters.dropped += len(lost)
        facts = {"count": told + len(lost)}
        return replace(event, id=told_id, kind=EventKind.EVENTS_LOST.value, stream=None, facts=facts, trace=None)


class _Queue:
    """Events in their order, and what they are together."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._events: deque[tuple[Event, int]] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return (event for event, _ in self._events)

    def add(self, event: Event) -> None:
        size = size_bytes(event)
        self.size_bytes += size
        self._events.append((event, size))

    def add_first(self, event: Event) -> None:
        size = size_bytes(event)
        self.size_bytes += size
        self._events.appendleft((event, size))

    def pop(self) -> Event:
        """The first, which is in here no more."""
        event, size = self._events.popleft()
        self.size_bytes -= size
        return event


def _bounded(facts: Facts) -> Facts:
    """The facts with texts that can be told, cut until they are within `MAX_TEXTS_BYTES`. Who lists something bounds his list."""
    limit = MAX_TEXT_CHARS
    cut = _cut(facts, limit)
    while limit > LEAST_TEXT_CHARS and _is_long(cut):
        limit //= 2
        cut = _cut(cut, limit)
    return cut


def _cut(facts: Facts, limit: int) -> dict[str, object]:
    return {name: well_formed(value[:limit]) if isinstance(value, str) else value for name, value in facts.items()}


def _is_long(facts: Facts) -> bool:
    texts = {name: value for name, value in facts.items() if isinstance(value, str)}
    if sum(map(len, texts.values())) * JSON_BYTES < MAX_TEXTS_BYTES:  # as nearly always
        return False
    return len(json.dumps(texts, separators=(",", ":"), ensure_ascii=False).encode()) > MAX_TEXTS_BYTES
