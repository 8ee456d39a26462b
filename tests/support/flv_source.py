"""A source of HTTP-FLV that is no server of ours: a file, given out in small pieces to whoever asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.ports import LOOPBACK

PIECES = 200
PACE_S = 0.05  #: between two pieces: ten seconds for a file


@contextmanager
def flv_source(file: Path) -> Iterator[str]:
    """``http://host:port``; every path is the file."""
    data = file.read_bytes()
    step = len(data) // PIECES + 1

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/x-flv")
            self.end_headers()
            try:
                for start in range(0, len(data), step):
                    self.wfile.write(data[start : start + step])
                    time.sleep(PACE_S)
            except OSError:
                pass  # whoever asked has gone

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
