"""Turns: how much is done in each round of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.turns import Turns

ROOM = 4


class Rounds:
    """What is done in each round of the loop."""

    def __init__(self) -> None:
        self.turns = Turns(ROOM)
        self.done: list[list[int]] = [[]]

    async def work(self, weight: int) -> None:
        await self.turns.wait(weight)
        self.done[-1].append(weight)

    async def go_round(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.done.append([])

    async def all(self, weights: Sequence[int]) -> list[int]:
        """The weight of what was done in each round in which something was."""
        going = asyncio.create_task(self.go_round())
        await asyncio.gather(*map(self.work, weights))
        going.cancel()
        return [sum(min(each, ROOM) for each in done) for done in self.done if done]


@given(st.lists(st.integers(1, 2 * ROOM), max_size=40))
async def test_no_more_is_done_in_a_round_than_there_is_room_for_and_all_of_it_in_its_order(weights: list[int]) -> None:
    rounds = Rounds()
    each = await rounds.all(weights)
    assert all(weight <= ROOM for weight in each)
    assert [weight for done in rounds.done for weight in done] == weights


async def test_what_takes_a_round_is_not_passed_by_what_takes_less() -> None:
    assert await Rounds().all([1, ROOM, 1, 1, ROOM]) == [1, ROOM, 2, ROOM]


async def test_who_has_gone_while_he_waited_takes_no_turn() -> None:
    rounds = Rounds()
    working = [asyncio.create_task(rounds.work(ROOM)) for _ in range(5)]
    going = asyncio.create_task(rounds.go_round())
    await asyncio.sleep(0)
    for task in working[1:4]:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    going.cancel()
    assert rounds.done[:3] == [[ROOM], [ROOM], []]


async def test_where_nobody_waits_a_turn_is_at_once() -> None:
    assert await Rounds().all([1, 1, 2]) == [ROOM]
