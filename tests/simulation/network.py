"""The network between the processes: messages, and connections that keep the order of what is sent on them.

What is lost is sent again and comes late, as TCP has it, so what is seen above are delays, messages that overtake each other on
different ways, calls that are carried out twice or long after who called has given up, and connections that break: reset by
the end of a process, or silent for too long. A way between two nodes can be cut in either direction; what is sent over it waits for
it to heal.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Any

from simulation.connections import Connection, End, Way, nobody
from simulation.world import Process, Work, World

log = logging.getLogger(__name__)

DEAD_S = 2.0  #: so much silence breaks a link; as `LinkLimits.dead_s`
HEARTBEAT_S = 0.5  #: so old may be what was heard last when silence begins
RESEND_S = (0.2, 0.6)  #: until a lost message is sent again


@dataclass(slots=True)
class Weather:
    """What messages meet with."""

    delay_s: float = 0.001
    jitter_s: float = 0.002
    loss: float = 0.0  #: share of messages that come late since they were lost once
    doubled: float = 0.0  #: share of calls that are carried out twice


class Network:
    """All ways between all nodes. A node is known by its name, whatever process it is at the moment."""

    def __init__(self, world: World, weather: Weather) -> None:
        self.world = world
        self._weathers = [weather]  #: the first one stays, those that have come after it may end in any order
        self.ether = Process(world, "network")
        self.processes: dict[str, Process] = {}
        self.slow: dict[str, float] = {}  #: seconds more that messages from or to a node take
        self._cut: set[Way] = set()
        self._held: dict[Way, list[tuple[Process | None, Work, tuple[Any, ...]]]] = {}
        self._listeners: dict[tuple[Process, str], Work] = {}
        self._connections: dict[Connection, None] = {}
        self._silences = 0
        self._vanished: set[str] = set()  # nodes whose machine answers nothing at all

    def run(self, process: Process) -> None:
        """From now on `process` is what its name reaches."""
        self.processes[process.name] = process
        self._vanished.discard(process.name)

    @property
    def weather(self) -> Weather:
        """What messages meet with now: the weather that came last of those that have not ended."""
        return self._weathers[-1]

    def change_weather(self, weather: Weather) -> None:
        """Until it ends, or another comes."""
        self._weathers.append(weather)

    def end_weather(self, weather: Weather) -> None:
        """It may have been another's turn meanwhile."""
        self._weathers = [other for other in self._weathers if other is not weather]

    def delay_s(self, source: str, target: str) -> float:
        weather, draw = self.weather, random.random
        delay_s = weather.delay_s + weather.jitter_s * draw()
        if weather.loss and draw() < weather.loss:
            delay_s += random.uniform(*RESEND_S)
        if self.slow:
            delay_s += (self.slow.get(source, 0.0) + self.slow.get(target, 0.0)) * draw()
        return delay_s

    def is_cut(self, source: str, target: str) -> bool:
        return (source, target) in self._cut

    # messages

    def call(self, source: Process, target: str, method: str, answer: Work, *args: Any) -> None:
        """Have the listener for `method` of a node carry something out; `answer` is called in `source`, at most once.

        Where there is no such process now, the answer is `ConnectionRefusedError`.
        """
        self._post(source.name, target, self.ether, self._carry_out, source, target, method, answer, args)
        if self.weather.doubled and random.random() < self.weather.doubled:
            self._post(source.name, target, self.ether, self._carry_out, source, target, method, nobody, args)

    def _carry_out(self, source: Process, target: str, method: str, answer: Work, args: tuple[Any, ...]) -> None:
        if target in self._vanished:
            return
        process = self.processes.get(target)
        listener = self._listeners.get((process, method)) if process is not None else None

        def reply(result: Any) -> None:
            self._post(target, source.name, source, answer, result)

        if process is None or listener is None:
            reply(ConnectionRefusedError(target))
        else:
            self.world.at(self.world.now, process, listener, reply, *args)

    def _post(self, source: str, target: str, process: Process, deliver: Work, *args: Any) -> None:
        way = (source, target)
        if way in self._cut:
            self._held.setdefault(way, []).append((process, deliver, args))
        else:
            self.world.at(self.world.now + self.delay_s(source, target), process, deliver, *args)

    def serve(self, process: Process, method: str, listener: Work) -> None:
        """Have calls of `method` reach ``listener(reply, *args)``, connections to that port ``listener(process, end, source)``."""
        self._listeners[process, method] = listener

    # connections

    def connect(self, process: Process, target: str, port: str, *, dead_s: float | None = None) -> End:
        """Open a connection; what is sent before it stands is sent with its opening. It breaks after `dead_s` of silence."""
        connection = Connection(self, process, target, dead_s=dead_s)
        self._connections[connection] = None
        near = connection.near
        if self.is_cut(*near.way):
            near.hold()
        if self.is_cut(*connection.far.way):
            connection.far.hold()
        near.other.receive = lambda *_message: self._accept(connection, port)
        near.send()
        self._check_silence(connection)
        return near

    def _accept(self, connection: Connection, port: str) -> None:
        source, target = connection.way
        far = connection.far
        if target in self._vanished:
            connection.shut(far)
            return
        process = self.processes.get(target)
        listener = self._listeners.get((process, port)) if process is not None else None
        if process is None or listener is None:
            far.close("refused")
            return
        far.process, far.receive = process, nobody
        listener(process, far, source)
        self._check_silence(connection)

    def forget(self, connection: Connection) -> None:
        """It has ended on both sides."""
        self._connections.pop(connection, None)

    # faults

    def cut(self, source: str, target: str) -> None:
        """Nothing comes from `source` to `target` any more."""
        self._cut.add((source, target))
        self._changed()

    def heal(self, source: str, target: str) -> None:
        """What was held back comes now."""
        if (source, target) not in self._cut:
            return
        self._cut.discard((source, target))
        for process, deliver, args in self._held.pop((source, target), ()):
            delay_s = self.delay_s(source, target) + random.uniform(0.0, RESEND_S[1])
            self.world.at(self.world.now + delay_s, process or self.ether, deliver, *args)
        self._changed()

    @property
    def cuts(self) -> list[Way]:
        return sorted(self._cut)

    def died(self, process: Process, *, silently: bool) -> None:
        """A process is no more; its machine tells the others so, unless that has vanished with it."""
        if silently:
            self._vanished.add(process.name)
        if self.processes.get(process.name) is process:
            del self.processes[process.name]
        for connection in list(self._connections):
            for end in (connection.near, connection.far):
                if end.process is process:
                    if silently:
                        connection.shut(end)
                    else:
                        end.close("reset")
        self._changed()

    def changed(self) -> None:
        """A process was halted or goes on."""
        self._changed()

    def _changed(self) -> None:
        for connection in list(self._connections):
            for end in (connection.near, connection.far):
                if self.is_cut(*end.way):
                    end.hold()
                else:
                    end.release()
            self._check_silence(connection)

    def _check_silence(self, connection: Connection) -> None:
        """Break what stays silent for too long."""
        if connection.dead_s is None:
            return
        for end in (connection.near, connection.far):
            if end.process is None or not self._is_silent(connection, end):
                end.starved = 0
            elif not end.starved:
                self._silences += 1
                end.starved = self._silences
                after_s = connection.dead_s - random.uniform(0.0, HEARTBEAT_S)
                self.world.at(self.world.now + after_s, end.process, self._silent, end, end.starved)

    def _is_silent(self, connection: Connection, end: End) -> bool:
        """Whether nothing comes to `end`."""
        other = end.other
        if self.is_cut(*other.way) or not connection.is_open(other):
            return True
        if other.process is None:  # it does not stand yet
            return self.is_cut(*end.way) or connection.way[1] in self._vanished
        return other.process.is_halted or not other.process.is_alive

    def _silent(self, end: End, number: int) -> None:
        if end.starved == number and end.is_open:
            end.close("silent")
            end.closed("silent for too long")
