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
from lalmesh.media import Kind, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.addresses import host_of

MAX_ID_BYTES = 128  #: UTF-8 bytes of a session id: 64 random bytes in hexadecimal
MAX_PAGE = 1000  #: sessions of one page: some 500 KB
HLS_PROTOCOLS = ("hls", "https-hls")
FLV_SCHEMES = frozenset(("http", "https", "ws", "wss"))  #: of URLs that streams are fetched from as FLV


class SessionsUnavailable(Unavailable):
    """The directory did not answer in time; what was told may have been taken."""


class SessionRole(Enum):
    """What a session does."""

    PUBLISHER = "publisher"
    PLAYER = "player"
    RELAY_PULL = "relay_pull"  #: publishes here what it fetches
    RELAY_PUSH = "relay_push"  #: plays here what it sends on


class SessionKind(Enum):
    """What a session counts as: its role, and players of HLS apart."""

    PUBLISHER = "publisher"
    PLAYER = "player"
    HLS = "hls"
    RELAY_PULL = "relay_pull"
    RELAY_PUSH = "relay_push"


def kind_of(role: SessionRole, protocol: str) -> SessionKind:
    """What a session of this role and protocol counts as."""
    return SessionKind.HLS if role is SessionRole.PLAYER and protocol in HLS_PROTOCOLS else SessionKind(role.value)


def dialled_protocol(url: str) -> str:
    """What the protocol of a session is called that we have begun, at `url`."""
    scheme = url.partition("://")[0].lower()
    return f"{scheme}-flv" if scheme in FLV_SCHEMES else scheme


def codecs_of(tracks: TrackSet) -> tuple[str, ...]:
    """What pictures and sounds are coded with, each once, in their order."""
    return tuple(dict.fromkeys(track.codec.value for track in tracks.tracks if track.kind is not Kind.DATA))


@dataclass(slots=True, frozen=True, kw_only=True)
class SessionTouch:
    """A session was seen at a node."""

    id: str  #: 1 to `MAX_ID_BYTES` bytes; unique for its stream
    stream: StreamKey
    protocol: str = "hls"
    role: SessionRole = SessionRole.PLAYER
    peer: str = ""  #: address of the client as the node sees it, with its port where there is one
    sent_bytes: int = 0  #: since the last touch by this node, so what several nodes sent adds up; or see `is_total`
    received_bytes: int = 0  #: likewise
    is_total: bool = False  #: the bytes are since it was opened: this node is the only one that has it
    is_brief: bool = False  #: of what follows, down to the codecs, the directory keeps what it was told before
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
    role: SessionRole
    node: str  #: name of the node that saw it last
    peer: str
    sent_bytes: int  #: by all nodes, since it was opened
    received_bytes: int  #: likewise
    sent_bps: int  #: bits a second between the last two touches
    received_bps: int  #: likewise
    opened_us: int  #: Unix microseconds
    seen_us: int  #: Unix microseconds of the last touch
    url: str
    query: str
    user_agent: str
    codecs: tuple[str, ...]
    queued_bytes: int
    skips: int
    first_media_ms: int

    @property
    def address(self) -> str:
        """The client's, without its port."""
        return host_of(self.peer)

    @property
    def kind(self) -> SessionKind:
        """What it counts as."""
        return kind_of(self.role, self.protocol)


@dataclass(slots=True, frozen=True, kw_only=True)
class SessionFilter:
    """Which sessions are wanted: those of which all of it is true that is said."""

    stream: StreamKey | None = None
    nodes: frozenset[str] = frozenset()  #: at any of them; empty: wherever
    protocol: str = ""
    role: SessionRole | None = None
    address: str = ""  #: of the client, without a port

    def wants(self, session: Session) -> bool:
        """Whether it is one of them."""
        return (
            (self.stream is None or session.stream == self.stream)
            and (not self.nodes or session.node in self.nodes)
            and (not self.protocol or session.protocol == self.protocol)
            and (self.role is None or session.role is self.role)
            and (not self.address or session.address == self.address)
        )


ALL = SessionFilter()


@dataclass(slots=True, frozen=True, kw_only=True)
class SessionCounts:
    """How many sessions a stream has of each kind."""

    publishers: int = 0
    players: int = 0  #: on connections
    hls_players: int = 0
    relay_pulls: int = 0
    relay_pushes: int = 0


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

    async def count(self, streams: Sequence[StreamKey]) -> list[SessionCounts]:
        """The living sessions of each stream, in order."""
        ...

    async def find(self, session_id: str) -> list[Session]:
        """The sessions of an id: one, or none; several only where nodes made up the same for several streams."""
        ...

    async def page(self, wanted: SessionFilter = ALL, *, cursor: str = "", limit: int = MAX_PAGE) -> SessionPage:
        """At most `limit` of the sessions that are wanted. Sessions that come and go between two pages shift nothing.

        A page may hold fewer, even none, and still not be the last one: where few of many are wanted, a call looks at so many only.

        Args:
            wanted: which.
            cursor: of the page before; empty: from the first on.
            limit: 1 to `MAX_PAGE`.
        """
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
