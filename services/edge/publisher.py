"""The shell of a publication: claims the stream, brings its units to the origin, and finds another where that one is lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace

from lalmesh.errors import Fenced, NoOriginAvailable, ServiceError, StreamExists, Unavailable
from lalmesh.media import MediaEvent
from lalmesh.names import StreamKey
from lalmesh.runtime.follower import OriginLinks
from lalmesh.runtime.link import CloseReason, Outlet, PublicationRequest
from lalmesh.runtime.ownership import Grant, NodeAddress, Place, UnitName, new_publication
from lalmesh.runtime.ring import Cursor
from lalmesh.runtime.scheduling import Claim, Move, Refusal, Refused, Released, SchedulerClient
from services.edge.publication import Publication, PublicationSettings

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.1  #: before an origin is tried again
MAX_RETRY_S = 2.0  #: pauses double up to this
RELEASE_DEADLINE_S = 3.0  #: giving a claim back; where it fails the lease ends it
BEFORE_FIRST = -1  #: the unit before the first of a publication
STEADY_S = 5.0  #: an origin that took units for so long was no failure
UNDO_ATTEMPTS = 5  #: to find out what a claim without an answer got; after that the lease of this edge ends it


def refusal_error(refused: Refused, stream: StreamKey) -> ServiceError:
    """The error that a refusal of the scheduler stands for."""
    detail = refused.detail or refused.refusal.value
    match refused.refusal:
        case Refusal.EXISTS:
            return StreamExists(f"{stream} is being published: {detail}")
        case Refusal.FENCED:
            return Fenced(f"{stream}: {detail}")
        case Refusal.NO_ORIGIN:
            return NoOriginAvailable(detail, retry_after_s=refused.retry_after_s)
        case _:
            return Unavailable(detail, retry_after_s=refused.retry_after_s)


class Publishing:
    """One live publication: `feed` it, `close` it. `ended` is called once where the cluster ends it, with a reason."""

    def __init__(self, edge: Publishers, stream: StreamKey, settings: PublicationSettings, ended: Callable[[str], None]) -> None:
        """Prepare the publication; `Publishers.start` claims the stream."""
        self.stream = stream
        self.core = Publication(new_publication(), settings)
        self.grant: Grant | None = None
        self.leaving: Callable[[], None] | None = None  #: of a publisher that takes in its last media behind its goodbye: ends that
        self._edge = edge
        self._ended = ended
        self._outlet: Outlet | None = None
        self._loop = asyncio.get_running_loop()
        self._opened_at: float | None = None  # when the present origin took the publication in
        self._retry_s = FIRST_RETRY_S
        self._failures = 0  # since an origin was steady
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False

    def feed(self, events: Iterable[MediaEvent], now_us: int) -> None:
        """Take in what a demuxer gave, received at `now_us` (Unix µs)."""
        if self.core.feed(events, now_us) and self._outlet is not None:
            self._outlet.wake()

    def open(self, grant: Grant) -> None:
        """Go to the origin that the grant names."""
        self.grant = grant
        self._opened_at = None
        self.core.grant(grant.epoch)
        self.core.ring.place = grant.place
        link = self._edge.links.link(grant.origin.address)
        self._outlet = link.publish(PublicationRequest(grant=grant), self)

    # what the link calls

    def publication_opened(self, held: UnitName | None, place: Place) -> None:
        """The origin takes units; replay what it lacks."""
        self._opened_at = self._loop.time()
        self.core.ring.place = place
        after = UnitName(self.core.publication, BEFORE_FIRST)
        if held is not None and held.publication == self.core.publication:
            after = held
        ring = self.core.ring
        position = ring.position_after(after)
        cursor = Cursor(ring, ring.start if position is None else position, after=after)
        if self._outlet is not None:
            self._outlet.send_from(cursor)

    def publication_closed(self, reason: CloseReason, detail: str) -> None:
        """The origin takes no more: find another, unless somebody else owns the stream now."""
        self._outlet = None
        if self._closed:
            return
        log.warning("publication lost its origin: %s %s", reason.name, detail, extra={"stream_key": str(self.stream)})
        if reason is CloseReason.FENCED:
            self.end(f"taken over: {detail}")
            return
        if self._opened_at is not None and self._loop.time() - self._opened_at >= STEADY_S:
            self._retry_s, self._failures = FIRST_RETRY_S, 0
        self._failures += 1
        self._recovery = self._edge.spawn(self._recover(reason))

    async def _recover(self, reason: CloseReason) -> None:
        """After a broken link the same origin once more at once; after that, and else, wherever the scheduler says.

        Pauses grow. Where there is no other origin, the same one is tried again: it may only have been out of reach.
        """
        if self.grant is None:
            return
        try:
            await self._find_origin(self.grant, reason)
        except Exception:  # an encoder must not go on into nothing because of a bug
            log.exception("recovery failed", extra={"stream_key": str(self.stream)})
            self.end("internal error")

    async def _find_origin(self, grant: Grant, reason: CloseReason) -> None:
        if self._failures > 1:
            await asyncio.sleep(self._retry_s * random.uniform(0.5, 1.0))
            self._retry_s = min(MAX_RETRY_S, self._retry_s * 2)
        if self._failures > 1 or reason is not CloseReason.LINK_LOST:
            answer = await self._edge.move(self)
            if isinstance(answer, Refused) and answer.refusal is Refusal.NOT_FOUND:
                answer = await self._edge.claim_again(self)
            if isinstance(answer, Refused):
                if answer.refusal in (Refusal.FENCED, Refusal.EXISTS):
                    self.end(f"taken over: {answer.detail}")
                    return
                log.warning("no other origin: %s", answer.detail, extra={"stream_key": str(self.stream)})
                await asyncio.sleep(answer.retry_after_s)
                answer = grant
            self.grant = grant = answer
        if not self._closed:
            self.open(grant)

    def end(self, reason: str) -> None:
        """The cluster ends it."""
        if not self._closed:
            self.close()
            if self.leaving is None:
                self._ended(reason)

    def close(self) -> None:
        """The publisher has gone: give the stream back."""
        if self._closed:
            return
        self._closed = True
        if self.leaving is not None:
            self.leaving()
        if self._recovery is not None and self._recovery is not asyncio.current_task():
            self._recovery.cancel()
        if self._outlet is not None:
            self._outlet.close(CloseReason.DONE)
            self._outlet = None
        self._edge.closed(self)


class Publishers:
    """The publications of one edge."""

    def __init__(
        self,
        node: NodeAddress,
        scheduler: SchedulerClient,
        links: OriginLinks,
        settings: PublicationSettings,
        *,
        take_over: bool,
        claim_timeout_s: float,
    ) -> None:
        """Publish as `node`; with `take_over` a newcomer replaces a live publisher, otherwise it is refused."""
        self.node = node
        self.links = links
        self._scheduler = scheduler
        self._settings = settings
        self._take_over = take_over
        self._claim_timeout_s = claim_timeout_s
        self._live: dict[StreamKey, Publishing] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._releases: dict[StreamKey, asyncio.Task[None]] = {}  # under way

    def __iter__(self) -> Iterator[Publishing]:
        """Every live publication."""
        return iter(list(self._live.values()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._live)

    async def start(self, stream: StreamKey, ended: Callable[[str], None]) -> Publishing:
        """Claim `stream` and open it at its origin; units may be fed as soon as this returns.

        Raises:
            StreamExists: somebody else publishes it.
            NoOriginAvailable: no origin has room.
            Unavailable: the scheduler cannot decide now.
        """
        publishing = Publishing(self, stream, self._settings, ended)
        claim = Claim(stream=stream, publication=publishing.core.publication, take_over=self._take_over)
        if (before := self._live.get(stream)) is not None and before.leaving is not None:
            before.close()
        if (release := self._releases.get(stream)) is not None:
            await asyncio.wait([release])  # an encoder that comes back at once must not find its own claim
        try:
            answer = await self._claim(claim)
        except asyncio.CancelledError:  # the publisher has gone meanwhile
            self.spawn(self._undo(claim))
            raise
        if isinstance(answer, Refused):
            if answer.refusal is Refusal.UNAVAILABLE:
                self.spawn(self._undo(claim))
            raise refusal_error(answer, stream)
        replaced = self._live.get(stream)
        self._live[stream] = publishing
        if replaced is not None:
            replaced.end("taken over: a newer publisher on this edge")
        publishing.open(answer)
        return publishing

    async def _claim(self, claim: Claim) -> Grant | Refused:
        return (await self._scheduler.claim(self.node, [claim], self._claim_timeout_s))[0]

    async def _undo(self, claim: Claim) -> None:
        """Give back what a claim may have got whose answer nobody waits for: the same question gets the same answer."""
        for _ in range(UNDO_ATTEMPTS):
            answer = await self._claim(replace(claim, take_over=False))
            if isinstance(answer, Grant):
                await self._release(answer)
                return
            if answer.refusal is not Refusal.UNAVAILABLE:
                return
            await asyncio.sleep(max(answer.retry_after_s, MAX_RETRY_S))

    async def claim_again(self, publishing: Publishing) -> Grant | Refused:
        """Claim anew what the registry has forgotten; anyone else who claimed it meanwhile keeps it."""
        return await self._claim(Claim(stream=publishing.stream, publication=publishing.core.publication))

    async def move(self, publishing: Publishing) -> Grant | Refused:
        """Ask for another origin than the present one."""
        grant = publishing.grant
        if grant is None:
            return Refused(Refusal.FENCED, "never granted")
        move = Move(
            stream=publishing.stream,
            epoch=grant.epoch,
            place=grant.place,
            publication=publishing.core.publication,
            avoid=(grant.origin.node.name,),
        )
        return (await self._scheduler.move(self.node, [move], self._claim_timeout_s))[0]

    def closed(self, publishing: Publishing) -> None:
        """Give the claim back."""
        if self._live.get(publishing.stream) is publishing:
            del self._live[publishing.stream]
        if publishing.grant is not None:
            self._releases[publishing.stream] = self.spawn(self._release(publishing.grant))

    async def _release(self, grant: Grant) -> None:
        released = Released(stream=grant.stream, epoch=grant.epoch, publication=grant.publication)
        try:
            await self._scheduler.release(self.node, claims=[released], deadline_s=RELEASE_DEADLINE_S)
        except Unavailable as error:
            log.warning("claim not given back: %s", error, extra={"stream_key": str(grant.stream)})
        finally:
            if self._releases.get(grant.stream) is asyncio.current_task():
                del self._releases[grant.stream]

    def fenced(self, stream: StreamKey, epoch: tuple[int, int]) -> None:
        """The scheduler says that somebody else owns `stream` under `epoch`."""
        publishing = self._live.get(stream)
        if publishing is not None and publishing.core.epoch < epoch:
            publishing.end("taken over: another publisher owns the stream")

    def spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Run `work` beside the sessions, until it ends or the edge stops."""
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self, deadline_s: float) -> None:
        """End every publication and give its claim back, within `deadline_s`."""
        for publishing in self:
            publishing.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=deadline_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
