"""Nodes and clients without their start: each is a fork of a process that has imported the program already.

A node takes a second of a core to import what it needs, a client half of that, and tests start hundreds. From the fork on it does
what it does anywhere: a process of its own reads its command line, environment and configuration, serves, obeys signals and ends.
That the program starts as users start it is shown by `e2e/test_cli`, `e2e/test_readme` and the chaos tests, and with E2E_LALMESH by
all of them.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1  #: prctl(2)
PR_SET_CHILD_SUBREAPER = 36
START_S = 60.0  #: for all imports on a slow machine
ORDER_BYTES = 128 << 10  #: a command line and an environment; what a socket takes in one message
TESTS = Path(__file__).resolve().parents[1]
OUR_PROGRAM = str(Path(sys.executable).parent / "lalmesh")
IMPORTED = (
    *(f"services.standalone.{commands}_cli" for commands in ("roles", "client", "load", "drain", "doctor")),
    *("services.standalone.serving", "services.standalone.supervising"),
    *(f"services.{role}.app" for role in ("scheduler", "origin", "hls", "edge")),
    *(f"services.standalone.{role}_settings" for role in ("scheduler", "origin", "hls", "edge")),
    *("services.scheduler.registry", "services.scheduler.sessions", "services.scheduler.events"),
    *("services.scheduler.blacklisting", "services.scheduler.lal_api", "services.scheduler.metrics"),
)


class Forked:
    """One process: as much of `subprocess.Popen` as is needed for a child of ours."""

    def __init__(self, pid: int) -> None:
        """`pid` is a child of this process."""
        self.pid = pid
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._handle)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout`.
        """
        if self.returncode is None:
            select.select([self._handle], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def kill(self) -> None:
        """End it, and whatever it started, at once."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait(START_S)


class Forks:
    """The process that is forked."""

    def __init__(self) -> None:
        """Start it. Whoever it forks becomes a child of this process, and is killed where this process ends before it."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders.settimeout(START_S)
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-P", "-m", __name__, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def run(self, words: Sequence[str], output: int, env: Mapping[str, str], *, errors: int | None = None) -> Forked:
        """Run the command line in a session of its own, what it says to the descriptors `output` and `errors` (the same if None).

        Raises:
            RuntimeError: the process that is forked has ended.
        """
        order = json.dumps([list(words), dict(env), os.getcwd()]).encode()
        with self._turn:
            socket.send_fds(self._orders, [order], [output, output if errors is None else errors])
            answer = self._orders.recv(16)
        if not answer:
            raise RuntimeError("the process that nodes are forks of has ended")
        return Forked(int(answer))

    def close(self) -> None:
        """End it; what it has forked goes on."""
        self._orders.close()
        self._process.wait(START_S)


@dataclass
class _Here:
    """What nodes are forks of in this process."""

    wanted: bool = False
    running: Forks | None = None


_here = _Here()


@contextmanager
def forking() -> Iterator[None]:
    """Within the block nodes are forks, of a process that starts with the first of them."""
    _here.wanted = True
    try:
        yield
    finally:
        _here.wanted = False
        if _here.running is not None:
            _here.running.close()
            _here.running = None


def forks() -> Forks | None:
    """What nodes are forks of here; None: they are started."""
    if _here.wanted and _here.running is None:
        _here.running = Forks()
    return _here.running


def forks_for(command: Sequence[str | Path]) -> Forks | None:
    """The same for what `command` starts, if that can be a fork: our program as it is here."""
    return forks() if str(command[0]) == OUR_PROGRAM else None


# in the process that is forked


def serve(orders: socket.socket, master: int) -> None:
    """Fork for each order, until there can be no more of them; what is forked, a child of `master`, returns, to be the program."""
    while True:
        order, said, _, _ = socket.recv_fds(orders, ORDER_BYTES, 2)
        if not order:
            os._exit(0)
        pid = _orphan(master)
        if not pid:
            os.setsid()
            for ours, theirs in zip((1, 2), said, strict=True):
                os.dup2(theirs, ours)
                os.close(theirs)
            orders.close()
            _become(*json.loads(order))
            return
        for descriptor in said:
            os.close(descriptor)
        orders.send(str(pid).encode())


def _orphan(master: int) -> int:
    """As `os.fork`, for a process whose parent has ended: it becomes a child of `master`, who takes those in, and ends with it."""
    reading, writing = os.pipe()
    waiting, letting = os.pipe()
    if not (between := os.fork()):
        if pid := os.fork():
            os.write(writing, str(pid).encode())
            os._exit(0)
        for end in (reading, writing, letting):
            os.close(end)
        os.read(waiting, 1)  # what ends it with its parent has to be asked for when that is `master`
        os.close(waiting)
        _end_with(master)
        return 0
    os.waitpid(between, 0)
    pid = int(os.read(reading, 16))
    for end in (reading, writing, waiting, letting):
        os.close(end)
    return pid


def _end_with(master: int) -> None:
    """A run of tests that is killed leaves no node behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != master:
        os._exit(1)


def _become(words: list[str], env: dict[str, str], folder: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = words


def main() -> None:
    """Import all, and wait for orders."""
    sys.path.remove(str(TESTS))
    for name in IMPORTED:
        import_module(name)
    import_module("uvloop")
    assert len(os.listdir("/proc/self/task")) == 1, "what has threads cannot be forked"
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        serve(orders, int(sys.argv[2]))
    program: Any = import_module("services.standalone.cli")
    try:
        program.main()
    except SystemExit as end:
        _leave(end)


def _leave(end: SystemExit) -> NoReturn:
    """End as Python does, but take nothing apart: to touch all that was imported is to copy it, which takes longer than to run."""
    threading._shutdown()  # type: ignore[attr-defined]  # as `multiprocessing` does
    atexit._run_exitfuncs()
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


if __name__ == "__main__":
    main()
