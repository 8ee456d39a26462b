"""The directory of sessions: who publishes, watches and relays, cluster-wide (docs/design.md §5, What lives where).

A player of HLS asks any node for its next segment, so its session is no connection: it is an id that was seen not long ago. Those
that are connections are told of in the same way by the edges that have them, from time to time, and once they are over.
Nodes say whom they saw (`SchedulerClient.touch_sessions`); the directory forgets a session that nobody has seen for its time to
live. It is many and short-lived, so it lives in Redis, or in memory where one scheduler is all there is; what is lost with it
are figures, never a stream. `services.scheduler.sessions` holds the two implementations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey

MAX_ID_BYTES = 128  #: UTF-8 bytes of a session id: 64 random bytes in hexadecimal
MAX_PAGE = 1000  #: sessions of one page: some 200 KB


class SessionsUnavailable(Unavailable):
    """The directory did not answer in time; what was told may have been taken."""


class SessionRole(Enum):
    """What a session does."""

    PUBLISHER = "publisher"
    PLAYER = "player"
    RELAY_PULL = "relay_pull"  #: publishes here what it fetches
    RELAY_PUSH = "relay_push"  #: plays here what it sends on


@dataclass(slots=True, frozen=True, kw_only=True)
class SessionTouch:
    """A session was seen at a node."""

    id: str  #: 1 to `MAX_ID_BYTES` bytes; unique for its stream
    stream: StreamKey
    protocol: str = "hls"
    role: SessionRole = SessionRole.PLAYER
    peer: str = ""  #: address of the client as the node sees it, with its port where there is one
    sent_bytes: int = 0  #: since the last touch by this node: what several nodes sent adds up
    received_bytes: int = 0  #: likewise
    opened_us: int = 0  #: Unix microseconds; 0: at the first touch
    url: str = ""  #: what was asked for, without query
    query: str = ""  #: without secrets
    user_agent: str = ""
    codecs: tuple[str, ...] = ()  #: of what is published or played
    queued_bytes: int = 0  #: that wait for a player
    skips: int = 0  #: of a player that lagged, since it was opened
    first_media_ms: int = 0  #: from the request to the first media; 0: not yet
    over: bool = False  #: it has left: forget it


@dataclass(slots=True, frozen=True, kw_only=True)
class Session:
    """One session as the directory knows it."""

    id: str
    stream: StreamKey
    protocol: str
    node: str  #: name of the node that saw it last
    peer: str
    sent_bytes: int  #: by all nodes, since it was opened
    opened_us: int  #: Unix microseconds
    seen_us: int  #: Unix microseconds of the last touch


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
