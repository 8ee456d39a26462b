from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterable
from dataclasses import replace

from prometheus_client import CollectorRegistry
from support.tracing import context_of, parent_of, traced
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.event_log import EventBounds, shard_of
from lalmesh.runtime.events import Event, event_id
from lalmesh.runtime.notify import Receiver
from services.scheduler.events import MemoryEventLog
from services.scheduler.notifying import About, Delivery, DeliveryError, Message, News, NotifyMetrics, ReceiverState
from services.scheduler.notifying._delivery import FIRST_PAUSE_S, LONGEST_PAUSE_S

CAM = StreamKey.of("live", "cam")
SHARD = shard_of(CAM, "")
OTHER = next(key for number in range(999) if shard_of(key := StreamKey.of("live", f"s{number}"), "") == SHARD)


class _Sink:
    """Takes events of streams that it does not fail for."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.attempts: list[tuple[float, str]] = []
        self.traces: list[telemetry.TraceContext | None] = []  # that it was called in
        self.refuses: dict[str, DeliveryError] = {}  # by id

    async def send(self, receiver: Receiver, url: str, event_id: str, message: Message, attempt: int) -> None:
        self.attempts.append((asyncio.get_running_loop().time(), event_id))
        self.traces.append(telemetry.current())
        await asyncio.sleep(0.01)
        if event_id in self.refuses:
            raise self.refuses[event_id]
        self.taken.append(event_id)

    async def close(self) -> None:
        pass


class _World:
    def __init__(self, *, give_up_s: float = 100.0, shard_events: int = 1000) -> None:
        loop = asyncio.get_running_loop()
        self.sink, self.news, self.state = _Sink(), News(), ReceiverState()
        self.log = MemoryEventLog(EventBounds(shard_events=shard_events), wall_clock=loop.time)
        receiver = Receiver(name="bill", url="http://x/", give_up_s=give_up_s)
        self.delivery = Delivery(
            self.log, self.sink, receiver, SHARD, about=About(), since_ms=0, state=self.state,
            metrics=NotifyMetrics(CollectorRegistry()), news=self.news, rng=random.Random(1), wall_clock=loop.time,
        )  # fmt: skip

    async def tell(self, *numbers: int, stream: StreamKey = CAM) -> None:
        await self.log.append([_event(number, stream) for number in numbers])
        self.news.tell()

    async def run(self, seconds: float) -> None:
        task = asyncio.ensure_future(self.delivery.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _event(number: int, stream: StreamKey) -> Event:
    return Event(id=event_id(b"\1" * 8, number), kind="alarm", at_us=0, node="edge", stream=stream)


def _ids(numbers: Iterable[int]) -> list[str]:
    return [event_id(b"\1" * 8, number) for number in numbers]


@in_virtual_time
async def test_events_are_delivered_in_order_and_the_next_replica_goes_on_behind_them() -> None:
    world = _World()
    await world.tell(*range(1, 101))
    await world.run(10)
    assert world.sink.taken == _ids(range(1, 101))
    await world.tell(101)
    await world.run(10)
    assert world.sink.taken[100:] == _ids([101])
    assert (await world.log.cursor(SHARD, "bill", 0)).count == 101


@in_virtual_time
async def test_a_receiver_is_told_in_the_trace_of_what_the_event_is_about() -> None:
    world, trace = _World(), telemetry.TraceContext(1, 2)
    begun, own = replace(_event(1, CAM), kind="pub_start", trace=trace), telemetry.TraceContext(3, 4)
    await world.log.append([begun, replace(_event(2, CAM), kind="sub_start"), replace(_event(3, CAM), kind="sub_stop", trace=own)])
    await world.log.append([_event(4, OTHER)])
    await world.run(1)
    heard = dict(zip(world.sink.taken, world.sink.traces, strict=True))
    assert [heard[each] for each in _ids((1, 2, 3, 4))] == [trace, trace, own, None]


@in_virtual_time
async def test_what_it_took_to_bring_an_event_is_one_span_that_says_how_often_it_was_tried() -> None:
    world, trace = _World(give_up_s=10), telemetry.TraceContext(1, 2)
    [bad] = _ids([1])
    world.sink.refuses[bad] = DeliveryError("HTTP 500")
    with traced() as recorded:
        await world.log.append([replace(_event(1, CAM), trace=trace)])
        await world.run(100)
        span = recorded.all()["scheduler.webhook"]
    assert (parent_of(span), span.status.description) == (trace, "HTTP 500")
    assert (span.attributes or {})["lalmesh.attempts"] == len(world.sink.attempts) > 3
    assert set(world.sink.traces) == {context_of(span)}


@in_virtual_time
async def test_an_event_that_is_not_taken_is_tried_again_and_holds_up_its_stream_only() -> None:
    world = _World()
    [bad] = _ids([1])
    world.sink.refuses[bad] = DeliveryError("HTTP 500")
    await world.tell(1, 2)
    await world.tell(3, 4, stream=OTHER)
    running = asyncio.ensure_future(world.run(200))
    await asyncio.sleep(20)
    assert world.sink.taken == _ids([3, 4])
    assert world.state.error == "HTTP 500"
    pauses = [at for at, each in world.sink.attempts if each == bad]
    assert 4 < len(pauses) < 12
    del world.sink.refuses[bad]
    await running
    assert world.sink.taken == _ids([3, 4, 1, 2])
    assert (world.state.error, world.state.dead) == ("", 0)


@in_virtual_time
async def test_what_is_not_taken_for_long_is_a_dead_letter_and_what_is_behind_it_goes_on() -> None:
    world = _World(give_up_s=60)
    [bad] = _ids([1])
    world.sink.refuses[bad] = DeliveryError("HTTP 500")
    await world.tell(1, 2)
    await world.run(200)
    assert world.sink.taken == _ids([2])
    [letter] = await world.log.letters("", 10)
    assert (letter.receiver, letter.event.id, letter.error) == ("bill", bad, "HTTP 500")


@in_virtual_time
async def test_one_that_is_not_taken_while_all_others_are_is_given_up_within_minutes() -> None:
    world = _World(give_up_s=86_400)
    [bad] = _ids([1])
    world.sink.refuses[bad] = DeliveryError("HTTP 500")
    await world.tell(1, 2)
    running = asyncio.ensure_future(world.run(1000))
    for _ in range(6000):
        await asyncio.sleep(0.1)
        world.state.delivered += 1  # of another shard
    assert world.sink.taken == _ids([2])
    assert world.state.dead == 1
    first, *_, last = [at for at, each in world.sink.attempts if each == bad]
    assert 300 < last - first < 600
    await running


@in_virtual_time
async def test_a_receiver_that_is_away_for_long_gets_everything_though_it_took_some_just_before() -> None:
    world = _World(give_up_s=86_400)
    bad, other = _ids([1, 2])
    world.sink.refuses[bad] = DeliveryError("no answer")
    await world.tell(1)
    await world.tell(2, stream=OTHER)
    running = asyncio.ensure_future(world.run(20_000))
    await asyncio.sleep(10_000)
    assert world.sink.taken == [other]
    del world.sink.refuses[bad]
    await running
    assert (world.sink.taken, world.state.dead) == ([other, bad], 0)


@in_virtual_time
async def test_pauses_double_up_to_the_longest() -> None:
    world = _World(give_up_s=86_400)
    [bad] = _ids([1])
    world.sink.refuses[bad] = DeliveryError("HTTP 503")
    await world.tell(1)
    await world.run(300)
    times = [at for at, _ in world.sink.attempts]
    pauses = [after - before - 0.01 for before, after in itertools.pairwise(times)]
    longest = [min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number) for number in range(len(pauses))]
    assert len(pauses) > 10
    assert all(most / 2 <= pause <= most + 1e-6 for pause, most in zip(pauses, longest, strict=True))


@in_virtual_time
async def test_a_receiver_that_says_never_is_believed_the_fifth_time() -> None:
    world = _World(give_up_s=10_000)
    [bad] = _ids([1])
    world.sink.refuses[bad] = DeliveryError("HTTP 400", is_refused=True)
    await world.tell(1)
    await world.run(60)
    assert len(world.sink.attempts) == 5
    assert world.state.dead == 1


@in_virtual_time
async def test_one_that_never_took_anything_hears_of_what_was_trimmed_too() -> None:
    world = _World(shard_events=10)
    await world.run(1)  # a replica knows it, and goes
    await world.tell(*range(1, 31))
    await world.run(10)
    assert world.sink.taken == [f"lost-bill-{SHARD}-21", *_ids(range(21, 31))]


@in_virtual_time
async def test_a_receiver_hears_of_what_was_trimmed_before_it_had_it() -> None:
    world = _World(shard_events=10)
    await world.tell(1)
    await world.run(10)
    await world.tell(*range(2, 32))
    await world.run(10)
    assert world.sink.taken == [*_ids([1]), f"lost-bill-{SHARD}-22", *_ids(range(22, 32))]
    assert world.state.lost == 20
