"""A supervisor and its workers as processes, with no scheduler to join: how they start, die, and end together."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.process import Child, wait_until

LOOPBACK = "127.0.0.1"
LIMIT_S = 60.0
KEY = "a cluster key for tests only"
LISTENERS = ("rtmp", "rtsp", "http", "ws_rtsp")
PROGRAM = str(Path(sys.executable).parent / "lalmesh")
TOKEN = "a token for profiles of tests"


class Node:
    """An edge or an origin of two workers."""

    def __init__(self, folder: Path, role: str = "edge", **settings: object) -> None:
        folder.mkdir(exist_ok=True)
        self.ports_file = folder / "ports.json"
        given: dict[str, object] = {f"{role}__workers": 2, "metrics__port": 0, "cluster__node": "n", "cluster__drain_s": 0}
        given |= {f"edge__{name}__{key}": value for name in LISTENERS for key, value in (("host", LOOPBACK), ("port", 0))}
        given |= {"origin__grpc__host": LOOPBACK, "origin__grpc__port": 0}
        sets = [part for key, value in (given | settings).items() for part in ("--set", f"{key.replace('__', '.')}={value}")]
        env = {"LALMESH_CLUSTER__KEY": KEY, "LALMESH_METRICS__PROFILE_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
        self.child = Child([PROGRAM, role, *sets, "--ports-file", self.ports_file], log=folder / "log", env=env)

    @property
    def ports(self) -> dict[str, int]:
        wait_until("ports", self.ports_file.exists, LIMIT_S, child=self.child)
        return dict(json.loads(self.ports_file.read_text()))

    def process(self, number: int) -> int:
        """The newest of a worker."""
        return int(re.findall(rf"worker {number} started, process (\d+)", self.child.output())[-1])

    def processes(self) -> list[int]:
        """The newest of each worker."""
        return [self.process(number) for number in (1, 2)]

    def asked(self, path: str, token: str = "") -> tuple[int, str]:
        """What is answered at the port for health and metrics."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.ports['metrics']}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def node(folder: Path, role: str = "edge", **settings: object) -> Iterator[Node]:
    made = Node(folder, role, **settings)
    try:
        yield made
    finally:
        made.child.stop(LIMIT_S)


def lives(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody has waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_workers_are_started_again_keep_their_ports_and_die_with_their_supervisor(tmp_path: Path) -> None:
    with node(tmp_path / "edge") as edge:
        ports, killed = edge.ports, edge.processes()
        assert edge.child.output().count("lalmesh edge is up") == 1
        assert edge.asked("/healthz") == (200, "ok\n")
        assert edge.asked("/readyz") == (503, "worker 1: not joined yet\n")
        check_that_nobody_else_gets(ports["rtmp"], tmp_path)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            with pytest.raises(OSError, match="in use"):
                other.bind((LOOPBACK, ports["http"]))  # held by who starts them again
        wait_until("others", lambda: not {*edge.processes()} & {*killed}, LIMIT_S, child=edge.child)
        up = "\nlalmesh_workers_up 2.0\n"
        wait_until("both workers", lambda: up in edge.asked("/metrics")[1], LIMIT_S, child=edge.child)
        again = edge.processes()
        for _ in range(8):
            with closing(socket.create_connection((LOOPBACK, ports["http"]), LIMIT_S)) as player:
                player.sendall(b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
                assert player.recv(12) == b"HTTP/1.1 404"
        os.kill(edge.child.pid, signal.SIGKILL)
        wait_until("the end of all", lambda: not any(map(lives, again)), LIMIT_S)


def test_a_worker_that_stands_still_is_replaced_and_the_other_goes_on(tmp_path: Path) -> None:
    with node(tmp_path) as edge:
        ports, (still, other) = edge.ports, edge.processes()
        os.kill(still, signal.SIGSTOP)
        wait_until("another", lambda: edge.process(1) != still, LIMIT_S, child=edge.child)
        wait_until("its start", lambda: "this one does once it has joined" in edge.child.output(), LIMIT_S, child=edge.child)
        assert "\nlalmesh_workers_up 1.0\n" in edge.asked("/metrics")[1]
        assert "worker 1 stands still: killed" in edge.child.output()
        assert (lives(still), edge.process(2), edge.ports) == (False, other, ports)
        assert edge.asked("/healthz") == (200, "ok\n")


def check_that_nobody_else_gets(port: int, folder: Path) -> None:
    """Another edge is refused it, in the words that an edge of one process is refused in."""
    for count in (1, 2):
        other = Node(folder / f"other {count}", edge__workers=count, edge__rtmp__port=port)
        assert other.child.wait(LIMIT_S) == 1
        said = other.child.output()
        assert re.search(rf"^lalmesh edge: .*{port}.*address already in use$", said, re.MULTILINE), said
        assert "started, process" not in said


def test_what_is_of_one_process_is_asked_for_by_its_number(tmp_path: Path) -> None:
    with node(tmp_path, "origin") as origin:
        assert {"grpc", "grpc-2", "metrics"} == origin.ports.keys()
        metrics = origin.asked("/metrics")[1]
        for number in (1, 2):
            assert f'lalmesh_build_info{{worker="{number}",node="n-{number}",role="origin"' in metrics
            assert f'process_resident_memory_bytes{{worker="{number}"}}' in metrics
        assert re.search(r"^process_resident_memory_bytes \d", metrics, re.MULTILINE)
        assert origin.asked("/debug/profile", TOKEN) == (400, "worker: one of 1, 2\n")
        assert origin.asked("/debug/profile?worker=3", TOKEN)[0] == 400
        assert origin.asked("/debug/profile?worker=2&seconds=1")[0] == 401
        status, profile = origin.asked("/debug/profile?worker=2&seconds=1", TOKEN)
        assert (status, json.loads(profile)["name"]) == (200, "n-2")
        assert origin.child.stop(LIMIT_S) == 0
