"""The node's half of membership: a report each second, commands handed on, another try where a stream broke.

```
           stream opens            Joined               silence, end or error
  apart ----------------> asking ---------> joined -----------------------------> apart (after a pause with jitter)
                                                     Evicted, or leave() answered
                                            joined -----------------------------> over
```
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace

from lalmesh.errors import RemoteProtocolError, Unavailable
from lalmesh.runtime.awake import awake_timeout
from lalmesh.runtime.scheduling.hls import HlsEndpoint
from lalmesh.runtime.scheduling.model import Endpoint, Evicted, Joined, NodeCommand, NodeReport

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2  #: back well within `rejoin_s` (1 s), after which claims may be taken over
#: a scheduler that is back is found within this, and `silence_s` for each replica that swallows packets: before the cluster has
#: settled, or others could claim what this node holds
MAX_PAUSE_S = 1.0

Join = Callable[[AsyncIterator[NodeReport]], AsyncGenerator[NodeCommand, None]]


class Membership:
    """Keep one node a member of the cluster. Run `run` as a task of the node."""

    def __init__(
        self,
        join: Join,
        report: Callable[[], NodeReport],
        command: Callable[[NodeCommand], None],
        *,
        interval_s: float = 1.0,
        silence_s: float = 2.0,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            join: `SchedulerClient.join` of a client or of the scheduler service itself.
            report: what to say now; called once per report, must not block.
            command: takes every command but `Joined`; must not block.
            interval_s: seconds between two reports.
            silence_s: seconds without a command after which the stream is given up.
            rng: of the jitter; a fresh one by default.
        """
        self._join = join
        self._report = report
        self._command = command
        self._interval_s = interval_s
        self._silence_s = silence_s
        self._rng = rng or random.Random()
        self._pause_s = FIRST_PAUSE_S
        self._leaving = False
        self._last_report: NodeReport | None = None
        self._nudge = asyncio.Event()
        self._over = asyncio.Event()
        #: set while a scheduler has answered on the present stream
        self.joined = asyncio.Event()
        #: term that the scheduler named last; 0 before
        self.term = 0
        #: that the node lives under, as the scheduler said last; 0 before
        self.lease = 0
        #: hls nodes that the scheduler named last; they stay while it is away
        self.hls: tuple[HlsEndpoint, ...] = ()
        #: of an edge that drains: where other edges are, as the scheduler named them last
        self.elsewhere: tuple[Endpoint, ...] = ()
        #: why the node was evicted, once it was
        self.evicted: str | None = None

    async def run(self) -> None:
        """Join, and join again whenever that ends, until evicted or left."""
        try:
            while not self._over.is_set():
                begun_s = asyncio.get_running_loop().time()
                await self._attend()
                waited_s = 0.0 if self.joined.is_set() else asyncio.get_running_loop().time() - begun_s
                self.joined.clear()
                if not self._over.is_set():
                    await self._pause(waited_s)
        finally:
            self.joined.clear()
            self._over.set()

    def report_now(self) -> None:
        """Send the next report at once: something changed that others wait for."""
        self._nudge.set()

    async def leave(self, deadline_s: float = 2.0) -> bool:
        """Leave in order: say so in a last report, and wait until the scheduler has taken it.

        Returns:
            Whether it has, within `deadline_s` seconds; where not, the node's lease runs out by itself.
        """
        self._leaving = True
        self._nudge.set()
        if not self.joined.is_set():
            self._over.set()
            return False
        try:
            async with asyncio.timeout(deadline_s):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    async def _attend(self) -> None:
        """One stream, from its opening to its end."""
        reports = self._reports()
        commands = self._join(reports)
        try:
            while not self._over.is_set():
                async with awake_timeout(self._silence_s):
                    command = await anext(commands)
                self._handle(command)
        except StopAsyncIteration:
            if self._leaving:
                self._over.set()
        except TimeoutError:
            log.warning("scheduler silent for %.1f s: joining again", self._silence_s)
        except (Unavailable, RemoteProtocolError) as exc:
            log.warning("membership broke: %s", exc)
        finally:
            await commands.aclose()
            await _close(reports)

    def _handle(self, command: NodeCommand) -> None:
        match command:
            case Joined(term, hls, elsewhere, lease):
                self.lease = lease or self.lease
                self.term = term or self.term
                self.hls = hls
                self.elsewhere = elsewhere
                self._pause_s = FIRST_PAUSE_S
                self.joined.set()
                return
            case Evicted(reason):
                log.error("evicted: %s", reason)
                self.evicted = reason
                self._over.set()
            case _:
                pass
        try:
            self._command(command)
        except Exception:  # a bug in what it leads to must not cost the node its membership
            log.exception("command failed: %s", command)

    async def _reports(self) -> AsyncGenerator[NodeReport, None]:
        while True:
            self._nudge.clear()
            leaving = self._leaving
            yield replace(self._made_report(), leaving=leaving)
            if leaving:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._nudge.wait()

    def _made_report(self) -> NodeReport:
        """What the node says now; what it said last where a bug keeps it from saying it: a node must not vanish over a figure."""
        try:
            self._last_report = self._report()
        except Exception:
            if self._last_report is None:
                raise
            log.exception("no report could be made; the last one is repeated")
        return self._last_report

    async def _pause(self, waited_s: float) -> None:
        """Wait a random part of a pause that doubles, so that nodes which lost one replica do not return as one.

        What has been waited for an answer in vain, `waited_s`, is a part of it.
        """
        pause_s = max(0.0, self._rng.uniform(self._pause_s / 4, self._pause_s) - waited_s)
        self._pause_s = min(MAX_PAUSE_S, self._pause_s * 2)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._over.wait()


async def _close(reports: AsyncGenerator[NodeReport, None]) -> None:
    """Close the reports, unless the transport is still within them: its own task ends them then."""
    with contextlib.suppress(RuntimeError):
        await reports.aclose()
