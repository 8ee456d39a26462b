"""Runs that are interrupted, and what is told of each URL."""

from __future__ import annotations

import asyncio

import pytest

from lalmesh.client import ClientOptions
from lalmesh.client.load import Bench, Plan
from lalmesh.client.load._player import LoadPlayer

URL = "rtmp://h/live/a"


class Stays(LoadPlayer):
    """Joins, and stays."""

    async def _play(self) -> None:
        self.joined_s = self.began_s
        self.settled.set()
        await asyncio.Event().wait()


class NeverJoins(LoadPlayer):
    """Its server never answers."""

    async def _play(self) -> None:
        await asyncio.Event().wait()


def bench_of(monkeypatch: pytest.MonkeyPatch, player: type[LoadPlayer], plan: Plan) -> Bench:
    monkeypatch.setattr("lalmesh.client.load._bench.StreamPlayer", player)
    return Bench(plan, ClientOptions(), None, say=lambda text: None)


async def test_who_had_not_begun_when_a_run_was_ended_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of(monkeypatch, NeverJoins, Plan(play_urls=(URL,), players=100, play_within_s=0.0))
    running = asyncio.ensure_future(bench.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    report = await running
    assert report.players[0].joined == 0
    assert report.faults == [f"{URL}: 100 players had not begun when it ended"]


async def test_each_place_of_a_url_that_is_given_twice_has_players_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(play_urls=(URL, URL), players=3, play_within_s=0.0, duration_s=0.0)
    report = await bench_of(monkeypatch, Stays, plan).run()
    assert [(played.wanted, played.joined, played.looks.players) for played in report.players] == [(3, 3, 1)] * 2


async def going_on() -> None:
    """Ends when it is told to."""
    await asyncio.Event().wait()


async def lingering(leaving: asyncio.Event) -> None:
    """Ends some while after it was told to."""
    try:
        await asyncio.Event().wait()
    finally:
        leaving.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("who", ["_playing", "_tasks"])
async def test_an_interrupt_while_all_leave_loses_nothing_that_was_measured(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    bench = bench_of(monkeypatch, Stays, Plan(play_urls=(URL,), play_within_s=0.0, duration_s=0.0))
    leaving, publishing = asyncio.Event(), asyncio.ensure_future(going_on())
    bench._tasks.append(publishing)
    getattr(bench, who).append(asyncio.ensure_future(lingering(leaving)))
    running = asyncio.ensure_future(bench.run())
    await leaving.wait()
    running.cancel()
    report = await running
    assert (report.is_whole, report.players[0].joined) == (True, 1)
    assert publishing.cancelled()
