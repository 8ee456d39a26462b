"""Streams whose segmenter has died go on at another, though nobody asks for them at the moment.

Every replica that sees it tries. No duty lease says which one should: the write compares what was read, so one of them names the
successor and the others find an owner that lives. That costs a failed transaction a replica and stream, and there is no moment at
which the one on duty has just died itself. A node that is away has `rejoin_s` to come back in; one whose lease is over has not.

With `hls.start: always`, or where a rule says that it is recorded, a claimed stream that nobody segments is given to a worker in
the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.registry import RegistryUnavailable
from lalmesh.runtime.scheduling.model import Refused, Role
from services.scheduler.changes import Change, ClaimChanged, HlsChanged, NodeChanged, SettlingChanged
from services.scheduler.hls_ownership import Held, Owned, find_orphans
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.parallel import for_each
from services.scheduler.recording_rules import RulesChanged
from services.scheduler.segmenting import Segmenting
from services.scheduler.view import View

log = logging.getLogger(__name__)

TIME_S = 5.0  #: for one stream; the registry's own deadline is shorter
RETRY_S = 1.0  #: pause after one that could not be helped: a worker joins, or the registry answers, within about this

Settle = Callable[[StreamKey, float], Awaitable[Owned | Held | Refused]]


class Successions:
    """Looks after streams without a living segmenter. Run `run` as a task of the scheduler."""

    def __init__(self, view: View, segmenting: Segmenting, metrics: SchedulerMetrics, *, always: bool) -> None:
        """Look into `view`, name by `segmenting`; `always`: also what is claimed and was never asked for."""
        self._view = view
        self._segmenting = segmenting
        self._metrics = metrics
        self._always = always
        self._waiting: set[StreamKey] = set()  # claimed streams that may have no owner, and are to have one
        self._wake = asyncio.Event()
        self.unhelped = 0  #: streams that no hls node could be given, when that was tried last
        self._failure: Unavailable | str | None = None  # why streams of the present look, or the last, go without

    def handle(self, change: Change) -> None:
        """Look soon if a change may leave a stream without a living owner."""
        match change:
            case NodeChanged(before, now):
                if any(record is not None and record.role is Role.HLS for record in (before, now)):
                    self._wake.set()
            case HlsChanged(_, now) if now is not None:
                self._expect(now.stream if now.owner is None else None)
                self._wake.set()
            case SettlingChanged():
                self._wake.set()
            case ClaimChanged(_, now) if now is not None:
                self._expect(now.stream)
            case RulesChanged():
                for stream in self._view.directory.streams():
                    self._expect(stream)
            case _:
                pass

    async def run(self) -> None:
        """Look without end."""
        while True:
            self._wake.clear()
            try:
                wait_s = await self._look()
            except Exception:  # a bug of ours must not end the succession of every stream
                log.exception("streams without a segmenter could not be looked after")
                wait_s = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    def _expect(self, stream: StreamKey | None) -> None:
        if stream is not None and self._is_wanted(stream):
            self._waiting.add(stream)
            self._wake.set()

    def _is_wanted(self, stream: StreamKey) -> bool:
        """Whether the stream is segmented though nobody asks for it."""
        return self._always or self._view.directory.recording.rules.of(stream) is not None

    async def _look(self) -> float | None:
        """Help every stream that needs it; seconds until the next look, None: not before something changes."""
        if not self._view.directory.is_listed:
            return None
        before, self._failure = self._failure, None
        orphans, wait_s = find_orphans(self._view.directory, self._view.clock())
        helped = await for_each(orphans, lambda stream: self._help(stream, self._segmenting.succeed))
        claim = self._view.directory.claim
        self._waiting = {stream for stream in self._waiting if claim(stream) is not None and self._is_wanted(stream)}
        waiting = list(self._waiting)
        helped += await for_each(waiting, lambda stream: self._help(stream, self._segmenting.assign))
        # a stream may be both: its owner has died, and it has another publisher
        self.unhelped = len({stream for stream, is_helped in zip([*orphans, *waiting], helped, strict=True) if not is_helped})
        if not self.unhelped:
            return wait_s
        level = logging.DEBUG if before else logging.WARNING  # once, not with every look
        log.log(level, "%d streams have no segmenter yet: %s", self.unhelped, self._failure)
        return RETRY_S if wait_s is None else min(wait_s, RETRY_S)

    async def _help(self, stream: StreamKey, settle: Settle) -> bool:
        """Whether the stream needs no more help. Where the registry does not answer, the rest of this look is left for the next."""
        if isinstance(self._failure, RegistryUnavailable):
            return False
        try:
            ruling = await settle(stream, asyncio.get_running_loop().time() + TIME_S)
        except Unavailable as exc:
            self._failure = exc
            return False
        if isinstance(ruling, Refused):
            self._failure = self._failure or ruling.detail
            return False
        self._waiting.discard(stream)
        self._metrics.hls_successions.inc()
        return True
