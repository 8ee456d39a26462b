"""Both sides of links: an origin that keeps what it gets and gives it to readers, a publisher, a reader. No clock, no task."""

from __future__ import annotations

from collections.abc import Iterable

from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.link import (
    CloseReason,
    IncomingPublication,
    IncomingSubscription,
    OriginLink,
    PublicationPort,
    PublicationRequest,
    SubscriptionPort,
    SubscriptionRequest,
)
from lalmesh.runtime.ownership import NO_PLACE, Epoch, Grant, Location, NodeAddress, NodeId, Place, UnitName
from lalmesh.runtime.ring import Cursor, Ring, RingLimits, Run

EPOCH, PLACE = Epoch(1, 7), Place(1, 8)
EDGE = NodeId("edge-1", b"e" * 8)
ORIGIN = NodeId("origin-1", b"o" * 8)
PUBLICATION = b"p" * 16
TRACKS = TrackSet((Track(track_id=1, codec=Codec.H264), Track(track_id=2, codec=Codec.AAC)), 1)
KEY_EACH = 10  #: every tenth unit is a random access point
ELSEWHERE = Location(stream=StreamKey("live", "cam0"), place=Place(1, 9), origin=NodeAddress(NodeId("origin-2", b"2" * 8), "o2:1"))
KEEP_ALL = RingLimits(keep_us=1 << 60, max_us=1 << 60, max_units=1 << 20)


def stream(number: int = 0) -> StreamKey:
    return StreamKey("live", f"cam{number}")


def grant(number: int = 0, publication: bytes = PUBLICATION) -> Grant:
    return Grant(
        stream=stream(number),
        epoch=EPOCH,
        publication=publication,
        edge=NodeAddress(EDGE, ""),
        origin=NodeAddress(ORIGIN, ""),
        heir=None,
        place=PLACE,
    )


def units(first: int, count: int, size: int = 10) -> list[AccessUnit]:
    """Pictures 40 ms apart; each payload begins with its number."""
    return [
        AccessUnit(1, seq * 3600, 0, seq % KEY_EACH == 0, seq.to_bytes(8, "big").ljust(size, b"."), seq, seq * 40_000)
        for seq in range(first, first + count)
    ]


def run(first: int, count: int, size: int = 10, publication: bytes = PUBLICATION) -> Run:
    return Run(EPOCH, publication, TRACKS, units(first, count, size))


class FakePublisher:
    """A publication: a ring, and an outlet behind which it replays what the origin does not hold."""

    def __init__(self, link: OriginLink, number: int = 0, limits: RingLimits = KEEP_ALL, publication: bytes = PUBLICATION) -> None:
        self.ring = Ring(limits)
        self.publication = publication
        self.opened: tuple[UnitName | None, Place] | None = None
        self.told: list[Location] = []
        self.closed: tuple[CloseReason, str] | None = None
        self.next_seq = 0
        self.outlet = link.publish(PublicationRequest(grant=grant(number, publication), replay_s=1.5), self)

    def feed(self, count: int, size: int = 10) -> None:
        self.ring.append(run(self.next_seq, count, size, self.publication))
        self.next_seq += count
        self.outlet.wake()

    def publication_opened(self, held: UnitName | None, place: Place) -> None:
        self.opened = (held, place)
        after = held if held is not None and held.publication == self.publication else UnitName(self.publication, -1)
        position = self.ring.position_after(after)
        self.outlet.send_from(Cursor(self.ring, self.ring.start if position is None else position, after=after))

    def source_lost(self, location: Location) -> None:
        assert self.closed is None
        self.told.append(location)

    def publication_closed(self, reason: CloseReason, detail: str) -> None:
        assert self.closed is None
        self.closed = (reason, detail)


