"""What every registry owes its callers: the same tests for the one in memory and for etcd."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from support.etcd import EtcdServer

from lalmesh.errors import LocalProtocolError
from lalmesh.runtime.registry import (
    Absent,
    Changed,
    Compare,
    Delete,
    FollowEvent,
    LeaseLost,
    Listing,
    Operation,
    Put,
    Registry,
    RegistryUnavailable,
    Removed,
    Unchanged,
)
from services.scheduler.registry import MAX_OPERATIONS, EtcdRegistry, EtcdSettings, MemoryRegistry

LIMIT_S = 30.0
TTL_S = 1

prefixes = (f"/contract-{number}/" for number in itertools.count())


async def memory() -> AsyncIterator[Registry]:
    registry = MemoryRegistry(time.monotonic)
    clock = asyncio.create_task(registry.keep_time())
    yield registry
    await registry.close()
    clock.cancel()


async def etcd(server: EtcdServer) -> AsyncIterator[Registry]:
    registry = EtcdRegistry(EtcdSettings(endpoints=(server.endpoint,), prefix=next(prefixes)))
    yield registry
    await registry.close()


@pytest.fixture(params=["memory", "etcd"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    made = memory() if request.param == "memory" else etcd(request.getfixturevalue("etcd_server"))
    async for one in made:
        yield one


@asynccontextmanager
async def following(registry: Registry, prefix: str) -> AsyncIterator[AsyncIterator[FollowEvent]]:
    events = registry.follow(prefix)
    assert isinstance(events, AsyncGenerator)
    async with aclosing(events):
        yield events


async def take(events: AsyncIterator[FollowEvent], count: int) -> list[FollowEvent]:
    async with asyncio.timeout(LIMIT_S):
        return [await anext(events) for _ in range(count)]


async def put(registry: Registry, key: str, value: bytes, lease_id: int = 0) -> int:
    return (await registry.transact([], [Put(key, value, lease_id)])).revision


async def test_a_key_that_was_never_written_is_none(registry: Registry) -> None:
    entry, revision = await registry.get("claims/live/cam")
    assert entry is None
    assert revision >= 1


async def test_a_put_can_be_read_with_its_revisions(registry: Registry) -> None:
    revision = await put(registry, "a", b"one")
    entry, now = await registry.get("a")
    assert entry is not None
    assert (entry.key, entry.value, entry.lease_id) == ("a", b"one", 0)
    assert entry.create_revision == entry.mod_revision == revision == now


async def test_every_transaction_that_writes_raises_the_revision_by_one(registry: Registry) -> None:
    first = await put(registry, "a", b"1")
    second = (await registry.transact([], [Put("b", b"2"), Put("c", b"3"), Delete("a")])).revision
    assert second == first + 1
    assert {entry.mod_revision for entry in (await registry.list("")).entries} == {second}


async def test_a_transaction_that_changes_nothing_leaves_the_revision(registry: Registry) -> None:
    first = await put(registry, "a", b"1")
    result = await registry.transact([Absent("b")], [Delete("b")])
    assert result.succeeded
    assert result.revision == first
    assert (await registry.transact([], [])).revision == first


async def test_a_put_over_a_key_keeps_its_create_revision(registry: Registry) -> None:
    first = await put(registry, "a", b"1")
    second = await put(registry, "a", b"1")
    entry, _ = await registry.get("a")
    assert entry is not None
    assert (entry.create_revision, entry.mod_revision) == (first, second)


async def test_a_key_that_comes_back_is_created_anew(registry: Registry) -> None:
    await put(registry, "a", b"1")
    await registry.transact([], [Delete("a")])
    third = await put(registry, "a", b"2")
    entry, _ = await registry.get("a")
    assert entry is not None
    assert entry.create_revision == third


async def test_absent_holds_once(registry: Registry) -> None:
    assert (await registry.transact([Absent("a")], [Put("a", b"mine")])).succeeded
    refused = await registry.transact([Absent("a")], [Put("a", b"yours")])
    assert not refused.succeeded
    found = refused.found["a"]
    assert found is not None
    assert found.value == b"mine"


async def test_unchanged_holds_until_somebody_writes(registry: Registry) -> None:
    read = await put(registry, "a", b"1")
    assert (await registry.transact([Unchanged("a", read)], [Put("a", b"2")])).succeeded
    assert not (await registry.transact([Unchanged("a", read)], [Put("a", b"3")])).succeeded
    assert not (await registry.transact([Unchanged("b", read)], [Put("a", b"4")])).succeeded


async def test_unchanged_at_zero_is_absent(registry: Registry) -> None:
    assert (await registry.transact([Unchanged("a", 0)], [Put("a", b"")])).succeeded
    assert not (await registry.transact([Unchanged("a", 0)], [Put("a", b"")])).succeeded


async def test_a_failed_transaction_writes_nothing_and_tells_what_it_compared(registry: Registry) -> None:
    revision = await put(registry, "a", b"1")
    compares: list[Compare] = [Unchanged("a", revision), Absent("b"), Absent("a")]
    result = await registry.transact(compares, [Put("b", b"2"), Delete("a")])
    entry, now = await registry.get("a")
    assert result.found == {"a": entry, "b": None}
    assert result.revision == now == revision
    assert (await registry.transact([Unchanged("a", revision)], [])).found == {}


@pytest.mark.parametrize("again", [Put("a", b"2"), Delete("a")])
async def test_a_key_in_two_operations_is_refused(registry: Registry, again: Operation) -> None:
    with pytest.raises(LocalProtocolError, match="'a' stands in two operations"):
        await registry.transact([], [Put("a", b"1"), again])


async def test_a_transaction_may_be_as_large_as_etcd_allows(registry: Registry) -> None:
    operations = [Put(f"{number}", b"") for number in range(MAX_OPERATIONS)]
    assert (await registry.transact([Absent(op.key) for op in operations], operations)).succeeded
    with pytest.raises(LocalProtocolError, match="limit 128"):
        await registry.transact([], [*operations, Put("one more", b"")])


async def test_a_listing_holds_the_prefix_sorted(registry: Registry) -> None:
    for key in ("claims/live/b", "claimsx", "claims/live/a", "claim", "groups/live/a", "claims/é"):
        await put(registry, key, key.encode())
    listing = await registry.list("claims/")
    assert [entry.key for entry in listing.entries] == ["claims/live/a", "claims/live/b", "claims/é"]
    assert listing.revision == (await registry.get("claim"))[1]


async def test_a_listing_may_be_long(registry: Registry) -> None:
    keys = [f"claims/{number:05}" for number in range(2500)]
    for start in range(0, len(keys), MAX_OPERATIONS):
        await registry.transact([], [Put(key, b"v") for key in keys[start : start + MAX_OPERATIONS]])
    assert [entry.key for entry in (await registry.list("claims/")).entries] == keys


async def test_a_key_dies_with_its_lease(registry: Registry) -> None:
    lease_id = await registry.grant_lease(TTL_S)
    await put(registry, "a", b"1", lease_id)
    await put(registry, "b", b"2", lease_id)
    async with following(registry, "") as events:
        listing, *removed = await take(events, 3)
    assert isinstance(listing, Listing)
    assert {entry.lease_id for entry in listing.entries} == {lease_id}
    assert removed == [Removed("a", listing.revision + 1), Removed("b", listing.revision + 1)]
    assert not await registry.renew_lease(lease_id)


async def test_a_renewed_lease_lives_on(registry: Registry) -> None:
    lease_id = await registry.grant_lease(TTL_S)
    await put(registry, "a", b"1", lease_id)
    started = time.monotonic()
    while time.monotonic() < started + 2.5 * TTL_S:
        assert await registry.renew_lease(lease_id)
        await asyncio.sleep(TTL_S / 5)
    assert (await registry.get("a"))[0] is not None


async def test_a_revoked_lease_takes_its_keys_along(registry: Registry) -> None:
    lease_id = await registry.grant_lease(60)
    await put(registry, "a", b"1", lease_id)
    await registry.revoke_lease(lease_id)
    await registry.revoke_lease(lease_id)
    assert (await registry.list("")).entries == ()
    assert not await registry.renew_lease(lease_id)


async def test_a_put_without_the_lease_leaves_it(registry: Registry) -> None:
    old, new = await registry.grant_lease(60), await registry.grant_lease(60)
    for key, lease_id in (("forever", 0), ("moved", new), ("left", old)):
        await put(registry, key, b"1", old)
        await put(registry, key, b"2", lease_id)
    await registry.revoke_lease(old)
    assert [(entry.key, entry.lease_id) for entry in (await registry.list("")).entries] == [("forever", 0), ("moved", new)]


async def test_a_key_deleted_and_written_again_does_not_belong_to_its_old_lease(registry: Registry) -> None:
    lease_id = await registry.grant_lease(60)
    await put(registry, "a", b"1", lease_id)
    await registry.transact([], [Delete("a")])
    await put(registry, "a", b"2")
    await registry.revoke_lease(lease_id)
    assert (await registry.get("a"))[0] is not None


async def test_a_put_under_a_lost_lease_names_it_and_writes_nothing(registry: Registry) -> None:
    alive, lost = await registry.grant_lease(60), await registry.grant_lease(60)
    await registry.revoke_lease(lost)
    for leases in ((lost,), (alive, lost), (lost, alive)):
        with pytest.raises(LeaseLost) as caught:
            await registry.transact([], [Put(f"{number}", b"", lease_id) for number, lease_id in enumerate(leases)])
        assert caught.value.lease_id == lost
    assert (await registry.list("")).entries == ()


async def test_a_lost_lease_does_not_matter_where_the_compare_fails(registry: Registry) -> None:
    lost = await registry.grant_lease(60)
    await registry.revoke_lease(lost)
    await put(registry, "a", b"1")
    assert not (await registry.transact([Absent("a")], [Put("a", b"2", lost)])).succeeded


async def test_a_follower_hears_the_listing_and_then_every_change_in_order(registry: Registry) -> None:
    await put(registry, "claims/a", b"1")
    async with following(registry, "claims/") as events:
        assert [entry.key for entry in listing_of((await take(events, 1))[0]).entries] == ["claims/a"]
        await put(registry, "groups/a", b"not ours")
        second = await put(registry, "claims/b", b"2")
        third = (await registry.transact([], [Put("claims/c", b"3"), Delete("claims/a"), Put("claims/b", b"4")])).revision
        changes = await take(events, 4)
    assert [told(change) for change in changes] == [
        ("claims/b", b"2", second), ("claims/c", b"3", third), ("claims/a", None, third), ("claims/b", b"4", third),
    ]  # fmt: skip


async def test_nothing_falls_between_the_listing_and_the_first_change(registry: Registry) -> None:
    async with following(registry, "") as events:
        (listing,) = await take(events, 1)
        revisions = [await put(registry, "a", b"%d" % number) for number in range(20)]
        changes = await take(events, 20)
    assert listing_of(listing).revision == revisions[0] - 1
    assert [told(change)[2] for change in changes] == revisions


async def test_several_followers_hear_the_same(registry: Registry) -> None:
    async with following(registry, "") as one, following(registry, "") as two:
        await take(one, 1)
        await take(two, 1)
        await put(registry, "a", b"1")
        assert await take(one, 1) == await take(two, 1)


async def test_a_waiting_follower_can_be_cancelled(registry: Registry) -> None:
    heard = asyncio.Event()

    async def follow() -> None:
        async for _ in registry.follow(""):
            heard.set()

    follower = asyncio.create_task(follow())
    await asyncio.wait_for(heard.wait(), LIMIT_S)
    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(follower, LIMIT_S)


async def test_closing_ends_followers_and_refuses_calls(registry: Registry) -> None:
    events = registry.follow("")
    await take(events, 1)
    waiting = asyncio.ensure_future(take(events, 1))
    await asyncio.sleep(0)
    await registry.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    with pytest.raises(RegistryUnavailable, match="closed"):
        await registry.get("a")


def listing_of(event: FollowEvent) -> Listing:
    assert isinstance(event, Listing)
    return event


def told(event: FollowEvent) -> tuple[str, bytes | None, int]:
    """Key, value (None: removed) and revision of a change."""
    if isinstance(event, Removed):
        return event.key, None, event.revision
    assert isinstance(event, Changed)
    return event.entry.key, event.entry.value, event.entry.mod_revision
