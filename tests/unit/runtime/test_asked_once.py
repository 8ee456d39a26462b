"""Of many that want to know one thing at the same time, one asks."""

from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import in_virtual_time, settle

from lalmesh.runtime.asked_once import AskedOnce


class Slow:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, key: str) -> str:
        self.asked.append(key)
        await asyncio.sleep(1)
        if key == "bad":
            raise ValueError(key)
        return key.upper()


@in_virtual_time
async def test_one_asks_for_all_and_the_next_asks_again() -> None:
    slow = Slow()
    once = AskedOnce(slow)
    assert [*await asyncio.gather(once.get("a"), once.get("b"), once.get("a"))] == ["A", "B", "A"]
    assert slow.asked == ["a", "b"]
    await once.get("a")
    assert slow.asked == ["a", "b", "a"]


@in_virtual_time
async def test_who_is_cancelled_leaves_the_others_their_answer_and_an_error_is_for_all() -> None:
    once = AskedOnce(Slow())
    first, second = asyncio.create_task(once.get("a")), asyncio.create_task(once.get("a"))
    await settle()
    first.cancel()
    assert await second == "A"
    for error in await asyncio.gather(once.get("bad"), once.get("bad"), return_exceptions=True):
        assert isinstance(error, ValueError)
    with pytest.raises(ValueError, match="bad"):
        await once.get("bad")
