"""One contract for both logs of events, and what Redis keeps that is killed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.ports import LOOPBACK
from support.redis import CAN_RUN_REDIS, RedisServer

from lalmesh.names import StreamKey
from lalmesh.runtime.event_log import BEGINNING, SHARDS, DeadLetter, EventBounds, EventCursor, EventLog, EventsUnavailable, shard_of
from lalmesh.runtime.events import Event, event_id
from lalmesh.runtime.telemetry import TraceContext
from services.scheduler.events import MemoryEventLog, RedisEventLog
from services.scheduler.redis_client import RedisSettings

CAM, DOG = StreamKey.of("live/a b", "cam"), StreamKey.of("live", "dög")
ONE, TWO = b"\1" * 8, b"\2" * 8
ALL = range(SHARDS)
Make = Callable[..., EventLog]
prefixes = (f"test{number}:" for number in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not CAN_RUN_REDIS:
        pytest.skip("no redis server here")
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes an empty log."""
    redis = request.getfixturevalue("server") if request.param == "redis" else None
    made: list[EventLog] = []

    def make(**settings: int) -> EventLog:
        bounds = EventBounds(**settings)
        made.append(MemoryEventLog(bounds) if redis is None else RedisEventLog(reached(redis), bounds))
        return made[-1]

    yield make
    for log in made:
        await log.close()


@pytest.fixture
def log(make: Make) -> EventLog:
    return make()


def reached(redis: RedisServer, prefix: str = "", timeout_s: float = 20.0) -> RedisSettings:
    return RedisSettings(host=LOOPBACK, port=redis.port, prefix=prefix or next(prefixes), timeout_s=timeout_s)


def told(number: int, kind: str = "alarm", stream: StreamKey | None = CAM, node: bytes = ONE, **facts: object) -> Event:
    at_us, trace = 1_700_000_000_000_000 + number, TraceContext(number, 1) if number % 2 else None
    name = f"edge-{node[0]}"
    return Event(id=event_id(node, number), kind=kind, at_us=at_us, node=name, stream=stream, facts=facts, trace=trace)


async def kept(log: EventLog) -> list[str]:
    """What is in the log, such as ``sub_start 1``, with who is there after it: ``in``, ``out``."""
    page = await log.read(ALL, BEGINNING, 1000)
    return [_word(logged.event) for logged in page.events]


def _word(event: Event) -> str:
    facts = event.facts
    there = [word for word in ("in", "out") if facts.get(f"has_{word}_session")]
    return " ".join([event.kind, *[str(facts[name]) for name in ("session_id",) if name in facts], *there])


async def test_events_are_kept_in_order_as_they_were_told(log: EventLog) -> None:
    events = [told(number, stream=(CAM, DOG, None)[number % 3], text="é\n", more=[1, {"a": None}]) for number in range(1, 31)]
    await log.append(events)
    page = await log.read(ALL, BEGINNING, 100)
    assert [logged.event for logged in page.events] == events
    assert not page.more
    assert {logged.shard for logged in page.events if logged.event.stream == CAM} == {shard_of(CAM, "")}
    for shard in ALL:
        counts = [logged.count for logged in page.events if logged.shard == shard]
        assert counts == list(range(1, len(counts) + 1))
        assert (await log.counts())[shard] == len(counts)


async def test_pages_of_some_shards_leave_nothing_out(log: EventLog) -> None:
    await log.append([told(number, stream=StreamKey.of("live", f"s{number % 20}")) for number in range(1, 301)])
    seen: list[str] = []
    position, more = BEGINNING, True
    while more:
        page = await log.read(range(4, SHARDS), position, 7)
        assert len(page.events) <= 7
        seen += [logged.event.id for logged in page.events]
        position, more = page.position, page.more
    everything = (await log.read(ALL, BEGINNING, 1000)).events
    assert seen == [logged.event.id for logged in everything if logged.shard >= 4]
    assert [logged.event.id for logged in everything] == [event_id(ONE, number) for number in range(1, 301)]


async def test_what_was_told_again_is_kept_once(log: EventLog) -> None:
    await log.append([told(1), told(2)])
    await log.append([told(1), told(2), told(3)])
    await log.append([told(1, node=TWO)])
    once = replace(told(1), id="node-up of edge-1")
    await log.append([once])
    await log.append([once, told(4)])
    ids = [logged.event.id for logged in (await log.read(ALL, BEGINNING, 100)).events]
    assert ids == [*(event_id(ONE, number) for number in (1, 2, 3)), event_id(TWO, 1), once.id, event_id(ONE, 4)]


