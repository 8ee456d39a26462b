"""Reports that are compared once there is time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from support.reporting import settle

from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling import NodeReport, Role
from services.scheduler.comparisons import Comparisons
from services.scheduler.members import Members, Session


def session(name: str) -> Session:
    return Session(NodeReport(node=NodeAddress(NodeId(name, b"12345678"), f"{name}:1"), role=Role.EDGE))


@asynccontextmanager
async def running(members: Members, compare: Callable[[Session, bool], None]) -> AsyncIterator[Comparisons]:
    made = Comparisons(members, compare)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_of_many_reports_of_a_node_the_newest_is_compared_and_the_first_one_as_of_one_that_has_joined() -> None:
    members, one, other = Members(), session("e1"), session("e2")
    members.open(one)
    members.open(other)
    compared: list[tuple[str, bool]] = []
    async with running(members, lambda each, has_joined: compared.append((each.node.name, has_joined))) as comparisons:
        for each in (one, other, one, one):
            comparisons.ask(each)
        await settle()
        comparisons.ask(one)
        await settle()
    assert compared == [("e1", True), ("e2", True), ("e1", False)]


async def test_who_is_no_member_is_not_compared() -> None:
    compared: list[Session] = []
    async with running(Members(), lambda each, _: compared.append(each)) as comparisons:
        comparisons.ask(session("e1"))
        await settle()
    assert compared == []


async def test_whatever_is_waiting_to_be_answered_has_its_turn_between_two_comparisons() -> None:
    members, order = Members(), list[str]()
    many = [session(f"e{number}") for number in range(3)]
    for each in many:
        members.open(each)

    async def answer() -> None:
        while len(order) < 6:
            order.append("answer")
            await asyncio.sleep(0)

    async with running(members, lambda each, _: order.append("comparison")) as comparisons:
        for each in many:
            comparisons.ask(each)
        await answer()
    assert "comparison comparison" not in " ".join(order)


async def test_one_that_cannot_be_compared_does_not_keep_others_from_it() -> None:
    members, compared = Members(), list[str]()
    broken, whole = session("e1"), session("e2")
    members.open(broken)
    members.open(whole)

    def compare(each: Session, has_joined: bool) -> None:
        if each is broken:
            raise ValueError("a bug")
        compared.append(each.node.name)

    async with running(members, compare) as comparisons:
        comparisons.ask(broken)
        comparisons.ask(whole)
        await settle()
    assert compared == ["e2"]
