"""lalmesh as child processes: one node, the standalone server, or a whole cluster with a real etcd, all on loopback.

Every port is free, and is so again where a node starts again; it is read back from the file that ``--ports-file`` names. Nothing
here waits without a bound.
"""

from __future__ import annotations

import itertools
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from support.etcd import EtcdServer
from support.etcd_cluster import EtcdCluster
from support.forks import OUR_PROGRAM, forks_for
from support.ports import LOOPBACK, free_ports
from support.process import Child, ProcessError, wait_until

#: The program under test: the one of this environment, or what E2E_LALMESH names (a packed one, say).
PROGRAM = os.environ.get("E2E_LALMESH") or OUR_PROGRAM
START_S = 90.0  #: for a node to listen on a slow machine that runs other tests
STOP_S = 10.0  #: for a node to leave in order
READY_REQUEST_S = 30.0  #: for one answer of a health check, or metrics, on a slow machine that runs other tests
CLUSTER_KEY = "a cluster key for tests only"

Settings = Mapping[str, object]  #: dotted configuration keys

_LISTENERS: dict[str, dict[str, object]] = {
    "edge": {
        "edge.rtmp.host": LOOPBACK, "edge.rtmp.port": 0, "edge.http.host": LOOPBACK, "edge.http.port": 0,
        "edge.rtmps.host": LOOPBACK, "edge.rtmps.port": 0, "edge.https.host": LOOPBACK, "edge.https.port": 0,
        "edge.rtsp.host": LOOPBACK, "edge.rtsp.port": 0, "edge.rtsps.host": LOOPBACK, "edge.rtsps.port": 0,
        "edge.ws_rtsp.host": LOOPBACK, "edge.ws_rtsp.port": 0,
        "edge.advertise.host": LOOPBACK, "metrics.port": 0,
    },
    "origin": {"origin.grpc.host": LOOPBACK, "origin.grpc.port": 0, "origin.advertise_host": LOOPBACK, "metrics.port": 0},
    "hls": {
        "hls.http.host": LOOPBACK, "hls.http.port": 0, "hls.grpc.host": LOOPBACK, "hls.grpc.port": 0,
        "hls.https.host": LOOPBACK, "hls.https.port": 0, "hls.advertise_host": LOOPBACK, "metrics.port": 0,
    },
    "scheduler": {
        "scheduler.grpc.host": LOOPBACK, "scheduler.grpc.port": 0,
        "scheduler.http.host": LOOPBACK, "scheduler.http.port": 0, "metrics.port": 0,
    },
}  # fmt: skip
_LISTENERS["standalone"] = _LISTENERS["edge"] | _LISTENERS["origin"] | _LISTENERS["scheduler"] | _LISTENERS["hls"]

#: Under which listener's port a protocol is reached, and the setting that fixes that port.
_PORT_SETTINGS = {
    "rtmp": "edge.rtmp.port",
    "rtmps": "edge.rtmps.port",
    "rtsp": "edge.rtsp.port",
    "rtsps": "edge.rtsps.port",
    "ws_rtsp": "edge.ws_rtsp.port",
    "http": "edge.http.port",
    "https": "edge.https.port",
    "hls": "hls.http.port",
    "hls_https": "hls.https.port",
    "api": "scheduler.http.port",
    "metrics": "metrics.port",
}


