"""The chart, run: commands, environment, configuration, volumes, users and probes of its pods, as processes of this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import npm, program
from support.cluster import PROGRAM
from support.etcd import CAN_RUN_ETCD
from support.forks import forks_for
from support.helm import CHART, of_kind, template
from support.pods import READY_S, Pod, Pods, Release, can_run_pods
from support.process import Child, wait_until
from support.redis import CAN_RUN_REDIS

from lalmesh.runtime.sessions import SessionRole

pytestmark = [
    pytest.mark.skipif(not npm.available(), reason="helm comes by npm, which is not installed here"),
    pytest.mark.skipif(not can_run_pods(), reason="pods are namespaces and overlays, which need root"),
    pytest.mark.skipif(not (CAN_RUN_ETCD and CAN_RUN_REDIS), reason="no etcd or no Redis here"),
]

DATA_PLANE = ("origin", "hls", "edge")
STORES = ("etcd", "redis")
LEASE_S = 4  #: by default it is 10 s, for which new schedulers let nobody publish
LONGER_THAN_A_LEASE_S = 6.0
PROBED_EVERY_S = 0.5
A_PICTURE_BYTES = 4000
STREAM = "helm-test/push"


#: What is allowed is told, both ways, and who may read the metrics: nothing else gets through.
POLICIES = ["networkPolicy.egress.enabled=true", "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus"]
CONNECT_S = 5.0
#: Which of the pairs of address and port on its input can be connected to.
CONNECTING = f"""
import asyncio, json, sys
async def is_open(pair):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*pair), {CONNECT_S})
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
async def main():
    pairs = json.load(sys.stdin)
    print(json.dumps([pair for pair, found in zip(pairs, await asyncio.gather(*map(is_open, pairs))) if found]))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The chart with its default values, all pods at the same time."""
    folder = tmp_path_factory.mktemp("release")
    folder.chmod(0o755)
    with Pods(template(sets=[f"config.cluster.lease_s={LEASE_S}", *POLICIES]), folder) as pods:
        made = Release(pods)
        made.bring_up(*STORES, "scheduler", *DATA_PLANE)
        yield made


@pytest.fixture(scope="module")
def clip(release: Release) -> Pod:
    """The pod of ``helm test``; its publisher goes on."""
    pod = release.pods.single("media-lalmesh-test")
    release.pods.run(pod)
    return pod


def probed(url: str) -> dict[str, Any]:
    done = program.run("probe", "--json", "--duration", "1", url, limit_s=60)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_every_pod_gets_ready_and_stays_alive(release: Release) -> None:
    for pod in release.pods.pods:
        assert release.pods.probe(pod, "startupProbe"), pod.output()
        assert release.pods.probe(pod, "livenessProbe"), pod.output()


def test_the_root_of_a_container_cannot_be_written_to_nor_does_it_run_as_root(release: Release) -> None:
    for pod in release.pods.pods:
        (child,) = pod.running.values()
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines() if ":\t" in line)
        assert int(status["Uid"].split()[0]) == pod.spec["securityContext"]["runAsUser"]
        assert int(status["CapEff"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        mounts = [line.split() for line in Path(f"/proc/{child.pid}/mountinfo").read_text().splitlines()]
        (root,) = (fields for fields in mounts if fields[4] == "/")
        assert "ro" in root[5].split(",")


def test_the_hook_of_helm_test_pushes_a_clip_and_plays_it(clip: Pod) -> None:
    told = clip.running["play"].output()
    assert "video H264" in told or "h264" in told.lower(), told
    assert "aac" in told.lower(), told


def test_a_stream_is_played_at_every_edge_and_as_hls(release: Release, clip: Pod) -> None:
    for edge in release.of("edge"):
        report = probed(f"http://{edge.address}:8080/{STREAM}.flv")
        assert len(report["tracks"]) == 2
    edge = release.of("edge")[0]
    with urllib.request.urlopen(f"http://{edge.address}:8080/hls/{STREAM}.m3u8", timeout=30) as answer:
        assert ".ts" in answer.read().decode()


def reached(release: Release, whence: Pod) -> set[tuple[str, str]]:
    """Role and name of every port over TCP that can be connected to from a pod."""
    named = {
        (pod.address, port): (pod.role, name)
        for pod in release.of("edge", "origin", "scheduler", "hls", "etcd", "redis")
        for name, port in pod.ports.items()
        if name not in ("rtp", "rtcp")
    }
    command = [*whence.place.inside, sys.executable, "-c", CONNECTING]
    done = subprocess.run(command, input=json.dumps(list(named)), capture_output=True, text=True, timeout=60, check=True)
    return {named[address, port] for address, port in json.loads(done.stdout)}


def test_strangers_get_to_the_public_ports_alone_and_who_watches_to_the_metrics(release: Release) -> None:
    public = {("edge", name) for name in ("rtmp", "http", "rtsp", "ws-rtsp")} | {("scheduler", "api")}
    assert reached(release, release.pods.stranger("stranger", app="shop")) == public
    metrics = {(role, "metrics") for role in ("edge", "origin", "scheduler", "hls", "etcd")}
    assert reached(release, release.pods.stranger("watcher", app="prometheus")) == public | metrics


def test_only_schedulers_get_to_what_is_decided_with(release: Release) -> None:
    stores = {("etcd", "client"), ("redis", "redis")}
    for role in DATA_PLANE:
        assert not reached(release, release.of(role)[0]) & stores
    assert reached(release, release.of("scheduler")[0]) >= stores


def test_pods_get_nowhere_else(release: Release) -> None:
    stranger, neighbour = (release.pods.stranger(name, app="shop") for name in ("elsewhere", "neighbour"))
    serving = [*stranger.place.inside, sys.executable, "-m", "http.server", "8080"]
    with Child(serving, log=stranger.folder.with_suffix(".log")) as web:
        elsewhere = json.dumps([[stranger.address, 8080]])
        command = [sys.executable, "-c", CONNECTING]

        def connected(pod: Pod) -> bool:
            words = [*pod.place.inside, *command]
            return subprocess.run(words, input=elsewhere, capture_output=True, text=True, timeout=60, check=True).stdout != "[]\n"

        wait_until("the other server", lambda: connected(neighbour), READY_S, child=web)
        assert not [pod.name for pod in release.of(*DATA_PLANE, "scheduler", *STORES) if connected(pod)]


def test_the_api_shows_the_nodes_by_the_names_of_their_pods(release: Release, clip: Pod) -> None:
    scheduler = release.of("scheduler")[0]
    with urllib.request.urlopen(f"http://{scheduler.address}:8083/v1/nodes", timeout=30) as answer:
        nodes = {item["name"]: item for item in json.load(answer)["items"]}
    assert set(nodes) >= {pod.name for pod in release.of(*DATA_PLANE)}


def test_edges_have_the_metrics_that_autoscalers_ask_for(release: Release, clip: Pod) -> None:
    edge = release.of("edge")[0]
    with urllib.request.urlopen(f"http://{edge.address}:9090/metrics", timeout=30) as answer:
        told = answer.read().decode()
    rules = yaml.safe_load((CHART / "files" / "prometheus-adapter.yaml").read_text())["rules"]
    asked = [rule["seriesQuery"] for rule in rules] + [rule["metricsQuery"].replace("<<.Series>>", "series") for rule in rules]
    (scaler,) = of_kind(template(CHART / "samples" / "s3.yaml"), "ScaledObject")
    asked += [trigger["metadata"]["query"] for trigger in scaler["spec"]["triggers"]]
    names = {name for query in asked for name in re.findall(r"(edge_\w+)\{", query)}
    assert names == {"edge_sessions", "edge_hls_players", "edge_egress_bytes_total", "edge_hls_egress_bytes_total"}
    assert all(re.search(rf"^{name}[ {{]", told, re.MULTILINE) for name in names)
    assert all(f'role="{SessionRole.PLAYER.value}"' in query for query in asked if "edge_sessions" in query)


@pytest.mark.parametrize("role", ["edge", "origin", "scheduler", "hls"])
def test_the_doctor_finds_nothing_wrong_in_a_pod(release: Release, clip: Pod, role: str) -> None:
    pod = release.of(role)[0]
    words = ["lalmesh", "doctor", "--role", role, "--config", "/etc/lalmesh/lalmesh.yaml", "--json"]
    done = release.pods.execute(pod, words, READY_S)
    findings = json.loads(done.stdout)["findings"]
    assert [each for each in findings if each["status"] == "failed"] == []
    assert done.returncode == 0


def test_a_pod_that_is_told_to_end_is_not_ready_first_and_ends_in_its_time(release: Release, clip: Pod) -> None:
    pod = release.of("origin")[0]
    (child,) = pod.running.values()
    began = time.monotonic()
    child.terminate()
    grace_s = pod.spec["terminationGracePeriodSeconds"] - pod.spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert child.wait(grace_s) == 0, pod.output()
    assert time.monotonic() - began < grace_s
    assert probed(f"http://{release.of('edge')[1].address}:8080/{STREAM}.flv")["tracks"]
    release.pods.start(pod)
    release.wait(pod, "readinessProbe")


def test_without_a_control_plane_no_pod_is_restarted_or_left_out_and_players_play_on(
    release: Release, clip: Pod, tmp_path: Path
) -> None:
    """The last one: it ends what decides."""
    with ExitStack() as stack:
        players = {}
        for edge in release.of("edge"):
            url, file = f"http://{edge.address}:8080/{STREAM}.flv", tmp_path / f"{edge.name}.flv"
            command: list[str | Path] = [PROGRAM, "pull", url, file]
            child = Child(command, log=tmp_path / f"{edge.name}.log", forks=forks_for(command))
            players[file] = stack.enter_context(child)
        for file, player in players.items():
            _wait_for_more(file, 0, player)
        for pod in release.of("scheduler", *STORES):
            for child in pod.running.values():
                child.kill()
        lost_at = time.monotonic()
        while time.monotonic() - lost_at < LONGER_THAN_A_LEASE_S:
            for pod in release.of(*DATA_PLANE):
                assert release.pods.probe(pod, "livenessProbe"), pod.output()
                assert release.pods.probe(pod, "readinessProbe"), pod.output()
            time.sleep(PROBED_EVERY_S)
        for file, player in players.items():
            _wait_for_more(file, _size(file), player)
            assert player.running, player.describe()


def _wait_for_more(file: Path, size: int, player: Child) -> None:
    wait_until(f"more in {file.name}", lambda: _size(file) > size + A_PICTURE_BYTES, READY_S, child=player)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
