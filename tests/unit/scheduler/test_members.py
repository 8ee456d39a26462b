from __future__ import annotations

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import HeldStream, Joined, NodeReport, Role
from services.scheduler.members import MAX_COMMANDS, Members, Session
from services.scheduler.waiters import Waiters

CAM, OTHER = StreamKey.of("live", "cam"), StreamKey.of("live", "other")


def report(name: str, *streams: StreamKey, incarnation: bytes = b"12345678") -> NodeReport:
    node = NodeAddress(NodeId(name, incarnation), "")
    return NodeReport(node=node, role=Role.EDGE, streams=tuple(HeldStream(stream=stream) for stream in streams))


def test_holders_follow_the_reports() -> None:
    members, session = Members(), Session(report("e1", CAM))
    assert members.open(session) is None
    assert members.holders(CAM) == [session]
    members.report(session, report("e1", OTHER))
    assert (members.holders(CAM), members.holders(OTHER)) == ([], [session])
    assert members.close(session)
    assert members.holders(OTHER) == []
    assert not members.close(session)


def test_the_newer_session_of_a_name_replaces_the_older() -> None:
    members, old = Members(), Session(report("e1", CAM))
    new = Session(report("e1", incarnation=b"another."))
    members.open(old)
    assert members.open(new) is old
    assert members.named("e1") is new
    assert (members.of(old.node), members.of(new.node)) == (None, new)
    members.report(old, report("e1", CAM, OTHER))
    assert members.holders(OTHER) == []


async def test_what_was_sent_before_the_end_still_comes() -> None:
    session = Session(report("e1"))
    session.send(Joined(1))
    session.end()
    session.send(Joined(2))
    assert [await session.next_command(), await session.next_command()] == [Joined(1), None]


async def test_a_node_that_takes_nothing_loses_its_stream() -> None:
    session = Session(report("e1"))
    for term in range(MAX_COMMANDS + 1):
        session.send(Joined(term))
    assert await session.next_command() is None


def test_only_so_many_wait() -> None:
    waiters = Waiters(limit=1)
    with waiters.waiting(CAM) as first, waiters.waiting(CAM) as second:
        assert second is None
        assert first is not None
        waiters.wake(OTHER)
        assert not first.is_set()
        waiters.wake(CAM)
        assert first.is_set()
    with waiters.waiting(CAM) as third:
        assert third is not None
