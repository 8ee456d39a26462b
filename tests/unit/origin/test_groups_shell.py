"""The groups of an origin: what it lets in, what it remembers, its timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from support.edge_fakes import EDGE, FIRST, ORIGINS, SECOND, STREAM, epoch, gop, location, place, run_of
from support.virtual_time import in_virtual_time, settle

from lalmesh.names import StreamKey
from lalmesh.runtime.link import CloseReason, IncomingPublication, IncomingSubscription, PublicationRequest, SubscriptionRequest
from lalmesh.runtime.ownership import NO_PLACE, Epoch, Grant, Location, NodeAddress, NodeId, Place, UnitName
from lalmesh.runtime.ring import Cursor
from services.origin import groups as shell
from services.origin.events import GroupState
from services.origin.group import GroupSettings
from services.origin.groups import Groups

KEY = b"k" * 32
HERE = ORIGINS["o"]
SETTINGS = GroupSettings(grace_s=30, release_retry_s=2, waiting_s=20)


@dataclass(eq=False)
class Port:
    """Either kind of port: notes what the group says."""

    opened_with: list[tuple[object, Place]] = field(default_factory=list)
    closed: list[CloseReason] = field(default_factory=list)
    told: list[Location] = field(default_factory=list)
    got: list[int] = field(default_factory=list)
    cursor: Cursor | None = None

    def opened(self, held_or_epoch: object, place: Place) -> None:
        self.opened_with.append((held_or_epoch, place))

    def send_from(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.wake()

    def wake(self) -> None:
        while self.cursor is not None and (run := self.cursor.read(1 << 30)) is not None:
            self.got += [unit.seq for unit in run.units]

    def source_lost(self, location: Location) -> None:
        self.told.append(location)

    def close(self, reason: CloseReason, detail: str = "") -> None:
        self.closed.append(reason)


@dataclass(eq=False)
class Origin:
    """The groups of origin ``o`` with a registry that answers what it is told to."""

    answers: list[bool | None] = field(default_factory=list)
    asked: list[tuple[Epoch, Place]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.groups = Groups(HERE.node, (KEY,), SETTINGS, self._release)

    async def _release(self, stream: StreamKey, epoch: Epoch, place: Place) -> bool | None:
        self.asked.append((epoch, place))
        return self.answers.pop(0)

    def publish(self, grant: Grant, peer: NodeId = EDGE.node, *, as_heir: bool = False) -> tuple[Port, IncomingPublication]:
        port = Port()
        request = PublicationRequest(grant=grant, take_over_as_heir=as_heir)
        return port, self.groups.open_publication(peer, request, port)

    def read(self, after: UnitName | None = None) -> tuple[Port, IncomingSubscription]:
        port = Port()
        request = SubscriptionRequest(stream=STREAM, place=NO_PLACE, after=after)
        return port, self.groups.open_subscription(EDGE.node, request, port)


def grant(revision: int = 1, publication: bytes = FIRST, *, origin: NodeAddress = HERE, heir: NodeAddress | None = None) -> Grant:
    unsigned = Grant(
        stream=STREAM,
        epoch=epoch(revision),
        publication=publication,
        edge=EDGE,
        origin=origin,
        heir=heir,
        place=place(revision),
    )
    return unsigned.signed(KEY)


@in_virtual_time
async def test_units_go_from_a_publication_to_its_readers() -> None:
    origin = Origin()
    reader, _ = origin.read()
    port, incoming = origin.publish(grant())
    assert port.opened_with == [(None, place(1))]
    incoming.receive(run_of(gop(0, 3)))
    assert reader.got == [0, 1, 2]
    assert origin.groups.totals.units == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: replace(good, signature=b"no"),
        lambda good: good.signed(b"another key"),
        lambda good: replace(good, epoch=epoch(9)),
        lambda good: grant(origin=HERE._replace(node=NodeId("o", b"earlier!"))),
        lambda good: grant(origin=ORIGINS["p"], heir=HERE),
        lambda good: replace(good, edge=EDGE._replace(node=NodeId("edge-2", b"e" * 8))).signed(KEY),
    ],
    ids=["signature", "key", "changed", "incarnation", "origin", "edge"],
)
def test_a_grant_that_does_not_fit_is_refused(spoil: Callable[[Grant], Grant]) -> None:
    @in_virtual_time
    async def check() -> None:
        origin = Origin()
        port, incoming = origin.publish(spoil(grant()))
        assert port.closed == [CloseReason.BAD_GRANT]
        incoming.receive(run_of(gop(0, 1)))
        incoming.closed(CloseReason.DONE)
        assert len(origin.groups) == 0

    check()


@in_virtual_time
async def test_another_edge_than_the_granted_one_is_refused() -> None:
    port, _ = Origin().publish(grant(), NodeId("edge-1", b"restart!"))
    assert port.closed == [CloseReason.BAD_GRANT]


@in_virtual_time
async def test_the_heir_of_a_grant_may_take_over() -> None:
    port, _ = Origin().publish(grant(origin=ORIGINS["p"], heir=HERE), as_heir=True)
    assert port.opened_with == [(None, place(1)._replace(heir=True))]


@in_virtual_time
async def test_the_highest_epoch_is_remembered_when_the_group_has_gone() -> None:
    origin = Origin([True])
    _, incoming = origin.publish(grant(5))
    incoming.closed(CloseReason.DONE)
    await asyncio.sleep(31)
    assert len(origin.groups) == 0
    for outdated in (grant(4), grant(5, SECOND)):
        port, _ = origin.publish(outdated)
        assert port.closed == [CloseReason.FENCED]
    for good in (grant(5), grant(6, SECOND)):
        port, _ = origin.publish(good)
        assert not port.closed


@in_virtual_time
async def test_a_stream_ends_after_the_grace_and_the_registrys_word() -> None:
    origin = Origin([True])
    reader, _ = origin.read()
    _, incoming = origin.publish(grant())
    incoming.receive(run_of(gop(0, 3)))
    incoming.closed(CloseReason.LINK_LOST)
    await asyncio.sleep(29)
    assert (reader.closed, origin.asked) == ([], [])
    await asyncio.sleep(2)
    assert (reader.closed, origin.asked) == ([CloseReason.STREAM_ENDED], [(epoch(1), place(1))])
    assert origin.groups.totals.units == 3


@in_virtual_time
async def test_a_registry_that_does_not_answer_is_asked_again() -> None:
    origin = Origin([None, False, True])
    _, incoming = origin.publish(grant())
    incoming.closed(CloseReason.DONE)
    await asyncio.sleep(33)
    assert (len(origin.asked), len(origin.groups)) == (2, 1)
    await asyncio.sleep(3)
    assert (len(origin.asked), len(origin.groups)) == (3, 0)


@in_virtual_time
async def test_readers_without_a_publication_are_told_so_in_time() -> None:
    origin = Origin()
    reader, _ = origin.read()
    await asyncio.sleep(21)
    assert (reader.closed, len(origin.groups)) == ([CloseReason.NOT_FOUND], 0)


@in_virtual_time
async def test_a_timer_that_fires_early_is_set_again() -> None:
    origin = Origin()
    reader, _ = origin.read()
    entry = origin.groups._groups[STREAM]
    origin.groups._timer_fired(entry)
    assert entry.timer is not None
    await asyncio.sleep(21)
    assert reader.closed == [CloseReason.NOT_FOUND]


@in_virtual_time
async def test_a_replaced_publication_is_told_and_what_it_still_sends_is_refused() -> None:
    origin = Origin()
    first, incoming = origin.publish(grant())
    origin.publish(grant(2, SECOND))
    assert first.closed == [CloseReason.FENCED]
    incoming.receive(run_of(gop(0, 3)))
    incoming.closed(CloseReason.LINK_LOST)
    (group,) = origin.groups
    assert (group.state, group.counters.refused) == (GroupState.LIVE, 3)


@in_virtual_time
async def test_a_stream_that_has_moved_tells_everyone_and_is_forgotten_when_they_have_left() -> None:
    origin = Origin()
    port, incoming = origin.publish(grant())
    reader, subscription = origin.read()
    incoming.receive(run_of(gop(0, 3)))
    origin.groups.moved(location(2, "p"))
    assert (port.told, reader.told, reader.closed, reader.got) == ([location(2, "p")], [location(2, "p")], [], [0, 1, 2])
    incoming.closed(CloseReason.SOURCE_LOST)
    subscription.closed(CloseReason.DONE)
    assert len(origin.groups) == 0


@in_virtual_time
async def test_a_stream_that_is_written_down_as_being_here_rises_to_its_new_place() -> None:
    origin = Origin()
    origin.publish(grant(origin=ORIGINS["p"], heir=HERE), as_heir=True)
    origin.groups.moved(location(2, "o"))
    (group,) = origin.groups
    assert (group.place, group.state) == (place(2), GroupState.LIVE)


@in_virtual_time
async def test_readers_of_a_publication_whose_link_broke_hear_of_its_heir() -> None:
    origin = Origin()
    _, incoming = origin.publish(grant(heir=ORIGINS["p"]))
    reader, _ = origin.read()
    incoming.closed(CloseReason.LINK_LOST)
    assert [told.origin for told in reader.told] == [ORIGINS["p"]]


@in_virtual_time
async def test_groups_over_the_limit_are_refused() -> None:
    origin = Origin()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shell, "MAX_GROUPS", 1)
        origin.publish(grant())
        other = replace(grant(), stream=StreamKey("live", "b")).signed(KEY)
        port, _ = origin.publish(other)
    assert port.closed == [CloseReason.LIMIT]


@in_virtual_time
async def test_the_end_of_an_origin_ends_everything_once() -> None:
    origin = Origin()
    port, incoming = origin.publish(grant())
    reader, subscription = origin.read()
    await origin.groups.close()
    incoming.closed(CloseReason.LINK_LOST)
    subscription.closed(CloseReason.LINK_LOST)
    await settle()
    assert (port.closed, reader.closed, len(origin.groups)) == ([CloseReason.DRAINING], [CloseReason.DRAINING], 0)
