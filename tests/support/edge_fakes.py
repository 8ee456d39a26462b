"""What an edge has around it, as fakes that tests drive: the scheduler, links to origins, units."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from lalmesh.codec import build_track
from lalmesh.errors import Unavailable
from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.events import Event
from lalmesh.runtime.link import (
    CloseReason,
    PublicationEvents,
    PublicationRequest,
    SubscriptionEvents,
    SubscriptionRequest,
)
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeAddress, NodeId, Place
from lalmesh.runtime.ring import Cursor, Run
from lalmesh.runtime.scheduling import Claim, Move, NodeCommand, NodeReport, Refusal, Refused, Released, Wanted
from lalmesh.runtime.sessions import SessionTouch

STREAM = StreamKey("live", "a")
EDGE = NodeAddress(NodeId("edge-1", b"e" * 8), "edge-1:1")
ORIGINS = {name: NodeAddress(NodeId(name, name.encode() * 8), f"{name}:1") for name in ("o", "p", "q")}
FIRST, SECOND = b"1" * 16, b"2" * 16  #: publications

VIDEO = Track(track_id=1, codec=Codec.VP9, configuration=b"vpcC-1", width=640, height=360)
AUDIO = build_track(2, Codec.AAC, bytes.fromhex("1210"))  # AAC-LC, 44.1 kHz, stereo
BOTH = TrackSet((VIDEO, AUDIO), 1)


def epoch(revision: int) -> Epoch:
    """An epoch of the tests' term."""
    return Epoch(1, revision)


def place(revision: int) -> Place:
    """A place of the tests' term."""
    return Place(1, revision)


def location(revision: int, origin: str = "o", heir: str = "") -> Location:
    """Where the stream is."""
    return Location(stream=STREAM, place=place(revision), origin=ORIGINS[origin], heir=ORIGINS[heir] if heir else None)


def video(seq: int, *, key: bool = False, payload: bytes = b"v") -> AccessUnit:
    """A picture, 25 of them a second."""
    return AccessUnit(1, seq * 3600, 0, key, payload, seq, 1_000_000 + seq * 40_000)


def audio(seq: int, payload: bytes = b"a") -> AccessUnit:
    """An audio frame at the time of a picture of that number."""
    return AccessUnit(2, seq * 3600, 0, True, payload, seq, 1_000_000 + seq * 40_000)


def gop(first: int, count: int) -> list[AccessUnit]:
    """Pictures of which the first can be decoded alone."""
    return [video(seq, key=seq == first) for seq in range(first, first + count)]


def run_of(
    units: Iterable[AccessUnit], *, tracks: TrackSet = BOTH, revision: int = 1, publication: bytes = FIRST, missing: int = 0
) -> Run:
    """Units as a link brings them."""
    return Run(epoch(revision), publication, tracks, list(units), place(revision), missing)


class FakeScheduler:
    """Answers what it was told to; `locate` waits as the real one does."""

    def __init__(self) -> None:
        self.asked: list[Claim | Released] = []  #: both in the order in which they were done
        self.release_s = 0.0  #: how long a release takes
        self.release_failures = 0  #: releases to come that are not answered
        self.claims: list[Claim] = []
        self.claim_refusals: list[Refused] = []  #: answers before claims are granted
        self.moves: list[Move] = []
        self.move_calls: list[int] = []  #: how many moves each had
        self.move_answers: list[str | Refused] = []  #: names of origins, or refusals
        self.heir = ""  #: of what is granted
        self.claim_calls: list[int] = []  #: how many claims each had
        self.released: list[Released] = []
        self.wanted: list[Wanted] = []
        self.locate_calls: list[int] = []  #: how many streams each wanted
        self.location: Location | None = None
        self.away: Refused | None = None  #: what `locate` answers where the scheduler is not to be reached
        self.away_after_s = 0.0  #: when it does, at the latest by the deadline
        self.join_error: Exception | None = None  #: a bug that whoever joins meets
        self.touches: list[SessionTouch] = []
        self.events: list[Event] = []
        self.claim_gate = asyncio.Event()
        self.claim_gate.set()
        self._granted: dict[bytes, Grant] = {}
        self._revision = 0
        self._moved = asyncio.Event()

    async def touch_sessions(self, node: NodeAddress, sessions: Sequence[SessionTouch], deadline_s: float) -> None:
        self.touches += sessions

    async def tell_events(self, node: NodeAddress, events: Sequence[Event], deadline_s: float) -> None:
        self.events += events

    def put(self, location: Location) -> None:
        """The stream is there from now on."""
        self.location = location
        self._moved.set()
        self._moved = asyncio.Event()

    async def claim(self, edge: NodeAddress, claims: Sequence[Claim], deadline_s: float) -> list[Grant | Refused]:
        self.claim_calls.append(len(claims))
        self.claims += claims
        self.asked += claims
        return [await self._answer_claim(asked) for asked in claims]

    async def _answer_claim(self, asked: Claim) -> Grant | Refused:
        if self.claim_refusals:
            return self.claim_refusals.pop(0)
        if asked.publication not in self._granted:
            self._granted[asked.publication] = self._grant(asked.publication, "o")
        await self.claim_gate.wait()
        return self._granted[asked.publication]

    def _grant(self, publication: bytes, origin: str, at: Epoch | None = None) -> Grant:
        self._revision += 1
        return Grant(
            stream=STREAM,
            epoch=at or epoch(self._revision),
            publication=publication,
            edge=EDGE,
            origin=ORIGINS[origin],
            heir=ORIGINS[self.heir] if self.heir else None,
            place=place(self._revision),
        )

    async def move(self, edge: NodeAddress, moves: Sequence[Move], deadline_s: float) -> list[Grant | Refused]:
        self.move_calls.append(len(moves))
        self.moves += moves
        return [self._answer_move(asked) for asked in moves]

    def _answer_move(self, asked: Move) -> Grant | Refused:
        answer = self.move_answers.pop(0) if self.move_answers else asked.at.name if asked.at is not None else "p"
        return self._grant(asked.publication, answer, asked.epoch) if isinstance(answer, str) else answer

    async def locate(self, wanted: Sequence[Wanted], deadline_s: float) -> list[Location | Refused]:
        self.locate_calls.append(len(wanted))
        self.wanted += wanted
        return [*await asyncio.gather(*(self._locate(each, deadline_s) for each in wanted))]

    async def _locate(self, wanted: Wanted, deadline_s: float) -> Location | Refused:
        if self.away is not None:
            await asyncio.sleep(min(self.away_after_s, deadline_s))
            return self.away
        try:
            async with asyncio.timeout(0 if wanted.at_once else deadline_s):
                while self.location is None or (wanted.after is not None and self.location.place <= wanted.after):
                    await self._moved.wait()
        except TimeoutError:
            return Refused(Refusal.NOT_FOUND)
        return self.location

    async def release(
        self, node: NodeAddress, *, claims: Sequence[Released] = (), groups: Sequence[Released] = (), deadline_s: float
    ) -> list[bool]:
        await asyncio.sleep(self.release_s)
        if self.release_failures:
            self.release_failures -= 1
            raise Unavailable("no scheduler", retry_after_s=0.5)
        self.asked += [*claims, *groups]
        self.released += [*claims, *groups]
        return [True for _ in (*claims, *groups)]

    async def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        if self.join_error is not None:
            raise self.join_error
        commands: list[NodeCommand] = []
        for command in commands:
            yield command


