"""Terms, and what happens when schedulers, leases or the store itself come back from being away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from support.reporting import SOON_S, Node, settle
from support.turned_clock import Clock, RestoredRegistry

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, Grant, NodeAddress, NodeId, Place
from lalmesh.runtime.registry import Delete, Put
from lalmesh.runtime.scheduling import (
    Claim,
    Held,
    HeldStream,
    Move,
    ReclaimWanted,
    Refusal,
    Refused,
    Released,
    Role,
    StreamFenced,
    Wanted,
)
from services.scheduler import SchedulerService
from services.scheduler.cluster_records import SETTLING_KEY, TERM_KEY, serialize_settling, serialize_term
from services.scheduler.records import claim_key, group_key, node_key, parse_node, serialize_node
from services.scheduler.settlement import MAX_LEASES

CAM = StreamKey.of("live", "cam")
P1, P2 = b"1" * 16, b"2" * 16
TERM = 1_700_000_000
LEASE_S = 10
NEVER_SILENT_S = 3600.0  #: the test turns the clock
PRESENCE_S = LEASE_S // 3  #: the lease of a scheduler
ORIGIN = NodeAddress(NodeId("o1", b"origin.1"), "o1:1")
EDGE = NodeAddress(NodeId("e1", b"edge...1"), "e1:1")
RIVAL = NodeAddress(NodeId("e2", b"edge...2"), "e2:1")


class World:
    """A registry and the replicas over it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = RestoredRegistry(self.clock)
        self.services: list[SchedulerService] = []

    async def scheduler(self, name: str = "") -> SchedulerService:
        """One more replica, which is ready."""
        made = SchedulerService(
            self.registry,
            [b"key"],
            name=name,
            clock=self.clock,
            wall_clock=lambda: TERM,
            lease_s=LEASE_S,
            silence_s=NEVER_SILENT_S,
        )
        self.services.append(made)
        await made.start()
        await settle()
        return made

    async def cluster(self, name: str = "") -> tuple[SchedulerService, Node, Node, Node]:
        """A replica with an origin and two edges, and nothing that has to settle any more."""
        service = await self.scheduler(name)
        nodes = Node(service, ORIGIN, Role.ORIGIN), Node(service, EDGE, Role.EDGE), Node(service, RIVAL, Role.EDGE)
        await self.pass_time(LEASE_S + 1)
        for node in nodes:
            await node.report()
        await settle()
        return service, *nodes

    async def settle_now(self) -> None:
        """As with a new term."""
        lease_id = await self.registry.grant_lease(LEASE_S)
        await self.registry.transact([], [Put(SETTLING_KEY, serialize_settling("a test"), lease_id)])
        await settle()

    async def renew(self, service: SchedulerService, address: NodeAddress) -> None:
        """As its reports do."""
        record = service.directory.node(address.node)
        assert record is not None
        assert await self.registry.renew_lease(record.lease_id)

    async def pass_time(self, seconds: float) -> None:
        """In steps in which leases are renewed that somebody renews."""
        for _ in range(round(seconds)):
            self.clock.now += 1
            for service in self.services:
                if service.presence._name:
                    await service.presence._keep()
                await service._settlement._look()
            self.registry.expire()
            await settle()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    for service in made.services:
        await service.stop()


async def claim(
    service: SchedulerService, edge: NodeAddress = EDGE, publication: bytes = P1, held: Held | None = None
) -> Grant | Refused:
    return (await service.claim(edge, [Claim(stream=CAM, publication=publication, held=held)], SOON_S))[0]


async def granted(service: SchedulerService, edge: NodeAddress = EDGE, publication: bytes = P1, held: Held | None = None) -> Grant:
    result = await claim(service, edge, publication, held)
    assert isinstance(result, Grant), result
    return result


def held_by(grant: Grant) -> Held:
    return Held(epoch=grant.epoch, place=grant.place, origin=grant.origin, heir=grant.heir)


def carried(grant: Grant) -> HeldStream:
    return HeldStream(stream=CAM, epoch=grant.epoch, place=grant.place, publication=grant.publication, published=True)


def term(service: SchedulerService) -> int:
    assert service.directory.term is not None
    return service.directory.term.term


