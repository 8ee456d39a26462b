"""Where streams are: answered from the view, asked of the registry once, waited for until the caller's deadline."""

from __future__ import annotations

import asyncio
import contextlib

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Location
from lalmesh.runtime.scheduling.model import Refusal, Refused, Wanted
from services.scheduler.claims import RETRY_AFTER_S
from services.scheduler.view import View
from services.scheduler.waiters import Waiters


class Locator:
    """Finds streams for readers."""

    def __init__(self, view: View) -> None:
        """Look into `view`."""
        self._view = view
        self._waiters = Waiters()

    def known(self, wanted: Wanted) -> Location | None:
        """What the view shows now."""
        group = self._view.directory.group(wanted.stream)
        if group is None or (wanted.after is not None and group.place <= wanted.after):
            return None
        return group.location

    def wake(self, stream: StreamKey) -> None:
        """The view shows something new of a stream."""
        self._waiters.wake(stream)

    async def wait_for(self, wanted: Wanted, wait_s: float) -> Location | Refused:
        """Ask the registry once, since the view may lag, then wait for the view to show what is wanted, unless at once."""
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
                    while self.known(wanted) is None and not wanted.at_once:
                        woken.clear()
                        await woken.wait()
        return self.known(wanted) or refused
