from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from support.virtual_time import in_virtual_time

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId
from lalmesh.runtime.scheduling import Evicted, HlsEndpoint, Joined, Membership, NodeCommand, NodeReport, Role, StreamFenced
from lalmesh.runtime.scheduling._membership import MAX_PAUSE_S

ME = NodeAddress(NodeId("n1", b"12345678"), "n1:1")
FENCED = StreamFenced(StreamKey.of("live", "cam"), Epoch(1, 2))
SOON_S = 5.0


class Scheduler:
    """Answers every report; `scripts` say what each stream sends after its first answer, and how it ends."""

    def __init__(self, *scripts: list[NodeCommand | Exception | None]) -> None:
        self.scripts = list(scripts)
        self.reports: list[NodeReport] = []
        self.streams = 0

    async def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        self.streams += 1
        script = self.scripts.pop(0) if self.scripts else []
        async for report in reports:
            self.reports.append(report)
            if report.leaving:
                return
            yield Joined(7)
            for step in script:
                if step is None:
                    return
                if isinstance(step, Exception):
                    raise step
                yield step


class Node:
    def __init__(self, scheduler: Scheduler, *, interval_s: float = 0.01, silence_s: float = SOON_S) -> None:
        self.told: list[NodeCommand] = []
        self.membership = Membership(
            scheduler.join,
            lambda: NodeReport(node=ME, role=Role.EDGE),
            self.told.append,
            interval_s=interval_s,
            silence_s=silence_s,
            rng=random.Random(1),
        )


async def run(node: Node) -> None:
    async with asyncio.timeout(SOON_S):
        await node.membership.run()


async def test_it_reports_and_reports_again() -> None:
    scheduler = Scheduler()
    node = Node(scheduler)
    running = asyncio.create_task(run(node))
    async with asyncio.timeout(SOON_S):
        await node.membership.joined.wait()
        assert node.membership.term == 7
        assert await node.membership.leave()
        await running
    assert [report.leaving for report in scheduler.reports] == [False] * (len(scheduler.reports) - 1) + [True]
    assert not node.membership.joined.is_set()


async def test_it_knows_the_hls_nodes_that_were_named_last() -> None:
    where = (HlsEndpoint("h1", "10.0.0.1", 8081),)
    node = Node(Scheduler([Joined(8, where), Evicted("over")]))
    await run(node)
    assert (node.membership.term, node.membership.hls) == (8, where)
    assert node.told == [Evicted("over")]


async def test_commands_are_handed_on_and_an_eviction_is_the_end() -> None:
    scheduler = Scheduler([FENCED, Evicted("replaced")])
    node = Node(scheduler)
    await run(node)
    assert node.told == [FENCED, Evicted("replaced")]
    assert node.membership.evicted == "replaced"
    assert scheduler.streams == 1


@pytest.mark.parametrize("end", [None, Unavailable("gone", retry_after_s=1)], ids=["ends", "breaks"])
@in_virtual_time
async def test_it_joins_again_when_a_stream_is_over(end: Exception | None) -> None:
    scheduler = Scheduler([end], [end], [Evicted("enough")])
    await run(Node(scheduler))
    assert scheduler.streams == 3


@in_virtual_time
async def test_silence_breaks_the_stream() -> None:
    class Silent(Scheduler):
        async def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
            self.streams += 1
            await anext(reports)
            if self.streams == 3:
                yield Evicted("enough")
            await asyncio.Event().wait()

    scheduler = Silent()
    await run(Node(scheduler, silence_s=0.02))
    assert scheduler.streams == 3


@in_virtual_time
async def test_what_was_waited_for_a_silent_scheduler_is_a_part_of_the_pause() -> None:
    class Silent(Scheduler):
        async def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
            self.streams += 1
            await anext(reports)
            await asyncio.Event().wait()
            yield FENCED

    scheduler = Silent()
    running = asyncio.create_task(Node(scheduler, silence_s=MAX_PAUSE_S * 2).membership.run())
    await asyncio.sleep(MAX_PAUSE_S * 2 * 10 - 0.1)
    assert scheduler.streams == 10
    running.cancel()


async def test_who_has_not_joined_leaves_without_a_word() -> None:
    scheduler = Scheduler()
    node = Node(scheduler)
    assert not await node.membership.leave()
    await run(node)
    assert scheduler.streams == 0


async def test_a_report_can_be_sent_at_once() -> None:
    scheduler = Scheduler()
    node = Node(scheduler, interval_s=1000)
    running = asyncio.create_task(run(node))
    async with asyncio.timeout(SOON_S):
        await node.membership.joined.wait()
        await asyncio.sleep(0)
        node.membership.report_now()
        await asyncio.sleep(0)
        assert await node.membership.leave()
        await running
    assert len(scheduler.reports) >= 2


async def test_a_report_that_fails_is_replaced_by_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, made = Scheduler(), [NodeReport(node=ME, role=Role.EDGE, version="1")]
    node = Node(scheduler)
    node.membership = Membership(scheduler.join, made.pop, node.told.append, interval_s=1000, rng=random.Random(1))
    running = asyncio.create_task(run(node))
    async with asyncio.timeout(SOON_S):
        await node.membership.joined.wait()
        assert await node.membership.leave()
        await running
    assert [report.version for report in scheduler.reports] == ["1", "1"]
    assert "no report could be made" in caplog.text