async def test_an_event_says_who_is_there_in_the_whole_cluster(log: EventLog) -> None:
    await log.append([told(1, "sub_start", session_id="a"), told(2, "pub_start", session_id="p")])
    await log.append([told(1, "sub_start", node=TWO, session_id="b"), told(3, "sub_stop", session_id="a")])
    await log.append([told(4, "relay_push_start", session_id="r"), told(2, "sub_stop", node=TWO, session_id="b")])
    await log.append([told(5, "pub_stop", session_id="p"), told(6, "relay_push_stop", session_id="r")])
    await log.append([told(7, "sub_start", stream=DOG, session_id="c"), told(8, "pub_stop", session_id="unknown")])
    assert await kept(log) == [
        "sub_start a out", "first_viewer a", "pub_start p in out", "sub_start b in out", "sub_stop a in out",
        "relay_push_start r in out", "sub_stop b in out", "last_viewer b", "pub_stop p out", "relay_push_stop r",
        "sub_start c out", "first_viewer c", "pub_stop unknown",
    ]  # fmt: skip


async def test_a_player_that_asks_two_nodes_comes_and_goes_once(log: EventLog) -> None:
    await log.append([told(1, "sub_start", session_id="h"), told(1, "sub_start", node=TWO, session_id="h")])
    await log.append([told(2, "sub_stop", session_id="h"), told(2, "sub_start", session_id="i")])
    await log.append([told(3, "sub_stop", session_id="i"), told(2, "sub_stop", node=TWO, session_id="h")])
    assert await kept(log) == ["sub_start h out", "first_viewer h", "sub_stop i out", "sub_stop h", "last_viewer h"]


async def test_sessions_of_a_node_that_has_gone_are_over(log: EventLog) -> None:
    await log.append([told(1, "pub_start", session_id="p", url="rtmp://x"), told(2, "sub_start", stream=DOG, session_id="a")])
    await log.append([told(3, "sub_start", session_id="h"), told(1, "sub_start", node=TWO, session_id="h")])
    assert await log.incarnations() == {ONE.hex(), TWO.hex()}
    assert await log.forget_node(ONE.hex()) == 3
    assert await log.forget_node(ONE.hex()) == 0
    assert await log.incarnations() == {TWO.hex()}
    assert sorted((await kept(log))[5:]) == ["last_viewer a", "pub_stop p out", "sub_stop a"]
    ends = [logged.event for logged in (await log.read(ALL, BEGINNING, 100)).events if logged.event.kind == "pub_stop"]
    assert [(event.id, event.node, event.facts["url"]) for event in ends] == [(f"{event_id(ONE, 1)}-over", "edge-1", "rtmp://x")]
    assert ends[0].facts["reason"] == "the node has gone"
    await log.append([told(2, "sub_stop", node=TWO, session_id="h")])
    assert (await kept(log))[-2:] == ["sub_stop h", "last_viewer h"]
    assert await log.incarnations() == set()


async def test_a_session_that_was_said_to_be_over_and_goes_on_begins_anew(log: EventLog) -> None:
    await log.append([told(1, "pub_start", session_id="p"), told(2, "sub_start", session_id="a")])
    await log.forget_node(ONE.hex())
    await log.append([told(3, "pub_start", session_id="p"), told(4, "sub_start", session_id="a")])
    assert (await kept(log))[-3:] == ["pub_start p in", "sub_start a in out", "first_viewer a"]
    await log.append([told(5, "pub_start", session_id="p"), told(6, "sub_stop", session_id="a")])  # again, for nothing
    assert (await kept(log))[-2:] == ["sub_stop a in", "last_viewer a"]


async def test_a_cursor_begins_at_a_time_and_goes_forward_only(log: EventLog) -> None:
    now_ms = round(time.time() * 1000)
    assert await log.cursor(3, "bill", now_ms) == EventCursor(f"{now_ms}-0", 0)
    assert await log.cursor(3, "bill", now_ms + 5) == EventCursor(f"{now_ms}-0", 0)
    await log.commit(3, "bill", EventCursor(f"{now_ms}-12", 4))
    await log.commit(3, "bill", EventCursor(f"{now_ms}-9", 3))
    assert await log.cursor(3, "bill", 0) == EventCursor(f"{now_ms}-12", 4)
    assert await log.cursor(3, "anne", 7) == EventCursor("7-0", 0)


async def test_a_cursor_knows_how_many_there_were_before_it_began(log: EventLog) -> None:
    shard = shard_of(CAM, "")
    await log.append([told(number) for number in range(1, 4)])
    [*_, last] = (await log.read([shard], BEGINNING, 100)).events
    ms = int(last.position.partition("-")[0])
    await asyncio.sleep(0.005)
    await log.append([told(number) for number in range(4, 6)])
    assert (await log.cursor(shard, "bill", ms + 1)).count == 3
    assert (await log.cursor(shard, "anne", 0)).count == 0
    assert (await log.cursor(shard, "carl", ms + 60_000)).count == 5


async def test_what_all_receivers_have_is_trimmed_but_for_the_last(log: EventLog) -> None:
    shard = shard_of(CAM, "")
    await log.append([told(number) for number in range(1, 11)])
    events = (await log.read([shard], BEGINNING, 100)).events
    for name, count in (("bill", 8), ("anne", 5)):
        await log.cursor(shard, name, 0)
        await log.commit(shard, name, EventCursor(events[count - 1].position, count))
    assert await log.trim(shard, ["bill", "anne"], 3) == 5
    assert await log.trim(shard, ["bill", "stranger"], 3) == 5
    assert await log.trim(shard, ["bill"], 4) == 4
    assert [logged.count for logged in (await log.read([shard], BEGINNING, 100)).events] == [7, 8, 9, 10]
    assert await log.trim(shard, [], 1) == 1