class FakeReader:
    """A subscription and what came of it. With `failing` it raises at every run."""

    def __init__(self, link: OriginLink, number: int = 0, after: UnitName | None = None, *, failing: bool = False) -> None:
        self.opened: tuple[Epoch, Place] | None = None
        self.told: list[Location] = []
        self.closed: tuple[CloseReason, str] | None = None
        self.runs: list[Run] = []
        self.failing = failing
        self.subscription = link.subscribe(SubscriptionRequest(stream=stream(number), place=NO_PLACE, after=after), self)

    @property
    def seqs(self) -> list[int]:
        return [unit.seq for run in self.runs for unit in run.units]

    @property
    def units(self) -> list[AccessUnit]:
        return [unit for run in self.runs for unit in run.units]

    @property
    def missing(self) -> int:
        return sum(run.missing for run in self.runs)

    def subscription_opened(self, epoch: Epoch, place: Place) -> None:
        assert not self.runs
        self.opened = (epoch, place)

    def receive(self, run: Run) -> None:
        assert self.closed is None
        if self.failing:
            raise ZeroDivisionError("a reader of this test fails")
        self.runs.append(run)

    def source_lost(self, location: Location) -> None:
        assert self.closed is None
        self.told.append(location)

    def subscription_closed(self, reason: CloseReason, detail: str) -> None:
        assert self.closed is None
        self.closed = (reason, detail)


class FakeGroup:
    """What the origin has of one stream."""

    def __init__(self, limits: RingLimits) -> None:
        self.ring = Ring(limits)
        self.ring.place = PLACE
        self.publications: list[PublicationPort] = []
        self.subscriptions: list[SubscriptionPort] = []
        self.ended: list[CloseReason] = []

    def append(self, run: Run) -> None:
        self.ring.append(run)
        for port in self.subscriptions:
            port.wake()


class FakeOrigin:
    """An `OriginEndpoint` that takes everything; `refuse` says no within the call, `failing` raises where its units come."""

    def __init__(self, limits: RingLimits = KEEP_ALL) -> None:
        self.groups: dict[StreamKey, FakeGroup] = {}
        self.peers: list[NodeId] = []
        self.requests: list[PublicationRequest | SubscriptionRequest] = []
        self.refuse: CloseReason | None = None
        self.failing: set[StreamKey] = set()
        self._limits = limits

    def group(self, number: int = 0) -> FakeGroup:
        return self._group(stream(number))

    def _group(self, key: StreamKey) -> FakeGroup:
        return self.groups.setdefault(key, FakeGroup(self._limits))

    def open_publication(self, peer: NodeId, request: PublicationRequest, port: PublicationPort) -> IncomingPublication:
        self.peers.append(peer)
        self.requests.append(request)
        group = self._group(request.grant.stream)
        if self.refuse is not None:
            port.close(self.refuse, "no")
        else:
            group.publications.append(port)
            port.opened(group.ring.last_name, PLACE)
        return _IncomingPublication(self, group, request.grant.stream)

    def open_subscription(self, peer: NodeId, request: SubscriptionRequest, port: SubscriptionPort) -> IncomingSubscription:
        self.peers.append(peer)
        self.requests.append(request)
        group = self._group(request.stream)
        if self.refuse is not None:
            port.close(self.refuse, "no")
        else:
            group.subscriptions.append(port)
            port.opened(EPOCH, PLACE)
            after = request.after
            port.send_from(Cursor.joining(group.ring) if after is None else Cursor.resuming(group.ring, after))
        return _IncomingSubscription(group, port)


class _IncomingPublication:
    def __init__(self, origin: FakeOrigin, group: FakeGroup, key: StreamKey) -> None:
        self._origin = origin
        self._group = group
        self._key = key

    def receive(self, run: Run) -> None:
        if self._key in self._origin.failing:
            raise ZeroDivisionError("an origin of this test fails")
        self._group.append(run)

    def closed(self, reason: CloseReason) -> None:
        self._group.ended.append(reason)


class _IncomingSubscription:
    def __init__(self, group: FakeGroup, port: SubscriptionPort) -> None:
        self._group = group
        self._port = port

    def closed(self, reason: CloseReason) -> None:
        if self._port in self._group.subscriptions:
            self._group.subscriptions.remove(self._port)
        self._group.ended.append(reason)


def plain(units: Iterable[AccessUnit]) -> list[tuple[int, int, bytes, int]]:
    """What of units is the same at both ends of a link."""
    return [(unit.seq, unit.dts, unit.payload, unit.wall_us) for unit in units]
