"""Scheduler replicas over one store, in memory or in a real etcd, with clients and members of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from lalmesh.runtime.channels import Channels
from lalmesh.runtime.registry import Registry
from lalmesh.runtime.scheduling import GrpcSchedulerClient, NodeReport, Role
from services.scheduler import SchedulerApp
from services.scheduler.registry import EtcdRegistry, EtcdSettings
from support.etcd import EtcdServer
from support.etcd_cluster import EtcdCluster
from support.members import LIMIT_S, Member, eventually

KEY = b"a cluster key"
CHANNELS = Channels((KEY,))
LEASE_S = 2
LASTING_S = 20  #: a lease that no pause of a busy machine outlasts
REJOIN_S = 0.3
_prefixes = (f"/cluster-{number}/" for number in itertools.count())


@dataclass
class DrainingMember(Member):
    """A member that can be told to drain."""

    draining: bool = False

    def report(self) -> NodeReport:
        return replace(super().report(), draining=self.draining)


class Cluster:
    """Replicas over one store, and clients of them."""

    def __init__(self, registries: Iterator[Registry], stack: AsyncExitStack, *, lease_s: int = LEASE_S) -> None:
        self._registries = registries
        self._lease_s = lease_s
        self._stack = stack
        self.replicas: list[SchedulerApp] = []

    async def replica(self, *, name: str = "", grpc_port: int = 0, hls_always: bool = False) -> SchedulerApp:
        """One more; with a name it is one of several, and settles where it is the first."""
        app = SchedulerApp(
            next(self._registries),
            [KEY],
            name=name,
            lease_s=self._lease_s,
            rejoin_s=REJOIN_S,
            silence_s=2.0,
            hls_always=hls_always,
            channels=CHANNELS,
            grpc_port=grpc_port,
            http_port=0,
        )
        await app.start()
        self._stack.push_async_callback(app.stop)
        async with asyncio.timeout(LIMIT_S):
            await app.service.ready()
        self.replicas.append(app)
        return app

    def client(self, *replicas: SchedulerApp) -> GrpcSchedulerClient:
        """A client of some replicas, of all by default."""
        made = GrpcSchedulerClient([f"127.0.0.1:{app.grpc_port}" for app in replicas or self.replicas], dial=CHANNELS.dial)
        self._stack.push_async_callback(made.close)
        return made

    async def member(
        self, name: str, role: Role, client: GrpcSchedulerClient | None = None, **more: str | bytes | int
    ) -> DrainingMember:
        """A node that has joined, and that every replica knows; it vanishes at the end."""
        node = DrainingMember(name, role, client or self.client(), **more)  # type: ignore[arg-type]
        await self._stack.enter_async_context(node)
        running = [app for app in self.replicas if app.service.is_running]
        await eventually(lambda: all(app.service.directory.is_joined(node.address.node) for app in running))
        return node


def etcd_registries(server: EtcdServer | EtcdCluster, stack: AsyncExitStack, timeout_s: float = 2.0) -> Iterator[Registry]:
    """Registries of one cluster that has the server to itself, as many as are asked for."""
    settings = EtcdSettings(endpoints=server.endpoints, prefix=next(_prefixes), timeout_s=timeout_s)
    while True:
        registry = EtcdRegistry(settings)
        stack.push_async_callback(registry.close)
        yield registry
