"""A publisher whose server takes less than is published, or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import cast

import pytest

from lalmesh.client import ClientOptions
from lalmesh.client.load import _publisher, made_media
from lalmesh.client.load._crowd import Crowd
from lalmesh.client.load._pacing import Lateness
from lalmesh.client.load._publisher import LoadPublisher
from lalmesh.client.load._talks import RtmpTalk
from lalmesh.client.load._wire import Wire

MEDIA = made_media(bitrate_bps=100_000, frame_rate=Fraction(25), key_s=1, audio_bps=0)
OPTIONS = ClientOptions(stall_timeout_s=15)
STEP_S = 0.04


class Quiet:
    """A connection on which the server says nothing."""

    def on_readable(self, call: object) -> None:
        """Nothing comes."""


class Publisher(LoadPublisher):
    """Its server takes a unit at once, or when the test says so; time is the test's."""

    now_s = 100.0
    takes = True

    async def _dial(self) -> None:
        self._wire = cast(Wire, Quiet())
        self._talk = RtmpTalk(self.url, "publish")

    def _send(self, number: int) -> bool:
        return self.takes

    def monotonic(self) -> float:
        return self.now_s

    def reason(self) -> str:
        """Why it ended."""
        return self._over.result() if self._over.done() else ""

    def held_for(self, seconds: float) -> None:
        """The unit that is due, or was, leaves, and is gone so much later; each second it is looked at."""
        self.now_s = max(self.now_s, self.due_s)
        if not self.send_due(self.now_s):
            until_s = self.now_s + seconds
            while self.now_s + 1 < until_s and not self.reason():
                self.now_s += 1
                self._each_second(self.now_s)
            self.now_s = until_s
            self._sent()
        self._each_second(self.now_s)


@asynccontextmanager
async def begun(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Publisher]:
    crowd = Crowd(OPTIONS, MEDIA, udp=False, stall_s=1.0)
    publisher = Publisher("rtmp://h/live/a", crowd, Lateness())
    monkeypatch.setattr(_publisher, "time", publisher)
    try:
        await publisher._begin()
        yield publisher
    finally:
        crowd.close()


async def test_a_server_that_takes_less_than_is_published_is_not_said_to_take_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with begun(monkeypatch) as publisher:
        publisher.takes = False
        while not publisher.reason():
            publisher.held_for(STEP_S / 0.9)
        assert publisher.reason() == "15 s behind: the server takes less than is published"
        assert publisher.now_s - 100 > 9 * OPTIONS.stall_timeout_s
        assert publisher.held_s == pytest.approx(OPTIONS.stall_timeout_s, abs=1.0)


async def test_a_server_that_takes_nothing_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with begun(monkeypatch) as publisher:
        publisher.takes = False
        publisher.held_for(14.0)
        assert not publisher.reason()
        assert publisher.held_s == pytest.approx(14.0 - STEP_S)
        publisher.takes = True
        while publisher.due_s <= publisher.now_s:
            publisher.held_for(0.0)
        publisher.takes = False
        publisher.held_for(20.0)
        assert publisher.reason() == "the server took nothing for 15 s"


async def test_units_are_not_late_for_want_of_processor_until_what_the_server_held_up_is_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with begun(monkeypatch) as publisher:
        publisher.takes = False
        publisher.held_for(3.0)
        publisher.takes = True
        while publisher.due_s <= publisher.now_s:
            publisher.held_for(0.0)
        assert publisher._lateness.worst_s == 0.0
        publisher.now_s = publisher.due_s + 0.5
        publisher.held_for(0.0)
        assert publisher._lateness.worst_s == pytest.approx(0.5)


async def test_what_this_program_sends_late_is_not_laid_on_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with begun(monkeypatch) as publisher:
        publisher.now_s += 20.0  # it slept
        publisher.takes = False
        while publisher.due_s <= publisher.now_s:
            publisher.held_for(STEP_S / 2)
        assert publisher.held_s < STEP_S
        assert not publisher.reason()
