"""Of many that want to know one thing at the same time, one asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Found = TypeVar("_Found")


class AskedOnce(Generic[_Key, _Found]):
    """Questions that are under way, by what they ask for."""

    def __init__(self, ask: Callable[[_Key], Awaitable[_Found]]) -> None:
        """Ask with `ask`."""
        self._ask = ask
        self._asking: dict[_Key, asyncio.Future[_Found]] = {}

    async def get(self, key: _Key) -> _Found:
        """What `ask` gives, or raises; of a question that is under way already, its answer."""
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.ensure_future(self._ask(key))
            asking.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(asking)  # the others go on where one that waits is cancelled

    def _answered(self, key: _Key, done: asyncio.Future[_Found]) -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # all that waited may have been cancelled: then nobody else looks at it
