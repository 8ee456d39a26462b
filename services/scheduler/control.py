"""What a scheduler does for the users of the cluster rather than for its streams: sessions, events, relays, settings.

Each is a part of its own; this is where they hear of what happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.scheduler.changes import Change
from services.scheduler.members import Session


class ControlPart(Protocol):
    """A part. Everything but `run` must not block."""

    async def run(self) -> None:
        """A task for as long as the scheduler runs."""
        ...

    def handle(self, change: Change) -> None:
        """Something has changed in the view."""
        ...

    def joined(self, session: Session) -> None:
        """A node has joined this replica: tell it what it has to know."""
        ...

    def reported(self, session: Session) -> None:
        """A node that has joined this replica has reported."""
        ...


class Control:
    """All of them."""

    def __init__(self, parts: Sequence[ControlPart] = ()) -> None:
        """Hand on to `parts`."""
        self.parts: list[ControlPart] = list(parts)

    def handle(self, change: Change) -> None:
        """See `ControlPart.handle`."""
        for part in self.parts:
            part.handle(change)

    def joined(self, session: Session) -> None:
        """See `ControlPart.joined`."""
        for part in self.parts:
            part.joined(session)

    def reported(self, session: Session) -> None:
        """See `ControlPart.reported`."""
        for part in self.parts:
            part.reported(session)
