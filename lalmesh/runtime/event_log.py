"""The log of events that all schedulers of a cluster share: what `services.scheduler.events` holds two implementations of.

Events of one stream stand in one of `SHARDS` shards, those about no stream in that of their node, each in the order in which they
were told. All positions of the log are in one order, so that one of them says how far somebody has read in any number of shards.

The log also knows which sessions the events that it took speak of: so an event can say whether anybody publishes or plays the
stream after it, in the whole cluster, and the first and the last player of a stream are events of their own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.events import Event

SHARDS = 16
BEGINNING = "0-0"  #: the position before every event


class EventsUnavailable(Unavailable):
    """The log did not answer in time; what was to be kept may have been."""


def shard_of(stream: StreamKey | None, node: str) -> int:
    """Where events of `stream`, or those of `node` about none, stand."""
    return zlib.crc32((stream.quoted() if stream is not None else node).encode()) % SHARDS


@dataclass(slots=True, frozen=True)
class LoggedEvent:
    """An event in the log."""

    position: str  #: ``ms-n``: Unix milliseconds, and a number that rises by one; see `position_key`
    shard: int
    count: int  #: of the shard, from 1 without a hole: who sees one has missed what was trimmed
    event: Event


@dataclass(slots=True, frozen=True)
class EventPage:
    """Events in the order of their positions."""

    events: tuple[LoggedEvent, ...]
    position: str  #: up to which nothing was left out
    more: bool = False  #: whether there are more already


@dataclass(slots=True, frozen=True)
class EventCursor:
    """How far a receiver has read in a shard."""

    position: str
    count: int  #: of the last event that it has, or that was told before it began; 0: there was none


@dataclass(slots=True, frozen=True, kw_only=True)
class DeadLetter:
    """An event that a receiver did not take, however often it was tried."""

    id: str  #: of the letter; the log gives it
    receiver: str
    at_us: int  #: Unix microseconds at which it was given up
    attempts: int
    error: str  #: of the last attempt
    event: Event


@dataclass(slots=True, frozen=True, kw_only=True)
class EventBounds:
    """How much the log holds."""

    shard_events: int = 10_000  #: of a shard at most; of more the oldest go, read or not. In all 160,000, some 100 MB of Redis
    #: that those are at most together, as JSON, but for the newest: 512 MB of all shards, where texts of clients make an event 8 KB
    #: rather than 700 bytes. An update of 10,000 streams, which stands in one shard, is 17 MB.
    shard_bytes: int = 32 << 20
    letters: int = 10_000  #: dead letters; of more the oldest go


class EventLog(Protocol):
    """What schedulers ask of the log. Every call has the deadline that the implementation was built with.

    Raises (every method but `close`):
        EventsUnavailable: no answer in time, or the server cannot be reached.
    """

    is_shared: bool  #: whether other schedulers see the same log
    dropped: int  #: events that went, read or not, because what was appended here took a shard over its bounds; only rises

    def take(self, bounds: EventBounds) -> None:
        """Go by these from now on: what is over them goes when the next event comes."""
        ...

    async def append(self, events: Sequence[Event]) -> None:
        """Keep events, in order. Those that are there already, by their ids, are kept once (see `lalmesh.runtime.events`)."""
        ...

    async def read(self, shards: Sequence[int], after: str, limit: int) -> EventPage:
        """At most `limit` events of some shards behind a position."""
        ...

    async def wait(self, after: str, wait_s: float) -> str:
        """The position of the newest event of all shards, once it is behind `after`, or when `wait_s` have passed."""
        ...

    async def cursor(self, shard: int, receiver: str, since_ms: int) -> EventCursor:
        """How far a receiver has come; one that is new begins with what is told from `since_ms` (Unix milliseconds) on."""
        ...

    async def commit(self, shard: int, receiver: str, cursor: EventCursor) -> None:
        """It has come as far as that; never back."""
        ...

    async def trim(self, shard: int, receivers: Sequence[str], keep: int) -> int:
        """Forget what all `receivers` have, but the last `keep`; gives how many events the shard holds."""
        ...

    async def counts(self) -> list[int]:
        """The number of the last event of each shard, 0 where there was none."""
        ...

    async def incarnations(self) -> set[str]:
        """Nodes, by incarnation in hexadecimal, that have told of sessions which are not over."""
        ...

    async def forget_node(self, incarnation: str) -> int:
        """A node has gone: its sessions are over, and events say so; gives how many there were."""
        ...

    async def bury(self, letter: DeadLetter) -> None:
        """Keep what cannot be delivered; the log names it. Over its bound the oldest goes."""
        ...

    async def letters(self, after: str, limit: int) -> list[DeadLetter]:
        """Dead letters, the oldest first, behind one (empty: from the first on)."""
        ...

    async def letter(self, letter_id: str) -> DeadLetter | None:
        """One of them."""
        ...

    async def forget_letter(self, letter_id: str) -> bool:
        """It is not wanted any more; whether it was there."""
        ...

    async def count_letters(self) -> int:
        """How many there are."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


def position_key(position: str) -> tuple[int, int]:
    """What positions are compared by.

    Raises:
        ValueError: it is none.
    """
    ms, _, number = position.partition("-")
    return int(ms), int(number)
