"""Who segments what, over gRPC: replicas that race, owners that die or hand over, and an etcd that restarts or is wiped."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from support.etcd import CAN_RUN_ETCD, EtcdServer
from support.members import LIMIT_S, Member, eventually
from support.schedulers import CHANNELS, KEY, REJOIN_S, Cluster, etcd_registries

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, Epoch, Grant, HlsOwner, new_publication
from lalmesh.runtime.scheduling import (
    GrpcSchedulerClient,
    HeldStream,
    HlsAssigned,
    HlsLimit,
    HlsReleased,
    HlsWanted,
    Refusal,
    Refused,
    Released,
    Role,
)
from lalmesh.runtime.sessions import SessionTouch

CAM = StreamKey.of("live", "cam")
SWEPT_S = 1.0  #: until a node that is away is noticed to have been so for `REJOIN_S`


async def published(cluster: Cluster, *streams: StreamKey) -> Member:
    """An edge that publishes `streams`, at an origin of its own."""
    await cluster.member("o1", Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE)
    for stream in streams or (CAM,):
        await edge.granted(stream)
        edge.held.append(HeldStream(stream=stream, published=True))  # what it does not report for some seconds would be given back
    return edge


def client_of(node: Member) -> GrpcSchedulerClient:
    assert isinstance(node.client, GrpcSchedulerClient)
    return node.client


async def locate(node: Member, *streams: StreamKey, after: Epoch | None = None) -> list[HlsOwner]:
    """The owners, which must be there."""
    wanted = [HlsWanted(stream, after) for stream in streams or (CAM,)]
    owners: list[HlsOwner] = []
    for result in await client_of(node).locate_hls(node.address, wanted, LIMIT_S):
        assert isinstance(result, HlsOwner), result
        result.verify((KEY,))
        owners.append(result)
    return owners


async def raise_limit(node: Member, owner: HlsOwner, limit: int) -> bool:
    (raised,) = await client_of(node).raise_hls_limit(node.address, [HlsLimit(owner.stream, owner.epoch, limit)], LIMIT_S)
    return raised


def assigned(node: Member) -> list[HlsOwner]:
    return [command.owner for command in node.commands if isinstance(command, HlsAssigned)]


def holds_assigned(node: Member) -> list[HeldStream]:
    """It holds what it was assigned."""
    node.held = [HeldStream(stream=owner.stream, epoch=owner.epoch) for owner in assigned(node)]
    return node.held


async def test_replicas_that_race_name_one_owner(cluster: Cluster) -> None:
    second = await cluster.replica()
    streams = [StreamKey.of("live", f"cam{number}") for number in range(40)]
    await published(cluster, *streams)
    nodes = [
        await cluster.member(f"h{number}", Role.HLS, cluster.client(app))
        for number, app in enumerate((cluster.replicas[0], second))
    ]
    await eventually(lambda: len(second.service.directory.streams()) == len(streams))
    first, other = await asyncio.gather(*(locate(node, *streams) for node in nodes))
    assert first == other
    loads = Counter(owner.worker.node.name for owner in first)
    assert len(loads) == 2
    assert max(loads.values()) < 30
    for node in nodes:
        await eventually(lambda node=node: len(assigned(node)) == loads[node.name])  # type: ignore[misc]
        assert all(owner.worker == node.address for owner in assigned(node))


async def test_a_killed_owner_has_one_successor_soon_and_the_number_limit_holds(cluster: Cluster) -> None:
    second = await cluster.replica()
    await published(cluster)
    nodes = {
        name: await cluster.member(name, Role.HLS, cluster.client(app))
        for name, app in (("h1", cluster.replicas[0]), ("h2", second))
    }
    (before,) = await locate(nodes["h1"])
    dead = nodes.pop(before.worker.node.name)
    (other,) = nodes.values()
    assert await raise_limit(dead, before, 20)
    begun = time.monotonic()
    await dead.vanish()
    await eventually(lambda: bool(assigned(other)))
    assert time.monotonic() - begun >= REJOIN_S
    assert all(app.service.directory.is_away(dead.address.node) for app in cluster.replicas)  # so its lease has not run out
    (after,) = assigned(other)
    assert (after.worker, after.limit, after.exact) == (other.address, 20, False)
    assert after.epoch > before.epoch
    assert await locate(other, after=before.epoch) == [after]
    assert not await raise_limit(dead, before, 40)
    back = await cluster.member(dead.name, Role.HLS, incarnation=dead.incarnation)
    back.held.append(HeldStream(stream=CAM, epoch=before.epoch))
    assert await raise_limit(other, after, 40)  # it goes on; nobody is told
    assert assigned(other) == [after]


async def test_a_former_owner_that_comes_back_hears_that_it_lost(cluster: Cluster) -> None:
    second = await cluster.replica()
    await published(cluster)
    first = await cluster.member("h1", Role.HLS, cluster.client(cluster.replicas[0]))
    (before,) = await locate(first)
    await first.vanish()
    other = await cluster.member("h2", Role.HLS, cluster.client(second))
    await eventually(lambda: bool(assigned(other)))
    back = Member("h1", Role.HLS, cluster.client(second), incarnation=first.incarnation)
    back.held.append(HeldStream(stream=CAM, epoch=before.epoch))
    async with back:
        await eventually(lambda: bool(assigned(back)))
        assert [(owner.worker, owner.epoch) for owner in assigned(back)] == [(other.address, assigned(other)[0].epoch)]


async def test_a_new_incarnation_of_the_owner_gets_a_new_epoch(cluster: Cluster) -> None:
    await published(cluster)
    first = await cluster.member("h1", Role.HLS)
    (before,) = await locate(first)
    await first.vanish()
    again = await cluster.member("h1", Role.HLS)
    await eventually(lambda: bool(assigned(again)))
    (after,) = assigned(again)
    assert after.worker == again.address
    assert after.epoch > before.epoch


async def test_raising_the_limit_keeps_the_epoch_at_every_replica(cluster: Cluster) -> None:
    second = await cluster.replica()
    await published(cluster)
    node = await cluster.member("h1", Role.HLS, cluster.client(cluster.replicas[0]))
    (owner,) = await locate(node)
    for limit in (20, 40, 30):
        assert await raise_limit(node, owner, limit)
    node.client = cluster.client(second)
    (seen,) = await locate(node, after=owner.epoch)
    assert (seen.epoch, seen.limit) == (owner.epoch, 40)
    assert await raise_limit(node, owner, 60)
    assert len(assigned(node)) == 1


async def test_an_owner_that_drains_hands_the_exact_number_over(cluster: Cluster) -> None:
    second = await cluster.replica()
    await published(cluster)
    first = await cluster.member("h1", Role.HLS, cluster.client(cluster.replicas[0]))
    (owner,) = await locate(first)
    await raise_limit(first, owner, 40)
    other = await cluster.member("h2", Role.HLS, cluster.client(second))
    first.draining = True
    await eventually(lambda: all(app.service.directory.nodes()[1].draining for app in cluster.replicas))
    released = [HlsReleased(CAM, owner.epoch, 27), HlsReleased(StreamKey.of("live", "none"), owner.epoch, 1)]
    assert await client_of(first).release_hls(first.address, released, LIMIT_S) == [True, False]
    assert not await raise_limit(first, owner, 60)
    (next_owner,) = await locate(other, after=owner.epoch)
    assert (next_owner.worker, next_owner.limit, next_owner.exact) == (other.address, 27, True)


async def test_a_stream_that_nobody_publishes_is_not_found_and_what_is_no_name_is_refused_alone(cluster: Cluster) -> None:
    node = await cluster.member("h1", Role.HLS)
    wanted = [HlsWanted(CAM), HlsWanted(StreamKey("live", "..")), HlsWanted(CAM, NO_EPOCH)]
    results = await client_of(node).locate_hls(node.address, wanted, LIMIT_S)
    refusals = [result.refusal for result in results if isinstance(result, Refused)]
    assert refusals == [Refusal.NOT_FOUND, Refusal.INVALID, Refusal.NOT_FOUND]
    with pytest.raises(Unavailable):
        await client_of(node).raise_hls_limit(node.address, [HlsLimit(StreamKey("live", ".."), NO_EPOCH, 1)], LIMIT_S)


async def test_a_dead_owner_of_a_stream_that_ended_is_put_to_rest_with_its_limit(cluster: Cluster) -> None:
    edge = await published(cluster)
    node = await cluster.member("h1", Role.HLS)
    (owner,) = await locate(node)
    await raise_limit(node, owner, 20)
    directory = cluster.replicas[0].service.directory
    claim, group = directory.claim(CAM), directory.group(CAM)
    assert claim is not None
    assert group is not None
    gone = Released(stream=CAM, epoch=claim.epoch, publication=claim.publication)
    await edge.client.release(edge.address, claims=[gone], deadline_s=LIMIT_S)
    await edge.client.release(group.origin, groups=[Released(stream=CAM, place=group.place)], deadline_s=LIMIT_S)
    await node.vanish()
    await eventually(lambda: (record := directory.hls.record(CAM)) is not None and record.owner is None)
    record = directory.hls.record(CAM)
    assert record is not None
    assert (record.limit, record.exact, bool(record.lease_id)) == (20, False, True)


async def test_always_has_a_worker_at_every_claimed_stream(cluster: Cluster) -> None:
    await cluster.replica(hls_always=True)
    edge = await published(cluster)
    node = await cluster.member("h1", Role.HLS)
    await eventually(lambda: len(assigned(node)) == 1)
    await edge.granted(StreamKey.of("live", "second"))
    await eventually(lambda: len(assigned(node)) == 2)


async def test_many_streams_of_a_killed_owner_are_taken_over_quickly(cluster: Cluster) -> None:
    await cluster.replica()
    streams, later = ([StreamKey.of("live", f"{name}{number}") for number in range(300)] for name in ("cam", "later"))
    begun = time.monotonic()
    edge = await published(cluster, *streams)
    before_s = time.monotonic() - begun
    first = await cluster.member("h1", Role.HLS)
    first.held += [HeldStream(stream=owner.stream, epoch=owner.epoch) for owner in await locate(first, *streams)]
    other = await cluster.member("h2", Role.HLS)
    begun = time.monotonic()
    await first.vanish()
    await eventually(lambda: len(holds_assigned(other)) == len(streams))
    taken_over_s, begun = time.monotonic() - begun, time.monotonic()
    for stream in later:
        await edge.granted(stream)
    one_by_one_s = max(before_s, time.monotonic() - begun)  # on the same machine, which others may keep busy now and then
    assert taken_over_s < REJOIN_S + SWEPT_S + 2 * one_by_one_s  # and not a sweep for each


async def test_players_and_owner_are_shown_with_the_stream(cluster: Cluster) -> None:
    edge = await published(cluster)
    edge.held = [replace(edge.held[0], left_out=("ts: pcma",))]
    node = await cluster.member("h1", Role.HLS)
    await locate(node)
    node.held.append(HeldStream(stream=CAM, left_out=("fmp4: pcma", "ts: pcma")))
    touches = [SessionTouch(id=str(number), stream=CAM, peer="10.0.0.9") for number in range(1200)]
    await client_of(node).touch_sessions(node.address, [*touches, SessionTouch(id="3", stream=CAM, over=True)], LIMIT_S)
    app = cluster.replicas[0]
    await eventually(lambda: len(app.service.members.holders(CAM)) == 2)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{app.http_port}/v1/streams") as answer:
        (shown,) = (await answer.json())["items"]
    assert (shown["hls"], shown["hls_players"]) == ("h1", 1199)
    assert shown["left_out"] == ["fmp4: pcma", "ts: pcma"]


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="no etcd server here")
async def test_a_restart_of_etcd_leaves_owner_epoch_and_limit(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EtcdServer(tmp_path))
        cluster = Cluster(etcd_registries(server, stack), stack)
        await cluster.replica()
        await published(cluster)
        node = await cluster.member("h1", Role.HLS)
        (owner,) = await locate(node)
        node.held.append(HeldStream(stream=CAM, epoch=owner.epoch))  # where its lease runs out meanwhile, it joins and says so
        assert await raise_limit(node, owner, 20)
        await asyncio.to_thread(server.kill)
        assert [each.limit for each in await locate(node)] == [20]  # known without etcd
        with pytest.raises(Unavailable):
            await raise_limit(node, owner, 40)
        await asyncio.to_thread(server.start)
        await _eventually_raised(node, owner, 40)
        (again,) = await locate(node, after=owner.epoch)
        assert (again.epoch, again.limit) == (owner.epoch, 40)
        assert assigned(node) == [owner]
        value = await asyncio.to_thread(server.control, "get", "--prefix", "/cluster-", "--keys-only")
        assert "/hls/live/cam" in value


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="no etcd server here")
async def test_after_a_wipe_of_etcd_the_owner_goes_on_and_a_new_one_is_above_it(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EtcdServer(tmp_path))
        cluster = Cluster(etcd_registries(server, stack), stack)
        app = await cluster.replica()
        edge = await published(cluster)
        node = await cluster.member("h1", Role.HLS)
        (owner,) = await locate(node)
        for limit in range(1, 21):
            assert await raise_limit(node, owner, limit)
        written = app.service.directory.hls.record(CAM)
        assert written is not None
        await eventually(lambda: app.service.directory.revision >= written.mod_revision)  # or the wipe would not show
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.wipe)
        await asyncio.to_thread(server.start)
        await eventually(lambda: app.service.directory.hls.record(CAM) is None)
        await eventually(lambda: app.service.directory.is_joined(node.address.node))
        await _eventually_raised(node, owner, 40)
        lines = (await asyncio.to_thread(server.control, "get", "--prefix", "/cluster-")).splitlines()
        record = json.loads(lines[next(n for n, line in enumerate(lines) if line.endswith("/hls/live/cam")) + 1])
        assert (record["epoch"], record["limit"]) == (owner.epoch._asdict(), 40)
        await eventually(lambda: app.service.directory.is_joined(edge.address.node))
        await edge.granted_in_time(CAM)  # once the cluster has settled
        await node.vanish()
        other = await cluster.member("h2", Role.HLS)
        await eventually(lambda: bool(assigned(other)))
        assert assigned(other)[0].epoch > owner.epoch
        assert assigned(other)[0].limit == 40


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="no etcd server here")
async def test_after_a_restore_of_etcd_the_owner_goes_on_and_the_next_is_above_it_though_revisions_are_not(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EtcdServer(tmp_path))
        cluster = Cluster(etcd_registries(server, stack), stack)
        app = await cluster.replica()
        edge = await published(cluster)
        node = await cluster.member("h1", Role.HLS)
        await asyncio.to_thread(server.stop)
        shutil.copytree(server.data, tmp_path / "backup")
        await asyncio.to_thread(server.start)
        for number in range(40):  # what the backup knows nothing of
            await _eventually_claimed(edge, StreamKey.of("later", str(number)))
        (owner,) = await locate(node)
        assert await raise_limit(node, owner, 20)
        written = app.service.directory.hls.record(CAM)
        assert written is not None
        await eventually(lambda: app.service.directory.revision >= written.mod_revision)  # or the restore would not show
        await asyncio.to_thread(server.kill)
        shutil.rmtree(server.data)
        shutil.move(tmp_path / "backup", server.data)
        await asyncio.to_thread(server.start)
        await eventually(lambda: app.service.directory.hls.record(CAM) is None)
        await _eventually_raised(node, owner, 40)
        await edge.granted_in_time(StreamKey.of("later", "still"))  # once the cluster has settled
        await node.vanish()
        other = await cluster.member("h2", Role.HLS)
        await eventually(lambda: bool(assigned(other)))
        after = assigned(other)[0]
        assert after.epoch.revision < owner.epoch.revision
        assert (after.epoch > owner.epoch, after.epoch.term > owner.epoch.term, after.limit) == (True, True, 40)


async def _eventually_claimed(edge: Member, stream: StreamKey) -> None:
    """Claim as soon as the registry answers again."""
    publication = new_publication()
    for _ in range(round(LIMIT_S / 0.1)):
        if isinstance(await edge.claim(stream, publication), Grant):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the registry did not come back")


async def _eventually_raised(node: Member, owner: HlsOwner, limit: int) -> None:
    """Raise a limit as soon as the registry answers again."""
    for _ in range(round(LIMIT_S / 0.1)):
        try:
            assert await raise_limit(node, owner, limit)
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("the registry did not come back")


async def test_without_a_scheduler_items_are_refused_and_writes_raise() -> None:
    client = GrpcSchedulerClient(["127.0.0.1:1"], dial=CHANNELS.dial)
    node = Member("h1", Role.HLS, client)
    (refused,) = await client.locate_hls(node.address, [HlsWanted(CAM)], 1.0)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.UNAVAILABLE
    for call in (
        client.raise_hls_limit(node.address, [HlsLimit(CAM, NO_EPOCH, 1)], 1.0),
        client.release_hls(node.address, [HlsReleased(CAM, NO_EPOCH, 1)], 1.0),
        client.touch_sessions(node.address, [SessionTouch(id="a", stream=CAM)], 1.0),
    ):
        with pytest.raises(Unavailable):
            await call
    await client.close()
