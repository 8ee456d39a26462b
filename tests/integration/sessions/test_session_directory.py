"""One contract for both session directories, and what happens where Redis is away."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.etcd import make_certificates
from support.redis import CAN_RUN_REDIS, RedisServer

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import Session, SessionDirectory, SessionsUnavailable, SessionTouch
from services.scheduler.sessions import MemorySessions, RedisSessions, RedisSettings

CAM, DOG = StreamKey.of("live/a b", "cam"), StreamKey.of("live/a b", "cam2")
TTL_S = 0.6
needs_redis = pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
prefixes = (f"test{number}:" for number in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not CAN_RUN_REDIS:
        pytest.skip("no redis server here")
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def directory(request: pytest.FixtureRequest) -> AsyncIterator[SessionDirectory]:
    made: SessionDirectory = MemorySessions(ttl_s=TTL_S)
    if request.param == "redis":
        port = request.getfixturevalue("server").port
        made = RedisSessions(RedisSettings(host="127.0.0.1", port=port, prefix=next(prefixes)), ttl_s=TTL_S)
    yield made
    await made.close()


def seen(stream: StreamKey, *ids: str, sent_bytes: int = 0, over: bool = False) -> list[SessionTouch]:
    return [SessionTouch(id=each, stream=stream, peer="10.0.0.9:1", sent_bytes=sent_bytes, over=over) for each in ids]


async def all_of(directory: SessionDirectory, stream: StreamKey | None = None, limit: int = 2) -> Sequence[Session]:
    """Every session, page by page."""
    page = await directory.page(stream=stream, limit=limit)
    sessions = list(page.sessions)
    while page.cursor:
        page = await directory.page(stream=stream, cursor=page.cursor, limit=limit)
        sessions += page.sessions
    return sessions


async def test_sessions_are_counted_by_stream(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, "a", "b", "c") + seen(DOG, "a"))
    await directory.touch("h2", seen(CAM, "a"))
    assert await directory.count([CAM, DOG, StreamKey.of("live", "none")]) == [3, 1, 0]
    assert await directory.count([]) == []


async def test_what_several_nodes_sent_adds_up_and_the_last_one_is_named(directory: SessionDirectory) -> None:
    before_us = time.time_ns() // 1000
    await directory.touch("h1", seen(CAM, "a", sent_bytes=100))
    await directory.touch("h2", seen(CAM, "a", sent_bytes=30))
    (session,) = (await directory.page()).sessions
    assert (session.id, session.stream, session.protocol, session.peer) == ("a", CAM, "hls", "10.0.0.9:1")
    assert (session.node, session.sent_bytes) == ("h2", 130)
    assert before_us - 1000 <= session.opened_us <= session.seen_us <= time.time_ns() // 1000 + 1000


async def test_who_has_left_is_forgotten_at_once(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, "a", "b", "c"))
    await directory.touch("h1", seen(CAM, "a", "never", over=True))
    await directory.remove([(CAM, "b"), (CAM, "never")])
    assert [session.id for session in await all_of(directory)] == ["c"]
    assert await directory.count([CAM]) == [1]


async def test_who_is_not_seen_for_the_time_to_live_is_gone(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, "a", "b"))
    await asyncio.sleep(TTL_S * 0.7)
    await directory.touch("h1", seen(CAM, "b"))
    await asyncio.sleep(TTL_S * 0.7)
    assert await directory.count([CAM]) == [1]
    assert [session.id for session in await all_of(directory)] == ["b"]


async def test_pages_go_through_all_in_order_or_through_one_stream(directory: SessionDirectory) -> None:
    ids = ["3", "1", "é", "2", "x y"]
    await directory.touch("h1", seen(DOG, "z") + seen(CAM, *ids))
    found = [(session.stream, session.id) for session in await all_of(directory)]
    assert found == [(CAM, each) for each in sorted(ids)] + [(DOG, "z")]
    assert [session.id for session in await all_of(directory, CAM)] == sorted(ids)
    assert [session.id for session in await all_of(directory, DOG)] == ["z"]
    assert (await directory.page(limit=6)).cursor == ""


async def test_what_comes_and_goes_between_two_pages_shifts_nothing(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, "b", "c", "d", "e"))
    first = await directory.page(limit=2)
    await directory.touch("h1", seen(CAM, "a"))
    await directory.remove([(CAM, "c")])
    second = await directory.page(cursor=first.cursor, limit=2)
    assert [session.id for session in first.sessions + second.sessions] == ["b", "c", "d", "e"]


async def test_a_thousand_at_once_and_more_than_one_sweep_takes(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, *(f"{number:04}" for number in range(2500))))
    assert await directory.count([CAM]) == [2500]
    assert len(await all_of(directory, limit=1000)) == 2500
    await asyncio.sleep(TTL_S + 0.1)
    assert await directory.count([CAM]) == [0]
    assert await all_of(directory) == []


@needs_redis
async def test_two_replicas_share_what_is_in_redis(server: RedisServer) -> None:
    settings = RedisSettings(host="127.0.0.1", port=server.port, prefix=next(prefixes))
    first, second = RedisSessions(settings), RedisSessions(settings)
    await first.touch("h1", seen(CAM, "a"))
    await second.touch("h2", seen(CAM, "b"))
    assert await first.count([CAM]) == await second.count([CAM]) == [2]
    await first.close()
    await second.close()


@needs_redis
async def test_a_server_that_is_away_is_asked_once_a_second_and_found_when_it_is_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path))
        directory = RedisSessions(RedisSettings(host="127.0.0.1", port=server.port, timeout_s=0.3))
        stack.push_async_callback(directory.close)
        await directory.touch("h1", seen(CAM, "a"))
        server.kill()
        with pytest.raises(SessionsUnavailable):
            await directory.count([CAM])
        begun = time.monotonic()
        with pytest.raises(SessionsUnavailable) as caught:
            await directory.touch("h1", seen(CAM, "a"))
        assert time.monotonic() - begun < 0.1
        assert 0 < caught.value.retry_after_s <= 1.0
        await asyncio.to_thread(server.start)
        await asyncio.sleep(caught.value.retry_after_s + 0.1)
        await directory.touch("h1", seen(CAM, "a"))
        assert await directory.count([CAM]) == [1]


@needs_redis
async def test_a_server_that_hangs_costs_one_deadline(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path))
        directory = RedisSessions(RedisSettings(host="127.0.0.1", port=server.port, timeout_s=0.3))
        stack.push_async_callback(directory.close)
        await directory.touch("h1", seen(CAM, "a"))
        server.freeze()
        begun = time.monotonic()
        with pytest.raises(SessionsUnavailable):
            await directory.touch("h1", seen(CAM, "a"))
        assert time.monotonic() - begun < 1.0
        server.thaw()
        await asyncio.sleep(1.1)
        assert await directory.count([CAM]) == [1]


@needs_redis
async def test_tls_and_a_password(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "certificates")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path, password="secret", certificates=made))
        settings = RedisSettings(
            host="127.0.0.1",
            port=server.port,
            password="secret",
            tls=True,
            ca_file=made.ca_file,
            cert_file=made.cert_file("client"),
            key_file=made.key_file("client"),
            timeout_s=5.0,
        )
        directory = RedisSessions(settings)
        stack.push_async_callback(directory.close)
        await directory.touch("h1", seen(CAM, "a"))
        assert await directory.count([CAM]) == [1]
        stranger = RedisSessions(RedisSettings(host="127.0.0.1", port=server.port, tls=True, timeout_s=5.0))
        stack.push_async_callback(stranger.close)
        with pytest.raises(SessionsUnavailable):
            await stranger.count([CAM])
