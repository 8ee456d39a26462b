"""Nodes that are forks are processes like those that are started."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.cluster import OUR_PROGRAM, Standalone
from support.forks import forks
from support.process import Child, ProcessError

GONE_S = 10.0


def run(log: Path, *words: str) -> Child:
    return Child([OUR_PROGRAM, *words], log=log, env={"LALMESH_EDGE__RTMP__PORT": "none"}, forks=forks())


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


def test_whoever_waits_for_a_fork_waits_no_longer_than_it_said(tmp_path: Path) -> None:
    with Standalone(tmp_path) as node, pytest.raises(ProcessError, match="still running"):
        node.wait(0.1)
