"""What nodes feel when replicas, or etcd, are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.etcd import CAN_RUN_ETCD, EtcdServer, make_certificates
from support.members import LIMIT_S, Member, eventually

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.ownership import Grant, new_publication
from lalmesh.runtime.scheduling import Claim, GrpcSchedulerClient, Refusal, Refused, Released, Role, Wanted
from lalmesh.runtime.scheduling.control import Blacklist, LiveSettings, RelayJobs
from services.scheduler import SchedulerApp
from services.scheduler.registry import EtcdRegistry, EtcdSettings, MemoryRegistry

CAM = StreamKey.of("live", "cam")
NOBODY = "127.0.0.1:1"  #: a port that nobody listens on
KEY = b"a cluster key"
CHANNELS = Channels((KEY,))


@pytest.fixture
async def app() -> AsyncIterator[SchedulerApp]:
    made = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [KEY], channels=CHANNELS)
    await made.start()
    await made.service.ready()
    yield made
    await made.stop()


async def test_a_replica_that_is_down_is_passed_over(app: SchedulerApp) -> None:
    client = GrpcSchedulerClient([NOBODY, f"127.0.0.1:{app.grpc_port}", NOBODY], dial=CHANNELS.dial)
    async with Member("o1", Role.ORIGIN, client), Member("e1", Role.EDGE, client) as edge:
        for number in range(3):
            await edge.granted(StreamKey.of("live", f"cam{number}"))
    await client.close()


async def test_without_any_replica_items_are_refused_with_a_hint_and_a_release_raises() -> None:
    client = GrpcSchedulerClient([NOBODY, "127.0.0.1:2"], dial=CHANNELS.dial)
    edge = Member("e1", Role.EDGE, client)
    refused = await edge.claim(CAM)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.UNAVAILABLE
    assert refused.retry_after_s > 0
    (refused_too,) = await client.locate([Wanted(CAM)], 1.0)
    assert isinstance(refused_too, Refused)
    with pytest.raises(Unavailable):
        await client.release(edge.address, claims=[Released(stream=CAM)], deadline_s=1.0)
    await client.close()


async def test_what_is_wrong_is_refused_alone(app: SchedulerApp) -> None:
    client = GrpcSchedulerClient([f"127.0.0.1:{app.grpc_port}"], dial=CHANNELS.dial)
    async with Member("o1", Role.ORIGIN, client), Member("e1", Role.EDGE, client) as edge:
        bad, good = StreamKey("live", ".."), CAM
        claims = [Claim(stream=stream, publication=new_publication()) for stream in (bad, good, bad)]
        results = await client.claim(edge.address, claims, LIMIT_S)
        assert [result.refusal if isinstance(result, Refused) else None for result in results] == [
            Refusal.INVALID,
            None,
            Refusal.INVALID,
        ]
    await client.close()


async def test_a_node_whose_name_is_no_name_is_told_so(app: SchedulerApp) -> None:
    client = GrpcSchedulerClient([f"127.0.0.1:{app.grpc_port}"], dial=CHANNELS.dial)
    node = Member("e\n1", Role.EDGE, client)
    async with asyncio.timeout(LIMIT_S):
        await node.membership.run()
    assert node.membership.evicted is not None
    assert "control character" in node.membership.evicted
    await client.close()


async def test_nodes_come_back_when_the_only_replica_does(app: SchedulerApp) -> None:
    port = app.grpc_port
    assert port is not None
    client = GrpcSchedulerClient([f"127.0.0.1:{port}"], dial=CHANNELS.dial)
    async with Member("o1", Role.ORIGIN, client) as node:
        await app.stop()
        await eventually(lambda: not node.membership.joined.is_set())
        store = MemoryRegistry(asyncio.get_running_loop().time)
        again = SchedulerApp(store, [KEY], channels=CHANNELS, grpc_port=port)
        await again.start()
        await eventually(node.membership.joined.is_set)
        await again.stop()
    await client.close()


async def test_membership_and_claims_work_over_mutual_tls(tmp_path: Path) -> None:
    files = await asyncio.to_thread(make_certificates, tmp_path)

    def channels(name: str) -> Channels:
        return Channels((KEY,), ca_file=files.ca_file, cert_file=files.cert_file(name), key_file=files.key_file(name))

    app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [KEY], channels=channels("server"))
    await app.start()
    client = GrpcSchedulerClient([f"127.0.0.1:{app.grpc_port}"], dial=channels("client").dial)
    async with Member("o1", Role.ORIGIN, client), Member("e1", Role.EDGE, client) as edge:
        await edge.granted(CAM)
    await client.close()
    await app.stop()


async def test_who_does_not_know_the_cluster_key_gets_nothing(app: SchedulerApp) -> None:
    client = GrpcSchedulerClient([f"127.0.0.1:{app.grpc_port}"], dial=Channels((b"another key",)).dial)
    stranger = Member("e1", Role.EDGE, client)
    refused = await stranger.claim(CAM)
    assert isinstance(refused, Refused)
    assert "UNAUTHENTICATED" in refused.detail
    await client.close()


@pytest.mark.skipif(not CAN_RUN_ETCD, reason="no etcd server here")
async def test_an_etcd_that_is_away_costs_nobody_anything_and_the_claim_is_the_same_after(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path)
    await asyncio.to_thread(server.start)
    registry = EtcdRegistry(EtcdSettings(endpoints=(server.endpoint,), timeout_s=0.5))
    app = SchedulerApp(registry, [KEY], lease_s=5, channels=CHANNELS)
    await app.start()
    await app.service.ready()
    client = GrpcSchedulerClient([f"127.0.0.1:{app.grpc_port}"], dial=CHANNELS.dial)
    try:
        async with Member("o1", Role.ORIGIN, client) as origin, Member("e1", Role.EDGE, client) as edge:
            grant = await edge.granted(CAM)
            at_join = [await edge.told(kind) for kind in (LiveSettings, Blacklist, RelayJobs)]
            await asyncio.to_thread(server.kill)
            refused = await edge.claim(StreamKey.of("live", "other"))
            assert isinstance(refused, Refused)
            assert refused.refusal is Refusal.UNAVAILABLE
            located = await client.locate([Wanted(CAM)], 1.0)
            assert not isinstance(located[0], Refused)
            await asyncio.sleep(3.0)  # both are sent on after half a lease, and come back to the only replica
            await eventually(origin.membership.joined.is_set)
            await eventually(edge.membership.joined.is_set)
            assert all(command in at_join for command in edge.commands)  # nothing of its streams
            await asyncio.to_thread(server.start)
            result: Grant | Refused = refused
            for _ in range(round(LIMIT_S / 0.1)):
                result = await edge.claim(CAM, grant.publication)
                if isinstance(result, Grant):
                    break
                await asyncio.sleep(0.1)
            assert result == grant
    finally:
        await client.close()
        await app.stop()
        await registry.close()
        await asyncio.to_thread(server.stop)
