"""A node whose log goes into a pipe that nobody reads goes on, and all lines are there once somebody does."""

from __future__ import annotations

import fcntl
import json
import os
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from support.cluster import Standalone

PIPE_BYTES = 4096  #: the least that Linux gives
LIMIT_S = 30.0
ABSENT = [f"live/absent-{number}.flv" for number in range(60)]  #: each player that asks for one is a line at least


def test_a_node_goes_on_though_its_log_is_not_read(tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES
        settings = {"telemetry.log_file": str(fifo), "edge.play.wait_publisher_s": 0}
        with Standalone(tmp_path, settings) as server:
            for path in ABSENT:
                with suppress(urllib.error.HTTPError):
                    urllib.request.urlopen(server.http_url(path), timeout=LIMIT_S)
            text = ""
            os.set_blocking(reader, True)
            while not all(path.removesuffix(".flv") in text for path in ABSENT):
                text += os.read(reader, PIPE_BYTES).decode()
            assert len(text) > 2 * PIPE_BYTES
            assert all(json.loads(line)["service"] == "standalone" for line in text.splitlines()[:-1])
    finally:
        os.close(reader)