async def test_a_first_scheduler_has_all_others_wait_for_a_lease(world: World) -> None:
    service = await world.scheduler("s1")
    await Node(service, ORIGIN, Role.ORIGIN).report()
    edge = Node(service, EDGE, Role.EDGE)
    await edge.report()
    refused = await claim(service)
    assert isinstance(refused, Refused)
    assert (refused.refusal, refused.retry_after_s > 0) == (Refusal.SETTLING, True)
    await world.pass_time(LEASE_S - 1)
    assert service.directory.cluster.settling is not None
    await world.pass_time(2)
    assert service.directory.cluster.settling is None


async def test_a_scheduler_that_finds_another_grants_nothing_before_it_knows_that_the_other_lives(world: World) -> None:
    await world.cluster("s1")
    second = await world.scheduler("s2")
    for _ in range(PRESENCE_S):
        assert isinstance(await claim(second), Refused)
        assert not second.is_ready
        await world.pass_time(1)
    await world.pass_time(1)
    assert second.is_ready
    assert second.directory.cluster.settling is None
    assert isinstance(await granted(second), Grant)


async def test_keys_of_schedulers_that_are_dead_are_no_reason_not_to_settle(world: World) -> None:
    first, *_ = await world.cluster("s1")
    other = await world.scheduler("s2")
    await world.pass_time(PRESENCE_S + 2)
    snapshot = world.registry.snapshot()
    for service in (first, other):
        await service.stop()
    world.services.clear()
    world.registry.restore(snapshot)
    again = await world.scheduler("s1")
    assert again.directory.cluster.settling is None
    await world.pass_time(PRESENCE_S + 1)
    assert again.directory.cluster.settling is not None
    assert again.is_ready


