"""Kicks: how long a replica keeps them for nodes that join."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.registry import RegistryUnavailable
from lalmesh.runtime.scheduling.control import KickSessions
from lalmesh.runtime.scheduling.model import Role
from lalmesh.runtime.sessions import SessionRole, SessionTouch
from services.scheduler.kicks import LEASE_S, Kicks
from services.scheduler.members import Members
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.registry import MemoryRegistry
from services.scheduler.sessions import MemorySessions

CAM = StreamKey.of("live", "cam")


class FakeMember:
    def __init__(self, name: str) -> None:
        self.node = SimpleNamespace(name=name)
        self.report = SimpleNamespace(role=Role.EDGE)
        self.told: list[KickSessions] = []

    def send(self, command: KickSessions) -> None:
        self.told.append(command)


class FakeMembers(list[FakeMember]):
    def named(self, name: str) -> FakeMember | None:
        return next((each for each in self if each.node.name == name), None)


class Away(MemoryRegistry):
    """A registry that takes nothing."""

    async def grant_lease(self, ttl_s: int) -> int:
        raise RegistryUnavailable("the registry is away", retry_after_s=1)


def make(members: Iterable[FakeMember], registry: Callable[[Callable[[], float]], MemoryRegistry] = MemoryRegistry) -> Any:
    clock = SimpleNamespace(now=0.0)
    made = registry(lambda: clock.now)
    kicks = Kicks(made, cast(Members, FakeMembers(members)), MemorySessions(), SchedulerMetrics())
    return SimpleNamespace(kicks=kicks, registry=made, clock=clock)


async def seen(made: Any, node: str, session_id: str) -> None:
    touch = SessionTouch(id=session_id, stream=CAM, protocol="rtmp", role=SessionRole.PLAYER, peer="192.0.2.1:5")
    await made.kicks._sessions.touch(node, [touch])


async def follow(made: Any) -> None:
    """Have what the registry has to tell told."""
    following = asyncio.create_task(made.kicks.run())
    for _ in range(5):
        await asyncio.sleep(0)
    following.cancel()


async def test_a_kick_whose_nodes_are_all_here_ends_with_its_lease_like_others() -> None:
    made = make([edge := FakeMember("e1")])
    await seen(made, "e1", "a")
    await made.kicks.kick("a", "enough")
    assert edge.told == [KickSessions(("a",), "enough")]
    made.kicks.joined(cast(Any, again := FakeMember("e1")))
    assert again.told == edge.told
    made.clock.now = LEASE_S + 1
    made.registry.expire()
    await follow(made)
    made.kicks.joined(cast(Any, late := FakeMember("e1")))
    assert late.told == []


@pytest.mark.parametrize("node", ["e1", "elsewhere"])
async def test_a_kick_that_the_registry_does_not_take_is_kept_for_nobody(node: str) -> None:
    made = make([edge := FakeMember("e1")], Away)
    await seen(made, "e1", "a")
    await seen(made, node, "b")
    if node == "e1":  # all who have to hear of it have
        await made.kicks.kick("b", "enough")
        assert edge.told == [KickSessions(("b",), "enough")]
    else:
        with pytest.raises(Unavailable):
            await made.kicks.kick("b", "enough")
    made.kicks.joined(cast(Any, late := FakeMember(node)))
    assert late.told == []
