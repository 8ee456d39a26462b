"""What streams go through when an etcd of three members loses a leader, its history, its data, or goes back to an old snapshot.

Epochs never fall, the rival that knocks all the time never wins, and the cluster comes back by itself (docs/ownership.md).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.contended import Contended, contended
from support.etcd import CAN_RUN_ETCD
from support.etcd_cluster import EtcdCluster
from support.members import eventually

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import new_publication
from lalmesh.runtime.scheduling import Claim, Refusal, Refused, Role

pytestmark = pytest.mark.skipif(not CAN_RUN_ETCD, reason="no etcd server here")

LEADERLESS_LEASE_S = 8  #: far longer than etcd is without a leader, on a busy machine too
AWAY_S = 3.0  #: longer than a lease lasts (`support.schedulers.LEASE_S`)
JUNK = [("put", f"/elsewhere/{number}", "x") for number in range(10)]


def term_of(world: Contended) -> int:
    terms = [app.service.directory.term for app in world.cluster.replicas]
    assert all(terms)
    return max(record.term for record in terms if record is not None)


async def test_killed_and_restarted_nothing_has_happened(tmp_path: Path) -> None:
    etcd = EtcdCluster(tmp_path)
    async with contended(etcd) as world:
        before, term = dict(world.publisher.grants), term_of(world)
        await asyncio.to_thread(etcd.kill)
        edge, asked = world.rival.edge, Claim(stream=StreamKey.of("asked", "meanwhile"), publication=new_publication())
        (refused,) = await edge.client.claim(edge.address, [asked], AWAY_S)
        assert isinstance(refused, Refused)
        assert refused.refusal is Refusal.UNAVAILABLE
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(etcd.start)
        await world.comes_back(before)
        assert term_of(world) == term
        assert await world.next_epoch("e3") > max(grant.epoch for grant in before.values())


async def test_another_leader_nothing_has_happened_though_the_old_one_is_killed_or_frozen(tmp_path: Path) -> None:
    etcd = EtcdCluster(tmp_path)
    async with contended(etcd, lease_s=LEADERLESS_LEASE_S) as world:
        before, term = dict(world.publisher.grants), term_of(world)
        await asyncio.to_thread(etcd.move_leader)
        first = await world.next_epoch("e3")
        leader = await asyncio.to_thread(etcd.leader)
        await asyncio.to_thread(leader.kill)
        second = await world.next_epoch("e4")
        await asyncio.to_thread(leader.start)
        leader = await asyncio.to_thread(etcd.leader)
        await asyncio.to_thread(leader.freeze)
        third = await world.next_epoch("e5")
        leader.thaw()
        assert max(grant.epoch for grant in before.values()) < first < second < third
        assert term_of(world) == term
        await eventually(world.is_true)
        await world.is_undisturbed(before)


async def test_compacted_while_a_replica_had_not_followed_it_lists_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    etcd = EtcdCluster(tmp_path)
    async with contended(etcd) as world:
        before, term = dict(world.publisher.grants), term_of(world)
        asked = etcd.members[0]  # by both replicas, as it is the first that they name
        if await asyncio.to_thread(etcd.leader) is asked:
            await asyncio.to_thread(etcd.move_leader)
        await asyncio.to_thread(asked.freeze)
        for words in JUNK:
            await asyncio.to_thread(etcd.members[1].control, *words)
        await asyncio.to_thread(etcd.members[1].compact, await asyncio.to_thread(etcd.members[1].revision))
        await asyncio.to_thread(asked.kill)
        assert await world.next_epoch("e3") > max(grant.epoch for grant in before.values())
        await eventually(lambda: "listing '' again" in caplog.text)  # the replica that answered may be the one that had followed
        await asyncio.to_thread(asked.start)
        assert term_of(world) == term
        await eventually(world.is_true)  # a node whose lease was not renewed meanwhile claims again
        await world.is_undisturbed(before)


async def test_wiped_the_streams_are_there_again_as_they_were(tmp_path: Path) -> None:
    etcd = EtcdCluster(tmp_path)
    async with contended(etcd) as world:
        before, term = dict(world.publisher.grants), term_of(world)
        await asyncio.to_thread(etcd.kill)
        await asyncio.to_thread(etcd.wipe)
        await asyncio.to_thread(etcd.start)
        await eventually(lambda: not world.stand())
        await world.comes_back(before)
        assert term_of(world) > term
        assert await world.next_epoch("e3") > max(grant.epoch for grant in before.values())


async def test_restored_from_an_old_snapshot_what_came_since_is_there_again_and_what_went_since_is_free(tmp_path: Path) -> None:
    etcd, snapshot = EtcdCluster(tmp_path), tmp_path / "snapshot"
    async with contended(etcd) as world:
        publisher, term = world.publisher, term_of(world)
        gone, moved, later = StreamKey.of("was", "gone"), StreamKey.of("was", "moved"), StreamKey.of("came", "later")
        await publisher.publish([gone, moved])
        await asyncio.to_thread(etcd.save, snapshot)
        await publisher.publish([later])
        await publisher.give_back(gone)
        successor = await world.another_publisher("e3")
        await publisher.give_back(moved)
        await successor.publish([moved])
        before, newer = dict(publisher.grants), successor.grants[moved]
        await asyncio.to_thread(etcd.kill)
        await asyncio.to_thread(etcd.restore, snapshot)
        await asyncio.to_thread(etcd.start)
        await eventually(lambda: not world.stand())
        await world.comes_back(before)
        assert term_of(world) > term
        kept = successor.grants[moved]
        assert (kept.epoch, kept.publication, kept.origin) == (newer.epoch, newer.publication, newer.origin)
        for app in world.cluster.replicas:
            claim = app.service.directory.claim(moved)
            assert claim is not None
            assert claim.epoch == newer.epoch
        again = await world.cluster.member("e4", Role.EDGE)
        assert (await again.granted_in_time(gone)).epoch > max(newer.epoch, *(grant.epoch for grant in before.values()))