@dataclass(eq=False)
class FakeOutlet:
    """A publication as its origin sees it: take what was sent from `sent`."""

    origin: str
    request: PublicationRequest
    events: PublicationEvents
    sent: list[Run] = field(default_factory=list)
    closed: CloseReason | None = None
    cursor: Cursor | None = None
    answers: bool = True  #: that all has come, when it is closed

    def send_from(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.wake()

    def wake(self) -> None:
        while self.cursor is not None and (run := self.cursor.read(1 << 30)) is not None:
            self.sent.append(run)

    def close(self, reason: CloseReason, detail: str = "") -> None:
        if self.closed is None:
            self.closed = reason
            if self.answers:
                asyncio.get_running_loop().call_soon(self.events.publication_closed, CloseReason.DONE, "")

    @property
    def seqs(self) -> list[int]:
        return [unit.seq for run in self.sent for unit in run.units]


@dataclass(eq=False)
class FakeSubscription:
    """A subscription as its origin sees it."""

    origin: str
    request: SubscriptionRequest
    events: SubscriptionEvents
    closed: bool = False

    def close(self) -> None:
        self.closed = True

    def serve(self, *runs: Run, revision: int = 1) -> None:
        """Open it and send."""
        self.events.subscription_opened(epoch(revision), place(revision))
        for run in runs:
            self.events.receive(run)


class FakeLinks:
    """Links to any origin; all that was opened, in order."""

    def __init__(self, *, takes_all: bool = False) -> None:
        """With `takes_all`, origins take publications in; else the test answers for them."""
        self.takes_all = takes_all
        self.publications: list[FakeOutlet] = []
        self.subscriptions: list[FakeSubscription] = []

    def link(self, address: str) -> FakeLink:
        return FakeLink(self, address.partition(":")[0])

    async def opened(self, count: int) -> FakeSubscription:
        """The subscription of that number, from 1, once it is there."""
        while len(self.subscriptions) < count:  # noqa: ASYNC110 -- in virtual time it costs nothing
            await asyncio.sleep(0.001)
        return self.subscriptions[count - 1]

    async def published(self, count: int) -> FakeOutlet:
        """The publication of that number, from 1, once it is there."""
        while len(self.publications) < count:  # noqa: ASYNC110 -- in virtual time it costs nothing
            await asyncio.sleep(0.001)
        return self.publications[count - 1]


class FakeLink:
    """A link to one origin."""

    def __init__(self, links: FakeLinks, origin: str) -> None:
        self._links = links
        self._origin = origin

    def publish(self, request: PublicationRequest, events: PublicationEvents) -> FakeOutlet:
        outlet = FakeOutlet(self._origin, request, events)
        self._links.publications.append(outlet)
        if self._links.takes_all:
            asyncio.get_running_loop().call_soon(events.publication_opened, None, request.grant.place)
        return outlet

    def subscribe(self, request: SubscriptionRequest, events: SubscriptionEvents) -> FakeSubscription:
        subscription = FakeSubscription(self._origin, request, events)
        self._links.subscriptions.append(subscription)
        return subscription
