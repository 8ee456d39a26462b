"""Where streams are: answered from the view, waited for until the caller's deadline.

The view may lag, and the watch that feeds it may be stuck for seconds while etcd changes its leader. So who waits has the registry
asked as well: at once, and again with growing pauses while that is ahead of the view.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Location
from lalmesh.runtime.scheduling.model import Refusal, Refused, Wanted
from services.scheduler.rulings import RETRY_AFTER_S
from services.scheduler.view import View
from services.scheduler.waiters import Waiters

FIRST_LOOK_S = 1.0  #: pause before the registry is asked again for a stream that somebody waits for; doubles


class Locator:
    """Finds streams for readers."""

    def __init__(self, view: View) -> None:
        """Look into `view`."""
        self._view = view
        self._waiters = Waiters()
        self.missing: Callable[[Wanted], bool] = _nothing_comes  #: hears what is nowhere; whether it is about to come
        self._asking: asyncio.Future[bool] | None = None

    def known(self, wanted: Wanted) -> Location | None:
        """What the view shows now."""
        group = self._view.directory.group(wanted.stream)
        if group is None or (wanted.after is not None and group.place <= wanted.after):
            return None
        return group.location

    @property
    def waited(self) -> Collection[StreamKey]:
        """Streams that somebody waits for."""
        return self._waiters.streams

    def wake(self, stream: StreamKey) -> None:
        """The view shows something new of a stream."""
        self._waiters.wake(stream)

    async def wait_for(self, wanted: Wanted, wait_s: float) -> Location | Refused:
        """Wait for the view, or the registry itself, to show what is wanted.

        Where it is wanted at once, the registry is asked once, unless a relay is about to bring the stream.
        """
        refused = Refused(Refusal.NOT_FOUND, f"{wanted.stream} is nowhere")
        with self._waiters.waiting(wanted.stream) as woken:
            if woken is None:
                return Refused(Refusal.UNAVAILABLE, "too many wait for streams", RETRY_AFTER_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    try:
                        await self._view.look_for_group(wanted.stream)
                    except Unavailable as exc:
                        refused = Refused(Refusal.UNAVAILABLE, str(exc), exc.retry_after_s or RETRY_AFTER_S)
                    comes = self.known(wanted) is None and self.missing(wanted)
                    if comes and refused.refusal is Refusal.NOT_FOUND:
                        refused = Refused(Refusal.NOT_FOUND, f"{wanted.stream} is about to be fetched", RETRY_AFTER_S)
                    if comes or not wanted.at_once:
                        await self._wait(wanted, woken)
        return self.known(wanted) or refused

    async def _wait(self, wanted: Wanted, woken: asyncio.Event) -> None:
        pause_s = FIRST_LOOK_S
        while self.known(wanted) is None:
            woken.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await woken.wait()
            except TimeoutError:
                pause_s *= 2
                if await self._is_behind():
                    await self._look(wanted.stream)

    async def _is_behind(self) -> bool:
        """Whether the view is; asked once for all that want to know at the same time."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        try:
            return await self._view.is_behind()
        except Unavailable:
            return False

    async def _look(self, stream: StreamKey) -> None:
        with contextlib.suppress(Unavailable):
            await self._view.look_for_group(stream)


def _nothing_comes(wanted: Wanted) -> bool:
    """Nothing brings what is nowhere."""
    return False
