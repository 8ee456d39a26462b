"""One contract for both stores of the blacklist, and what Redis that lost it is given back."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from support.ports import LOOPBACK
from support.redis import CAN_RUN_REDIS, RedisServer
from support.turned_clock import Clock

from lalmesh.runtime.scheduling import control
from lalmesh.runtime.sessions import SessionsUnavailable
from services.scheduler.blacklisting import (
    BlacklistFullError,
    BlacklistStore,
    Listed,
    MemoryBlacklist,
    RedisBlacklist,
    _memory,
    _redis,
)
from services.scheduler.redis_client import RedisSettings

prefixes = (f"test{number}:" for number in itertools.count())
ONE, TWO, THREE = (Listed(network=f"192.0.2.{number}/32", created_us=5, reason="because") for number in (1, 2, 3))
LIMIT_S = 30.0
needs_redis = pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
Make = Callable[[], BlacklistStore]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not CAN_RUN_REDIS:
        pytest.skip("no redis server here")
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


def reached(redis: RedisServer) -> RedisSettings:
    return RedisSettings(host=LOOPBACK, port=redis.port, prefix=next(prefixes), timeout_s=LIMIT_S)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[BlacklistStore]:
    redis = request.getfixturevalue("server") if request.param == "redis" else None
    made: BlacklistStore = MemoryBlacklist(clock) if redis is None else RedisBlacklist(reached(redis), clock)
    yield made
    await made.close()


async def test_what_was_put_is_there_until_it_is_removed(store: BlacklistStore) -> None:
    assert await store.load() == {}
    assert await store.load() is None
    await store.put([ONE, TWO])
    assert await store.load() == {ONE.network: ONE, TWO.network: TWO}
    assert await store.remove(ONE.network)
    assert not await store.remove(ONE.network)
    assert await store.load() == {TWO.network: TWO}
    assert await store.load() is None


async def test_what_is_put_again_is_as_it_was_put_last(store: BlacklistStore) -> None:
    await store.put([ONE])
    again = Listed(network=ONE.network, expires_us=7, created_us=6, reason="for another reason: \u00e9 \"'")
    await store.put([again])
    assert await store.load() == {ONE.network: again}


async def test_there_is_room_for_so_many_and_what_is_over_makes_room(
    store: BlacklistStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (control, _memory, _redis):
        monkeypatch.setattr(module, "MAX_BLACKLIST", 2)
    over_us = round((clock.now + 10) * 1_000_000)
    await store.put([ONE, Listed(network=TWO.network, expires_us=over_us)])
    with pytest.raises(BlacklistFullError):
        await store.put([THREE])
    clock.now += 11
    await store.put([THREE])
    assert await store.load() == {ONE.network: ONE, THREE.network: THREE}


@needs_redis
async def test_two_replicas_see_what_either_changes(server: RedisServer) -> None:
    settings = reached(server)
    first, second = RedisBlacklist(settings), RedisBlacklist(settings)
    assert await second.load() == {}
    await first.put([ONE])
    assert await second.load() == {ONE.network: ONE}
    await second.remove(ONE.network)
    assert await first.load() == {}
    await first.close()
    await second.close()


@needs_redis
async def test_a_server_that_lost_the_list_is_given_it_back_and_one_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        store = RedisBlacklist(RedisSettings(host=LOOPBACK, port=server.port))
        await store.put([ONE])
        assert await store.load() == {ONE.network: ONE}
        server.kill()
        with pytest.raises(SessionsUnavailable):
            await store.load()
        server.start()
        await store.load()
        other = RedisBlacklist(RedisSettings(host=LOOPBACK, port=server.port))
        assert await other.load() == {ONE.network: ONE}
        await store.close()
        await other.close()


@needs_redis
async def test_a_list_that_was_lost_is_given_back_though_somebody_has_begun_a_new_one(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        first, second, new = (RedisBlacklist(RedisSettings(host=LOOPBACK, port=server.port)) for _ in range(3))
        await first.put([ONE, TWO])
        for store in (first, second):
            assert await store.load() == {ONE.network: ONE, TWO.network: TWO}
        server.kill()
        server.start()
        again = Listed(network=TWO.network, created_us=6, reason="again")
        await new.put([THREE])
        await new.put([again])  # as many changes as there were before, and more
        assert await new.load() == {THREE.network: THREE, TWO.network: again}
        whole = {ONE.network: ONE, TWO.network: again, THREE.network: THREE}
        assert [await store.load() for store in (first, second, new)] == [whole] * 3
        assert await first.remove(ONE.network)
        assert [await store.load() for store in (second, first, new)] == [{TWO.network: again, THREE.network: THREE}] * 3
        assert [await store.load() for store in (second, first, new)] == [None] * 3
        for store in (first, second, new):
            await store.close()


@needs_redis
async def test_a_list_that_was_lost_and_has_no_room_any_more_leaves_the_new_one_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis, "MAX_BLACKLIST", 2)
    with RedisServer(tmp_path) as server:
        first, new = (RedisBlacklist(RedisSettings(host=LOOPBACK, port=server.port)) for _ in range(2))
        await first.put([ONE, TWO])
        await first.load()
        server.kill()
        server.start()
        await new.put([THREE])
        assert await first.load() == {THREE.network: THREE}
        assert await first.load() is None
        for store in (first, new):
            await store.close()
