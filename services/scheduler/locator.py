"""Where streams are: answered from the view, waited for until the caller's deadline.

The view may lag, and the watch that feeds it may be stuck for seconds while etcd changes its leader. So who waits has the registry
asked as well: at once, and again with growing pauses while that is ahead of the view.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Location
from lalmesh.runtime.scheduling.model import Refusal, Refused, Wanted
from services.scheduler.rulings import RETRY_AFTER_S
from services.scheduler.view import View
from services.scheduler.waiters import Waiters

FIRST_LOOK_S = 1.0  #: pause before the registry is asked again for a stream that somebody waits for; doubles
#: for so long those asked for with a stream that is there may hold up its answer: most of what an origin had comes back together
HOLD_S = 0.5
AGAIN_S = 0.01  #: hint for those that are not waited for any longer, and may be asked for again


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

    async def find(self, wanted: Sequence[Wanted], wait_s: float) -> list[Location | Refused]:
        """Where each of them is: once all that is known, or `HOLD_S` after some of it is, or after `wait_s`.

        A stream that nobody has read yet may never come, and holds up nothing: it is to be asked for again where another is there.
        """
        if len(wanted) == 1:
            return [self.known(wanted[0]) or await self.wait_for(wanted[0], wait_s)]
        known = [self.known(each) for each in wanted]
        missing = [each for each, location in zip(wanted, known, strict=True) if location is None]
        found = iter(await self._find(missing, wait_s, is_some_known=len(missing) < len(wanted)))
        return [location or next(found) for location in known]

    async def _find(self, wanted: Sequence[Wanted], wait_s: float, *, is_some_known: bool) -> list[Location | Refused]:
        """The same for what is not known yet."""
        tasks = [asyncio.create_task(self.wait_for(each, wait_s)) for each in wanted]
        left, some = set(tasks), asyncio.Event()
        if is_some_known or not tasks:
            some.set()

        def ended(task: asyncio.Task[Location | Refused]) -> None:
            left.discard(task)
            if not left or task.cancelled() or task.exception() is not None or isinstance(task.result(), Location):
                some.set()

        for task in tasks:
            task.add_done_callback(ended)
        try:
            await some.wait()
            soon = [task for task, each in zip(tasks, wanted, strict=True) if task in left and not _may_never_come(each)]
            if soon:
                await asyncio.wait(soon, timeout=HOLD_S)
            return [task.result() if task.done() else _held_up(each) for task, each in zip(tasks, wanted, strict=True)]
        finally:
            for task in left:
                task.cancel()

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


def _may_never_come(wanted: Wanted) -> bool:
    """Whether a reader waits for the first publisher of a stream."""
    return wanted.after is None and not wanted.at_once


def _held_up(wanted: Wanted) -> Refused:
    """The answer for what was not waited for any longer."""
    if wanted.at_once:
        return Refused(Refusal.UNAVAILABLE, f"{wanted.stream} was not looked for in time", AGAIN_S)
    return Refused(Refusal.NOT_FOUND, f"{wanted.stream} is nowhere yet", AGAIN_S)


def _nothing_comes(wanted: Wanted) -> bool:
    """Nothing brings what is nowhere."""
    return False
