"""Who segments which stream, as far as this node knows: told by the scheduler, or asked for and remembered."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.asked_once import AskedOnce
from lalmesh.runtime.ownership import HlsOwner
from lalmesh.runtime.scheduling import HlsWanted, Refusal, Refused
from services.hls.answer import OwnerUnknown
from services.hls.workers import Workers

LOCATE_DEADLINE_S = 3.0
DOUBT_S = 1.0  #: between two looks whether an owner that has not answered yet is the owner still
OWNERS_KEPT = 10_000  #: streams whose owner is remembered between requests


class Owners:
    """The owners of streams."""

    def __init__(self, workers: Workers) -> None:
        """Ask the scheduler that `workers` of this node ask."""
        self._workers = workers
        self._known: dict[StreamKey, HlsOwner] = {}  # of other nodes: of its own streams this one is told
        self._located = AskedOnce(self._locate)
        self._news: WeakValueDictionary[StreamKey, asyncio.Future[HlsOwner]] = WeakValueDictionary()  # kept by those who wait

    async def find(self, stream: StreamKey) -> HlsOwner | None:
        """Who segments `stream`, None where nobody publishes it.

        Raises:
            OwnerUnknown: it cannot be told.
            Unavailable: no node has room.
        """
        known = self._known.get(stream)
        return known if known is not None else await self._located.get(HlsWanted(stream))

    async def find_after(self, lost: HlsOwner) -> HlsOwner | None:
        """Who segments the stream of an owner that was found not working; the same where the scheduler has not given it up.

        Raises:
            Unavailable: as `find`.
        """
        known = self._known.get(lost.stream)
        if known is not None and known.epoch > lost.epoch:
            return known
        self._known.pop(lost.stream, None)
        return await self._located.get(HlsWanted(lost.stream, max(lost.epoch, self._workers.highest_seen(lost.stream))))

    def learn(self, owner: HlsOwner) -> None:
        """`owner` segments its stream now, unless a later one is known; who waits for another is told."""
        known = self._known.get(owner.stream)
        if known is not None and known.epoch < owner.epoch:
            del self._known[owner.stream]
        if known is None or known.epoch < owner.epoch:
            self._remember(owner)
        news = self._news.get(owner.stream)
        if news is not None and not news.done():
            news.set_result(owner)

    async def succeeded(self, owner: HlsOwner) -> None:
        """Wait until another than `owner` segments its stream: the scheduler says so, asked from time to time or not."""
        while True:
            news = self._awaited(owner.stream)
            await asyncio.wait([news], timeout=DOUBT_S)
            present = news.result() if news.done() else await self._present(owner.stream)
            if present is not None and present.epoch > owner.epoch:
                return

    def _awaited(self, stream: StreamKey) -> asyncio.Future[HlsOwner]:
        """What becomes the next owner that is told; one for all that wait."""
        news = self._news.get(stream)
        if news is None or news.done():
            news = self._news[stream] = asyncio.get_running_loop().create_future()
        return news

    async def _present(self, stream: StreamKey) -> HlsOwner | None:
        try:
            return await self._located.get(HlsWanted(stream))
        except Unavailable:
            return None

    async def _locate(self, wanted: HlsWanted) -> HlsOwner | None:
        """What the scheduler says."""
        answer = (await self._workers.scheduler.locate_hls(self._workers.node, [wanted], LOCATE_DEADLINE_S))[0]
        if isinstance(answer, Refused):
            if answer.refusal is Refusal.NOT_FOUND:
                return None
            kind = OwnerUnknown if answer.refusal is Refusal.UNAVAILABLE else Unavailable
            raise kind(answer.detail or answer.refusal.value, retry_after_s=answer.retry_after_s or 1.0)
        self._remember(answer)
        return answer

    def _remember(self, owner: HlsOwner) -> None:
        if owner.worker.node == self._workers.node.node:
            return
        self._known[owner.stream] = owner
        if len(self._known) > OWNERS_KEPT:
            del self._known[next(iter(self._known))]