class Node:
    """One lalmesh process in one role."""

    def __init__(
        self,
        role: str,
        name: str,
        folder: Path,
        settings: Settings | None = None,
        *,
        arguments: Sequence[str] = (),
        host: str = LOOPBACK,
        inside: Sequence[str] = (),
    ) -> None:
        """Start the process; `wait_ready` waits for it.

        Args:
            role: ``standalone``, ``edge``, ``origin``, ``hls`` or ``scheduler``.
            name: of the node; its files in `folder` are called after it.
            folder: for the log and the ports file.
            settings: configuration beyond listeners on `host`; beats those.
            arguments: of the command line beyond settings.
            host: where it listens and is reached.
            inside: the command that runs it elsewhere, such as in a network namespace; it has to become the process.
        """
        self.role = role
        self.name = name
        self.log = folder / f"{name}.log"
        self._ports_file = folder / f"{name}.ports.json"
        self._arguments = arguments
        self._host = host
        self._inside = inside
        own: dict[str, object] = {}
        if role in ("hls", "standalone"):
            own = {"hls.storage.url": str(folder / "media"), "hls.recording.spool_dir": str(folder / f"{name}.spool")}
        listeners = {key: host if value == LOOPBACK else value for key, value in _LISTENERS[role].items()}
        common = {"metrics.host": host, "cluster.drain_s": 0}  # a test that is over waits for nobody
        self._settings: dict[str, object] = {**listeners, **common, **own, **(settings or {})}
        if not any(key.endswith(".workers") for key in self._settings):  # their nodes have ports beside these
            free = [key for key in listeners if self._settings[key] == 0]
            self._settings |= zip(free, free_ports(len(free)), strict=True)
        self._ports: dict[str, int] = {}
        #: variables of its next start, beyond those of all tests
        self.environment: Mapping[str, str] = {}
        self._child = self._launch()

    def _launch(self) -> Child:
        self._ports_file.unlink(missing_ok=True)
        sets = [part for key, value in self._settings.items() for part in ("--set", f"{key}={_written(value)}")]
        command = [*self._inside, PROGRAM, self.role, *sets, "--ports-file", str(self._ports_file), *self._arguments]
        own_code = {"PYTHONPATH": ""}  # a packed program would find the checkout's there
        env = {"LALMESH_CLUSTER__KEY": CLUSTER_KEY, "PYTHONUNBUFFERED": "1", **own_code, **self.environment}
        return Child(command, log=self.log, env=env, forks=forks_for(command))

    def wait_ready(self, limit_s: float = START_S) -> Self:
        """Wait until it listens and says that it is ready.

        Raises:
            ProcessError: it ended, or it is not ready after `limit_s`.
        """
        wait_until(f"ports of {self.name}", self._ports_file.exists, limit_s, child=self._child)
        self._ports = {listener: int(port) for listener, port in json.loads(self._ports_file.read_text()).items()}
        wait_until(f"readiness of {self.name}", self.is_ready, limit_s, child=self._child, every_s=0.05)
        return self

    def is_ready(self) -> bool:
        """What its readiness check answers."""
        try:
            with urllib.request.urlopen(f"{self.health_url}/readyz", timeout=READY_REQUEST_S) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    @property
    def ports(self) -> dict[str, int]:
        """Port by listener."""
        return dict(self._ports)

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._child.running

    @property
    def health_url(self) -> str:
        """Where ``/healthz``, ``/readyz`` and ``/metrics`` are."""
        return f"http://{self._host}:{self._ports.get('metrics') or self._ports['api']}"

    @property
    def api_url(self) -> str:
        """The HTTP API of a scheduler, or of the standalone server."""
        return f"http://{self._host}:{self._ports['api']}"

    @property
    def grpc_address(self) -> str:
        """Where other nodes reach it."""
        return f"{self._host}:{self._ports['grpc']}"

    def rtmp_url(self, stream: str, *, tls: bool = False) -> str:
        """Where to push and play `stream` (``app/name``)."""
        scheme = "rtmps" if tls else "rtmp"
        return f"{scheme}://{self._host}:{self._ports[scheme]}/{stream}"

    def rtsp_url(self, stream: str, *, tls: bool = False) -> str:
        """Where to push and play `stream` by RTSP."""
        scheme = "rtsps" if tls else "rtsp"
        return f"{scheme}://{self._host}:{self._ports[scheme]}/{stream}"

    def flv_url(self, stream: str, *, tls: bool = False) -> str:
        """Where to play `stream` over HTTP-FLV."""
        return self.http_url(f"{stream}.flv", tls=tls)

    def ws_url(self, stream: str, *, tls: bool = False) -> str:
        """Where to play `stream` over WebSocket-FLV."""
        return self.socket_url(f"{stream}.flv", tls=tls)

    def http_url(self, path: str, *, tls: bool = False) -> str:
        """Where an edge answers for `path` over HTTP."""
        scheme = "https" if tls else "http"
        return f"{scheme}://{self._host}:{self._ports[scheme]}/{path}"

    def socket_url(self, path: str, *, tls: bool = False) -> str:
        """Where an edge answers for `path` over WebSocket."""
        return self.http_url(path, tls=tls).replace("http", "ws", 1)

    def hls_url(self, path: str) -> str:
        """Where an hls node answers for `path` below ``/hls/``."""
        return f"http://{self._host}:{self._ports['hls']}/hls/{path}"

    def metrics(self) -> str:
        """What ``/metrics`` says."""
        with urllib.request.urlopen(f"{self.health_url}/metrics", timeout=READY_REQUEST_S) as answer:
            return str(answer.read().decode())

    def output(self) -> str:
        """Its log so far."""
        return self._child.output()

    def stop(self, limit_s: float = STOP_S) -> int:
        """Ask it to leave (SIGTERM), kill it after `limit_s`; the exit code."""
        self._child.resume()
        return self._child.stop(limit_s)

    def terminate(self) -> None:
        """Ask it to leave and return at once."""
        self._child.terminate()

    def wait(self, limit_s: float = STOP_S) -> int:
        """The exit code, once it has ended by itself."""
        return self._child.wait(limit_s)

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()

    def pause(self) -> None:
        """SIGSTOP: as if its machine had vanished."""
        self._child.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._child.resume()

    def restart(self) -> Self:
        """Start it again on the ports that it had, once it has ended; `wait_ready` waits for it.

        Raises:
            ProcessError: it still runs.
        """
        if self.running:
            raise ProcessError(f"{self.name} still runs")
        for listener, port in self._ports.items():
            setting = f"{self.role}.grpc.port" if listener == "grpc" else _PORT_SETTINGS.get(listener)
            if setting in self._settings:
                self._settings[str(setting)] = port
        self._child = self._launch()
        return self

    def __enter__(self) -> Self:
        """The node, ready; leaving the block ends it."""
        try:
            return self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self.stop()


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Standalone(Node):
    """All roles in one process."""

    def __init__(
        self, folder: Path, settings: Settings | None = None, *, name: str = "standalone", arguments: Sequence[str] = ()
    ) -> None:
        """Start it; as a context manager it is ready inside the block."""
        super().__init__("standalone", name, folder, settings, arguments=arguments)


