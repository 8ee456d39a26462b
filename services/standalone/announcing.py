"""The event that says that a process has started: the first that a receiver of webhooks hears of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import lalmesh
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_outbox import EventOutbox


class HasOutbox(Protocol):
    """The events of a role."""

    @property
    def outbox(self) -> EventOutbox:
        """Where they go."""
        ...


class Teller(Protocol):
    """A role of this process."""

    @property
    def events(self) -> HasOutbox:
        """What it tells of."""
        ...


def announce(teller: Teller | None, role: str, ports: Mapping[str, int], started_us: int) -> None:
    """Have a role tell that the process listens on `ports`."""
    if teller is None:
        return
    facts = {"role": role, "version": lalmesh.__version__, "start_time_us": started_us, "ports": dict(ports)}
    teller.events.outbox.add(EventKind.SERVER_START, facts=facts)


def now_us() -> int:
    """Unix microseconds."""
    return time.time_ns() // 1000
