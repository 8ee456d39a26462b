"""One node of all that share a storage sweeps it."""

from __future__ import annotations

import asyncio

from support.hls_fakes import FakeStorage
from support.virtual_time import in_virtual_time

from services.hls.recording import SweepTurn

INTERVAL_S = 300.0
US = 1_000_000


class Shared:
    """Storage and a clock that nodes share."""

    def __init__(self) -> None:
        self.storage = FakeStorage()
        self.pass_s(1_700_000_000)

    def pass_s(self, seconds: float) -> None:
        self.storage.now_us += round(seconds * US)

    def node(self, ahead_s: float = 0) -> SweepTurn:
        return SweepTurn(self.storage, INTERVAL_S, lambda: self.storage.now_us / US + ahead_s)


@in_virtual_time
async def test_of_two_that_look_at_the_same_time_one_has_the_turn() -> None:
    shared = Shared()
    turns = await asyncio.gather(*(shared.node().take() for _ in range(3)))
    assert sorted(turns) == [False, False, True]


@in_virtual_time
async def test_it_stays_with_a_node_for_as_long_as_that_lives() -> None:
    shared = Shared()
    first, other = shared.node(), shared.node()
    assert await first.take()
    for _ in range(5):
        shared.pass_s(INTERVAL_S)
        assert not await other.take()
        assert await first.take()
        assert not await first.take()
    shared.pass_s(INTERVAL_S)
    assert not await other.take()
    shared.pass_s(INTERVAL_S)
    assert await other.take()
    assert not await first.take()


@in_virtual_time
async def test_a_clock_that_is_wrong_keeps_nobody_from_sweeping() -> None:
    shared = Shared()
    late = shared.node(ahead_s=-86_400)
    assert await late.take()
    shared.pass_s(INTERVAL_S)
    assert await late.take()
