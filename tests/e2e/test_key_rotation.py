"""The cluster's key is replaced while a stream is played: one node after the other, as docs/cluster.md says."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path

from support.cluster import CLUSTER_KEY, Cluster, Node
from support.ffmpeg import Publisher
from support.process import wait_until

Media = Callable[[str], Path]

STREAM = "live/cam"
LIMIT_S = 30.0
SOME_PICTURES_BYTES = 40_000  #: more than the header
NEW_KEY = "the cluster key that comes after it"
#: The key that a node shows, and the one that it takes besides.
STEPS = ((CLUSTER_KEY, NEW_KEY), (NEW_KEY, CLUSTER_KEY), (NEW_KEY, ""))
REFUSED = "no valid cluster token"


def plays(edge: Node) -> bool:
    """Whether the stream comes from an edge."""
    try:
        with urllib.request.urlopen(edge.flv_url(STREAM), timeout=LIMIT_S) as answer:
            return len(answer.read(SOME_PICTURES_BYTES)) == SOME_PICTURES_BYTES
    except (OSError, HTTPException):
        return False


def start_with(node: Node, key: str, previous: str) -> None:
    """End a node in order, and start it with other keys."""
    node.environment = {"LALMESH_CLUSTER__KEY": key, "LALMESH_CLUSTER__PREVIOUS_KEY": previous}
    assert node.stop(LIMIT_S) == 0, node.output()
    node.restart().wait_ready()


def restarted(cluster: Cluster, key: str, previous: str) -> Iterator[Node]:
    """Each node, once it has been started with other keys; that of the publisher last."""
    for node in [*cluster.schedulers, *cluster.origins, *reversed(cluster.edges)]:
        start_with(node, key, previous)
        yield node


def test_nodes_with_both_keys_work_with_those_of_either(media: Media, tmp_path: Path, stack: ExitStack) -> None:
    cluster = stack.enter_context(Cluster(tmp_path, schedulers=2, origins=2, edges=2))
    publishing, playing = cluster.edges

    def publish(name: str) -> Publisher:
        url = publishing.rtmp_url(STREAM)
        publisher = Publisher(media("h264_b3_aac"), url, log=tmp_path / f"{name}.log", loops=-1, limit_s=240)
        return stack.enter_context(publisher)

    publish("first")
    wait_until("the stream", lambda: plays(playing), LIMIT_S)
    for number, (key, previous) in enumerate(STEPS):
        for node in restarted(cluster, key, previous):
            if node is publishing:
                publish(f"after-{number}")
            wait_until(f"the stream, {node.name} having been started anew", lambda: plays(playing), LIMIT_S)
            assert [each.name for each in cluster.nodes if REFUSED in each.output()] == [], cluster.output()

    late = cluster.add("edge")  # which nobody has told
    wait_until("its refusal", lambda: REFUSED in late.output(), LIMIT_S)
    with urllib.request.urlopen(f"{cluster.api_url}/v1/nodes", timeout=LIMIT_S) as answer:
        joined = {item["name"] for item in json.load(answer)["items"]}
    assert joined == {node.name for node in (*cluster.origins, *cluster.edges)} - {late.name}
    late.kill()
