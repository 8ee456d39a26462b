from __future__ import annotations

import asyncio
import json

from lalmesh.runtime.objects import MAX_TYPES, count_objects


class Kept:
    """Something that is counted."""


def kept_now() -> int:
    return count_objects().types.get(f"{Kept.__module__}.Kept", 0)


def test_objects_are_counted_by_type_most_first_while_they_are_there() -> None:
    kept = [Kept() for _ in range(7)]
    assert kept_now() == 7
    kept.clear()
    assert kept_now() == 0
    assert list(count_objects([{}, [], {}]).types.items()) == [("builtins.dict", 2), ("builtins.list", 1)]


def test_garbage_in_a_circle_does_not_count() -> None:
    one, other = Kept(), Kept()
    one.__dict__["other"], other.__dict__["one"] = other, one
    del one, other
    assert kept_now() == 0


async def test_a_timer_counts_until_it_is_cancelled() -> None:
    before = count_objects().timers
    timers = [asyncio.get_running_loop().call_later(60, print) for _ in range(5)]
    assert count_objects().timers == before + 5
    for timer in timers:
        timer.cancel()
    del timer
    timers.clear()
    assert count_objects().timers <= before + 5  # a loop of asyncio forgets cancelled ones when they are many


def test_the_document_is_bounded() -> None:
    kinds = [type(f"Kind{number}", (), {}) for number in range(MAX_TYPES + 10)]
    told = json.loads(count_objects([kind() for kind in kinds]).document())
    assert len(told["types"]) == MAX_TYPES
    assert told["objects"] == MAX_TYPES + 10
