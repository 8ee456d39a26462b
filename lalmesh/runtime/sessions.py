"""The directory of players whose sessions no socket holds: who watches, cluster-wide (docs/design.md §5, What lives where).

A player of HLS asks any node for its next segment, so its session is no connection: it is an id that was seen not long ago.
Nodes say whom they saw (`SchedulerClient.touch_sessions`); the directory forgets a session that nobody has seen for its time to
live. It is many and short-lived, so it lives in Redis, or in memory where one scheduler is all there is; what is lost with it
are figures, never a stream. `services.scheduler.sessions` holds the two implementations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey

MAX_ID_BYTES = 128  #: UTF-8 bytes of a session id: 64 random bytes in hexadecimal
MAX_PAGE = 1000  #: sessions of one page: some 200 KB


class SessionsUnavailable(Unavailable):
    """The directory did not answer in time; what was told may have been taken."""


@dataclass(slots=True, frozen=True, kw_only=True)
class SessionTouch:
    """A player was seen at a node."""

    id: str  #: 1 to `MAX_ID_BYTES` bytes; unique for its stream
    stream: StreamKey
    protocol: str = "hls"
    peer: str = ""  #: address of the player as the node sees it
    sent_bytes: int = 0  #: since the last touch by this node: what several nodes sent adds up
    over: bool = False  #: it has left: forget it


@dataclass(slots=True, frozen=True, kw_only=True)
class Session:
    """One player as the directory knows it."""

    id: str
    stream: StreamKey
    protocol: str
    node: str  #: name of the node that saw it last
    peer: str
    sent_bytes: int  #: by all nodes, since it was opened
    opened_us: int  #: Unix microseconds of the first touch
    seen_us: int  #: Unix microseconds of the last one


@dataclass(slots=True, frozen=True)
class SessionPage:
    """Sessions in the order of stream and id, from somewhere on."""

    sessions: tuple[Session, ...]
    cursor: str  #: what `SessionDirectory.page` goes on from; empty: there are no more


class SessionDirectory(Protocol):
    """What schedulers ask of the directory. Every call has the deadline that the implementation was built with.

    Raises (every method but `close`):
        SessionsUnavailable: no answer in time, or the server cannot be reached.
    """

    async def touch(self, node: str, sessions: Sequence[SessionTouch]) -> None:
        """`node` saw these players. Each lives on for the time to live; those that are over are forgotten."""
        ...

    async def remove(self, sessions: Sequence[tuple[StreamKey, str]]) -> None:
        """Forget sessions, each by its stream and id. No error where one is not known."""
        ...

    async def count(self, streams: Sequence[StreamKey]) -> list[int]:
        """The living sessions of each stream, in order."""
        ...

    async def page(self, *, stream: StreamKey | None = None, cursor: str = "", limit: int = MAX_PAGE) -> SessionPage:
        """At most `limit` sessions, of one stream or of all. Sessions that come and go between two pages shift nothing.

        Args:
            stream: whose; None: all.
            cursor: of the page before; empty: from the first on.
            limit: 1 to `MAX_PAGE`.
        """
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
