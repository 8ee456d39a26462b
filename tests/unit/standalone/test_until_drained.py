"""How long a node drains, by whoever tells it to end."""

from __future__ import annotations

import asyncio

from support.virtual_time import in_virtual_time, settle

from services.standalone.draining import until_drained

DRAIN_S = 20.0


class Node:
    """Notes each drain that begins; each takes `takes_s`, or its limit where that is less."""

    def __init__(self, *, takes_s: float = 1000.0, drain_s: float = DRAIN_S) -> None:
        loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[str] = loop.create_future()
        self.drain_asked: asyncio.Future[float] = loop.create_future()
        self.drain_s = drain_s
        self.limits = list[float]()
        self._takes_s = takes_s

    async def drain(self, limit_s: float) -> None:
        self.limits.append(limit_s)
        await asyncio.sleep(min(self._takes_s, limit_s))


class Ending:
    """A node that waits for its end, and for how long it has."""

    def __init__(self, node: Node) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.stop = asyncio.Event()
        self._task = asyncio.ensure_future(until_drained(node, self.stop))

    async def after_s(self) -> float:
        await self._task
        return round(self._loop.time() - self._began, 3)


@in_virtual_time
async def test_a_signal_lets_a_node_drain_as_it_is_configured() -> None:
    ending = Ending(node := Node())
    ending.stop.set()
    assert (await ending.after_s(), node.limits) == (DRAIN_S, [DRAIN_S])


@in_virtual_time
async def test_a_scheduler_lets_a_node_drain_for_as_long_as_it_says_or_as_is_configured() -> None:
    for asked_s, takes_s in ((100.0, 100.0), (0.0, DRAIN_S)):
        ending = Ending(node := Node())
        node.drain_asked.set_result(asked_s)
        assert (await ending.after_s(), node.limits) == (takes_s, [takes_s])


@in_virtual_time
async def test_a_signal_cuts_a_drain_short_that_the_scheduler_asked_for() -> None:
    ending = Ending(node := Node())
    node.drain_asked.set_result(100.0)
    await asyncio.sleep(30.0)
    ending.stop.set()
    assert (await ending.after_s(), node.limits) == (30.0 + DRAIN_S, [100.0, DRAIN_S])


@in_virtual_time
async def test_a_signal_never_lets_a_node_drain_for_longer_than_it_was_told() -> None:
    ending = Ending(node := Node())
    node.drain_asked.set_result(10.0)
    await asyncio.sleep(7.0)
    ending.stop.set()
    assert (await ending.after_s(), node.limits) == (10.0, [10.0, 3.0])


@in_virtual_time
async def test_a_signal_ends_a_drain_at_once_where_nothing_is_waited_for() -> None:
    ending = Ending(node := Node(drain_s=0.0))
    node.drain_asked.set_result(100.0)
    await asyncio.sleep(7.0)
    ending.stop.set()
    assert await ending.after_s() == 7.0


@in_virtual_time
async def test_it_is_over_when_everything_has_gone() -> None:
    by_scheduler, by_signal = Ending(node := Node(takes_s=2.0)), Ending(Node(takes_s=2.0))
    node.drain_asked.set_result(0.0)
    by_signal.stop.set()
    assert (await by_scheduler.after_s(), await by_signal.after_s()) == (2.0, 2.0)


@in_virtual_time
async def test_a_node_that_cannot_go_on_drains_no_further() -> None:
    ending = Ending(node := Node())
    node.failed.set_result("evicted")
    assert (await ending.after_s(), node.limits) == (0.0, [])
    ending = Ending(node := Node())
    node.drain_asked.set_result(0.0)
    await asyncio.sleep(5.0)
    node.failed.set_result("evicted")
    assert await ending.after_s() == 5.0
    await settle()
    assert node.limits == [DRAIN_S]
