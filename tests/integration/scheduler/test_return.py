"""What was published before the schedulers went away goes on after they are back; nobody takes it over meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.contended import contended
from support.etcd import EtcdServer
from support.schedulers import LEASE_S


async def test_schedulers_that_were_all_away_for_longer_than_every_lease(tmp_path: Path) -> None:
    async with contended(EtcdServer(tmp_path)) as world:
        before, cluster = dict(world.publisher.grants), world.cluster
        ports = [app.grpc_port for app in cluster.replicas]
        for app in cluster.replicas:
            await app.stop()
        await asyncio.sleep(LEASE_S * 2 + 1)
        cluster.replicas.clear()
        for name, port in zip(("s1", "s2"), ports, strict=True):
            await cluster.replica(name=name, grpc_port=port or 0)
        await world.comes_back(before)
