"""An S3-compatible store as a child on a loopback port: moto's server, which can be stopped, frozen and started empty again."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from lalmesh.runtime.storage import StorageOptions
from support.child_server import ChildServer
from support.process import Child

BUCKET = "media"
ANSWER_LIMIT_S = 20.0


class S3Server(ChildServer):
    """One server with one bucket, `BUCKET`; the same port for its whole life once it has started.

    What it holds is gone when it stops.
    """

    def __init__(self, folder: Path) -> None:
        """Not started yet; its log goes to `folder`."""
        super().__init__()
        self._log = folder / "s3.log"

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

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
        super().start()
        self._request("PUT", f"/{BUCKET}")

    def _launch(self) -> Child:
        command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(self.port)]
        return Child(command, log=self._log, env={"PYTHONWARNINGS": "ignore", "PATH": os.environ.get("PATH", "")})

    def stop(self) -> None:
        """End it at once: it has nothing to save."""
        self.thaw()
        self.kill()

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
