"""Frames of WebSockets as nobody but a flooder sends them, and what is taken apart of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from wsproto.connection import Connection
from wsproto.events import Event

READ_BYTES = 256 << 10  #: what a loop reads at most
EMPTY = {"ping": (0x89, 0x89), "binary": (0x82, 0x82), "fragment": (0x02, 0x00), "pong": (0x8A, 0x8A)}
"""Frames without payload, by kind: how the first of them begins, and how the others do."""


def empty_frames(kind: str, read_bytes: int) -> Iterator[bytes]:
    """`READ_BYTES` of frames without payload, of a kind of `EMPTY`, as a server reads them, `read_bytes` at a time."""
    first, other = (bytes((head, 0x80, 0, 0, 0, 0)) for head in EMPTY[kind])
    wire = first + other * (READ_BYTES // len(other))
    return (wire[at : at + read_bytes] for at in range(0, len(wire), read_bytes))


def count_frames(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What connections take apart from now on; it grows."""
    taken: list[Event] = []
    events = Connection.events

    def counting(self: Connection) -> Iterator[Event]:
        for event in events(self):
            taken.append(event)
            yield event

    monkeypatch.setattr(Connection, "events", counting)
    return taken