OTHER_SCHEDULER = "/lalmesh/schedulers/other/00"  #: the key of one that stands for ever
SETTLING = "/lalmesh/cluster/settling"


class Cluster:
    """etcd, schedulers, origins and edges; each node says that it is on a machine of its own. A context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        schedulers: int = 1,
        origins: int = 2,
        edges: int = 2,
        hls: int = 0,
        settings: Mapping[str, Settings] | None = None,
        settles: bool = False,
    ) -> None:
        """Describe it; entering the block starts it.

        Args:
            folder: for etcd's data, logs and ports files.
            schedulers: how many.
            origins: how many.
            edges: how many.
            hls: how many hls nodes; they share a storage folder.
            settings: configuration by role; under ``all`` for every node.
            settles: whether the first schedulers find a registry that nobody has used, and so have publishers wait for `lease_s`.
        """
        self.folder = folder
        self._settles = settles
        self.schedulers: list[Node] = []
        self.origins: list[Node] = []
        self.edges: list[Node] = []
        self.hls: list[Node] = []
        self._counts = {"scheduler": schedulers, "origin": origins, "edge": edges, "hls": hls}
        self._settings = settings or {}
        self._names = {role: itertools.count(1) for role in self._counts}
        self._stack = ExitStack()
        self._etcd: EtcdServer | None = None
        self._endpoints: tuple[str, ...] = ()

    @property
    def etcd(self) -> EtcdServer:
        """The registry's server; only inside the block."""
        if self._etcd is None:
            raise ProcessError("the cluster has not been started")
        return self._etcd

    @property
    def nodes(self) -> list[Node]:
        """All lalmesh processes."""
        return [*self.schedulers, *self.origins, *self.edges, *self.hls]

    @property
    def api_url(self) -> str:
        """The HTTP API of the first scheduler."""
        return self.schedulers[0].api_url

    def add(self, role: str, settings: Settings | None = None) -> Node:
        """One more node, started but not waited for."""
        name = f"{role}-{next(self._names[role])}"
        own = {"cluster.node": name, "cluster.machine": f"machine-of-{name}", **self._shared(role)}
        given = {**self._settings.get("all", {}), **self._settings.get(role, {}), **(settings or {})}
        node = Node(role, name, self.folder, {**own, **given})
        self._stack.callback(node.stop)
        {"scheduler": self.schedulers, "origin": self.origins, "edge": self.edges, "hls": self.hls}[role].append(node)
        return node

    def _shared(self, role: str) -> dict[str, object]:
        if role == "scheduler":
            return {"scheduler.etcd.endpoints": [url.removeprefix("http://") for url in self._endpoints]}
        return {"cluster.schedulers": [node.grpc_address for node in self.schedulers]}

    def _start_etcd(self) -> EtcdServer | EtcdCluster:
        self._etcd = self._stack.enter_context(EtcdServer(self.folder / "etcd"))
        return self._etcd

    def _start(self, roles: Sequence[str]) -> None:
        """All nodes of `roles` at once, then wait for each."""
        for node in [self.add(role) for role in roles for _ in range(self._counts[role])]:
            node.wait_ready()

    def output(self) -> str:
        """The ends of all logs, for a failure message."""
        return "\n".join(f"--- {node.name}\n{node.output()[-3000:]}" for node in self.nodes)

    def __enter__(self) -> Self:
        """Start everything; all nodes are ready."""
        try:
            server = self._start_etcd()
            self._endpoints = server.endpoints
            self._start(["scheduler"])
            if not self._settles:  # nobody was there before; schedulers that are started again find the other one
                server.control("put", OTHER_SCHEDULER, "{}")
                server.control("del", SETTLING)
            self._start(["origin", "edge", "hls"])
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End everything; all nodes are asked at once, etcd ends last."""
        for node in [*self.edges, *self.hls, *self.origins, *self.schedulers]:
            node.resume()
            node.terminate()
        self._stack.close()
