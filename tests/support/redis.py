"""A real Redis server as a child on a loopback port: started, killed, frozen as a test needs it."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.child_server import ChildServer
from support.etcd import Certificates
from support.ports import LOOPBACK, is_open
from support.process import Child

CAN_RUN_REDIS = shutil.which("redis-server") is not None


class RedisServer(ChildServer):
    """One server with its log below `folder`; the same port for its whole life once it has started."""

    def __init__(
        self, folder: Path, *, password: str = "", certificates: Certificates | None = None, append_only: bool = False
    ) -> None:
        """Not started yet. With `certificates` it speaks TLS and lets in only clients that the authority vouches for.

        It keeps nothing on disk, unless it is `append_only`: then it starts again with all that it had answered.
        """
        super().__init__()
        self._append_only = append_only
        self._folder = folder
        self._password = password
        self._certificates = certificates

    def _launch(self) -> Child:
        return Child(self._command(self.port), log=self._folder / "redis.log")

    def _answers(self) -> bool:
        return is_open(self.port)

    def _command(self, port: int) -> list[str]:
        options = {"bind": LOOPBACK, "port": str(port), "save": "", "appendonly": "no", "dir": str(self._folder)}
        if self._append_only:
            # with `everysec` it answers before it has written, for up to 2 s, where the disk takes long over what was before
            options |= {"appendonly": "yes", "appendfsync": "always"}
        if self._password:
            options["requirepass"] = self._password
        if self._certificates is not None:
            options |= {"port": "0", "tls-port": str(port), "tls-ca-cert-file": self._certificates.ca_file}
            options["tls-cert-file"] = self._certificates.cert_file("server")
            options["tls-key-file"] = self._certificates.key_file("server")
        return ["redis-server", *(part for name, value in options.items() for part in (f"--{name}", value))]
