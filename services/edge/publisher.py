"""The publications of an edge: what it claims, claims again, gives back, and asks the scheduler in lists."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from lalmesh.errors import Fenced, NoOriginAvailable, ServiceError, StreamExists, Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.authorisation import AccessRefused
from lalmesh.runtime.each_alone import for_each_alone
from lalmesh.runtime.fences import Fences
from lalmesh.runtime.follower import OriginLinks
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeAddress
from lalmesh.runtime.scheduling import NOT_ASKED, AskedUrl, Claim, Move, Refusal, Refused, Released, SchedulerClient
from lalmesh.runtime.telemetry import Attribute, Span, SpanName
from services.edge.publication import PublicationSettings
from services.edge.publishing import Publishing
from services.edge.writing_events import ClaimWanted, Told

log = logging.getLogger(__name__)

RELEASE_DEADLINE_S = 3.0  #: giving a claim back; who publishes the stream again waits for so long at most
RELEASE_PAUSE_S = 1.0  #: until it is tried again; the lease does not end it while this edge lives
MAX_RELEASE_PAUSE_S = 30.0  #: pauses double up to this
UNDO_PAUSE_S = 2.0  #: between two questions after a claim without an answer
GATHERED_S = 0.02  #: heirs that take over after one loss answer within a few milliseconds; nobody waits for this
UNDO_ATTEMPTS = 5  #: to find out what a claim without an answer got; after that the scheduler deletes what no report shows

#: A claim that gets one of these may have been granted: by a replica that did not answer, before the one that did was asked.
NO_ANSWER = (Refusal.UNAVAILABLE, Refusal.NOT_JOINED)
NOT_CLOSED = "publication could not be closed"
ENDING_S = 0.15  #: beyond two turns, for the end of a publisher whose connection's end may not have been read yet
JOINING_PAUSE_S = 0.2  #: until an edge that is no member asks again, within the time of one claim


def refusal_error(refused: Refused, stream: StreamKey) -> ServiceError:
    """The error that a refusal of the scheduler stands for."""
    detail = refused.detail or refused.refusal.value
    match refused.refusal:
        case Refusal.EXISTS:
            return StreamExists(f"{stream} is being published: {detail}")
        case Refusal.FENCED:
            return Fenced(f"{stream}: {detail}")
        case Refusal.FULL:
            return AccessRefused.full(detail, refused.retry_after_s)
        case Refusal.NO_ORIGIN:
            return NoOriginAvailable(detail, retry_after_s=refused.retry_after_s)
        case _:
            return Unavailable(detail, retry_after_s=refused.retry_after_s)


def _claim_attributes(claim: Claim) -> dict[Attribute, str]:
    return {Attribute.STREAM: str(claim.stream), Attribute.PUBLICATION: claim.publication.hex()}


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
        delivery_s: float = 7.0,
        fences: Fences | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare.

        Args:
            node: who publishes.
            scheduler: whom it asks.
            links: to the origins.
            settings: of each publication.
            take_over: a newcomer replaces a live publisher, otherwise it is refused.
            claim_timeout_s: seconds that the scheduler has for its answers.
            delivery_s: seconds that the last units of a publisher which has gone have, to reach an origin.
            fences: what this edge has seen of streams.
            rng: spreads pauses; a fresh one by default.
        """
        self.node = node
        self.links = links
        self.fences = fences if fences is not None else Fences()
        self.rng = rng or random.Random()
        self._claims: Gatherer[Claim, Grant | Refused] = Gatherer(partial(scheduler.claim, node), window_s=GATHERED_S)
        self._moves: Gatherer[Move, Grant | Refused] = Gatherer(partial(scheduler.move, node), window_s=GATHERED_S)
        self._scheduler = scheduler
        self.settings = settings
        self.take_over = take_over
        self.claim_timeout_s = claim_timeout_s
        self.delivery_s = delivery_s
        self.turn_s = 0.0  #: the longest that a connection waits to be read (`read_turns.py`)
        self._live: dict[StreamKey, Publishing] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._releases: dict[StreamKey, asyncio.Task[None]] = {}  # under way for the first time
        self._late_releases: set[asyncio.Task[None]] = set()  # of those that were not answered
        self._closing = False

    @property
    def ending_s(self) -> float:
        """How long it may take until it is known that a publisher has gone: what it sent last is read, and its end a turn later."""
        return ENDING_S + 2 * self.turn_s

    def __iter__(self) -> Iterator[Publishing]:
        """Every live publication."""
        return iter(list(self._live.values()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._live)

    async def start(
        self,
        stream: StreamKey,
        ended: Callable[[str], None],
        asked: AskedUrl = NOT_ASKED,
        *,
        take_over: bool | None = None,
        trace: Span | None = None,
    ) -> Publishing:
        """Claim `stream` and open it at its origin; units may be fed as soon as this returns. Ends the span `trace`.

        Whoever publishes it is replaced where that is configured, unless `take_over` says otherwise.

        Raises:
            StreamExists: somebody else publishes it.
            Fenced: somebody who claimed it later publishes it, or did.
            NoOriginAvailable: no origin has room.
            Unavailable: the scheduler cannot decide now.
        """
        trace = trace or telemetry.start(SpanName.PUBLISH, None, {Attribute.STREAM: str(stream), Attribute.PROTOCOL: "pull"})
        try:
            publishing = await self._start(stream, ended, asked, take_over, trace)
        except BaseException as error:
            trace.end(str(error) or type(error).__name__)
            raise
        trace.end()
        return publishing

    async def _start(
        self, stream: StreamKey, ended: Callable[[str], None], asked: AskedUrl, take_over: bool | None, trace: Span
    ) -> Publishing:
        publishing = Publishing(self, stream, self.settings, ended, asked)
        trace.set({Attribute.PUBLICATION: publishing.core.publication.hex()})
        take_over = self.take_over if take_over is None else take_over
        claim = Claim(stream=stream, publication=publishing.core.publication, take_over=take_over, asked=asked)
        if (before := self._live.get(stream)) is not None and before.leaving is not None:
            before.close()
        if before is not None and not (before.has_left or take_over):
            await before.over_within(self.ending_s)  # an encoder that comes back at once must not find itself
        if before is not None and before.has_left:
            await before.over_within(self.delivery_s)  # its last units are on their way, and have no more time than that
            before.give_up()
        if (release := self._releases.get(stream)) is not None:
            await asyncio.wait([release])  # ... nor its own claim
        if stream in self._live and not take_over:  # whatever the registry has forgotten
            raise StreamExists(f"{stream} is being published at this edge")
        try:
            with telemetry.span(SpanName.CLAIM, trace.context, _claim_attributes(claim)) as asking:
                answer = await self._claim_as_member(claim)
                asking.set({Attribute.RESULT: answer.refusal.value if isinstance(answer, Refused) else "granted"})
        except asyncio.CancelledError:  # the publisher has gone meanwhile
            self.spawn(self._undo(claim))
            raise
        if isinstance(answer, Refused):
            if answer.refusal in NO_ANSWER:
                self.spawn(self._undo(claim))
            raise refusal_error(answer, stream)
        if self.fences.refuses(stream, answer.epoch, claim.publication):  # a later claim was answered first: that one's is live
            self.spawn(self._release(answer))
            raise Fenced(f"{stream}: a newer publisher has come meanwhile")
        replaced = self._live.get(stream)
        self._live[stream] = publishing
        if replaced is not None:
            replaced.end("taken over: a newer publisher on this edge")
        trace.set({Attribute.EPOCH: str(answer.epoch), Attribute.ORIGIN: answer.origin.node.name})
        publishing.open(answer, trace.context)
        return publishing

    async def _claim_as_member(self, claim: Claim) -> Grant | Refused:
        """Claim; again where this edge has lost its scheduler and is about to have another: an encoder can wait for so long.

        And once more where somebody else has the stream: that may be the encoder itself, whose end another edge is about to read.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.claim_timeout_s
        pauses_s = {Refusal.NOT_JOINED: JOINING_PAUSE_S, Refusal.EXISTS: self.ending_s}
        while True:
            answer = await self._claim(claim)
            if isinstance(answer, Grant):
                return answer
            pause_s = pauses_s.get(answer.refusal)
            if pause_s is None or loop.time() + pause_s > end:
                return answer
            if answer.refusal is Refusal.EXISTS:
                del pauses_s[Refusal.EXISTS]
            await asyncio.sleep(pause_s)

    async def _claim(self, claim: Claim) -> Grant | Refused:
        return (await self._scheduler.claim(self.node, [claim], self.claim_timeout_s))[0]

    async def _undo(self, claim: Claim) -> None:
        """Give back what a claim may have got whose answer nobody waits for: the same question gets the same answer.

        That it got nothing is no last word: the write that was asked for may still be under way.
        """
        for _ in range(UNDO_ATTEMPTS):
            answer = await self._claim(replace(claim, take_over=False, repeat_only=True))
            if isinstance(answer, Grant):
                await self._release(answer)
                return
            await asyncio.sleep(max(answer.retry_after_s, UNDO_PAUSE_S))

    async def claim_again(self, claim: Claim) -> Grant | Refused:
        """Claim anew what the registry has forgotten, with all who ask within a moment; who claimed it meanwhile keeps it."""
        return await self._claims.ask(claim, self.claim_timeout_s)

    async def move(self, move: Move) -> Grant | Refused:
        """Ask for another origin, or have one written down, with all who ask within a moment."""
        return await self._moves.ask(move, self.claim_timeout_s)

    def moved(self, location: Location, grant: Grant | None) -> None:
        """The scheduler says where a stream is now."""
        publishing = self._live.get(location.stream)
        if publishing is not None:
            publishing.handle(Told(location, grant))

    def location(self, stream: StreamKey) -> Location | None:
        """Where `stream`, if it is published here, is to be read; None too where this edge has seen a later owner of it."""
        publishing = self._live.get(stream)
        if publishing is None or publishing.core.epoch < self.fences.of(stream).epoch:
            return None
        return publishing.location

    def reclaim(self, streams: Iterable[StreamKey]) -> None:
        """The registry does not show that these are published here: they are claimed again, with what is held, in one call."""
        for stream in streams:
            publishing = self._live.get(stream)
            if publishing is not None:
                publishing.handle(ClaimWanted())

    def closed(self, publishing: Publishing) -> None:
        """Give the claim back."""
        if self._live.get(publishing.stream) is publishing:
            del self._live[publishing.stream]
        if publishing.grant is not None:
            self._releases[publishing.stream] = self.spawn(self._release(publishing.grant))

    async def _release(self, grant: Grant) -> None:
        released = Released(stream=grant.stream, epoch=grant.epoch, publication=grant.publication)
        try:
            if not await self._is_answered(released) and not self._closing:
                self._keep(self._late_releases, self._release_late(released))
        finally:
            if self._releases.get(grant.stream) is asyncio.current_task():
                del self._releases[grant.stream]

    async def _release_late(self, released: Released) -> None:
        """Ask again with growing pauses until there is an answer: it names the publication, so nobody else's is given back."""
        pause_s = RELEASE_PAUSE_S
        while True:
            await asyncio.sleep(pause_s * self.rng.uniform(0.5, 1.0))
            if await self._is_answered(released):
                return
            pause_s = min(MAX_RELEASE_PAUSE_S, pause_s * 2)

    async def _is_answered(self, released: Released) -> bool:
        """Give a claim back; whether that is done, or was done before."""
        try:
            await self._scheduler.release(self.node, claims=[released], deadline_s=RELEASE_DEADLINE_S)
        except Unavailable as error:
            log.warning("claim not given back: %s", error, extra={"stream_key": str(released.stream)})
            return False
        return True

    def fenced(self, stream: StreamKey, epoch: Epoch) -> None:
        """The scheduler says that somebody else owns `stream` under `epoch`."""
        publishing = self._live.get(stream)
        self.fences.see(stream, epoch)
        if publishing is not None and publishing.core.epoch < epoch:
            publishing.end("taken over: another publisher owns the stream")

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the sessions, until it ends or the edge stops."""
        return self._keep(self._tasks, work)

    def _keep(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def close(self, deadline_s: float) -> None:
        """End every publication and give its claim back, within `deadline_s`; what is not, the lease of this edge ends."""
        self._closing = True
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        for task in self._late_releases:
            task.cancel()
        await asyncio.gather(*self._late_releases, return_exceptions=True)
        for_each_alone(self, lambda publishing: publishing.close(), NOT_CLOSED)
        await asyncio.gather(*(publishing.over_within(deadline_s / 2) for publishing in self))
        for_each_alone(self, lambda publishing: publishing.give_up(), NOT_CLOSED)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=end - loop.time())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
