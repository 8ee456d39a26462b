"""How both stores name and order sessions: by the stream's quoted name, a blank, and the id.

A quoted name holds no blank, and a blank comes before every character that it may hold, so the sessions of a stream stand together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from lalmesh.names import StreamKey
from lalmesh.runtime.addresses import host_of
from lalmesh.runtime.sessions import (
    MAX_PAGE,
    Session,
    SessionCounts,
    SessionFilter,
    SessionKind,
    SessionRole,
    SessionTouch,
    kind_of,
)

CACHED = 1 << 14  #: names that are kept as they are quoted: each is told again and again
EVERYTHING = "*"  #: the key that every session is found by


@lru_cache(CACHED)
def _quoted(text: str) -> str:
    return quote(text, safe="")


def member_of(stream: StreamKey, session_id: str) -> str:
    """The name of a session."""
    return f"{stream.quoted()} {session_id}"


def split_member(member: str) -> tuple[StreamKey, str]:
    """The stream and the id that a name is made of."""
    quoted, _, session_id = member.partition(" ")
    return StreamKey.from_quoted(quoted), session_id


def keys_of(session: Session | SessionTouch, node: str) -> list[str]:
    """What a session is found by: everything; its id, node, address and protocol; and what it counts as. None holds a blank."""
    return [
        EVERYTHING,
        id_key(session.id),
        f"n{_quoted(node)}",
        f"a{_quoted(host_of(session.peer))}",
        f"p{_quoted(session.protocol)}",
        kind_key(kind_of(session.role, session.protocol)),
    ]


def kind_key(kind: SessionKind) -> str:
    """The key of what counts as `kind`."""
    return f"k{kind.value}"


def id_key(session_id: str) -> str:
    """The key of an id."""
    return f"i{session_id if session_id.isascii() and session_id.isalnum() else quote(session_id, safe='')}"


def key_for(wanted: SessionFilter) -> str:
    """The key that the fewest sessions are likely to be found by among which there are all that are wanted."""
    if wanted.address:
        return f"a{_quoted(wanted.address)}"
    if wanted.role is not None and wanted.role is not SessionRole.PLAYER:
        return kind_key(kind_of(wanted.role, wanted.protocol))
    if len(wanted.nodes) == 1:
        return f"n{_quoted(*wanted.nodes)}"
    return f"p{_quoted(wanted.protocol)}" if wanted.protocol else EVERYTHING


def first_of(stream: StreamKey) -> str:
    """Not after any session of the stream."""
    return member_of(stream, "")


def end_of(stream: StreamKey) -> str:
    """After every session of the stream, and before those of all later ones."""
    return f"{stream.quoted()}!"  # the character after the blank


def checked_limit(limit: int) -> int:
    """`limit`, which is the caller's bug where it is no page."""
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"page of {limit} sessions, not 1 to {MAX_PAGE}")
    return limit


def counted(counts: Mapping[SessionKind, int]) -> SessionCounts:
    """How many there are of each kind."""
    return SessionCounts(
        publishers=counts[SessionKind.PUBLISHER],
        players=counts[SessionKind.PLAYER],
        hls_players=counts[SessionKind.HLS],
        relay_pulls=counts[SessionKind.RELAY_PULL],
        relay_pushes=counts[SessionKind.RELAY_PUSH],
    )
