"""What a node tells again that was taken for dead while it lived."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.node_events import AGAIN_AFTER, AGAIN_AT_ONCE, NodeEvents
from lalmesh.runtime.ownership import NodeAddress, NodeId


class Events(NodeEvents):
    """Of a node with some sessions."""

    def __init__(self, sessions: int) -> None:
        self.member = SimpleNamespace(address=NodeAddress(NodeId("e1", b"1" * 8), ""), lease=0)
        super().__init__(cast(Any, None), cast(Any, self.member))
        self.sessions = sessions
        self.told = 0

    def _sessions_again(self) -> Iterable[Callable[[], None]]:
        return [self._tell_one] * self.sessions

    def _tell_one(self) -> None:
        self.told += 1

    def sweeps(self, count: int, *, lease: int) -> int:
        """What was told by so many."""
        before, self.member.lease = self.told, lease
        for _ in range(count):
            self.sweep()
        return self.told - before


def test_sessions_are_told_of_once_again_under_each_other_lease() -> None:
    events = Events(3)
    assert events.sweeps(20, lease=0) == 0
    assert events.sweeps(20, lease=7) == 0
    assert events.sweeps(AGAIN_AFTER, lease=8) == 0
    assert events.sweeps(20, lease=8) == 3
    assert events.sweeps(20, lease=9) == 3


def test_many_are_told_of_little_by_little_and_news_come_first() -> None:
    events = Events(2 * AGAIN_AT_ONCE + 1)
    events.sweeps(1, lease=7)
    assert events.sweeps(AGAIN_AFTER + 1, lease=8) == AGAIN_AT_ONCE
    for _ in range(AGAIN_AT_ONCE):
        events.outbox.add(EventKind.RECORDING_DONE)
    assert events.sweeps(5, lease=8) == 0
    while events.outbox._waiting:
        events.outbox._waiting.pop()
    assert events.sweeps(2, lease=8) == AGAIN_AT_ONCE + 1
