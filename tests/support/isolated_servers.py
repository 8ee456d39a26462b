"""etcd and Redis in network namespaces, on their usual ports: stopped, killed, frozen as a test needs it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path

from support.child_server import ChildServer
from support.in_memory import folder_in_memory
from support.netns import Namespace
from support.process import Child

ETCD_PORT, REDIS_PORT = 2379, 6379
CONTROL_LIMIT_S = 10.0


class _IsolatedServer(ChildServer):
    """A server whose port is known."""

    def __init__(self, at: Namespace, folder: Path, port: int) -> None:
        super().__init__()
        self.at = at
        self.port = port
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """``host:port`` for its clients."""
        return f"{self.at.address}:{self.port}"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.at.address, self.port), timeout=1):
            return True
        return False


class IsolatedEtcd(_IsolatedServer):
    """One member, which keeps its data over a restart."""

    def __init__(self, at: Namespace, folder: Path) -> None:
        """Not started yet."""
        super().__init__(at, folder, ETCD_PORT)
        self._data = folder_in_memory(self) / "data"

    def _launch(self) -> Child:
        peer = f"http://{self.at.address}:2380"
        options = {
            "data-dir": str(self._data), "listen-client-urls": f"http://{self.address}",
            "advertise-client-urls": f"http://{self.address}", "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}", "heartbeat-interval": "20", "election-timeout": "200", "logger": "zap",
        }  # fmt: skip
        flags = [f"--{name}={value}" for name, value in options.items()]
        return Child([*self.at.inside, "etcd", *flags], log=self._folder / "etcd.log")

    def _answers(self) -> bool:
        try:
            return super()._answers() and self.control("get", "/") is not None
        except subprocess.SubprocessError:
            return False

    def control(self, *words: str) -> str:
        """What ``etcdctl`` answers to `words`."""
        command = ["etcdctl", f"--endpoints=http://{self.address}", *words]
        return subprocess.run(command, check=True, capture_output=True, timeout=CONTROL_LIMIT_S, text=True).stdout


class IsolatedRedis(_IsolatedServer):
    """One server, which keeps nothing."""

    def __init__(self, at: Namespace, folder: Path) -> None:
        """Not started yet."""
        super().__init__(at, folder, REDIS_PORT)

    def _launch(self) -> Child:
        options = {"bind": self.at.address, "port": str(self.port), "save": "", "appendonly": "no", "dir": str(self._folder)}
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        return Child([*self.at.inside, "redis-server", *flags, "--protected-mode", "no"], log=self._folder / "redis.log")
