from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import in_virtual_time

from services.edge.read_turns import ReadTurns, ReadTurnSettings


@pytest.mark.parametrize(("publishers", "delay_ms"), [(0, 0), (4, 0), (5, 1), (99, 19), (100, 20), (5000, 20)])
@in_virtual_time
async def test_turns_are_as_long_as_there_are_publishers(publishers: int, delay_ms: int) -> None:
    settings = ReadTurnSettings(max_delay_ms=20, publishers_per_delay_ms=5)
    assert ReadTurns(settings, range(publishers), asyncio.get_running_loop()).delay_ms == delay_ms


@in_virtual_time
async def test_all_that_wait_go_on_together_and_who_waits_again_does_so_for_the_next_turn() -> None:
    loop, went_on = asyncio.get_running_loop(), list[tuple[str, int]]()
    turns = ReadTurns(ReadTurnSettings(max_delay_ms=20, publishers_per_delay_ms=1), range(100), loop)
    begun = loop.time()

    def go_on(name: str) -> None:
        went_on.append((name, round((loop.time() - begun) * 1000)))
        if len(went_on) < 4:
            turns.wait(lambda: go_on(name))

    turns.wait(lambda: go_on("a"))
    await asyncio.sleep(0.005)
    turns.wait(lambda: go_on("b"))
    await asyncio.sleep(1)
    assert went_on == [("a", 20), ("b", 20), ("a", 40), ("b", 40), ("a", 60)]


@in_virtual_time
async def test_one_that_cannot_be_read_keeps_nobody_from_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    turns, went_on = ReadTurns(ReadTurnSettings(), range(100), asyncio.get_running_loop()), asyncio.Event()

    def fail() -> None:
        raise ValueError("a bug")

    turns.wait(fail)
    turns.wait(went_on.set)
    await asyncio.sleep(1)
    assert went_on.is_set()
    assert [record.getMessage() for record in caplog.records] == ["a publisher could not be read"]


@pytest.mark.parametrize(
    ("gather", "publishers", "slack_s", "waits_s"),
    [
        (False, 0, 0.1, None),
        (True, 0, 0.0, None),
        pytest.param(True, 0, 0.1, 0.04, id="no longer than publishers may wait"),
        pytest.param(True, 0, 0.032, 0.03, id="to shortly before it goes out"),
        pytest.param(True, 0, 0.011, None, id="not worth it"),
        pytest.param(True, 25, 0.03, 0.028, id="longer than a turn"),
        pytest.param(True, 150, 0.03, 0.03, id="with all others"),
    ],
)
@in_virtual_time
async def test_who_has_been_read_waits_for_what_players_gather(
    gather: bool, publishers: int, slack_s: float, waits_s: float | None
) -> None:
    loop, went_on = asyncio.get_running_loop(), list[float]()
    turns = ReadTurns(ReadTurnSettings(max_delay_ms=40, publishers_per_delay_ms=5), range(publishers), loop)
    turns.players_gather = gather
    begun = loop.time()
    assert turns.waits(lambda: slack_s, lambda: went_on.append(round(loop.time() - begun, 3))) is (waits_s is not None)
    await asyncio.sleep(1)
    assert went_on == ([] if waits_s is None else [waits_s])
