"""Servers of HTTP in a thread, for tests whose loop has other things to do."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from support.ports import LOOPBACK

POLL_S = 0.05  #: how late it is stopped at most


class QuietHandler(BaseHTTPRequestHandler):
    """Says nothing of what it is asked."""

    def answer(self, status: int, body: bytes = b"", content_type: str = "") -> None:
        """The whole answer, unless who asked has gone."""
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(body)

    def asked(self) -> bytes:
        """The body of the request."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Nothing."""


class HttpThread:
    """Serves from when it is entered until it is left."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        """Listen on a free port of loopback; `handler` answers, each connection in a thread."""
        self._server = ThreadingHTTPServer((LOOPBACK, 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": POLL_S}, daemon=True)

    @property
    def root(self) -> str:
        """``http://host:port``."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
