"""Asking the callback: how much at once, and what counts as its failure."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from prometheus_client import CollectorRegistry

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import Action, Allowed, Callback, CallbackSettings, NotThis, Request
from lalmesh.runtime.authorisation._asking import CallbackAsker
from lalmesh.runtime.authorisation._callback import question_of
from lalmesh.runtime.authorisation._metrics import AccessMetrics
from lalmesh.runtime.authorisation._verdict import Answer, CallbackQuestion, Question

PUBLISH = Request(action=Action.PUBLISH, stream=StreamKey("live", "a"), protocol="rtmp", address="192.0.2.7")
SETTINGS = CallbackSettings(timeout_s=0.02, concurrent_num=2, failures_num=1, open_s=60.0)


class SlowCallback(CallbackAsker):
    """Refuses everybody, once it is let go on."""

    def __init__(self, settings: CallbackSettings) -> None:
        super().__init__(settings, AccessMetrics("edge", CollectorRegistry()), asyncio.get_running_loop().time)
        self.goes_on = asyncio.Event()
        self.asked = 0
        self.is_full = asyncio.Event()

    async def _post(self, question: CallbackQuestion, session_id: str) -> int:
        self.asked += 1
        if self.asked == self._settings.concurrent_num:
            self.is_full.set()
        await self.goes_on.wait()
        return 403


def questions(count: int) -> list[CallbackQuestion]:
    return [question_of(replace(PUBLISH, stream=StreamKey("live", f"s{number}"))) for number in range(count)]


async def test_who_gets_no_turn_is_told_so_and_the_callback_has_not_failed() -> None:
    callback = SlowCallback(replace(SETTINGS, timeout_s=1.0))
    first = [asyncio.ensure_future(callback.answer(question, "")) for question in questions(2)]
    await callback.is_full.wait()
    callback._settings = SETTINGS  # the others have less time
    others = await asyncio.gather(*(callback.answer(question, "") for question in questions(5)[2:]))
    callback.goes_on.set()
    assert (others, await asyncio.gather(*first), callback.asked) == ([Answer.BUSY] * 3, [Answer.NO] * 2, 2)
    assert await callback.answer(questions(6)[5], "") is Answer.NO, "it is asked again: nothing has opened the breaker"


async def test_a_callback_that_does_not_answer_has_failed() -> None:
    callback = SlowCallback(SETTINGS)
    assert [await callback.answer(question, "") for question in questions(2)] == [Answer.NONE] * 2
    assert callback.asked == 1


def test_nobody_is_let_in_because_too_many_ask() -> None:
    question: Question = question_of(PUBLISH)
    judgement = Callback(fail_open=True).judge(PUBLISH, 0.0, {question: Answer.BUSY})
    assert isinstance(judgement, NotThis)
    assert judgement.is_unanswered
    assert isinstance(Callback(fail_open=True).judge(PUBLISH, 0.0, {question: Answer.NONE}), Allowed)
