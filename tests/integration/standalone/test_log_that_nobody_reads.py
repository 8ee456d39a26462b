"""A node whose log goes into a pipe that nobody reads goes on, and all lines are there once somebody does."""

from __future__ import annotations

import fcntl
import json
import os
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.cluster import Node

PIPE_BYTES = 4096  #: the least that Linux gives
LIMIT_S = 30.0
ABSENT = [f"live/absent-{number}.flv" for number in range(60)]  #: each player that waits for one is two lines, which are no flood


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def ask_for_all(server: Node) -> None:
    with ThreadPoolExecutor(len(ABSENT)) as pool:
        assert set(pool.map(status, [server.http_url(path) for path in ABSENT])) == {404}


@pytest.mark.parametrize("is_file", [True, False], ids=["file", "standard error"])
def test_a_node_goes_on_and_ends_though_its_log_is_not_read(tmp_path: Path, is_file: bool) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES
        settings = {"telemetry.log_file": str(fifo) if is_file else "", "edge.play.wait_publisher_s": 1}
        inside = () if is_file else ("sh", "-c", 'exec "$@" 2>"$0"', str(fifo))
        with Node("standalone", "standalone", tmp_path, settings, inside=inside) as server:
            ask_for_all(server)
            text = ""
            os.set_blocking(reader, True)
            while not all(path.removesuffix(".flv") in text for path in ABSENT):
                text += os.read(reader, PIPE_BYTES).decode()
            assert len(text) > 2 * PIPE_BYTES
            assert all(json.loads(line)["service"] == "standalone" for line in text.splitlines()[:-1])
            ask_for_all(server)  # the pipe is full again
            assert server.stop() == 0
    finally:
        os.close(reader)
