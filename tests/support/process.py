"""Child processes of tests and benchmarks: output kept in a file, every end bounded, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.forks import Forked, Forks

TERM_S = 2.0  #: what a process gets to obey SIGTERM where the caller names no other bound
KILL_S = 10.0  #: for the kernel to reap a killed process; only a stuck system call takes longer
LOG_TAIL_BYTES = 4000  #: of a process's output that goes into a failure message


class ProcessError(AssertionError):
    """A child process ended when it should not have, or did not do in time what it had to."""


class Child:
    """One child process, in a process group of its own."""

    def __init__(
        self, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, forks: Forks | None = None
    ) -> None:
        """Start `command` with its output in `log` (appended) and its input closed; as one of `forks`, if there are any."""
        self.command = [str(part) for part in command]
        self.log = log
        self._asked = False  # to end
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = self._start(output.fileno(), dict(os.environ, **(env or {})), forks)

    def _start(self, output: int, env: Mapping[str, str], forks: Forks | None) -> subprocess.Popen[bytes] | Forked:
        if forks is not None:
            return forks.run(self.command, output, env)
        return subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the process itself, which leads its group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.returncode is None

    def output(self) -> str:
        """All that it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def describe(self) -> str:
        """The command, how it stands and the end of its output: what a failure message needs."""
        code = self.returncode
        state = "running" if code is None else f"ended with {code}"
        return f"{' '.join(self.command)}\n({state}); its output ends:\n{self.output()[-LOG_TAIL_BYTES:]}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; nothing if it has ended."""
        if self.running:
            os.killpg(self.pid, number)

    def wait(self, limit_s: float) -> int:
        """The exit code, once it has ended by itself.

        Raises:
            ProcessError: it still runs after `limit_s`.
        """
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"still running after {limit_s} s: {self.describe()}") from None

    def terminate(self) -> None:
        """Ask it to end (SIGTERM) and return at once. Asks only once: a second request makes many programs drop everything."""
        if not self._asked:
            self._asked = True
            self.signal(signal.SIGTERM)

    def stop(self, limit_s: float = TERM_S) -> int:
        """Ask it to end (`terminate`), kill it after `limit_s`; the exit code."""
        self.terminate()
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it at once (SIGKILL), and whatever it started; the exit code."""
        self.signal(signal.SIGKILL)
        return self._process.wait(KILL_S)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its sockets stay open and nothing answers."""
        self.signal(signal.SIGSTOP)
        wait_stopped(self.pid)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        """The process itself; leaving the block ends it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the process, whatever happened; a frozen one is woken first, to obey."""
        self.resume()
        self.stop()


def wait_stopped(pid: int) -> None:
    """Return once a child that was sent SIGSTOP stands still: the signal returns while its threads still run. Or it has ended."""
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def wait_until(what: str, holds: Callable[[], bool], limit_s: float, *, child: Child | None = None, every_s: float = 0.02) -> None:
    """Wait until `holds()` is true.

    Raises:
        ProcessError: it is not after `limit_s`, or `child`, which has to make it true, has ended.
    """
    deadline = time.monotonic() + limit_s
    while not holds():
        if child is not None and not child.running:
            raise ProcessError(f"ended before {what}: {child.describe()}")
        if time.monotonic() > deadline:
            raise ProcessError(f"no {what} within {limit_s} s" + (f": {child.describe()}" if child else ""))
        time.sleep(every_s)
