"""What a benchmark asks of a server: where to push, where to play, which processes to weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.ports import is_open
from support.process import Child, wait_until

START_S = 20  #: for a server to listen on a slow, busy machine


class Server:
    """A server process on loopback; a context manager that ends it."""

    def __init__(
        self, command: Sequence[str | Path], *, ports: Mapping[str, int], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Start `command`; return once it listens on all of `ports` (by protocol: ``rtmp``, ``http``)."""
        self.ports = dict(ports)
        self.child = Child(command, log=log, env=env)
        try:
            wait_until("listening", lambda: all(is_open(port) for port in ports.values()), START_S, child=self.child)
        except BaseException:
            self.child.kill()
            raise

    @property
    def pid(self) -> int:
        """Of the process that, with its children, is the server."""
        return self.child.pid

    def rtmp_url(self, stream: str) -> str:
        """Where to push, and play over RTMP; `stream` is ``app/name``."""
        return f"rtmp://127.0.0.1:{self.ports['rtmp']}/{stream}"

    def flv_url(self, stream: str) -> str:
        """Where to play over HTTP-FLV."""
        return f"http://127.0.0.1:{self.ports['http']}/{stream}.flv"

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self.child.stop()
