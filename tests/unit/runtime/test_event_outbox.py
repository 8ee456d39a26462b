from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from support.virtual_time import in_virtual_time

from lalmesh.errors import LocalProtocolError, Unavailable
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_outbox import MAX_TEXT_CHARS, MAX_TEXTS_BYTES, EventOutbox
from lalmesh.runtime.events import Event, event_id, number_of
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.control_wire import parse_event, serialize_event

NODE = NodeId("edge-1", b"\1" * 8)
_RAW = st.binary(min_size=1, max_size=3).map(lambda raw: raw.decode("utf-8", "surrogateescape"))  # as HTTP and RTSP give it


class _Told:
    """Takes lists, or not."""

    def __init__(self, failures: int = 0) -> None:
        self.lists: list[list[Event]] = []
        self.failures = failures

    async def tell(self, events: Sequence[Event]) -> None:
        self.lists.append(list(events))
        if len(self.lists) <= self.failures:
            raise Unavailable("nobody there", retry_after_s=1.0)


async def _run(outbox: EventOutbox) -> None:
    task = asyncio.ensure_future(outbox.run())
    await outbox.emptied()
    task.cancel()


@in_virtual_time
async def test_events_are_told_in_order_under_numbers() -> None:
    told = _Told()
    outbox = EventOutbox(NODE, told.tell, wall_clock=lambda: 5.0)
    for number in range(3):
        outbox.add(EventKind.PUB_START, facts={"n": number, "long": "x" * 9999})
    outbox.add(EventKind.NODE_UP, once="node-up")
    await _run(outbox)
    (events,) = told.lists
    assert [event.id for event in events] == [event_id(b"\1" * 8, 1), event_id(b"\1" * 8, 2), event_id(b"\1" * 8, 3), "node-up"]
    assert events[0].at_us == 5_000_000
    assert len(events[0].facts["long"]) == MAX_TEXT_CHARS


@in_virtual_time
async def test_what_is_not_answered_is_told_again_before_all_else() -> None:
    told = _Told(failures=3)
    outbox = EventOutbox(NODE, told.tell, rng=random.Random(1))
    outbox.add(EventKind.PUB_START)
    task = asyncio.ensure_future(outbox.run())
    await asyncio.sleep(0.01)
    outbox.add(EventKind.PUB_STOP)
    await outbox.emptied()
    task.cancel()
    assert [[event.kind for event in each] for each in told.lists] == [["pub_start"]] * 4 + [["pub_stop"]]
    assert outbox.counters.failures == 3


@in_virtual_time
async def test_over_the_bound_the_oldest_go_and_an_event_says_how_many() -> None:
    told = _Told()
    outbox = EventOutbox(NODE, told.tell, limit=3)
    for _ in range(10):
        outbox.add(EventKind.PUB_START)
    assert len(outbox) == 3
    await _run(outbox)
    (events,) = told.lists
    assert [event.kind for event in events] == ["events_lost", "pub_start", "pub_start"]
    assert events[0].facts == {"count": 8}
    assert outbox.counters.dropped == 8
    assert [number_of(event.id) for event in events] == [("01" * 8, 8), ("01" * 8, 9), ("01" * 8, 10)]


@in_virtual_time
async def test_what_is_lost_twice_is_counted_once() -> None:
    told = _Told()
    outbox = EventOutbox(NODE, told.tell, limit=3)
    for _ in range(5):
        outbox.add(EventKind.PUB_START)
    await _run(outbox)
    for _ in range(4):
        outbox.add(EventKind.PUB_STOP)
    await _run(outbox)
    assert [events[0].facts for events in told.lists] == [{"count": 3}, {"count": 2}]


@in_virtual_time
async def test_an_event_that_nobody_takes_is_lost_alone() -> None:
    told: list[Event] = []

    async def tell(events: Sequence[Event]) -> None:
        if any(event.kind == "sub_start" for event in events):
            raise LocalProtocolError("facts of 73765, limit 65536")
        told.extend(events)

    outbox = EventOutbox(NODE, tell)
    for kind in (EventKind.PUB_START, EventKind.SUB_START, EventKind.SUB_STOP, EventKind.PUB_STOP):
        outbox.add(kind)
    await _run(outbox)
    outbox.add(EventKind.NODE_UP)
    await _run(outbox)
    assert [event.kind for event in told] == ["pub_start", "events_lost", "sub_stop", "pub_stop", "node_up"]
    assert [number_of(event.id) for event in told] == [("01" * 8, number) for number in range(1, 6)]
    assert (told[1].facts, outbox.counters.refused, outbox.counters.dropped) == ({"count": 1}, 1, 1)


@in_virtual_time
async def test_over_the_bound_in_bytes_the_oldest_go_too() -> None:
    told = _Told()
    outbox = EventOutbox(NODE, told.tell, limit_bytes=100_000)
    for _ in range(100):
        outbox.add(EventKind.UPDATE, facts={"groups": [{"name": "x" * 10_000}]})
        assert outbox.size_bytes <= 100_000
    await _run(outbox)
    (events,) = told.lists
    assert [event.kind for event in events] == ["events_lost"] + ["update"] * 9
    assert (events[0].facts, outbox.counters.dropped, outbox.size_bytes) == ({"count": 91}, 91, 0)


@in_virtual_time
async def test_one_event_that_is_over_the_bound_in_bytes_is_told() -> None:
    told = _Told()
    outbox = EventOutbox(NODE, told.tell, limit_bytes=1000)
    outbox.add(EventKind.UPDATE, facts={"groups": ["x" * 5000]})
    await _run(outbox)
    assert [event.kind for event in told.lists[0]] == ["update"]


@given(st.dictionaries(st.sampled_from(("app", "flash_ver", "tc_url", "query", "url", "user_agent")), _RAW))
def test_whatever_a_client_says_can_be_told(facts: dict[str, str]) -> None:
    outbox = EventOutbox(NODE, _Told().tell)
    outbox.add(EventKind.RTMP_CONNECT, facts={name: text * 4096 for name, text in facts.items()})
    message = serialize_event(outbox._waiting.pop())
    assert parse_event(message).facts.keys() == facts.keys()
    assert len(message.facts.encode()) <= MAX_TEXTS_BYTES
