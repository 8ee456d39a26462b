"""How both stores name and order sessions: by the stream's quoted name, a blank, and the id.

A quoted name holds no blank, and a blank comes before every character that it may hold, so the sessions of a stream stand together.
"""

from __future__ import annotations

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import MAX_PAGE


def member_of(stream: StreamKey, session_id: str) -> str:
    """The name of a session."""
    return f"{stream.quoted()} {session_id}"


def split_member(member: str) -> tuple[StreamKey, str]:
    """The stream and the id that a name is made of."""
    quoted, _, session_id = member.partition(" ")
    return StreamKey.from_quoted(quoted), session_id


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
