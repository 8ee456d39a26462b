"""`lalmesh doctor` beside a running cluster: what it finds as each role, and what where something is away or has another key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import program
from support.certificates import self_signed
from support.cluster import CLUSTER_KEY, Cluster, Node
from support.etcd import make_certificates
from support.ports import LOOPBACK

AWAY_S = 60.0  #: for the silence of a node to be noticed
RUN_S = 60.0  #: for a command that ends by itself within some seconds
IN_TIME = ("--limit", "30")  #: for checks that find everybody, on a slow machine too
Findings = list[dict[str, str]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), origins=1, edges=1, hls=1) as running:
        yield running


def doctor(role: str, settings: Mapping[str, object], *words: str, key: str = CLUSTER_KEY) -> tuple[int, Findings]:
    """Its exit status, and what it finds."""
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    done = program.run("doctor", "--role", role, "--json", *sets, *words, limit_s=RUN_S, env={"LALMESH_CLUSTER__KEY": key})
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["role"] == role
    return done.returncode, told["findings"]


def of(findings: Findings, check: str) -> dict[str, str]:
    """Status by subject."""
    return {each["subject"]: each["status"] for each in findings if each["check"] == check}


def of_edge(cluster: Cluster, **others: object) -> dict[str, object]:
    """How an edge of the cluster is configured that has not been started."""
    free = {f"edge.{each}.port": 0 for each in ("rtmp", "http", "rtsp", "ws_rtsp")}
    return {**free, "metrics.port": 0, "cluster.schedulers": cluster.schedulers[0].grpc_address, **others}


def test_an_edge_reaches_everybody(cluster: Cluster) -> None:
    status, findings = doctor("edge", of_edge(cluster), "--api", cluster.api_url, *IN_TIME)
    assert status == 0, findings
    assert of(findings, "versions") == {"versions": "ok", "nodes": "ok"}
    ways = of(findings, "path")
    assert ways[f"scheduler {cluster.schedulers[0].grpc_address}"] == "ok"
    assert {"origin origin-1", "hls hls-1"} <= ways.keys()
    edge = cluster.edges[0].ports
    assert {f"edge edge-1 {name} {LOOPBACK}:{edge[name]}" for name in ("rtmp", "rtsp", "http")} <= ways.keys()
    assert set(ways.values()) <= {"ok", "skipped"}, ways
    clocks = of(findings, "clock")
    assert (clocks[cluster.api_url], clocks["edge-1"]) == ("ok", "ok")


def test_a_scheduler_finds_its_etcd_and_its_own_port_in_use(cluster: Cluster) -> None:
    node = cluster.schedulers[0]
    ports = {"scheduler.http.host": LOOPBACK, "scheduler.http.port": node.ports["api"], "scheduler.grpc.port": 0, "metrics.port": 0}
    endpoint = f"127.0.0.1:{cluster.etcd.port}"
    _, findings = doctor("scheduler", {**ports, "scheduler.etcd.endpoints": endpoint}, *IN_TIME)
    etcd = of(findings, "etcd")
    assert etcd in ({endpoint: verdict, "write below /lalmesh/": "ok"} for verdict in ("ok", "warning"))  # slow, if the machine is
    assert "doctor" not in node.output(), "the scheduler has noticed a key that is none of its own"
    assert of(findings, "versions")["versions"] == "ok"  # asked on the port that the configuration has
    in_use = next(each for each in findings if each["subject"] == "scheduler.http")
    assert "is in use by" in in_use["found"]


def test_another_cluster_key_is_told(cluster: Cluster) -> None:
    status, findings = doctor("edge", of_edge(cluster), "--api", cluster.api_url, key="the key of some other cluster")
    ways = of(findings, "path")
    assert status == 1
    for subject in (f"scheduler {cluster.schedulers[0].grpc_address}", "origin origin-1", "hls hls-1"):
        assert ways[subject] == "failed"
    assert any("does not take our cluster key" in each["found"] for each in findings)


def test_tls_on_one_side_alone_is_told(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = make_certificates(tmp_path_factory.mktemp("tls"))
    tls = {"ca_file": made.ca_file, "cert_file": made.cert_file("server"), "key_file": made.key_file("server")}
    settings = of_edge(cluster, **{f"cluster.tls.{name}": file for name, file in tls.items()})
    status, findings = doctor("edge", settings, "--api", cluster.api_url)
    assert status == 1
    assert of(findings, "path")[f"scheduler {cluster.schedulers[0].grpc_address}"] == "failed"
    assert any("answers no gRPC" in each["found"] for each in findings)


def test_a_node_that_is_killed_is_away(start_cluster: Callable[..., Cluster]) -> None:
    cluster = start_cluster(origins=1, edges=1)
    cluster.origins[0].kill()
    settings, seen = of_edge(cluster), ""
    deadline_s = time.monotonic() + AWAY_S
    while seen != "warning" and time.monotonic() < deadline_s:
        _, findings = doctor("edge", settings, "--api", cluster.api_url, "--limit", "2")
        seen = of(findings, "versions").get("nodes", "")
    assert seen == "warning", findings


def test_a_scheduler_that_speaks_https_is_asked_so(start_standalone: Callable[..., Node], tmp_path: Path) -> None:
    certificate = str(self_signed(tmp_path))
    tls = {f"scheduler.http.tls.{name}": certificate for name in ("cert_file", "key_file")}
    node = start_standalone(tls)
    free = {f"{each}.port": 0 for each in ("edge.rtmp", "edge.http", "edge.rtsp", "edge.ws_rtsp", "hls.http", "metrics")}
    _, findings = doctor("standalone", {**tls, **free, "scheduler.http.port": node.ports["api"]}, *IN_TIME)
    assert of(findings, "versions") == {"versions": "ok", "nodes": "ok"}
    assert of(findings, "tls")["scheduler.http"] == "ok"  # it is shown, and it is that of the file


def test_beside_a_standalone_server(standalone: Node) -> None:
    ports = {"scheduler.http.port": standalone.ports["api"], "edge.http.port": standalone.ports["http"]}
    free = {f"{each}.port": 0 for each in ("edge.rtmp", "edge.rtsp", "edge.ws_rtsp", "hls.http", "metrics")}
    _, findings = doctor("standalone", {**ports, **free}, *IN_TIME)
    assert of(findings, "versions") == {"versions": "ok", "nodes": "ok"}
    assert {each["check"] for each in findings} >= {"limits", "kernel", "ports", "clock", "storage", "redis", "etcd", "path", "tls"}
