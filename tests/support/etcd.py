"""A real etcd server as a child on loopback ports: started, killed, frozen, wiped as a test needs it.

The methods block (a start takes about 0.2 s); a test that must keep its event loop running calls them through
`asyncio.to_thread`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.in_memory import folder_in_memory
from support.ports import free_ports
from support.process import wait_stopped

START_LIMIT_S = 20.0  #: a loaded machine needs far longer than the usual 0.2 s
START_TRIES = 3  #: a port may be taken between looking and listening
STOP_LIMIT_S = 10.0
SNAPSHOT_COUNT = 5000  #: writes that it keeps in memory until then: with 100,000, as 3.4 has it, that grows for hours
READY = b"serving client traffic"  #: the server's log line once a leader is elected and the port answers
CAN_RUN_ETCD = shutil.which("etcd") is not None and shutil.which("etcdctl") is not None


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, the server's pair for 127.0.0.1 and localhost, a client's pair."""

    folder: Path

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def cert_file(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def key_file(self, name: str) -> str:
        return str(self.folder / f"{name}.key")


def make_certificates(folder: Path) -> Certificates:
    """Fresh certificates in `folder`, valid for two days: `server` and `client`, vouched for by one authority."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder)
    names = {"server": "subjectAltName=IP:127.0.0.1,DNS:localhost", "client": "extendedKeyUsage=clientAuth"}
    _openssl(made, "ca", "basicConstraints=critical,CA:TRUE")
    for name, extension in names.items():
        _openssl(made, name, extension, "-CA", made.ca_file, "-CAkey", made.key_file("ca"))
    return made


def _openssl(made: Certificates, name: str, extension: str, *signer: str) -> None:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", made.key_file(name)]
    to = ["-out", made.cert_file(name), "-days", "2", "-subj", f"/CN={name}", "-addext", extension]
    command = ["openssl", "req", "-x509", "-config", os.devnull, *key, *to, *signer]
    subprocess.run(command, check=True, capture_output=True, timeout=START_LIMIT_S)


@dataclass(frozen=True)
class Seat:
    """Which one of several members a server is."""

    name: str
    client_port: int
    peer_port: int
    cluster: str  #: every member with its peer URL, as ``initial-cluster`` takes it


class EtcdServer:
    """One member; the same data and ports for its whole life once it has started.

    Alone its elections are quick (0.2 s), so a lease of 1 s really lasts 1 s.
    """

    def __init__(self, folder: Path, *, certificates: Certificates | None = None, seat: Seat | None = None) -> None:
        """Not started yet.

        Args:
            folder: for its log; its data are in memory while this object lives.
            certificates: with these it speaks TLS and lets in only clients that the authority vouches for.
            seat: among others (`support.etcd_cluster`); by default it is alone.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder_in_memory(self) / "data"  #: where it keeps what it has
        self._log = folder / "etcd.log"
        self._certificates = certificates
        self._seat = seat
        self._client_port, self._peer_port = (seat.client_port, seat.peer_port) if seat else (0, 0)
        self._login: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process, while there is one."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """The port for clients on 127.0.0.1."""
        return self._client_port

    @property
    def endpoint(self) -> str:
        """The URL for clients."""
        return f"{'https' if self._certificates else 'http'}://127.0.0.1:{self._client_port}"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs for clients: the one."""
        return (self.endpoint,)

    def start(self) -> None:
        """Start on the data there is, and wait until it serves."""
        ports = self._client_port, self._peer_port
        for _ in range(START_TRIES):
            self._client_port, self._peer_port = ports if all(ports) else free_ports(2)
            if self._is_started():
                return
            if not all(ports):
                shutil.rmtree(self.data, ignore_errors=True)  # it names the ports
        raise RuntimeError(f"etcd did not start: {self._log.read_text()[-2000:]}")

    def _is_started(self) -> bool:
        """Start it once; whether it serves."""
        ready = threading.Event()
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command(), stdin=nothing, stdout=nothing, stderr=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read_log, args=(self._process, ready), daemon=True)
        self._reader.start()
        if ready.wait(START_LIMIT_S) and self._process.poll() is None:
            return True
        self.kill()
        return False

    def stop(self) -> None:
        """Stop in order; no error where it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self._end(signal.SIGKILL)

    def wipe(self) -> None:
        """Remove the data of a server that does not run; rights are gone too."""
        shutil.rmtree(self.data)
        self._login = ()

    def freeze(self) -> None:
        """Stop it from running while its connections stay; `thaw`, `kill` and `stop` end that."""
        self._signal(signal.SIGSTOP)
        if self._process is not None:
            wait_stopped(self._process.pid)

    def thaw(self) -> None:
        """Let it run on."""
        self._signal(signal.SIGCONT)

    def control(self, *words: str) -> str:
        """What ``etcdctl`` answers to `words`, as the root user once `enable_login` was called."""
        command = ["etcdctl", f"--endpoints={self.endpoint}", *self._login]
        if self._certificates:
            pair = (f"--cert={self._certificates.cert_file('client')}", f"--key={self._certificates.key_file('client')}")
            command += [f"--cacert={self._certificates.ca_file}", *pair]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        done = subprocess.run([*command, *words], check=True, capture_output=True, timeout=START_LIMIT_S, env=environment)
        return done.stdout.decode()

    def revision(self) -> int:
        """The newest that it knows of."""
        (status,) = json.loads(self.control("endpoint", "status", "--write-out=json"))
        return int(status["Status"]["header"]["revision"])

    def compact(self, revision: int) -> None:
        """Forget the history below `revision`."""
        self.control("compaction", str(revision))

    def save(self, file: Path) -> None:
        """Write a snapshot of all that the registry holds to a file that is not there yet."""
        self.control("snapshot", "save", str(file))

    def restore(self, file: Path) -> None:
        """Have a server that does not run and has no data begin with what was saved."""
        tool = "etcdutl" if shutil.which("etcdutl") else "etcdctl"  # etcdctl can no longer do it since 3.6
        options = [f"--{name}={value}" for name, value in {"data-dir": self.data, **self._membership()}.items()]
        command = [tool, "snapshot", "restore", str(file), *options]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        subprocess.run(command, check=True, capture_output=True, timeout=START_LIMIT_S, env=environment)

    def enable_login(self, username: str, password: str, prefix: str) -> None:
        """Let in only those who log in; `username` may read and write what begins with `prefix`."""
        for words in (
            ("user", "add", "root:root"),
            ("user", "grant-role", "root", "root"),
            ("role", "add", "member"),
            ("role", "grant-permission", "member", "--prefix=true", "readwrite", prefix),
            ("user", "add", f"{username}:{password}"),
            ("user", "grant-role", username, "member"),
            ("auth", "enable"),
        ):
            self.control(*words)
        self._login = ("--user=root:root",)

    def _command(self) -> list[str]:
        options: dict[str, Any] = {
            "data-dir": self.data,
            "listen-client-urls": self.endpoint,
            "advertise-client-urls": self.endpoint,
            "listen-peer-urls": self._peer_url,
            **self._membership(),
            "heartbeat-interval": 100 if self._seat else 20,
            "election-timeout": 1000 if self._seat else 200,
            "bcrypt-cost": 4,
            "snapshot-count": SNAPSHOT_COUNT,
            "logger": "zap",
        }
        if self._certificates:
            options["cert-file"] = self._certificates.cert_file("server")
            options["key-file"] = self._certificates.key_file("server")
            options["trusted-ca-file"] = self._certificates.ca_file
        flags = [f"--{name}={value}" for name, value in options.items()]
        return ["etcd", *flags, *(["--client-cert-auth"] if self._certificates else [])]

    @property
    def _peer_url(self) -> str:
        return f"http://127.0.0.1:{self._peer_port}"

    def _membership(self) -> dict[str, str]:
        name, cluster = (self._seat.name, self._seat.cluster) if self._seat else ("default", f"default={self._peer_url}")
        return {"name": name, "initial-advertise-peer-urls": self._peer_url, "initial-cluster": cluster}

    def _read_log(self, process: subprocess.Popen[bytes], ready: threading.Event) -> None:
        assert process.stderr is not None
        with self._log.open("ab") as log, process.stderr:
            for line in process.stderr:
                log.write(line)
                log.flush()
                if READY in line:
                    ready.set()
        ready.set()  # it ended; `start` looks

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._reader is None:
            return
        self._signal(number)
        self._signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_LIMIT_S)
        self._reader.join(STOP_LIMIT_S)
        self._process = None
