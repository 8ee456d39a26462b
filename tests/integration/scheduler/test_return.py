"""What was published before the schedulers, or etcd, went away goes on after they are back; nobody takes it over meanwhile."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from support.etcd import EtcdServer
from support.members import LIMIT_S, LOOK_S, Member, eventually
from support.schedulers import LEASE_S, Cluster, etcd_registries

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, Grant, new_publication
from lalmesh.runtime.scheduling import Claim, Held, HeldStream, ReclaimWanted, Refusal, Refused, Role
from services.scheduler import SchedulerApp

STREAMS = [StreamKey.of("live", f"cam{number}") for number in range(50)]
BACK_S = 5.0  #: after settling the registry has to say what is true within this

log = logging.getLogger(__name__)


class Publisher:
    """An edge that publishes streams, says so in its reports, and claims them again when it is asked to."""

    def __init__(self, edge: Member) -> None:
        self.edge = edge
        self.grants: dict[StreamKey, Grant] = {}
        self.reclaims = 0

    async def publish(self, streams: Sequence[StreamKey]) -> None:
        claims = [Claim(stream=stream, publication=new_publication()) for stream in streams]
        await self._claim(claims)
        assert self.grants.keys() >= set(streams)

    async def run(self) -> None:
        """Answer what it is asked for."""
        while True:
            wanted = [command for command in self.edge.commands if isinstance(command, ReclaimWanted)]
            self.edge.commands[:] = [command for command in self.edge.commands if command not in wanted]
            streams = {stream for command in wanted for stream in command.streams}
            await self._claim([self._again(self.grants[stream]) for stream in sorted(streams)])
            self.reclaims += len(streams)
            await asyncio.sleep(LOOK_S)

    def _again(self, grant: Grant) -> Claim:
        held = Held(epoch=grant.epoch, place=grant.place, origin=grant.origin, heir=grant.heir)
        return Claim(stream=grant.stream, publication=grant.publication, held=held)

    async def _claim(self, claims: Sequence[Claim]) -> None:
        for result in await self.edge.client.claim(self.edge.address, claims, LIMIT_S) if claims else ():
            if isinstance(result, Grant):
                self.grants[result.stream] = result
        self.edge.held[:] = [
            HeldStream(stream=each.stream, epoch=each.epoch, place=each.place, publication=each.publication, published=True)
            for each in self.grants.values()
        ]


class Rival:
    """An edge that asks for the same streams all the time."""

    def __init__(self, edge: Member) -> None:
        self.edge = edge
        self.won: list[Grant] = []
        self.refusals: set[Refusal] = set()

    async def run(self) -> None:
        """Knock."""
        while True:
            claims = [Claim(stream=stream, publication=new_publication()) for stream in STREAMS]
            for result in await self.edge.client.claim(self.edge.address, claims, LIMIT_S):
                if isinstance(result, Refused):
                    self.refusals.add(result.refusal)
                else:
                    self.won.append(result)
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[EtcdServer, Cluster, Publisher, Rival]]:
    """Two replicas, two origins, a publisher of all streams and its rival."""
    async with AsyncExitStack() as stack:
        server = EtcdServer(folder)
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        cluster = Cluster(etcd_registries(server, stack), stack)
        for name in ("s1", "s2"):
            await cluster.replica(name=name)
        await eventually(lambda: all(_stands(app) for app in cluster.replicas))
        for name in ("o1", "o2"):
            await cluster.member(name, Role.ORIGIN)
        publisher = Publisher(await cluster.member("e1", Role.EDGE))
        rival = Rival(await cluster.member("e2", Role.EDGE))
        await publisher.publish(STREAMS)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in (publisher, rival)]
            yield server, cluster, publisher, rival
            for task in running:
                task.cancel()


def _stands(app: SchedulerApp) -> bool:
    return bool(app.service.directory.cluster.standing) and app.service.directory.cluster.settling is None


def _is_true(app: SchedulerApp, publisher: Publisher) -> bool:
    """Whether the registry, as a replica knows it, says what the publisher has."""
    for stream, grant in publisher.grants.items():
        claim, group = app.service.directory.claim(stream), app.service.directory.group(stream)
        if claim is None or group is None or (claim.publication, claim.epoch) != (grant.publication, grant.epoch):
            return False
    return True


async def _comes_back(cluster: Cluster, publisher: Publisher, rival: Rival, before: dict[StreamKey, Grant]) -> None:
    """The cluster settles, the truth is there within `BACK_S` of that, and the rival has won nothing."""
    running = [app for app in cluster.replicas if app.service.is_running]
    begun = time.monotonic()
    await eventually(lambda: all(_is_true(app, publisher) for app in running))
    true_s = time.monotonic() - begun
    await eventually(lambda: all(_stands(app) for app in running))
    settled_s = time.monotonic() - begun
    log.warning("true after %.1f s, settled after %.1f s, %d claimed again", true_s, settled_s, publisher.reclaims)
    assert true_s < settled_s + BACK_S
    await asyncio.sleep(1.0)  # the rival goes on knocking
    assert all(_is_true(app, publisher) for app in running)
    assert rival.won == []
    kept = {stream: (grant.epoch, grant.publication, grant.origin) for stream, grant in publisher.grants.items()}
    assert kept == {stream: (grant.epoch, grant.publication, grant.origin) for stream, grant in before.items()}


async def _next_epoch(cluster: Cluster) -> Epoch:
    """The epoch of a stream that nobody has published before."""
    edge = await cluster.member("e3", Role.EDGE)
    return (await edge.granted_in_time(StreamKey.of("after", "all"))).epoch


async def test_schedulers_that_were_all_away_for_longer_than_every_lease(tmp_path: Path) -> None:
    async with world(tmp_path) as (_, cluster, publisher, rival):
        before = dict(publisher.grants)
        ports = [app.grpc_port for app in cluster.replicas]
        for app in cluster.replicas:
            await app.stop()
        await asyncio.sleep(LEASE_S * 2 + 1)
        cluster.replicas.clear()
        for name, port in zip(("s1", "s2"), ports, strict=True):
            await cluster.replica(name=name, grpc_port=port or 0)
        await _comes_back(cluster, publisher, rival, before)


async def test_etcd_that_was_wiped(tmp_path: Path) -> None:
    async with world(tmp_path) as (server, cluster, publisher, rival):
        before = dict(publisher.grants)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.wipe)
        await asyncio.to_thread(server.start)
        await eventually(lambda: not any(_stands(app) for app in cluster.replicas))
        await _comes_back(cluster, publisher, rival, before)
        assert await _next_epoch(cluster) > max(grant.epoch for grant in before.values())


async def test_etcd_that_was_restored_from_before_the_streams_were_published(tmp_path: Path) -> None:
    async with world(tmp_path) as (server, cluster, publisher, rival):
        backup = tmp_path / "backup"
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(shutil.copytree, tmp_path / "data", backup)
        await asyncio.to_thread(server.start)
        later = [StreamKey.of("later", f"cam{number}") for number in range(50)]
        await eventually(lambda: all(_stands(app) for app in cluster.replicas))
        await publisher.publish(later)
        before = dict(publisher.grants)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(shutil.rmtree, tmp_path / "data")
        await asyncio.to_thread(backup.rename, tmp_path / "data")
        await asyncio.to_thread(server.start)
        await eventually(lambda: not all(_stands(app) for app in cluster.replicas))
        await _comes_back(cluster, publisher, rival, before)
        assert await _next_epoch(cluster) > max(grant.epoch for grant in before.values())
