"""Many streams through two replicas on a real etcd: claims at the same instant, batches of moves, an origin that drains."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack

import pytest
from support.etcd import EtcdServer
from support.members import LIMIT_S, Member, eventually
from support.schedulers import LASTING_S, Cluster, DrainingMember, etcd_registries

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Grant, NodeAddress, new_publication
from lalmesh.runtime.registry import Delete
from lalmesh.runtime.scheduling import MAX_ITEMS, Claim, Drain, GroupMoved, HeldStream, Move, Refusal, Refused, Role, Wanted
from services.scheduler import forgotten, presence
from services.scheduler.cluster_records import SETTLING_KEY

STREAMS = [StreamKey.of("live", f"cam{number}") for number in range(1000)]
BATCH_S = 60.0  #: of a whole batch: this machine may be busy, and is measured beside
HEARD_S = 20.0  #: for all moves of a drain
STILL_S = 3.0  #: in which nothing moves: three reports of each node

log = logging.getLogger(__name__)


@pytest.fixture
async def cluster(etcd_server: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(forgotten, "GIVEN_UP_S", BATCH_S)  # nodes report what they hold once a whole batch is answered
    monkeypatch.setattr(presence, "LATE_S", -LASTING_S)  # at the start a second replica stands without waiting for a lease
    async with AsyncExitStack() as stack:
        registries = etcd_registries(etcd_server, stack, LIMIT_S)
        made = Cluster(registries, stack, lease_s=LASTING_S)
        for name in ("s1", "s2"):
            await made.replica(name=name)
        cluster_of = [app.service.directory.cluster for app in made.replicas]
        await eventually(lambda: all(each.standing for each in cluster_of))
        await next(registries).transact([], [Delete(SETTLING_KEY)])  # there is nothing that it would have to wait a lease for
        await eventually(lambda: all(each.settling is None for each in cluster_of))
        yield made


def claims(streams: Collection[StreamKey]) -> list[Claim]:
    return [Claim(stream=stream, publication=new_publication()) for stream in streams]


def holds(edge: Member, grants: Collection[Grant]) -> None:
    """Have the edge report that it publishes these as well: what it does not is taken from it after a while."""
    edge.held += [
        HeldStream(stream=each.stream, epoch=each.epoch, place=each.place, publication=each.publication, published=True)
        for each in grants
    ]


async def published(edge: Member, streams: Collection[StreamKey]) -> list[Grant]:
    results = await edge.client.claim(edge.address, claims(streams), BATCH_S)
    grants = [result for result in results if isinstance(result, Grant)]
    assert len(grants) == len(streams)
    holds(edge, grants)
    return grants


async def test_of_two_claims_at_the_same_instant_exactly_one_wins_a_thousand_times_and_is_answered_alike_when_repeated(
    cluster: Cluster,
) -> None:
    for name in ("o1", "o2"):
        await cluster.member(name, Role.ORIGIN)
    edges = [await cluster.member(f"e{n}", Role.EDGE, cluster.client(app)) for n, app in enumerate(cluster.replicas)]
    asked = [claims(STREAMS) for _ in edges]

    async def both(number: int) -> tuple[Grant | Refused, Grant | Refused]:
        async def one(n: int) -> Grant | Refused:
            [result] = await cluster.replicas[n].service.claim(edges[n].address, [asked[n][number]], BATCH_S)
            if isinstance(result, Grant):
                holds(edges[n], [result])
            return result

        if number % 2:  # who is asked first by a hair is the other one each time
            first, second = await asyncio.gather(one(0), one(1))
        else:
            second, first = await asyncio.gather(one(1), one(0))
        return first, second

    pairs = [pair for start in range(0, 1000, 50) for pair in await asyncio.gather(*map(both, range(start, start + 50)))]
    won = [sum(isinstance(result, Grant) for result in pair) for pair in pairs]
    assert won == [1] * 1000
    assert all(isinstance(result, Grant) or result.refusal is Refusal.EXISTS for pair in pairs for result in pair)
    log.warning("won: %s", [sum(isinstance(pair[n], Grant) for pair in pairs) for n in (0, 1)])
    for n, (edge, of_edge) in enumerate(zip(edges, asked, strict=True)):  # as if no answer had come, at the other replica
        again = await cluster.replicas[1 - n].service.claim(edge.address, of_edge, BATCH_S)
        assert [each for each in again if isinstance(each, Grant)] == [pair[n] for pair in pairs if isinstance(pair[n], Grant)]


async def test_a_thousand_streams_are_claimed_moved_located_and_released_in_one_call_each(cluster: Cluster) -> None:
    assert len(STREAMS) == MAX_ITEMS
    for name in ("o1", "o2", "o3"):
        await cluster.member(name, Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE)
    begun = time.monotonic()
    grants = await published(edge, STREAMS)
    claimed = time.monotonic()
    moves = [
        Move(stream=each.stream, epoch=each.epoch, place=each.place, publication=each.publication, avoid=(each.origin.node.name,))
        for each in grants
    ]
    moved = await edge.client.move(edge.address, moves, BATCH_S)
    done = time.monotonic()
    assert all(isinstance(each, Grant) and each.origin == before.heir for each, before in zip(moved, grants, strict=True))
    located = await edge.client.locate([Wanted(each.stream, each.place) for each in grants], LIMIT_S)
    asked = time.monotonic()
    assert [each.place for each in located if not isinstance(each, Refused)] == [e.place for e in moved if isinstance(e, Grant)]
    log.warning("1,000 claims %.2f s, moves %.2f s, locates %.2f s", claimed - begun, done - claimed, asked - done)


async def test_an_origin_that_joins_takes_new_streams_and_no_other_stream_moves(cluster: Cluster) -> None:
    for name in ("o1", "o2"):
        await cluster.member(name, Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE)
    before = await published(edge, STREAMS[:100])
    directory = cluster.replicas[1].service.directory
    await eventually(lambda: all(directory.group(each.stream) is not None for each in before))
    groups = [directory.group(each.stream) for each in before]
    joined = await cluster.member("o3", Role.ORIGIN)
    later = await published(edge, STREAMS[100:160])
    assert sum(grant.origin == joined.address for grant in later) > len(later) // 3
    await asyncio.sleep(STILL_S)
    assert [directory.group(each.stream) for each in before] == groups
    assert _origins(edge) == {}


async def test_an_origin_that_is_told_to_drain_is_emptied_by_one_replica_and_no_other_stream_moves(cluster: Cluster) -> None:
    first = await cluster.member("o1", Role.ORIGIN, cluster.client(cluster.replicas[0]))
    edge = await cluster.member("e1", Role.EDGE, cluster.client(cluster.replicas[1]))
    grants = await published(edge, STREAMS[:200])
    others = [await cluster.member(name, Role.ORIGIN) for name in ("o2", "o3")]
    later = await published(edge, STREAMS[200:220])
    granted = {grant.stream: grant for grant in (*grants, *later)}
    given_away = {stream for stream, grant in granted.items() if grant.origin == first.address}
    await asyncio.sleep(1.0)  # origins that joined get new streams only
    directory = cluster.replicas[1].service.directory
    carried = {node.name: directory.groups_of(node.address.node) for node in (first, *others)}
    assert carried["o1"] == len(given_away) >= 200
    begun = time.monotonic()
    assert await cluster.replicas[1].service.drains.ask("o1", 7.0)  # not where it has joined
    assert await first.told(Drain) == Drain(7.0)
    first.draining = True
    await eventually(lambda: directory.groups_of(first.address.node) == 0)
    log.warning("%d groups moved in %.2f s", carried["o1"], time.monotonic() - begun)
    await eventually(lambda: {stream for stream, at in _origins(edge).items() if at != granted[stream].origin} == given_away)
    assert first.address not in _origins(edge).values()
    moved = [app.service.metrics.registry.get_sample_value("scheduler_planned_moves_total") or 0.0 for app in cluster.replicas]
    assert sorted(moved) == [0.0, float(carried["o1"])]


def _origins(edge: DrainingMember) -> dict[StreamKey, NodeAddress]:
    """Where each stream of which the edge was told something is by its last grant: elsewhere, or where it was with another heir."""
    grants = [command.grant for command in edge.commands if isinstance(command, GroupMoved) and command.grant is not None]
    return {grant.stream: grant.origin for grant in grants}
