"""A source of HTTP-FLV that is no server of ours: a file, given out in small pieces to whoever asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.http_thread import HttpThread, QuietHandler

PIECES = 200
PACE_S = 0.05  #: between two pieces: ten seconds for a file


@contextmanager
def flv_source(file: Path) -> Iterator[str]:
    """``http://host:port``; every path is the file."""
    data = file.read_bytes()
    step = len(data) // PIECES + 1

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that is called
            self.send_response(200)
            self.send_header("Content-Type", "video/x-flv")
            self.end_headers()
            try:
                for start in range(0, len(data), step):
                    self.wfile.write(data[start : start + step])
                    time.sleep(PACE_S)
            except OSError:
                pass  # whoever asked has gone

    with HttpThread(Handler) as server:
        yield server.root
