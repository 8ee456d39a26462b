"""An S3-compatible store as a child on a loopback port: moto's server, which can be stopped, frozen and started empty again."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from lalmesh.runtime.storage import StorageOptions
from support.ports import free_ports
from support.process import Child, ProcessError, wait_until

BUCKET = "media"
START_LIMIT_S = 30.0  #: it takes 2 s, on a busy machine longer
START_TRIES = 3  #: the port may be taken between looking and listening
ANSWER_LIMIT_S = 5.0


class S3Server:
    """One server with one bucket, `BUCKET`; the same port for its whole life once it has started.

    What it holds is gone when it stops.
    """

    def __init__(self, folder: Path) -> None:
        """Not started yet; its log goes to `folder`."""
        self._log = folder / "s3.log"
        self._port = 0
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Of its bucket."""
        return f"s3://{BUCKET}"

    def options(self, *, deadline_s: float = 10.0) -> StorageOptions:
        """What opens it."""
        return StorageOptions(
            endpoint=self.endpoint, region="us-east-1", access_key_id="key", secret_access_key="secret", deadline_s=deadline_s
        )

    def start(self) -> None:
        """Start it, with an empty bucket."""
        chosen = self._port
        for _ in range(START_TRIES):
            self._port = chosen or free_ports(1)[0]
            self._child = self._launch()
            try:
                wait_until("answer of the S3 server", self._answers, START_LIMIT_S, child=self._child)
            except ProcessError:
                self._child.kill()
            else:
                self._request("PUT", f"/{BUCKET}")
                return
        raise AssertionError(f"the S3 server did not start: {self._child.describe() if self._child else ''}")

    def _launch(self) -> Child:
        command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(self._port)]
        return Child(command, log=self._log, env={"PYTHONWARNINGS": "ignore", "PATH": os.environ.get("PATH", "")})

    def stop(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.resume()
            self._child.kill()
            self._child = None

    def freeze(self) -> None:
        """Let it take connections and answer nothing."""
        assert self._child is not None
        self._child.pause()

    def thaw(self) -> None:
        """Let it go on."""
        assert self._child is not None
        self._child.resume()

    def _answers(self) -> bool:
        try:
            self._request("GET", "/moto-api/")
        except OSError:
            return False
        return True

    def _request(self, method: str, path: str) -> None:
        request = urllib.request.Request(self.endpoint + path, method=method)
        try:
            urllib.request.urlopen(request, timeout=ANSWER_LIMIT_S).close()
        except urllib.error.HTTPError as error:
            error.close()
