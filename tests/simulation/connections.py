"""Connections over the simulated network: two ends, each of which gets in order what the other sends, until it breaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulation.world import Process, Work

if TYPE_CHECKING:
    from simulation.network import Network

WINDOW = 8  #: messages on their way in one direction of a connection; more wait with the sender

Way = tuple[str, str]


def nobody(*_args: Any) -> None:
    """Nobody listens."""


class End:
    """One end of a connection. `receive` gets the messages in order, `closed` hears of its end, once, with a reason."""

    __slots__ = (
        "_arrives_at",
        "_connection",
        "_in_flight",
        "_unsent",
        "closed",
        "drained",
        "other",
        "process",
        "receive",
        "starved",
    )

    def __init__(self, connection: Connection, process: Process | None) -> None:
        self.process = process
        self.receive: Work = nobody
        self.closed: Callable[[str], None] = nobody
        self.drained: Callable[[], None] | None = None
        self.other: End = self
        self.starved = 0  #: number of the silence that it sits in; 0 none
        self._connection = connection
        self._arrives_at = 0.0
        self._in_flight = 0
        self._unsent: deque[tuple[Any, ...]] | None = None

    @property
    def way(self) -> Way:
        """The way that what is sent here takes."""
        connection = self._connection
        return connection.way if self is connection.near else (connection.way[1], connection.way[0])

    @property
    def has_room(self) -> bool:
        return self._in_flight < WINDOW

    @property
    def is_open(self) -> bool:
        return self._connection.is_open(self)

    def send(self, *message: Any) -> None:
        """Let the other end `receive` something."""
        if not self.is_open:
            return
        self._in_flight += 1
        if self._unsent is not None:
            self._unsent.append(message)
        else:
            self._put(message)

    def _put(self, message: tuple[Any, ...]) -> None:
        network = self._connection.network
        self._arrives_at = max(self._arrives_at + 1e-7, network.world.now + network.delay_s(*self.way))
        process = self._arriving_in
        network.world.at(self._arrives_at, process, self._arrive, process, message)

    @property
    def _arriving_in(self) -> Process:
        """The process of the other end; before it has one, whoever runs the network."""
        return self.other.process or self._connection.network.ether

    def _arrive(self, process: Process, message: tuple[Any, ...]) -> None:
        other, network = self.other, self._connection.network
        if other.process is not process and other.process is not None:  # sent before the connection stood
            network.world.at(network.world.now, other.process, self._arrive, other.process, message)
            return
        self._in_flight -= 1
        if self._connection.is_open(other):
            other.receive(*message)
        if self.drained is not None and self._in_flight == WINDOW - 1:
            network.world.at(network.world.now, self.process or network.ether, self.drained)

    def hold(self) -> None:
        """The way is cut."""
        if self._unsent is None:
            self._unsent = deque()

    def release(self) -> None:
        """The way has healed."""
        unsent, self._unsent = self._unsent, None
        for message in unsent or ():
            self._put(message)

    def close(self, reason: str = "closed by the other side") -> None:
        """End the connection: the other side hears of it after what was sent."""
        if self._connection.shut(self):
            self._unsent_or_put(reason)

    def _unsent_or_put(self, reason: str) -> None:
        network = self._connection.network
        if self._unsent is not None:  # it will find out by itself
            return
        at_s = max(self._arrives_at + 1e-7, network.world.now + network.delay_s(*self.way))
        network.world.at(at_s, self._arriving_in, self.other.lose, reason)

    def lose(self, reason: str) -> None:
        """This side has found the connection broken."""
        if self._connection.shut(self):
            self.closed(reason)


class Connection:
    """Two ends. `near` opened it; `far` is there once the first message has arrived."""

    def __init__(self, network: Network, process: Process, to: str, *, dead_s: float | None) -> None:
        self.network = network
        self.way: Way = (process.name, to)
        self.dead_s = dead_s
        self.near, self.far = End(self, process), End(self, None)
        self.near.other, self.far.other = self.far, self.near
        self._open = {self.near, self.far}

    def is_open(self, end: End) -> bool:
        return end in self._open

    def shut(self, end: End) -> bool:
        """Take an end out; whether it was open."""
        if end not in self._open:
            return False
        self._open.discard(end)
        if not self._open:
            self.network.forget(self)
        return True
