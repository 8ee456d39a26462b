"""A server as a child on a loopback port, which keeps nothing: started, killed, frozen as a test needs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from support.ports import free_ports
from support.process import Child, ProcessError, wait_until

START_LIMIT_S = 30.0  #: a loaded machine needs far longer than the usual 0.1 to 2 s
START_TRIES = 3  #: the port may be taken between looking and listening


class ChildServer(ABC):
    """The same port for its whole life once it has started."""

    def __init__(self) -> None:
        """Not started yet."""
        self.port = 0
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start, empty, and wait until it answers."""
        chosen = self.port
        for _ in range(START_TRIES):
            self.port = chosen or free_ports(1)[0]
            self._child = self._launch()
            try:
                wait_until(f"answer of {type(self).__name__}", self._answers, START_LIMIT_S, child=self._child)
            except ProcessError:
                self._child.kill()
            else:
                return
        raise AssertionError(f"{type(self).__name__} did not start: {self._child.describe() if self._child else ''}")

    @abstractmethod
    def _launch(self) -> Child:
        """Run it on `port`."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it is ready."""

    def stop(self) -> None:
        """Stop; no error where it does not run."""
        if self._child is not None:
            self._child.resume()
            self._child.stop()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._child is not None
        return self._child.pid

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        if self._child is not None:
            self._child.kill()

    def freeze(self) -> None:
        """Let it take connections and answer nothing; `thaw` and `stop` end that."""
        if self._child is not None:
            self._child.pause()

    def thaw(self) -> None:
        """Let it run on."""
        if self._child is not None:
            self._child.resume()
