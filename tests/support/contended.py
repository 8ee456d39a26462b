"""A cluster of which every stream is wanted by two: an edge publishes them all, another knocks all the time.

Both edges, and the origins, are nothing but members (`support.members`); schedulers and etcd are real.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, Grant, new_publication
from lalmesh.runtime.scheduling import Claim, Held, HeldStream, ReclaimWanted, Refusal, Refused, Released, Role
from services.scheduler import SchedulerApp
from support.etcd import EtcdServer
from support.etcd_cluster import EtcdCluster
from support.members import LIMIT_S, LOOK_S, Member, eventually
from support.schedulers import LEASE_S, Cluster, etcd_registries

STREAMS = [StreamKey.of("live", f"cam{number}") for number in range(50)]
BACK_S = 5.0  #: after settling the registry has to say what is true within this
KNOCKS_ON_S = 1.0  #: that the rival goes on when all is well again

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

    async def give_back(self, stream: StreamKey) -> None:
        """End a publication in order."""
        grant = self.grants.pop(stream)
        released = Released(stream=stream, epoch=grant.epoch, publication=grant.publication)
        assert await self.edge.client.release(self.edge.address, claims=[released], deadline_s=LIMIT_S) == [True]
        self._hold()

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
        self._hold()

    def _hold(self) -> None:
        self.edge.held[:] = [
            HeldStream(stream=each.stream, epoch=each.epoch, place=each.place, publication=each.publication, published=True)
            for each in self.grants.values()
        ]


class Rival:
    """An edge that asks for the same streams all the time."""

    def __init__(self, edge: Member, streams: Sequence[StreamKey]) -> None:
        self.edge = edge
        self.streams = streams
        self.won: list[Grant] = []
        self.refusals: set[Refusal] = set()

    async def run(self) -> None:
        """Knock."""
        while True:
            claims = [Claim(stream=stream, publication=new_publication()) for stream in self.streams]
            for result in await self.edge.client.claim(self.edge.address, claims, LIMIT_S):
                if isinstance(result, Refused):
                    self.refusals.add(result.refusal)
                else:
                    self.won.append(result)
            await asyncio.sleep(LOOK_S)


@dataclass
class Contended:
    """The whole."""

    cluster: Cluster
    publisher: Publisher
    rival: Rival
    tasks: asyncio.TaskGroup
    _begun: list[asyncio.Task[None]] = field(default_factory=list)

    async def another_publisher(self, name: str) -> Publisher:
        """Who publishes nothing yet."""
        made = Publisher(await self.cluster.member(name, Role.EDGE))
        self.begin(made)
        return made

    def begin(self, who: Publisher | Rival) -> None:
        """Have one of them do what it does."""
        self._begun.append(self.tasks.create_task(who.run()))

    def end(self) -> None:
        """Have all of them stop."""
        for task in self._begun:
            task.cancel()

    def stand(self) -> bool:
        """Whether every replica that runs is up, and says that the cluster has settled."""
        return all(app.service.directory.cluster.standing and not self._settles(app) for app in self._running())

    def settle(self) -> bool:
        """Whether every replica that runs knows that the cluster settles."""
        return all(self._settles(app) for app in self._running())

    def is_true(self) -> bool:
        """Whether the registry, as every replica knows it, says what the publisher has."""
        return all(self._is_true(app) for app in self._running())

    async def comes_back(self, before: dict[StreamKey, Grant]) -> None:
        """The cluster settles, the truth is there within `BACK_S` after that, the rival has won nothing, and all is as it was."""
        begun = time.monotonic()
        await eventually(self.stand)
        settled = time.monotonic()
        await eventually(self.is_true)
        true_s = time.monotonic() - settled
        log.warning("settled after %.1f s, true %.1f s later, %d claimed again", settled - begun, true_s, self.publisher.reclaims)
        assert true_s < BACK_S
        await self.is_undisturbed(before)

    async def is_undisturbed(self, before: dict[StreamKey, Grant]) -> None:
        """The rival goes on knocking and wins nothing; publication and origin of every stream are what they were.

        The epoch may be a higher one where every lease has run out; never a lower one.
        """
        await asyncio.sleep(KNOCKS_ON_S)
        assert self.is_true()
        assert self.rival.won == []
        assert _kept(self.publisher.grants) == _kept(before)
        assert all(grant.epoch >= before[stream].epoch for stream, grant in self.publisher.grants.items())

    async def next_epoch(self, name: str) -> Epoch:
        """The epoch of a stream that nobody has published before, from an edge called `name`, which is new too."""
        edge = await self.cluster.member(name, Role.EDGE)
        return (await edge.granted_in_time(StreamKey.of("new", name))).epoch

    def _running(self) -> list[SchedulerApp]:
        return [app for app in self.cluster.replicas if app.service.is_running]

    def _settles(self, app: SchedulerApp) -> bool:
        return app.service.directory.cluster.settling is not None

    def _is_true(self, app: SchedulerApp) -> bool:
        for stream, grant in self.publisher.grants.items():
            claim, group = app.service.directory.claim(stream), app.service.directory.group(stream)
            if claim is None or group is None or (claim.publication, claim.epoch) != (grant.publication, grant.epoch):
                return False
            if group.origin != grant.origin:
                return False
        return True


def _kept(grants: dict[StreamKey, Grant]) -> dict[StreamKey, tuple[object, ...]]:
    return {stream: (grant.publication, grant.origin) for stream, grant in grants.items()}


@asynccontextmanager
async def contended(server: EtcdServer | EtcdCluster, *, lease_s: int = LEASE_S) -> AsyncIterator[Contended]:
    """Two replicas over a store that is started here, two origins, a publisher of all `STREAMS` and its rival."""
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.kill)
        cluster = Cluster(etcd_registries(server, stack), stack, lease_s=lease_s)
        for name in ("s1", "s2"):
            await cluster.replica(name=name)
        await eventually(
            lambda: all(
                app.service.directory.cluster.standing and app.service.directory.cluster.settling is None
                for app in cluster.replicas
            )
        )
        for name in ("o1", "o2"):
            await cluster.member(name, Role.ORIGIN)
        rival = Rival(await cluster.member("e2", Role.EDGE), STREAMS)
        publisher = Publisher(await cluster.member("e1", Role.EDGE))
        await publisher.publish(STREAMS)
        async with asyncio.TaskGroup() as tasks:
            world = Contended(cluster, publisher, rival, tasks)
            for each in (publisher, rival):
                world.begin(each)
            yield world
            world.end()
