"""Who a node is and where it is: two starts under one name, and a cluster on IPv6."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support import wire
from support.cluster import Cluster, Node
from support.process import wait_until

from lalmesh.client import probe

LIMIT_S = 30.0
IPV6 = "::1"


@pytest.mark.parametrize("role", ["edge", "origin"])
def test_a_second_start_under_the_same_name_ends_the_first(start_cluster: Callable[..., Cluster], role: str) -> None:
    cluster = start_cluster(schedulers=1, origins=1, edges=1)
    first = cluster.edges[0] if role == "edge" else cluster.origins[0]
    second = cluster.add(role, {"cluster.node": f"{role}-1"}).wait_ready()
    assert first.wait(LIMIT_S) == 1
    assert "evicted from the cluster" in first.output()
    assert second.is_ready()


async def test_a_cluster_on_ipv6(start_cluster: Callable[..., Cluster], media: Callable[[str], Path]) -> None:
    on_ipv6 = {
        "edge": {"edge.rtmp.host": IPV6, "edge.http.host": IPV6, "edge.advertise.host": IPV6},
        "origin": {"origin.grpc.host": IPV6, "origin.advertise_host": IPV6},
    }
    cluster = start_cluster(schedulers=1, origins=1, edges=2, settings=on_ipv6)
    ingest, egress = cluster.edges
    tags = wire.tags_of_file(media("h264_aac"))

    def at(node: Node, scheme: str, suffix: str = "") -> str:
        return f"{scheme}://[{IPV6}]:{node.ports[scheme]}/live/cam{suffix}"

    async with wire.rtmp(at(ingest, "rtmp"), "publish") as publisher:
        await publisher.started()
        await publisher.publish(tags[:200])
        for url in (at(egress, "rtmp"), at(egress, "http", ".flv")):
            report = await probe(url, duration_s=1)
            assert [track.codec for track in report.tracks] == ["h264", "aac"]
    await asyncio.to_thread(wait_until, "the log", lambda: f"[{IPV6}]" in egress.output(), LIMIT_S)
