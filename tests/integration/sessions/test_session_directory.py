"""One contract for both session directories, and what happens where Redis is away."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.etcd import make_certificates
from support.ports import LOOPBACK
from support.redis import CAN_RUN_REDIS, RedisServer

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import (
    Session,
    SessionCounts,
    SessionDirectory,
    SessionFilter,
    SessionRole,
    SessionsUnavailable,
    SessionTouch,
)
from services.scheduler.redis_client import RedisSettings
from services.scheduler.sessions import MemorySessions, RedisSessions
from services.scheduler.sessions._redis import AWAY_S

CAM, DOG = StreamKey.of("live/a b", "cam"), StreamKey.of("live/a b", "cam2")
LONG_TTL_S = 60.0  #: no test takes so long
SHORT_TTL_S = 0.6
DEADLINE_S = 1.5  #: of one call; what takes two deadlines takes long enough to be told from a busy machine
LIMIT_S = 30.0  #: for what comes true by itself
LOOK_S = 0.02
Make = Callable[[float], SessionDirectory]
THOUSANDS = [f"{number:04}" for number in range(2500)]
needs_redis = pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
prefixes = (f"test{number}:" for number in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not CAN_RUN_REDIS:
        pytest.skip("no redis server here")
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes an empty directory with a time to live."""
    redis = request.getfixturevalue("server") if request.param == "redis" else None
    made: list[SessionDirectory] = []

    def make(ttl_s: float) -> SessionDirectory:
        if redis is None:
            made.append(MemorySessions(ttl_s=ttl_s))
        else:  # what is asked here is right or wrong, however busy the machine is
            settings = RedisSettings(host=LOOPBACK, port=redis.port, prefix=next(prefixes), timeout_s=LIMIT_S)
            made.append(RedisSessions(settings, ttl_s=ttl_s))
        return made[-1]

    yield make
    for directory in made:
        await directory.close()


@pytest.fixture
def directory(make: Make) -> SessionDirectory:
    return make(LONG_TTL_S)


def seen(stream: StreamKey, *ids: str, sent_bytes: int = 0, over: bool = False) -> list[SessionTouch]:
    return [SessionTouch(id=each, stream=stream, peer="10.0.0.9:1", sent_bytes=sent_bytes, over=over) for each in ids]


async def players(directory: SessionDirectory, *streams: StreamKey) -> list[int]:
    """Those of HLS, of each stream."""
    return [counts.hls_players for counts in await directory.count(streams)]


async def all_of(directory: SessionDirectory, stream: StreamKey | None = None, limit: int = 2) -> Sequence[Session]:
    """Every session, page by page."""
    page = await directory.page(SessionFilter(stream=stream), limit=limit)
    sessions = list(page.sessions)
    while page.cursor:
        page = await directory.page(SessionFilter(stream=stream), cursor=page.cursor, limit=limit)
        sessions += page.sessions
    return sessions


async def ids_until(directory: SessionDirectory, wanted: list[str], *kept: str) -> None:
    """Wait until the sessions of `CAM` are those, while `kept` are seen all the time."""
    found: list[str] = []
    async with asyncio.timeout(LIMIT_S):
        while found != wanted:
            await directory.touch("h1", seen(CAM, *kept))
            found = [session.id for session in await all_of(directory, CAM)]
            await asyncio.sleep(LOOK_S)


