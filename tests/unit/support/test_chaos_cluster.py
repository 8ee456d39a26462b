"""What the chaos cluster reads out of etcd and out of the schedulers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from e2e.chaos.cluster import ChaosCluster
from support.cluster import Node
from support.isolated_servers import IsolatedEtcd


def etcd_of(*groups: tuple[str, int, dict[str, object]]) -> IsolatedEtcd:
    """Answers as etcdctl does, with the key, the revision and the value of each group."""

    def coded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    keys = [
        {"key": coded(f"/lalmesh/groups/{stream}"), "mod_revision": revision, "value": coded(json.dumps(value))}
        for stream, revision, value in groups
    ]
    answer = json.dumps({"header": {"revision": 99}, **({"kvs": keys, "count": len(keys)} if keys else {})})
    return cast(IsolatedEtcd, SimpleNamespace(control=lambda *words: answer if words[0] == "get" else ""))


async def test_another_heir_leaves_a_stream_where_it_was_pointed_to(tmp_path: Path) -> None:
    cluster = ChaosCluster(tmp_path)
    cluster.etcd = etcd_of(("live/a", 12, {"term": 7}), ("live/b", 15, {"term": 7, "pointed": {"term": 6, "revision": 9}}))
    assert await cluster.pointed() == {"live/a": (7, 12), "live/b": (6, 9)}
    assert await cluster.registry("groups/") == {
        "live/a": {"term": 7},
        "live/b": {"term": 7, "pointed": {"term": 6, "revision": 9}},
    }


async def test_an_empty_registry_has_nothing(tmp_path: Path) -> None:
    cluster = ChaosCluster(tmp_path)
    cluster.etcd = etcd_of()
    assert await cluster.registry("groups/") == {}


async def test_reports_of_one_origin_are_added_up_over_the_schedulers(tmp_path: Path) -> None:
    cluster = ChaosCluster(tmp_path)
    told = (
        '# TYPE scheduler_unreachable_total counter\nscheduler_unreachable_total{origin="o1"} 3.0\n'
        'scheduler_unreachable_created{origin="o1"} 1.7e+09\nscheduler_unreachable_total{origin="o12"} 5.0\n'
    )
    for name, text in (("s1", told), ("s2", 'scheduler_unreachable_total{origin="o1"} 1.0\n'), ("s3", "")):
        cluster.nodes[name] = cast(Node, SimpleNamespace(role="scheduler", metrics=lambda text=text: text))
    assert await cluster.unreachable(cast(Node, SimpleNamespace(name="o1"))) == 4
