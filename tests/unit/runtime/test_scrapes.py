"""The text of metrics: made once for many, and never before somebody asked for it."""

from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import in_virtual_time

from lalmesh.runtime import scrapes
from lalmesh.runtime.scrapes import ANSWERS, MAX_REST_S, REST, Scrapes


class Metrics:
    """A counter, whose text takes a while to make."""

    def __init__(self, *, takes_s: float = 0.0, waits_s: float = 0.0) -> None:
        self.value = 0
        self.texts = 0
        self.takes_s = takes_s
        self.waits_s = waits_s
        self.fails = False

    async def text(self) -> bytes:
        self.texts += 1
        value = self.value
        clock.now += self.takes_s
        if self.waits_s:
            await asyncio.sleep(self.waits_s)
        if self.fails:
            raise OSError("no")
        return str(value).encode()


class Clock:
    """What work takes."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


clock = Clock()


@pytest.fixture(autouse=True)
def turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrapes, "time", clock)


def now_s() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_of_many_who_ask_at_once_one_text_is_made_and_a_few_are_answered_in_each_round() -> None:
    metrics = Metrics()
    asked, between = Scrapes(metrics.text), [0]

    async def ask() -> bytes:
        text = await asked.text()
        between[-1] += 1
        return text

    async def go_round() -> None:
        while True:
            await asyncio.sleep(0)
            between.append(0)

    going = asyncio.create_task(go_round())
    texts = await asyncio.gather(*(ask() for _ in range(200)))
    going.cancel()
    assert (set(texts), metrics.texts) == ({b"0"}, 1)
    assert max(between) <= ANSWERS


@in_virtual_time
async def test_however_much_is_asked_a_text_takes_a_tenth_of_the_time() -> None:
    metrics = Metrics(takes_s=0.01)
    asked = Scrapes(metrics.text)

    async def ask_without_end() -> None:
        while True:
            await asked.text()

    asking = [asyncio.create_task(ask_without_end()) for _ in range(20)]
    await asyncio.sleep(10.0)
    assert 100 <= metrics.texts <= 10.0 / (0.01 * REST) + 1
    for task in asking:
        task.cancel()


@in_virtual_time
async def test_what_has_happened_before_somebody_asks_is_in_his_text() -> None:
    metrics = Metrics(takes_s=0.01, waits_s=0.05)
    asked = Scrapes(metrics.text)

    async def see() -> None:
        for _ in range(50):
            metrics.value += 1
            seen = metrics.value
            assert int(await asked.text()) >= seen
            await asyncio.sleep(0.013)

    await asyncio.gather(*(see() for _ in range(5)))


@in_virtual_time
async def test_who_scrapes_from_time_to_time_does_not_wait() -> None:
    asked = Scrapes(Metrics(takes_s=0.01).text)
    for _ in range(3):
        began_s = now_s()
        await asked.text()
        assert now_s() == began_s
        await asyncio.sleep(1.0)


@in_virtual_time
async def test_a_text_that_takes_long_is_made_again_soon_all_the_same() -> None:
    asked = Scrapes(Metrics(takes_s=5.0).text)
    await asked.text()
    began_s = now_s()
    await asked.text()
    assert now_s() - began_s == pytest.approx(MAX_REST_S)


@in_virtual_time
async def test_a_text_that_cannot_be_made_is_told_to_all_who_wait_and_tried_for_the_next() -> None:
    metrics = Metrics(waits_s=0.01)
    asked, metrics.fails = Scrapes(metrics.text), True
    assert all(
        isinstance(each, OSError) for each in await asyncio.gather(*(asked.text() for _ in range(3)), return_exceptions=True)
    )
    metrics.fails = False
    gone = asyncio.create_task(asked.text())
    stays = asyncio.create_task(asked.text())
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == b"0"
