"""Which streams have a name, over gRPC, at every replica."""

from __future__ import annotations

import pytest
from support.members import LIMIT_S, eventually
from support.schedulers import CHANNELS, Cluster

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling import GrpcSchedulerClient, NamedStreams, Role

LIVE, TV, OTHER = (StreamKey.of(app, name) for app, name in (("live", "cam"), ("tv/hd", "cam"), ("live", "other")))


async def test_every_replica_knows_the_streams_of_a_name(cluster: Cluster) -> None:
    second = await cluster.replica()
    await cluster.member("o1", Role.ORIGIN)
    edge = await cluster.member("e1", Role.EDGE)
    for stream in (LIVE, TV, OTHER):
        await edge.granted(stream)
    await eventually(lambda: all(len(replica.service.directory.streams()) == 3 for replica in cluster.replicas))
    for replica in cluster.replicas:
        found = await cluster.client(replica).find_streams(["cam", "nobody", "other"], LIMIT_S)
        assert found == [NamedStreams((LIVE, TV)), NamedStreams(), NamedStreams((OTHER,))]
    assert await second.service.find_streams(["other"], LIMIT_S) == [NamedStreams((OTHER,))]


async def test_without_a_scheduler_it_cannot_be_told() -> None:
    client = GrpcSchedulerClient(["127.0.0.1:1"], dial=CHANNELS.dial)
    with pytest.raises(Unavailable):
        await client.find_streams(["cam"], 0.5)
    await client.close()
