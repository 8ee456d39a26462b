"""Nodes that are forks are processes like those that are started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import program
from support.cluster import Standalone
from support.forks import OUR_PROGRAM, TESTS, forks_for
from support.process import Child, ProcessError

GONE_S = 30.0


def run(log: Path, *words: str) -> Child:
    command = [OUR_PROGRAM, *words]
    return Child(command, log=log, env={"LALMESH_EDGE__RTMP__PORT": "none"}, forks=forks_for(command))


def test_a_node_that_is_a_fork_serves_and_leads_its_group_and_obeys(tmp_path: Path) -> None:
    with Standalone(tmp_path) as node:
        assert os.getpgid(node.pid) == os.getsid(node.pid) == node.pid
        assert "python_info" in node.metrics()
        assert node.stop() == 0


def test_a_fork_that_is_killed_says_by_what(tmp_path: Path) -> None:
    node = Standalone(tmp_path).wait_ready()
    node.pause()
    node.kill()
    assert node.wait(GONE_S) == -signal.SIGKILL


def test_a_fork_has_its_own_command_line_environment_and_exit_code(tmp_path: Path) -> None:
    child = run(tmp_path / "log", "edge", "--loop", "asyncio")
    assert child.wait(GONE_S) == 1
    assert "edge.rtmp.port" in child.output()
    child = run(tmp_path / "version", "--version")
    assert child.wait(GONE_S) == 0
    assert child.output().startswith("lalmesh ")


def test_a_command_that_ends_by_itself_says_its_status_and_what_it_found_and_what_is_wrong_apart() -> None:
    done = program.run("--version", limit_s=GONE_S)
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "lalmesh", "")
    done = program.run("drain", limit_s=GONE_S)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Missing argument" in done.stderr


def test_whoever_waits_for_a_fork_waits_no_longer_than_it_said(tmp_path: Path) -> None:
    with Standalone(tmp_path) as node, pytest.raises(ProcessError, match="still running"):
        node.wait(0.1)


#: A run of tests as far as a node knows: it starts one, says which, and is killed before it can end it.
KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from support import program
from support.cluster import Standalone
from support.forks import forking

with forking(), Standalone(Path(sys.argv[1])) as node:
    if sys.argv[2] == "frozen":
        node.pause()
    print(node.pid, flush=True)
    sys.stdin.read(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("state", ["running", "frozen"])
def test_a_run_that_is_killed_leaves_no_fork_behind(tmp_path: Path, state: str) -> None:
    command = [sys.executable, "-c", KILLED_RUN, str(tmp_path), state]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(TESTS)})
    assert run.stdin is not None
    assert run.stdout is not None
    with run, open(os.pidfd_open(int(run.stdout.readline())), "rb") as node:
        assert not select.select([node], [], [], 0)[0]
        run.stdin.write(b"!")
        run.stdin.close()
        assert run.wait(GONE_S) == -signal.SIGKILL
        assert select.select([node], [], [], GONE_S)[0]
