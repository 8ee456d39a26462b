"""What hls nodes ask of the scheduler, and how answers are counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from prometheus_client import Counter

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import HlsOwner, NodeAddress
from lalmesh.runtime.scheduling.hls import HlsLimit, HlsReleased, HlsWanted, NamedStreams
from lalmesh.runtime.scheduling.model import Refused
from lalmesh.runtime.sessions import SessionDirectory, SessionTouch
from services.scheduler.directory import Directory
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.names import StreamNames
from services.scheduler.parallel import for_each
from services.scheduler.rulings import RETRY_AFTER_S
from services.scheduler.segmenting import Segmenting

log = logging.getLogger(__name__)

COUNT_TIMEOUT_S = 1.0  #: for the players of one page of streams; the page goes without them after that

_Result = TypeVar("_Result")


class HlsAnswers:
    """The answers to hls nodes: who segments what, who watches it, what is called how."""

    def __init__(
        self,
        directory: Directory,
        segmenting: Segmenting,
        names: StreamNames,
        sessions: SessionDirectory,
        metrics: SchedulerMetrics,
    ) -> None:
        """Answer by these parts of a replica."""
        self.directory = directory
        self.metrics = metrics
        self.segmenting = segmenting
        self._names = names
        self._sessions = sessions
        #: takes in what nodes tell of; None: nothing does
        self.keep_events: Callable[[Sequence[Event]], Awaitable[None]] | None = None

    async def locate_hls(self, node: NodeAddress, wanted: Sequence[HlsWanted], deadline_s: float) -> list[HlsOwner | Refused]:
        """See `HlsSchedulerClient.locate_hls`."""
        end = end_of(deadline_s)
        return counted(self.metrics.hls_locates, await for_each(wanted, lambda each: self.segmenting.locate(each, end)))

    async def raise_hls_limit(self, node: NodeAddress, limits: Sequence[HlsLimit], deadline_s: float) -> list[bool]:
        """See `HlsSchedulerClient.raise_hls_limit`."""
        end = end_of(deadline_s)
        results = await for_each(limits, lambda each: self.segmenting.raise_limit(each, node, end))
        return known(self.metrics.hls_limits, "raised", results)

    async def release_hls(self, node: NodeAddress, released: Sequence[HlsReleased], deadline_s: float) -> list[bool]:
        """See `HlsSchedulerClient.release_hls`."""
        end = end_of(deadline_s)
        results = await for_each(released, lambda each: self.segmenting.release(each, node, end))
        return known(self.metrics.hls_releases, "released", results)

    async def touch_sessions(self, node: NodeAddress, sessions: Sequence[SessionTouch], deadline_s: float) -> None:
        """See `SchedulerClient.touch_sessions`."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._sessions.touch(node.node.name, sessions)
        except (Unavailable, TimeoutError) as exc:
            self.metrics.session_failures.inc()
            raise Unavailable(str(exc) or "players were not counted in time", retry_after_s=RETRY_AFTER_S) from exc

    async def tell_events(self, node: NodeAddress, events: Sequence[Event], deadline_s: float) -> None:
        """See `SchedulerClient.tell_events`."""
        if self.keep_events is None:
            raise Unavailable("events are not kept here", retry_after_s=RETRY_AFTER_S)
        try:
            async with asyncio.timeout(deadline_s):
                await self.keep_events(events)
        except TimeoutError as exc:
            raise Unavailable("events were not kept in time", retry_after_s=RETRY_AFTER_S) from exc

    async def find_streams(self, names: Sequence[str], deadline_s: float) -> list[NamedStreams]:
        """See `HlsSchedulerClient.find_streams`."""
        if not self.directory.is_listed:
            raise Unavailable("the registry was not read yet", retry_after_s=RETRY_AFTER_S)
        return [self._names.find(name) for name in names]

    async def count_sessions(self, streams: Sequence[StreamKey]) -> list[int | None]:
        """Players of each stream in the session directory; None where that cannot be asked."""
        try:
            async with asyncio.timeout(COUNT_TIMEOUT_S):
                return [counts.hls_players for counts in await self._sessions.count(streams)]
        except (Unavailable, TimeoutError) as exc:
            self.metrics.session_failures.inc()
            log.warning("players of HLS are not counted: %s", exc)
            return [None] * len(streams)


def end_of(deadline_s: float) -> float:
    """When `deadline_s` seconds will have passed, by the loop's clock."""
    return asyncio.get_running_loop().time() + deadline_s


def known(counter: Counter, done: str, results: Sequence[bool | Unavailable]) -> list[bool]:
    """The results, counted as `done` or not held; raises the first that is not known."""
    for result in results:
        if isinstance(result, Unavailable):
            raise result
        counter.labels(done if result else "not_held").inc()
    return [result is True for result in results]


def counted(counter: Counter, results: list[_Result | Refused]) -> list[_Result | Refused]:
    """The results, each counted as granted or by its refusal."""
    for result in results:
        counter.labels(result.refusal.value if isinstance(result, Refused) else "granted").inc()
    return results