async def count_until(directory: SessionDirectory, wanted: int) -> None:
    """Wait until `CAM` has so many sessions; a server that is away is waited for."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with suppress(SessionsUnavailable):
                if await players(directory, CAM) == [wanted]:
                    return
            await asyncio.sleep(LOOK_S)


async def test_sessions_are_counted_by_stream(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, "a", "b", "c") + seen(DOG, "a"))
    await directory.touch("h2", seen(CAM, "a"))
    assert await players(directory, CAM, DOG, StreamKey.of("live", "none")) == [3, 1, 0]
    assert await players(directory) == []


async def test_what_several_nodes_sent_adds_up_and_the_last_one_is_named(directory: SessionDirectory) -> None:
    before_us = time.time_ns() // 1000
    await directory.touch("h1", seen(CAM, "a", sent_bytes=100))
    await directory.touch("h2", seen(CAM, "a", sent_bytes=30))
    (session,) = (await directory.page()).sessions
    assert (session.id, session.stream, session.protocol, session.peer) == ("a", CAM, "hls", "10.0.0.9:1")
    assert (session.node, session.sent_bytes) == ("h2", 130)
    assert before_us - 1000 <= session.opened_us <= session.seen_us <= time.time_ns() // 1000 + 1000


WHOLE = SessionTouch(
    id="w",
    stream=CAM,
    protocol="rtmp",
    role=SessionRole.PUBLISHER,
    peer="[::ffff:10.0.0.7]:1935",
    received_bytes=500,
    is_total=True,
    opened_us=1_000_000,
    url="rtmp://a/live/cam",
    query="a=1",
    user_agent="FMLE/3.0",
    codecs=("h264", "aac"),
    first_media_ms=12,
)


async def test_everything_that_is_told_of_a_session_is_kept(directory: SessionDirectory) -> None:
    await directory.touch("e1", [WHOLE])
    (session,) = await directory.find("w")
    assert (session.id, session.stream, session.protocol, session.role) == ("w", CAM, "rtmp", SessionRole.PUBLISHER)
    assert (session.node, session.peer, session.address) == ("e1", "[::ffff:10.0.0.7]:1935", "10.0.0.7")
    assert (session.received_bytes, session.sent_bytes, session.opened_us) == (500, 0, 1_000_000)
    assert (session.url, session.query, session.user_agent) == ("rtmp://a/live/cam", "a=1", "FMLE/3.0")
    assert (session.codecs, session.first_media_ms) == (("h264", "aac"), 12)
    assert await directory.find("none") == []


async def test_a_brief_word_leaves_what_was_told_and_totals_do_not_add_up(directory: SessionDirectory) -> None:
    await directory.touch("e1", [WHOLE])
    brief = SessionTouch(
        id="w", stream=CAM, protocol="rtmp", role=SessionRole.PUBLISHER, peer=WHOLE.peer, received_bytes=900, skips=2,
        queued_bytes=7, is_total=True, is_brief=True,
    )  # fmt: skip
    await directory.touch("e1", [brief])
    (session,) = await directory.find("w")
    assert (session.received_bytes, session.skips, session.queued_bytes) == (900, 2, 7)
    assert (session.url, session.codecs, session.opened_us) == (WHOLE.url, WHOLE.codecs, 1_000_000)


async def test_a_session_that_another_node_sees_first_later_has_begun_when_it_began(directory: SessionDirectory) -> None:
    for node, opened_us in (("e1", 3_000_000), ("e2", 5_000_000), ("e1", 2_000_000), ("e2", 0)):
        await directory.touch(node, [replace(WHOLE, opened_us=opened_us)])
    (session,) = await directory.find("w")
    assert (session.node, session.opened_us) == ("e2", 2_000_000)


async def test_between_two_touches_there_is_a_rate(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, "a", sent_bytes=100))
    await asyncio.sleep(0.6)
    await directory.touch("h1", seen(CAM, "a", sent_bytes=100_000))
    (session,) = await directory.find("a")
    assert 100_000 < session.sent_bps <= 100_000 * 8 / 0.6
    assert session.received_bps == 0


async def test_sessions_are_found_by_what_is_said_of_them(directory: SessionDirectory) -> None:
    player = replace(WHOLE, id="p", role=SessionRole.PLAYER, protocol="http-flv", peer="10.0.0.8:9")
    await directory.touch("e1", [WHOLE, player])
    await directory.touch("e2", [replace(player, id="q", stream=DOG), replace(WHOLE, id="pull", role=SessionRole.RELAY_PULL)])
    await directory.touch("h1", seen(CAM, "h"))
    wanted = {
        ("w", "p"): SessionFilter(nodes=frozenset({"e1"})),
        ("p", "q"): SessionFilter(protocol="http-flv"),
        ("p",): SessionFilter(protocol="http-flv", stream=CAM),
        ("w",): SessionFilter(role=SessionRole.PUBLISHER),
        ("pull",): SessionFilter(role=SessionRole.RELAY_PULL, nodes=frozenset({"e2"})),
        ("pull", "w"): SessionFilter(address="10.0.0.7"),
        ("h", "p", "q"): SessionFilter(role=SessionRole.PLAYER),
        ("q",): SessionFilter(role=SessionRole.PLAYER, nodes=frozenset({"e2"})),
        (): SessionFilter(nodes=frozenset({"e"})),
        ("h", "q", "pull"): SessionFilter(nodes=frozenset({"e2", "h1"})),
        ("h", "q"): SessionFilter(nodes=frozenset({"e2", "h1"}), role=SessionRole.PLAYER),
    }
    for ids, each in wanted.items():
        found = [session.id for session in (await directory.page(each)).sessions]
        assert sorted(found) == sorted(ids), each
    counts = (await directory.count([CAM]))[0]
    assert counts == SessionCounts(publishers=1, players=1, hls_players=1, relay_pulls=1)


async def test_a_session_that_goes_to_another_node_is_found_there(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, "a"))
    await directory.touch("h2", seen(CAM, "a"))
    assert (await directory.page(SessionFilter(nodes=frozenset({"h1"})))).sessions == ()
    assert len((await directory.page(SessionFilter(nodes=frozenset({"h2"})))).sessions) == 1
    await directory.touch("h2", seen(CAM, "a", over=True))
    assert await directory.find("a") == []
    assert (await directory.page(SessionFilter(nodes=frozenset({"h2"})))).sessions == ()


async def test_of_many_that_are_not_wanted_the_few_come_page_by_page(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, *THOUSANDS))
    rare = [replace(WHOLE, id=f"{number:04}x", role=SessionRole.PLAYER, protocol="hls", peer="10.9.9.9:1") for number in (3, 2400)]
    await directory.touch("h1", [replace(touch, user_agent="rare") for touch in rare])
    wanted, cursor, found = SessionFilter(role=SessionRole.PLAYER, nodes=frozenset({"h1"}), protocol="hls"), "", 0
    for _ in range(2 * len(THOUSANDS)):
        page = await directory.page(wanted, cursor=cursor, limit=400)
        found, cursor = found + len(page.sessions), page.cursor
        if not cursor:
            break
    assert found == len(THOUSANDS) + len(rare)


async def test_who_has_left_is_forgotten_at_once(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, "a", "b", "c"))
    await directory.touch("h1", seen(CAM, "a", "never", over=True))
    await directory.remove([(CAM, "b"), (CAM, "never")])
    assert [session.id for session in await all_of(directory)] == ["c"]
    assert await players(directory, CAM) == [1]


async def test_who_is_not_seen_for_the_time_to_live_is_gone(make: Make) -> None:
    directory, begun = make(SHORT_TTL_S), time.monotonic()
    await directory.touch("h1", seen(CAM, "a", "b"))
    await ids_until(directory, ["b"], "b")
    assert time.monotonic() - begun >= SHORT_TTL_S
    await count_until(directory, 0)


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


async def test_thousands_at_once_are_all_there(directory: SessionDirectory) -> None:
    await directory.touch("h1", seen(CAM, *THOUSANDS))
    assert await players(directory, CAM) == [2500]
    assert len(await all_of(directory, limit=1000)) == 2500


async def test_more_than_one_sweep_takes_are_all_gone_after_their_time(make: Make) -> None:
    directory = make(SHORT_TTL_S)
    await directory.touch("h1", seen(CAM, *THOUSANDS))
    await asyncio.sleep(SHORT_TTL_S + 0.1)
    assert await players(directory, CAM) == [0]
    assert await all_of(directory) == []


@needs_redis
async def test_two_replicas_share_what_is_in_redis(server: RedisServer) -> None:
    settings = RedisSettings(host=LOOPBACK, port=server.port, prefix=next(prefixes), timeout_s=LIMIT_S)
    first, second = RedisSessions(settings), RedisSessions(settings)
    await first.touch("h1", seen(CAM, "a"))
    await second.touch("h2", seen(CAM, "b"))
    assert await players(first, CAM) == await players(second, CAM) == [2]
    await first.close()
    await second.close()


@asynccontextmanager
async def counting_calls(port: int) -> AsyncIterator[list[int]]:
    """Somebody who listens on a port in place of the server, and notes who calls."""
    calls: list[int] = []

    def called(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(port)
        writer.close()

    listener = await asyncio.start_server(called, LOOPBACK, port)
    try:
        yield calls
    finally:
        listener.close()
        await listener.wait_closed()


@needs_redis
async def test_a_server_that_is_away_is_asked_once_a_second_and_found_when_it_is_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path))
        directory = RedisSessions(RedisSettings(host=LOOPBACK, port=server.port, timeout_s=DEADLINE_S))
        stack.push_async_callback(directory.close)
        await directory.touch("h1", seen(CAM, "a"))
        server.kill()
        async with counting_calls(server.port) as calls:
            with pytest.raises(SessionsUnavailable):
                await directory.count([CAM])
            asked = len(calls)
            with pytest.raises(SessionsUnavailable, match="did not answer a moment ago") as caught:
                await directory.touch("h1", seen(CAM, "a"))
            assert (asked > 0, len(calls)) == (True, asked)
        assert 0 < caught.value.retry_after_s <= AWAY_S
        await asyncio.to_thread(server.start)
        await count_until(directory, 0)
        await directory.touch("h1", seen(CAM, "a"))
        assert await players(directory, CAM) == [1]


@needs_redis
async def test_a_server_that_hangs_costs_one_deadline(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path))
        directory = RedisSessions(RedisSettings(host=LOOPBACK, port=server.port, timeout_s=DEADLINE_S))
        stack.push_async_callback(directory.close)
        await directory.touch("h1", seen(CAM, "a"))
        server.freeze()
        begun = time.monotonic()
        with pytest.raises(SessionsUnavailable):
            await directory.touch("h1", seen(CAM, "a"))
        assert DEADLINE_S <= time.monotonic() - begun < 2 * DEADLINE_S
        server.thaw()
        await count_until(directory, 1)


@needs_redis
async def test_tls_and_a_password(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "certificates")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path, password="secret", certificates=made))
        settings = RedisSettings(
            host=LOOPBACK,
            port=server.port,
            password="secret",
            tls=True,
            ca_file=made.ca_file,
            cert_file=made.cert_file("client"),
            key_file=made.key_file("client"),
            timeout_s=LIMIT_S,
        )
        directory = RedisSessions(settings)
        stack.push_async_callback(directory.close)
        await directory.touch("h1", seen(CAM, "a"))
        assert await players(directory, CAM) == [1]
        stranger = RedisSessions(RedisSettings(host=LOOPBACK, port=server.port, tls=True, timeout_s=5.0))
        stack.push_async_callback(stranger.close)
        with pytest.raises(SessionsUnavailable):
            await stranger.count([CAM])
