"""Lists that are asked for in parts, since a request has at most `MAX_ITEMS`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from lalmesh.errors import RemoteProtocolError, Unavailable, UnsupportedError
from lalmesh.runtime.scheduling.model import MAX_ITEMS, Refusal, Refused

RETRY_AFTER_S = 0.5  #: pause that is hinted where no scheduler answered: a replica is back or replaced within seconds

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def in_parts(
    items: Sequence[_Item], ask: Callable[[Sequence[_Item]], Awaitable[list[_Result | Refused]]]
) -> list[_Result | Refused]:
    """Ask for at most `MAX_ITEMS` at a time; a part that got no usable answer is refused as a whole."""
    results: list[_Result | Refused] = []
    for start in range(0, len(items), MAX_ITEMS):
        part = items[start : start + MAX_ITEMS]
        try:
            answers = await ask(part)
        except (Unavailable, RemoteProtocolError, UnsupportedError) as exc:
            answers = [Refused(Refusal.UNAVAILABLE, str(exc), RETRY_AFTER_S)] * len(part)
        if len(answers) != len(part):
            answers = [Refused(Refusal.UNAVAILABLE, "a scheduler answered another question", RETRY_AFTER_S)] * len(part)
        results += answers
    return results


async def all_in_parts(items: Sequence[_Item], ask: Callable[[Sequence[_Item]], Awaitable[Sequence[_Result]]]) -> list[_Result]:
    """Ask for at most `MAX_ITEMS` at a time; a part that gets no usable answer raises `Unavailable`."""
    answers: list[_Result] = []
    for start in range(0, len(items), MAX_ITEMS):
        part = items[start : start + MAX_ITEMS]
        got = await ask(part)
        if len(got) != len(part):
            raise Unavailable("a scheduler answered another question", retry_after_s=RETRY_AFTER_S)
        answers += got
    return answers
