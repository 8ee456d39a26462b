"""Kicks: how long a replica keeps them for nodes that join, and of which sessions nodes are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.registry import Put, RegistryUnavailable
from lalmesh.runtime.scheduling.command_wire import parse_command, serialize_command
from lalmesh.runtime.scheduling.control import KickSessions
from lalmesh.runtime.scheduling.model import Role
from lalmesh.runtime.sessions import MAX_ID_BYTES, Session, SessionRole, SessionsUnavailable, SessionTouch
from services.scheduler.kicks import KICKS, LEASE_S, Kick, Kicks, serialize_kick_record
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


class Mute(MemorySessions):
    """A directory that cannot be asked."""

    async def find(self, session_id: str) -> list[Session]:
        raise SessionsUnavailable("redis is away", retry_after_s=1)


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


@given(session_id=st.text(max_size=200) | st.text("é", min_size=60, max_size=70), reason=st.text(max_size=2000))
async def test_whatever_is_kicked_while_nobody_can_tell_whose_it_is_nodes_can_read(session_id: str, reason: str) -> None:
    made = make([edge := FakeMember("e1")])
    made.kicks._sessions = Mute()
    await made.kicks.kick(session_id, reason)
    for command in edge.told:
        read = parse_command(serialize_command(command))
        assert isinstance(read, KickSessions)
        assert read.session_ids == (session_id,)


@pytest.mark.parametrize("session_id", ["", "a\0b", "a\nb", "x" * (MAX_ID_BYTES + 1), "é" * MAX_ID_BYTES, "\ud800"])
async def test_nobody_is_told_of_what_can_be_no_session(session_id: str) -> None:
    made = make([edge := FakeMember("e1")])
    made.kicks._sessions = Mute()
    assert await made.kicks.kick(session_id, "enough") == []
    assert edge.told == []


async def test_what_can_be_no_session_is_left_out_of_a_kick_that_a_replica_of_before_wrote_down() -> None:
    made = make([edge := FakeMember("e1")])
    kick = Kick(reason="enough", nodes={"e1": ["x" * 129, "a"]}, everywhere=["b", "c\0"])
    await made.registry.transact([], [Put(f"{KICKS}1", serialize_kick_record(kick))])
    await follow(made)
    assert edge.told == [KickSessions(("a", "b"), "enough")]
