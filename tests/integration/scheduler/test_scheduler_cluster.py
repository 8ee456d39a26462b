"""Nodes and scheduler replicas over gRPC on loopback, with the registry in memory and with a real etcd."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any

from support.etcd import EtcdServer
from support.members import LIMIT_S, LOOK_S, Member, eventually
from support.schedulers import KEY, LASTING_S, LEASE_S, REJOIN_S, Cluster, etcd_registries

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_PLACE, Epoch, Grant, Location, new_publication
from lalmesh.runtime.scheduling import (
    Claim,
    Evicted,
    GroupMoved,
    HeldStream,
    Move,
    Refusal,
    Refused,
    Released,
    Role,
    StreamFenced,
    Wanted,
)

CAM = StreamKey.of("live", "cam")
SOON_S = 1.0  #: a deadline that passes while others have not


def move(grant: Grant, *avoid: str) -> Move:
    return Move(stream=grant.stream, epoch=grant.epoch, place=grant.place, publication=grant.publication, avoid=avoid)


async def test_a_claim_is_granted_signed_and_placed_with_an_heir(cluster: Cluster) -> None:
    await cluster.member("o1", Role.ORIGIN)
    await cluster.member("o2", Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE)
    grant = await edge.granted(CAM)
    grant.verify((KEY,))
    assert grant.heir is not None
    assert {grant.origin.node.name, grant.heir.node.name} == {"o1", "o2"}
    assert (grant.place.revision, grant.place.term) == (grant.epoch.revision, grant.epoch.term)


async def test_the_same_claim_again_is_answered_alike_by_another_replica(cluster: Cluster) -> None:
    second = await cluster.replica()
    await cluster.member("o1", Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE, cluster.client(cluster.replicas[0]))
    grant = await edge.granted(CAM)
    edge.client = cluster.client(second)
    assert await edge.granted(CAM, grant.publication) == grant


async def test_a_second_publisher_is_refused_until_the_first_lets_go(cluster: Cluster) -> None:
    await cluster.member("o1", Role.ORIGIN)
    first, second = await cluster.member("e1", Role.EDGE), await cluster.member("e2", Role.EDGE)
    grant = await first.granted(CAM)
    refused = await second.claim(CAM)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.EXISTS
    released = Released(stream=CAM, epoch=grant.epoch, publication=grant.publication)
    assert await first.client.release(first.address, claims=[released], deadline_s=LIMIT_S) == [True]
    assert await first.client.release(first.address, claims=[released], deadline_s=LIMIT_S) == [False]
    assert (await second.granted(CAM)).epoch > grant.epoch


async def test_a_newcomer_that_takes_over_fences_the_one_before(cluster: Cluster) -> None:
    second = await cluster.replica()
    await cluster.member("o1", Role.ORIGIN)
    old = await cluster.member("e1", Role.EDGE, cluster.client(cluster.replicas[0]))
    new = await cluster.member("e2", Role.EDGE, cluster.client(second))
    before = await old.granted(CAM)
    after = await new.granted(CAM, take_over=True)
    assert await old.told(StreamFenced) == StreamFenced(CAM, after.epoch)
    assert after.origin == before.origin
    answer = (await old.client.move(old.address, [move(before)], LIMIT_S))[0]
    assert isinstance(answer, Refused)
    assert answer.refusal is Refusal.FENCED


async def test_two_edges_that_claim_at_once_get_one_grant(cluster: Cluster) -> None:
    second = await cluster.replica()
    await cluster.member("o1", Role.ORIGIN)
    edges = [await cluster.member(f"e{n}", Role.EDGE, cluster.client(app)) for n, app in enumerate((cluster.replicas[0], second))]
    streams = [StreamKey.of("live", f"cam{n}") for n in range(20)]
    results = await asyncio.gather(*(edge.claim(stream) for stream in streams for edge in edges))
    for pair in zip(results[::2], results[1::2], strict=True):
        assert sorted(type(result).__name__ for result in pair) == ["Grant", "Refused"]


async def test_a_move_goes_to_the_heir_and_readers_and_holders_hear(cluster: Cluster) -> None:
    for name in ("o1", "o2", "o3"):
        await cluster.member(name, Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE)
    grant = await edge.granted(CAM)
    edge.held.append(HeldStream(stream=CAM))
    await eventually(lambda: bool(cluster.replicas[0].service.members.holders(CAM)))
    waiting = asyncio.create_task(edge.client.locate([Wanted(CAM, grant.place)], LIMIT_S))
    await asyncio.sleep(0.1)
    moved = (await edge.client.move(edge.address, [move(grant, grant.origin.node.name)], LIMIT_S))[0]
    assert isinstance(moved, Grant)
    assert (moved.origin, moved.epoch) == (grant.heir, grant.epoch)
    assert moved.place > grant.place
    moved.verify((KEY,))
    location = Location(stream=CAM, place=moved.place, origin=moved.origin, heir=moved.heir)
    assert await waiting == [location]
    assert await edge.told(GroupMoved) == GroupMoved(location, moved)
    assert await edge.client.move(edge.address, [move(grant)], LIMIT_S) == [moved]


async def test_the_streams_of_an_origin_that_left_are_placed_anew(cluster: Cluster) -> None:
    first = await cluster.member("o1", Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE)
    grant = await edge.granted(CAM)
    await cluster.member("o2", Role.ORIGIN)
    assert await first.membership.leave(LIMIT_S)
    moved = (await edge.client.move(edge.address, [move(grant)], LIMIT_S))[0]
    assert isinstance(moved, Grant)
    assert moved.origin.node.name == "o2"


async def test_a_locate_is_answered_at_once_or_refused_at_its_deadline(cluster: Cluster) -> None:
    second = await cluster.replica()
    await cluster.member("o1", Role.ORIGIN, cluster.client(cluster.replicas[0]))
    edge = await cluster.member("e1", Role.EDGE, cluster.client(cluster.replicas[0]))
    grant = await edge.granted(CAM)
    reader, later = cluster.client(second), StreamKey.of("live", "later")
    waiting = asyncio.create_task(reader.locate([Wanted(later)], LIMIT_S))
    await asyncio.sleep(0)  # it asks first
    located = (await reader.locate([Wanted(CAM)], LIMIT_S))[0]
    assert isinstance(located, Location)
    assert (located.place, located.origin) == (grant.place, grant.origin)
    found, missing = await reader.locate([Wanted(CAM), Wanted(later)], SOON_S)
    assert found == located
    assert isinstance(missing, Refused)
    assert missing.refusal is Refusal.NOT_FOUND  # had the replica been late, the caller would say that none has answered
    assert not waiting.done()
    await edge.granted(later)
    assert isinstance((await waiting)[0], Location)


async def test_a_group_is_given_back_only_when_no_publisher_is_left(cluster: Cluster) -> None:
    origin, edge = await cluster.member("o1", Role.ORIGIN), await cluster.member("e1", Role.EDGE)
    grant = await edge.granted(CAM)
    group = Released(stream=CAM, place=grant.place)
    assert await origin.client.release(origin.address, groups=[group], deadline_s=LIMIT_S) == [False]
    claim = Released(stream=CAM, epoch=grant.epoch, publication=grant.publication)
    await edge.client.release(edge.address, claims=[claim], deadline_s=LIMIT_S)
    assert await edge.client.release(edge.address, groups=[group], deadline_s=LIMIT_S) == [False]
    assert await origin.client.release(origin.address, groups=[group], deadline_s=LIMIT_S) == [True]
    await eventually(lambda: not cluster.replicas[0].service.directory.streams())


async def test_the_claims_of_an_edge_that_vanished_may_be_taken_after_rejoin_s(cluster: Cluster) -> None:
    second = await cluster.replica()
    await cluster.member("o1", Role.ORIGIN)
    gone = await cluster.member("e1", Role.EDGE, cluster.client(cluster.replicas[0]))
    heir = await cluster.member("e2", Role.EDGE, cluster.client(second))
    before = await gone.granted(CAM)
    begun = time.monotonic()
    await gone.vanish()
    async with asyncio.timeout(LIMIT_S):
        while isinstance(after := await heir.claim(CAM), Refused):
            assert after.retry_after_s <= REJOIN_S
            await asyncio.sleep(LOOK_S)
    assert time.monotonic() - begun >= REJOIN_S
    assert after.epoch > before.epoch
    assert second.service.directory.is_away(gone.address.node)  # so its lease has not run out


async def test_a_node_that_is_not_renewed_is_gone_when_its_lease_is(quick_cluster: Cluster) -> None:
    await quick_cluster.member("o1", Role.ORIGIN)
    edge = await quick_cluster.member("e1", Role.EDGE)
    await edge.granted(CAM)
    directory = quick_cluster.replicas[0].service.directory
    await asyncio.sleep(LEASE_S + 1)
    assert directory.claim(CAM) is not None, "a node that reports is renewed"
    await edge.vanish()
    await eventually(lambda: directory.claim(CAM) is None)
    assert directory.group(CAM) is not None


async def test_a_node_that_joins_another_replica_keeps_what_it_has(quick_cluster: Cluster) -> None:
    second = await quick_cluster.replica()
    await quick_cluster.member("o1", Role.ORIGIN, quick_cluster.client(second))
    edge = await quick_cluster.member("e1", Role.EDGE, quick_cluster.client(*quick_cluster.replicas))
    grant = await edge.granted(CAM)
    home = next(app for app in quick_cluster.replicas if app.service.members.named("e1"))
    other = next(app for app in quick_cluster.replicas if app is not home)
    if home is second:
        await quick_cluster.member("o2", Role.ORIGIN, quick_cluster.client(other))
    await home.stop()
    await eventually(lambda: other.service.members.named("e1") is not None)
    await asyncio.sleep(LEASE_S + 0.5)
    assert (await edge.granted(CAM, grant.publication)).epoch == grant.epoch


async def test_a_new_incarnation_ends_the_old_one_and_its_claims(cluster: Cluster) -> None:
    second = await cluster.replica()
    await cluster.member("o1", Role.ORIGIN)
    old = await cluster.member("e1", Role.EDGE, cluster.client(cluster.replicas[0]))
    before = await old.granted(CAM)
    new = await cluster.member("e1", Role.EDGE, cluster.client(second))
    assert isinstance(await old.told(Evicted), Evicted)
    assert (await new.granted(CAM)).epoch > before.epoch
    again = Member("e1", Role.EDGE, cluster.client(), incarnation=old.incarnation)
    task = asyncio.create_task(again.membership.run())
    assert isinstance(await again.told(Evicted), Evicted)
    async with asyncio.timeout(LIMIT_S):
        await task
    assert new.membership.joined.is_set()


async def test_who_has_not_joined_gets_nothing(cluster: Cluster) -> None:
    await cluster.member("o1", Role.ORIGIN)
    stranger = Member("e9", Role.EDGE, cluster.client())
    refused = await stranger.claim(CAM)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.NOT_JOINED


async def test_without_an_origin_with_room_the_claim_is_refused_with_a_hint(cluster: Cluster) -> None:
    await cluster.member("o1", Role.ORIGIN, streams=1)
    edge = await cluster.member("e1", Role.EDGE)
    await edge.granted(CAM)
    refused = await edge.claim(StreamKey.of("live", "other"))
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.NO_ORIGIN
    assert refused.retry_after_s > 0


async def test_many_claims_in_one_request_are_answered_in_order(cluster: Cluster) -> None:
    await cluster.member("o1", Role.ORIGIN)
    await cluster.member("o2", Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE)
    claims = [Claim(stream=StreamKey.of("live", f"cam{n}"), publication=new_publication()) for n in range(1200)]
    results = await edge.client.claim(edge.address, claims, LIMIT_S)
    assert not [r for r in results if isinstance(r, Refused)][:3]
    assert [(r.stream, r.publication) for r in results if isinstance(r, Grant)] == [(c.stream, c.publication) for c in claims]
    directory = cluster.replicas[0].service.directory
    loads = [directory.groups_of(record.node) for record in directory.nodes() if record.role is Role.ORIGIN]
    assert sum(loads) == 1200
    assert max(loads) - min(loads) < 120


async def test_a_moved_claim_that_nobody_has_is_not_found_rather_than_fenced(cluster: Cluster) -> None:
    edge = await cluster.member("e1", Role.EDGE)
    asked = Move(stream=CAM, epoch=Epoch(1, 1), place=NO_PLACE, publication=new_publication())
    answer = (await edge.client.move(edge.address, [asked], LIMIT_S))[0]
    assert isinstance(answer, Refused)
    assert answer.refusal is Refusal.NOT_FOUND


def test_an_operator_can_read_the_keys(etcd_server: EtcdServer) -> None:
    async def scene() -> None:
        async with AsyncExitStack() as stack:
            cluster = Cluster(etcd_registries(etcd_server, stack, LIMIT_S), stack, lease_s=LASTING_S)
            await cluster.replica()
            await cluster.member("o1", Role.ORIGIN)
            edge = await cluster.member("e1", Role.EDGE)
            grant = await edge.granted(StreamKey.of("a/b", "cam 1"))
            text = await asyncio.to_thread(etcd_server.control, "get", "--prefix", "/cluster-", "-w", "json")
            assert json.loads(text)["count"] >= 5
            claim = await asyncio.to_thread(_value, etcd_server, "claims/a%2Fb/cam%201")
            assert (claim["publication"], claim["edge"]["name"]) == (grant.publication.hex(), "e1")

    asyncio.run(scene())


def _value(server: EtcdServer, tail: str) -> Any:
    lines = server.control("get", "--prefix", "/cluster-").splitlines()
    return json.loads(lines[next(n for n, line in enumerate(lines) if line.endswith(tail)) + 1])
