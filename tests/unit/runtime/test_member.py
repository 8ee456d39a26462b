"""What a node says of itself, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

from support.virtual_time import in_virtual_time, settle

from lalmesh.runtime.member import Member, MemberSettings
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling import Drain, Endpoint, Joined, Load, NodeCommand, NodeReport, Role, SchedulerClient

OTHER = Endpoint("rtmp", "other", 1935)


class Scheduler:
    """Answers every report, and has the node drain if it is to."""

    def __init__(self, *commands: NodeCommand) -> None:
        self.commands = commands
        self.reports: list[NodeReport] = []

    async def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        async for report in reports:
            self.reports.append(report)
            yield Joined(7, elsewhere=(OTHER,) if report.draining else ())
            for command in self.commands:
                yield command


def member_of(scheduler: Scheduler, told: list[NodeCommand]) -> Member:
    made = Member(
        NodeId("e1", b"12345678"),
        Role.EDGE,
        MemberSettings(),
        cast(SchedulerClient, scheduler),
        lambda: made.report(Load(), ()),
        told.append,
        machine_address=lambda: "here",
        evicted=lambda _: None,
    )
    return made


@in_virtual_time
async def test_a_drain_that_the_scheduler_asks_for_goes_to_the_node_and_not_to_its_role() -> None:
    told, asked = list[NodeCommand](), list[Drain]()
    member = member_of(Scheduler(Drain(5.0)), told)
    member.drain_asked = asked.append
    running = asyncio.create_task(member.run())
    await settle()
    running.cancel()
    assert (asked, told) == ([Drain(5.0)], [])


@in_virtual_time
async def test_a_node_that_drains_says_so_at_once_and_hears_where_others_are() -> None:
    scheduler = Scheduler()
    member = member_of(scheduler, [])
    running = asyncio.create_task(member.run())
    await settle()
    assert ([report.draining for report in scheduler.reports], member.elsewhere) == ([False], ())
    member.begin_drain()
    await settle()
    assert ([report.draining for report in scheduler.reports], member.elsewhere) == ([False, True], (OTHER,))
    running.cancel()
