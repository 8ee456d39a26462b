from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.turned_clock import Clock

from lalmesh.runtime.registry import Absent, Changed, Delete, FollowEvent, LeaseLost, Listing, Operation, Put, Removed
from services.scheduler.registry import MemoryRegistry
from services.scheduler.registry._memory import MAX_LAG_EVENTS


@asynccontextmanager
async def following(registry: MemoryRegistry, prefix: str) -> AsyncIterator[AsyncIterator[FollowEvent]]:
    events = registry.follow(prefix)
    assert isinstance(events, AsyncGenerator)
    async with aclosing(events):
        yield events


async def test_an_empty_registry_is_at_revision_one_and_the_first_write_makes_two() -> None:
    registry = MemoryRegistry(Clock())
    assert await registry.list("") == Listing((), 1)
    assert (await registry.transact([Absent("a")], [Put("a", b"1")])).revision == 2


async def test_a_lease_ends_when_its_time_has_come_and_not_before() -> None:
    registry = MemoryRegistry(clock := Clock())
    lease_id = await registry.grant_lease(10)
    await registry.transact([], [Put("a", b"1", lease_id)])
    clock.now += 9.9
    assert (await registry.get("a"))[0] is not None
    clock.now += 0.1
    assert await registry.get("a") == (None, 3)


async def test_a_renewal_counts_from_now() -> None:
    registry = MemoryRegistry(clock := Clock())
    lease_id = await registry.grant_lease(10)
    clock.now += 9
    assert await registry.renew_lease(lease_id)
    clock.now += 9
    assert await registry.renew_lease(lease_id)
    clock.now += 10
    assert not await registry.renew_lease(lease_id)


async def test_a_put_under_a_lease_past_its_time_is_refused() -> None:
    registry = MemoryRegistry(clock := Clock())
    lease_id = await registry.grant_lease(10)
    clock.now += 10
    with pytest.raises(LeaseLost):
        await registry.transact([], [Put("a", b"1", lease_id)])


async def test_expire_tells_when_the_next_lease_ends() -> None:
    registry = MemoryRegistry(clock := Clock())
    assert registry.expire() is None
    await registry.grant_lease(20)
    await registry.grant_lease(10)
    assert registry.expire() == 110.0
    clock.now = 110.0
    assert registry.expire() == 120.0
    clock.now = 130.0
    assert registry.expire() is None


async def test_followers_hear_of_a_lease_that_expire_ended() -> None:
    registry = MemoryRegistry(clock := Clock())
    lease_id = await registry.grant_lease(10)
    await registry.transact([], [Put("b", b"", lease_id), Put("a", b"", lease_id), Put("c", b"")])
    async with following(registry, "") as events:
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        clock.now += 10
        registry.expire()
        assert [await waiting, await anext(events)] == [Removed("a", 3), Removed("b", 3)]


async def test_a_follower_too_far_behind_gets_a_new_listing() -> None:
    registry = MemoryRegistry(Clock())
    async with following(registry, "") as events:
        await anext(events)
        for _ in range(MAX_LAG_EVENTS + 2):
            last = await registry.transact([], [Put("a", b"")])
        assert await anext(events) == await registry.list("")
        await registry.transact([], [Delete("a")])
        assert await anext(events) == Removed("a", last.revision + 1)


async def test_a_follower_at_the_bound_still_gets_every_change() -> None:
    registry = MemoryRegistry(Clock())
    async with following(registry, "") as events:
        await anext(events)
        for _ in range(MAX_LAG_EVENTS):
            await registry.transact([], [Put("a", b"")])
        assert all([isinstance(await anext(events), Changed) for _ in range(MAX_LAG_EVENTS)])


async def test_followers_that_went_away_are_forgotten() -> None:
    registry = MemoryRegistry(Clock())
    async with following(registry, "") as events:
        await anext(events)
    assert not registry._followers


keys = st.sampled_from(["a", "b", "c"])
lease_numbers = st.integers(0, 2)
operations = st.one_of(st.builds(Put, keys, st.binary(max_size=2), lease_numbers), st.builds(Delete, keys))
steps = st.lists(st.lists(operations, max_size=3, unique_by=lambda operation: operation.key) | lease_numbers, max_size=12)


@given(steps)
async def test_the_changes_lead_from_the_first_listing_to_the_present(steps: list[list[Operation] | int]) -> None:
    registry = MemoryRegistry(Clock())
    for _ in range(2):
        await registry.grant_lease(10)
    async with following(registry, "") as events:
        await anext(events)
        for step in steps:
            if isinstance(step, int):
                await registry.revoke_lease(step)
            else:
                with suppress(LeaseLost):
                    await registry.transact([], step)
        await registry.transact([], [Put("end", b"")])
        told = {}
        while "end" not in told:
            match await anext(events):
                case Changed(entry):
                    told[entry.key] = entry
                case Removed(key):
                    del told[key]
        assert Listing(tuple(told[key] for key in sorted(told)), told["end"].mod_revision) == await registry.list("")
