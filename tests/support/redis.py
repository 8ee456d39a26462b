"""A real Redis server as a child on a loopback port, which keeps nothing on disk: started, killed, frozen as a test needs it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from support.etcd import Certificates
from support.ports import LOOPBACK, free_ports, is_open
from support.process import Child, ProcessError, wait_until

CAN_RUN_REDIS = shutil.which("redis-server") is not None
START_LIMIT_S = 20.0  #: a loaded machine needs far longer than the usual 0.1 s
START_TRIES = 3  #: the port may be taken between looking and listening


class RedisServer:
    """One server with its log below `folder`; the same port for its whole life once it has started."""

    def __init__(self, folder: Path, *, password: str = "", certificates: Certificates | None = None) -> None:
        """Not started yet. With `certificates` it speaks TLS and lets in only clients that the authority vouches for."""
        self._folder = folder
        self._password = password
        self._certificates = certificates
        self._child: Child | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start, empty, and wait until it answers."""
        for _ in range(START_TRIES):
            port = self.port or free_ports(1)[0]
            self._child = Child(self._command(port), log=self._folder / "redis.log")
            try:
                wait_until("an open port", lambda port=port: is_open(port), START_LIMIT_S, child=self._child)  # type: ignore[misc]
            except ProcessError:
                self._child.kill()
            else:
                self.port = port
                return
        raise AssertionError(f"redis did not start: {self._child.describe() if self._child else ''}")

    def stop(self) -> None:
        """Stop; no error where it does not run."""
        if self._child is not None:
            self._child.resume()
            self._child.stop()

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        if self._child is not None:
            self._child.kill()

    def freeze(self) -> None:
        """Stop it from running while its connections stay; `thaw` and `stop` end that."""
        if self._child is not None:
            self._child.pause()

    def thaw(self) -> None:
        """Let it run on."""
        if self._child is not None:
            self._child.resume()

    def _command(self, port: int) -> list[str]:
        options = {"bind": LOOPBACK, "port": str(port), "save": "", "appendonly": "no", "dir": str(self._folder)}
        if self._password:
            options["requirepass"] = self._password
        if self._certificates is not None:
            options |= {"port": "0", "tls-port": str(port), "tls-ca-cert-file": self._certificates.ca_file}
            options["tls-cert-file"] = self._certificates.cert_file("server")
            options["tls-key-file"] = self._certificates.key_file("server")
        return ["redis-server", *(part for name, value in options.items() for part in (f"--{name}", value))]