async def test_a_scheduler_that_starts_again_and_again_does_not_keep_the_cluster_from_settling(world: World) -> None:
    await world.scheduler("s1")
    for _ in range(LEASE_S // 2):
        second = await world.scheduler("s2")
        assert not second.is_ready
        await world.pass_time(2)
        await second.stop()
        world.services.remove(second)
    await world.pass_time(2)
    assert world.services[0].directory.cluster.settling is None


async def test_a_scheduler_that_loses_the_registry_while_it_waits_begins_to_wait_anew(world: World) -> None:
    await world.cluster("s1")
    second = await world.scheduler("s2")
    await world.pass_time(PRESENCE_S)
    world.registry.is_down = True
    with pytest.raises(Unavailable):
        await second.presence._keep()
    world.registry.is_down = False
    await world.pass_time(PRESENCE_S)
    assert not second.is_ready
    await world.pass_time(2)
    assert second.is_ready


async def test_a_scheduler_that_can_be_the_only_one_has_nobody_wait(world: World) -> None:
    service, *_ = await world.cluster()
    assert isinstance(await granted(service), Grant)


async def test_a_scheduler_that_was_cut_off_for_longer_than_the_leases_grants_nothing_before_the_cluster_has_settled(
    world: World,
) -> None:
    service, *_ = await world.cluster("s1")
    grant = await granted(service)
    world.clock.now += LEASE_S + 1  # nobody was renewed
    world.registry.expire()  # and the view has not heard of it yet
    for record in (ORIGIN, EDGE, RIVAL):
        await Node(service, record, Role.ORIGIN if record == ORIGIN else Role.EDGE).report()
    refused = await claim(service, RIVAL, P2)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.SETTLING
    await world.pass_time(1)
    assert service.directory.cluster.settling is not None
    assert (await granted(service, held=held_by(grant))).epoch == grant.epoch


@pytest.mark.parametrize("clock_s", [0, PRESENCE_S + 1], ids=["a clock that stood still", "a clock that went on"])
async def test_a_scheduler_that_has_lost_its_own_lease_and_finds_no_other_has_all_wait(world: World, clock_s: int) -> None:
    service, *_ = await world.cluster("s1")
    world.clock.now += clock_s
    await world.registry.revoke_lease(service.presence._lease_id)
    await settle()
    await world.pass_time(1)
    assert service.directory.cluster.settling is not None
    assert isinstance(await claim(service), Refused)


async def test_while_all_settles_a_rival_that_knocks_all_the_time_never_wins_over_a_publisher_that_is_there(world: World) -> None:
    service, *nodes = await world.cluster("s1")
    grant = await granted(service)
    await service.stop()
    world.services.clear()
    world.clock.now += 300
    world.registry.expire()
    again = await world.scheduler("s1")
    origin, edge, rival = (Node(again, node.address, node.role) for node in nodes)
    await rival.report()
    for _ in range(3):
        assert isinstance(await claim(again, RIVAL, P2), Refused)
    assert await edge.told(streams=(carried(grant),)) == [ReclaimWanted((CAM,))]
    await origin.report()
    grant = await granted(again, held=held_by(grant))
    refusals = []
    for _ in range(LEASE_S + 2):
        await world.pass_time(1)
        for node in (origin, rival):
            node.report_soon()
        await edge.told(streams=(carried(grant),))
        refused = await claim(again, RIVAL, P2)
        assert isinstance(refused, Refused)
        refusals.append(refused.refusal)
    assert (refusals[0], refusals[-1]) == (Refusal.SETTLING, Refusal.EXISTS)


async def test_of_two_that_claim_again_the_lower_epoch_is_told_to_let_go(world: World) -> None:
    service, _, edge, _ = await world.cluster()
    lower = await granted(service)
    higher = Held(epoch=Epoch(TERM, lower.epoch.revision + 1), place=lower.place, origin=ORIGIN)
    won = await granted(service, RIVAL, P2, higher)
    assert StreamFenced(CAM, won.epoch) in await edge.told(streams=(carried(lower),))
    refused = await claim(service, held=held_by(lower))
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.FENCED


SHOWN = {
    "an epoch of a higher term": Epoch(TERM + 5, 3),
    "an epoch of this term above the store": Epoch(TERM, 1_000_000),
}


@pytest.mark.parametrize("way", ["report", "claim", "move", "locate"])
@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
async def test_a_scheduler_that_is_shown_an_epoch_above_its_own_raises_the_term_past_it(
    world: World, shown: Epoch, way: str
) -> None:
    service, _, edge, _ = await world.cluster()
    place = Place(*shown)
    match way:
        case "report":
            await edge.told(streams=(HeldStream(stream=CAM, epoch=shown, publication=P1, published=True),))
        case "claim":
            await claim(service, held=Held(epoch=shown, place=place, origin=ORIGIN))
        case "move":
            await service.move(EDGE, [Move(stream=CAM, epoch=shown, place=place, publication=P1)], SOON_S)
        case _:
            await service.locate([Wanted(CAM, place)], 0.0)
    await settle()
    assert term(service) == max(TERM, shown.term) + 1
    assert service.directory.cluster.settling is not None
    world.clock.now += LEASE_S + 1
    world.registry.expire()
    for address in (ORIGIN, RIVAL):
        await Node(service, address, Role.ORIGIN if address == ORIGIN else Role.EDGE).report()
    await settle()
    other = await service.claim(RIVAL, [Claim(stream=StreamKey.of("live", "other"), publication=P2)], SOON_S)
    assert isinstance(other[0], Grant)
    assert other[0].epoch > shown


async def test_what_is_shown_in_order_raises_nothing(world: World) -> None:
    service, _, edge, _ = await world.cluster()
    grant = await granted(service)
    await edge.told(streams=(carried(grant),))
    await settle()
    assert (term(service), service.directory.cluster.settling) == (TERM, None)


async def test_after_a_wipe_the_term_is_above_all_before_and_who_was_there_goes_on(world: World) -> None:
    service, *_ = await world.cluster("s1")
    grant = await granted(service)
    world.registry.wipe()
    world.registry.start_over()
    await world.pass_time(1)
    assert term(service) > grant.epoch.term
    for address in (ORIGIN, EDGE, RIVAL):
        await Node(service, address, Role.ORIGIN if address == ORIGIN else Role.EDGE).report()
    assert isinstance(await claim(service, RIVAL, P2), Refused)
    again = await granted(service, held=held_by(grant))
    assert (again.epoch, again.publication, again.origin) == (grant.epoch, P1, ORIGIN)
    assert again.place > grant.place


async def test_after_a_restore_no_epoch_is_granted_twice_even_before_the_view_has_heard_of_it(world: World) -> None:
    service, *_ = await world.cluster()
    snapshot = world.registry.snapshot()
    before = await granted(service)
    world.registry.restore(snapshot)
    refused = await claim(service, RIVAL, P2)  # the transaction shows it: the store is at a lower revision than it was
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.SETTLING
    world.registry.start_over()
    await settle()
    assert term(service) > TERM
    assert (await granted(service, held=held_by(before))).epoch == before.epoch
    refused = await claim(service, RIVAL, P2)
    assert isinstance(refused, Refused)


async def test_after_a_restore_a_node_that_reports_is_there_whatever_is_made_of_its_record_of_before(world: World) -> None:
    service, _, edge, _ = await world.cluster()
    snapshot = world.registry.snapshot()
    await edge.report(draining=True)  # it is written again
    world.registry.restore(snapshot)
    world.registry.start_over()
    await settle()
    entry, _ = await world.registry.get(node_key(EDGE.node.name))
    assert entry is not None
    away = replace(parse_node(entry), away=True)  # so another replica that had it before finds
    await world.registry.transact([], [Put(entry.key, serialize_node(away), entry.lease_id)])
    await settle()
    assert service.directory.is_away(EDGE.node)
    await edge.report(draining=True)  # and says nothing new
    await settle()
    assert not service.directory.is_away(EDGE.node)


async def test_after_a_restore_a_read_shows_it_as_well(world: World) -> None:
    service, *_ = await world.cluster()
    snapshot = world.registry.snapshot()
    before = await granted(service)
    world.registry.restore(snapshot)
    other = StreamKey.of("live", "other")
    await service.locate([Wanted(other)], 0.0)  # which is nowhere, so that the registry is asked
    await settle()
    assert term(service) > before.epoch.term
    assert service.directory.claim(CAM) is None  # the registry was listed again, though its watch shows nothing
    refused = await claim(service, RIVAL, P2)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.SETTLING


async def test_a_term_that_a_restored_registry_was_given_unheard_of_is_found_where_something_of_it_is_shown(world: World) -> None:
    service, _, edge, _ = await world.cluster()
    snapshot = world.registry.snapshot()
    await granted(service)
    world.registry.restore(snapshot)
    await world.registry.write_unheard(Put(TERM_KEY, serialize_term(TERM + 5)))  # at the revision of the grant
    assert service.directory.claim(CAM) is not None
    shown = Epoch(TERM + 5, world.registry.snapshot()[0])
    await edge.told(streams=(HeldStream(stream=CAM, epoch=shown, publication=P2, published=True),))
    await settle()
    assert term(service) == TERM + 5
    assert service.directory.claim(CAM) is None  # all was listed again


async def test_two_replicas_raise_the_term_once_or_twice_and_agree(world: World) -> None:
    first, *_ = await world.cluster("s1")
    second = await world.scheduler("s2")
    for service in (first, second):
        await service.locate([Wanted(CAM, Place(TERM + 7, 1))], 0.0)
    await settle()
    assert term(first) == term(second) == TERM + 8


async def test_an_edge_is_asked_again_only_for_what_two_reports_in_a_row_show_to_be_missing(world: World) -> None:
    service, _, edge, _ = await world.cluster()
    grant = await granted(service)
    unknown = HeldStream(stream=StreamKey.of("live", "new"), epoch=grant.epoch, publication=P2, published=True)
    assert await edge.told(streams=(carried(grant), unknown)) == []
    assert await edge.told(streams=(carried(grant), unknown)) == [ReclaimWanted((unknown.stream,))]
    assert [await edge.told(streams=(carried(grant), unknown)) for _ in range(3)] == [[], [], [ReclaimWanted((unknown.stream,))]]


async def test_a_stream_whose_claim_went_with_a_lease_is_not_given_to_a_rival_before_its_edge_has_claimed_it_again(
    world: World,
) -> None:
    service, _, edge, _ = await world.cluster()
    grant = await granted(service)
    await edge.report(streams=(carried(grant),))
    record = service.directory.node(EDGE.node)
    assert record is not None
    await edge.end()
    await world.registry.revoke_lease(record.lease_id)
    await settle()
    assert service.directory.claim(CAM) is None
    back = Node(service, EDGE, Role.EDGE)
    assert ReclaimWanted((CAM,)) in await back.told(streams=(carried(grant),))
    refused = await claim(service, RIVAL, P2)
    assert isinstance(refused, Refused)
    assert (refused.refusal, "e1" in refused.detail) == (Refusal.EXISTS, True)
    assert (await granted(service, held=held_by(grant))).publication == P1


async def test_a_stream_that_its_edge_was_to_claim_again_and_does_not_publish_any_more_is_free(world: World) -> None:
    service, _, edge, _ = await world.cluster()
    unknown = HeldStream(stream=CAM, epoch=Epoch(TERM, 1), publication=P1, published=True)
    await edge.told(streams=(unknown,))
    assert ReclaimWanted((CAM,)) in await edge.told(streams=(unknown,))
    assert isinstance(await claim(service, RIVAL, P2), Refused)
    await edge.told()
    assert isinstance(await claim(service, RIVAL, P2), Grant)


async def test_a_replica_whose_key_was_written_twice_grants_by_the_second_writing(world: World) -> None:
    service, *_ = await world.cluster("s1")
    own, _ = await world.registry.get(service.presence.key)
    assert own is not None
    await world.registry.transact([], [Put(own.key, own.value, own.lease_id)])
    await settle()
    assert isinstance(await claim(service), Grant)


async def test_what_is_only_played_is_never_to_be_claimed_again(world: World) -> None:
    _, _, edge, _ = await world.cluster()
    played = HeldStream(stream=CAM, epoch=Epoch(TERM, 2), publication=P2)
    assert [await edge.told(streams=(played,)) for _ in range(4)] == [[]] * 4


async def test_a_claim_whose_group_is_gone_has_its_publication_asked_at_once(world: World) -> None:
    service, _, edge, _ = await world.cluster()
    await granted(service)
    record = service.directory.node(ORIGIN.node)
    assert record is not None
    await world.registry.revoke_lease(record.lease_id)
    await settle()
    assert ReclaimWanted((CAM,)) in await edge.told()


async def test_a_claim_that_its_edge_has_given_up_is_deleted_and_one_that_it_publishes_never_is(world: World) -> None:
    service, origin, edge, rival = await world.cluster()
    grant = await granted(service)
    for _ in range(9):
        world.clock.now += 0.9
        await edge.told(streams=(carried(grant),))
    await settle()
    assert service.directory.claim(CAM) is not None
    for _ in range(7):
        assert service.directory.claim(CAM) is not None
        world.clock.now += 0.9
        await edge.told()
    await settle()
    assert service.directory.claim(CAM) is None
    for node in (origin, rival):
        await node.told()
    await settle()
    assert isinstance(await claim(service, RIVAL, P2), Grant)


async def test_a_group_without_a_claim_that_its_origin_has_not_is_deleted(world: World) -> None:
    service, origin, edge, _ = await world.cluster()
    grant = await granted(service)
    for _ in range(7):
        world.clock.now += 0.9
        await edge.told(streams=(carried(grant),))
        await origin.told()  # the publisher has yet to open it
    assert service.directory.group(CAM) is not None
    await service.release(EDGE, claims=[Released(stream=CAM, epoch=grant.epoch, publication=P1)], deadline_s=SOON_S)
    await edge.told()
    in_grace = HeldStream(stream=CAM, epoch=grant.epoch, place=grant.place, publication=P1)
    for _ in range(7):
        world.clock.now += 0.9
        await origin.told(streams=(in_grace,))
    await settle()
    assert service.directory.group(CAM) is not None
    for _ in range(7):
        world.clock.now += 0.9
        await origin.told()
    await settle()
    assert service.directory.group(CAM) is None


async def test_a_holder_that_came_back_at_another_replica_unheard_of_keeps_its_claim(world: World) -> None:
    service, *_ = await world.cluster()
    await granted(service)
    service.view.mark_away(EDGE.node)
    world.clock.now += 5
    entry, _ = await world.registry.get(node_key(EDGE.node.name))
    assert entry is not None
    await world.registry.transact([], [Put(entry.key, entry.value, entry.lease_id)])  # and the view has not heard of it yet
    refused = await claim(service, RIVAL, P2)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.EXISTS


async def test_the_claim_of_a_holder_that_has_ended_unheard_of_is_taken(world: World) -> None:
    service, *_ = await world.cluster()
    await granted(service)
    await settle()
    service.view.mark_away(EDGE.node)
    world.clock.now += 5
    await world.registry.transact([], [Delete(node_key(EDGE.node.name))])
    assert (await granted(service, RIVAL, P2)).publication == P2


@pytest.mark.parametrize("is_gone", [False, True], ids=["a group that is there", "a group that is gone"])
async def test_no_stream_ends_while_the_cluster_settles_or_has_to(world: World, *, is_gone: bool) -> None:
    service, *_ = await world.cluster()
    grant = await granted(service)
    await world.registry.transact([], [Delete(claim_key(CAM)), *([Delete(group_key(CAM))] if is_gone else [])])
    await settle()
    group = Released(stream=CAM, place=grant.place)
    await world.registry.transact([], [Put(SETTLING_KEY, serialize_settling("a test"))])  # unheard of
    with pytest.raises(Unavailable):
        await service.release(ORIGIN, groups=[group], deadline_s=SOON_S)
    await world.registry.transact([], [Delete(SETTLING_KEY)])
    snapshot = world.registry.snapshot()
    await world.registry.transact([], [Put("elsewhere", b"")])
    await settle()
    world.registry.restore(snapshot)  # unheard of
    with pytest.raises(Unavailable):
        await service.release(ORIGIN, groups=[group], deadline_s=SOON_S)
    await settle()
    await world.registry.transact([], [Delete(SETTLING_KEY)])
    await settle()
    assert await service.release(ORIGIN, groups=[group], deadline_s=SOON_S) == [True]


async def test_a_scheduler_that_does_not_stand_yet_has_no_stream_end(world: World) -> None:
    first, *_ = await world.cluster("s1")
    grant = await granted(first)
    second = await world.scheduler("s2")
    group, claimed = Released(stream=CAM, place=grant.place), Released(stream=CAM, epoch=grant.epoch, publication=P1)
    assert await second.release(EDGE, claims=[claimed], deadline_s=SOON_S) == [True]
    with pytest.raises(Unavailable):
        await second.release(ORIGIN, groups=[group], deadline_s=SOON_S)
    assert await first.release(ORIGIN, groups=[group], deadline_s=SOON_S) == [True]


async def test_claims_are_written_again_before_a_rival_is_let_in_however_long_that_takes(world: World) -> None:
    service, *_ = await world.cluster()
    seconds, each = 2 * LEASE_S, 20  # 10,000 claims of 2 ms take as long, 500 in each of these seconds
    keys = [StreamKey.of("live", f"cam{number}") for number in range(seconds * each)]
    held = Held(epoch=Epoch(TERM, 3), place=Place(TERM, 3), origin=ORIGIN)
    await world.settle_now()
    for start in range(0, len(keys), each):
        asked = [Claim(stream=key, publication=P1, held=held) for key in keys[start : start + each]]
        assert all(isinstance(result, Grant) for result in await service.claim(EDGE, asked, SOON_S))
        await world.pass_time(1)
        for address in (ORIGIN, EDGE, RIVAL):
            await world.renew(service, address)
        (refused,) = await service.claim(RIVAL, [Claim(stream=keys[-1], publication=P2)], SOON_S)
        assert isinstance(refused, Refused)
    await world.pass_time(LEASE_S + 1)
    assert service.directory.cluster.settling is None


async def test_a_claim_that_is_there_and_lacks_its_group_alone_has_nobody_wait_longer(world: World) -> None:
    service, origin, edge, rival = await world.cluster()
    vanished = NodeAddress(NodeId("o2", b"origin.2"), "o2:1")
    held = Held(epoch=Epoch(TERM, 3), place=Place(TERM, 3), origin=vanished)
    publishes = HeldStream(stream=CAM, epoch=held.epoch, place=held.place, publication=P1, published=True)
    await world.settle_now()
    waited_s = 0
    while service.directory.cluster.settling is not None:
        refused = await claim(service, held=held)
        assert isinstance(refused, Refused)
        assert refused.detail == "o2 is not known yet"
        for node, streams in ((origin, ()), (edge, (publishes,)), (rival, ())):
            await node.told(streams=streams)
        await world.pass_time(1)
        waited_s += 1
    assert waited_s <= LEASE_S + 1
    assert (await granted(service, held=held)).origin == ORIGIN


async def test_what_can_never_be_claimed_again_does_not_keep_all_others_waiting_for_ever(world: World) -> None:
    service, *_ = await world.cluster()
    await world.settle_now()
    waited_s = 0
    while service.directory.cluster.settling is not None:
        service._settlement.note()
        await world.pass_time(1)
        waited_s += 1
    assert MAX_LEASES * LEASE_S <= waited_s <= (MAX_LEASES + 1) * LEASE_S
