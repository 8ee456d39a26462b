"""What etcd holds of a stream and of nodes, under whose leases, and when it goes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.ffmpeg import Publisher
from support.process import wait_until

Start = Callable[..., Cluster]
Media = Callable[[str], Path]

PREFIX = "/lalmesh/"
LEASE_S = 2
LASTING_S = 20  #: where no lease is to be over
QUICK = {"cluster.silence_s": 1, "cluster.report_interval_ms": 200, "origin.grace_s": 1}
LIMIT_S = 30.0
CLAIM, GROUP = "claims/live/cam", "groups/live/cam"

lasting = pytest.mark.parametrize("cluster", [LASTING_S], indirect=True, ids=["lasting"])


@dataclass(frozen=True)
class Entry:
    """One key."""

    value: dict[str, object]
    lease_id: int


def entries(cluster: Cluster) -> dict[str, Entry]:
    """Nodes, claims and groups, without the prefix of the cluster."""
    listed = json.loads(cluster.etcd.control("get", "--prefix", PREFIX, "--write-out=json"))
    found: dict[str, Entry] = {}
    for item in listed.get("kvs", ()):
        key = base64.b64decode(item["key"]).decode().removeprefix(PREFIX)
        if not key.startswith("cluster/"):
            found[key] = Entry(json.loads(base64.b64decode(item["value"])), int(item.get("lease", 0)))
    return found


def keys_of_lease(cluster: Cluster, lease_id: int) -> set[str]:
    """What etcd says lives under a lease."""
    said = json.loads(cluster.etcd.control("lease", "timetolive", f"{lease_id:x}", "--keys", "--write-out=json"))
    assert said["granted-ttl"] == LASTING_S
    assert said["ttl"] >= 0, "the lease is over"
    return {base64.b64decode(key).decode().removeprefix(PREFIX) for key in said["keys"]}


def wait_for(cluster: Cluster, what: str, holds: Callable[[dict[str, Entry]], bool], limit_s: float = LIMIT_S) -> None:
    wait_until(what, lambda: holds(entries(cluster)), limit_s, every_s=0.1)


@pytest.fixture
def cluster(start_cluster: Start, request: pytest.FixtureRequest) -> Cluster:
    """With leases that are soon over, or as long as is asked for."""
    return start_cluster(settings={"all": {**QUICK, "cluster.lease_s": getattr(request, "param", LEASE_S)}})


@pytest.fixture
def publisher(cluster: Cluster, media: Media, stack: ExitStack, tmp_path: Path) -> Publisher:
    """Publishes live/cam to the first edge; the registry knows."""
    url = cluster.edges[0].rtmp_url("live/cam")
    child = stack.enter_context(Publisher(media("h264_aac"), url, log=tmp_path / "push.log", loops=-1))
    wait_for(cluster, "claim and group", lambda held: {CLAIM, GROUP} <= held.keys())
    return child


@lasting
def test_a_live_stream_stands_under_its_edges_and_its_origins_leases(cluster: Cluster, publisher: Publisher) -> None:
    held = entries(cluster)
    origin = held[GROUP].value["origin"]
    assert isinstance(origin, dict)
    edge_lease, origin_lease = held["nodes/edge-1"].lease_id, held[f"nodes/{origin['name']}"].lease_id
    assert held[CLAIM].lease_id == edge_lease
    assert held[GROUP].lease_id == origin_lease
    assert keys_of_lease(cluster, edge_lease) == {"nodes/edge-1", CLAIM}
    assert keys_of_lease(cluster, origin_lease) == {f"nodes/{origin['name']}", GROUP}
    heir = held[GROUP].value["heir"]
    assert isinstance(heir, dict)
    assert {origin["name"], heir["name"]} == {"origin-1", "origin-2"}


@lasting
def test_a_stream_that_ended_leaves_no_key(cluster: Cluster, publisher: Publisher) -> None:
    publisher.stop()
    wait_for(cluster, "end of the claim", lambda held: CLAIM not in held)
    wait_for(cluster, "end of the group", lambda held: GROUP not in held)
    left = {key for key in entries(cluster) if not key.startswith("schedulers/")}
    assert left == {"nodes/edge-1", "nodes/edge-2", "nodes/origin-1", "nodes/origin-2"}


def test_a_killed_edge_takes_its_claims_along_and_no_more(cluster: Cluster, publisher: Publisher) -> None:
    cluster.edges[0].kill()
    wait_for(cluster, "end of the edge's keys", lambda held: not {"nodes/edge-1", CLAIM} & held.keys())
    assert {"nodes/edge-2", "nodes/origin-1", "nodes/origin-2"} <= entries(cluster).keys()


def test_a_killed_origin_goes_and_the_claim_stays_while_the_group_moves(cluster: Cluster, publisher: Publisher) -> None:
    before = entries(cluster)
    place = before[GROUP].value["origin"]
    assert isinstance(place, dict)
    name = str(place["name"])
    other = "origin-2" if name == "origin-1" else "origin-1"
    next(node for node in cluster.origins if node.name == name).kill()
    wait_for(cluster, "end of the origin's key", lambda held: f"nodes/{name}" not in held)
    wait_for(
        cluster, "group at the other origin", lambda held: GROUP in held and name not in json.dumps(held[GROUP].value["origin"])
    )
    after = entries(cluster)
    assert after[CLAIM] == before[CLAIM]
    assert after[GROUP].lease_id == after[f"nodes/{other}"].lease_id