async def test_a_shard_is_bounded_and_shows_the_hole(make: Make) -> None:
    log = make(shard_events=100)
    for start in range(1, 1000, 100):
        await log.append([told(number) for number in range(start, start + 100)])
    events = (await log.read([shard_of(CAM, "")], BEGINNING, 1000)).events
    assert 100 <= len(events) <= 300  # Redis trims by whole nodes of its tree
    assert events[0].count == 1001 - len(events)
    assert log.dropped == 1000 - len(events)


async def test_a_shard_is_bounded_in_bytes(make: Make) -> None:
    log = make(shard_bytes=50_000)
    await log.append([told(number, text="é" * 500) for number in range(1, 301)])
    await log.append([told(number, stream=DOG) for number in range(301, 304)])  # those of another shard stay
    events = (await log.read([shard_of(CAM, "")], BEGINNING, 1000)).events
    assert 35 <= len(events) <= 48  # each is some 1,150 bytes
    assert [logged.count for logged in events] == list(range(301 - len(events), 301))
    assert log.dropped == 300 - len(events)
    assert len((await log.read([shard_of(DOG, "")], BEGINNING, 1000)).events) == 3
    await log.append([told(304, text="x" * 60_000)])
    assert [logged.count for logged in (await log.read([shard_of(CAM, "")], BEGINNING, 1000)).events] == [301]


async def test_what_all_have_counts_no_more(make: Make) -> None:
    log, shard = make(shard_bytes=50_000), shard_of(CAM, "")
    for start in range(1, 301, 20):
        await log.append([told(number, text="x" * 1000) for number in range(start, start + 20)])
        await log.trim(shard, [], 5)
    assert log.dropped == 0


async def test_other_bounds_hold_from_the_next_event_on(make: Make) -> None:
    log = make()
    await log.append([told(number, text="x" * 1000) for number in range(1, 101)])
    letter = DeadLetter(id="", receiver="bill", at_us=5, attempts=9, error="500", event=told(1))
    for _ in range(300):
        await log.bury(letter)
    log.take(EventBounds(shard_bytes=20_000, letters=100))
    await log.append([told(101)])
    await log.bury(letter)
    assert 10 <= len((await log.read([shard_of(CAM, "")], BEGINNING, 1000)).events) <= 18
    assert 100 <= await log.count_letters() <= 200  # Redis trims by whole nodes of its tree


async def test_who_waits_hears_of_the_next_event(log: EventLog) -> None:
    assert await log.wait(BEGINNING, 0.05) == BEGINNING
    waiting = asyncio.ensure_future(log.wait(BEGINNING, 10))
    await asyncio.sleep(0.05)
    await log.append([told(1), told(2, stream=DOG)])
    position = await waiting
    newest = (await log.read(ALL, BEGINNING, 10)).position
    assert position == newest or await log.wait(position, 0.05) == newest
    assert await log.wait(newest, 0.05) == newest


async def test_dead_letters_are_kept_listed_and_forgotten(make: Make) -> None:
    log = make()
    letter = DeadLetter(id="", receiver="bill", at_us=5, attempts=9, error="500", event=told(1, text="é"))
    for number in range(5):
        await log.bury(replace(letter, attempts=number))
    first, *others = await log.letters("", 3)
    assert replace(first, id="") == replace(letter, attempts=0)
    assert [each.attempts for each in others] == [1, 2]
    assert [each.attempts for each in await log.letters(others[-1].id, 10)] == [3, 4]
    assert await log.letter(first.id) == first
    assert await log.forget_letter(first.id)
    assert not await log.forget_letter(first.id)
    assert await log.letter(first.id) is None
    assert await log.count_letters() == 4


@pytest.mark.skipif(not CAN_RUN_REDIS, reason="no redis server here")
async def test_what_redis_has_answered_outlives_its_process(tmp_path: Path) -> None:
    with RedisServer(tmp_path, append_only=True) as redis:
        log = RedisEventLog(reached(redis, "kept:", timeout_s=1.5))
        for number in range(1, 200):
            await log.append([told(number, "sub_start", session_id=str(number))])
        redis.kill()
        with pytest.raises(EventsUnavailable):
            await log.append([told(200)])
        await asyncio.to_thread(redis.start)
        await log.append([told(200, "sub_stop", session_id="1")])
        events = (await log.read(ALL, BEGINNING, 1000)).events
        assert [logged.event.id for logged in events if "viewer" not in logged.event.id] == [
            event_id(ONE, n) for n in range(1, 201)
        ]
        assert events[-1].event.facts["has_out_session"]
        await log.close()
