"""The nodes whose membership streams end at this replica, and the commands on their way to them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.model import HeldStream, NodeCommand, NodeReport
from services.scheduler.forgotten import Absences, Differences
from services.scheduler.registrar import Registration

MAX_COMMANDS = 1 << 14  #: commands that wait for one node: one for every stream of a large origin at once


class Session:
    """One membership stream: what the node said last, and what it is to be told."""

    def __init__(self, report: NodeReport) -> None:
        """Begin with the first report."""
        self.report = report
        self.registration: Registration | None = None
        #: set once the node stands in the registry
        self.registered = asyncio.Event()
        #: set once that was tried
        self.tried = asyncio.Event()
        #: set by each report
        self.reported = asyncio.Event()
        #: whether one of its reports was compared with the directory
        self.is_compared = False
        self.held: dict[StreamKey, HeldStream] = {held.stream: held for held in report.streams}
        #: streams that stand differently in the registry
        self.differences = Differences()
        #: streams that it publishes and was asked to claim again
        self.wanted_back: frozenset[StreamKey] = frozenset()
        #: streams that are its own in the registry and that it does not hold
        self.absences = Absences()
        self._commands: deque[NodeCommand] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    @property
    def node(self) -> NodeId:
        """Whose stream it is."""
        return self.report.node.node

    def send(self, command: NodeCommand) -> None:
        """Let the node have `command`; a node that takes nothing any more loses its stream instead."""
        if len(self._commands) >= MAX_COMMANDS:
            self._commands.clear()
            self._ended = True
        if not self._ended:
            self._commands.append(command)
        self._wake.set()

    def end(self) -> None:
        """End the stream after what was sent until now."""
        self._ended = True
        self._wake.set()

    @property
    def has_commands(self) -> bool:
        """Whether some have yet to be taken."""
        return bool(self._commands)

    async def next_command(self) -> NodeCommand | None:
        """The next command, None at the end."""
        while not self._commands:
            if self._ended:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._commands.popleft()


class Members:
    """The registered nodes of this replica, by name and by the streams that they carry."""

    def __init__(self) -> None:
        """Begin with none."""
        self._sessions: dict[str, Session] = {}
        self._holders: dict[StreamKey, set[str]] = {}

    def __iter__(self) -> Iterator[Session]:
        """Every session."""
        return iter(self._sessions.values())

    def open(self, session: Session) -> Session | None:
        """Take a session in; returns the one that it replaces."""
        replaced = self._sessions.get(session.node.name)
        if replaced is not None:
            self.close(replaced)
        self._sessions[session.node.name] = session
        self._add(session, session.held.keys())
        return replaced

    def close(self, session: Session) -> bool:
        """Take a session out; False where it is not in."""
        if not self.is_open(session):
            return False
        del self._sessions[session.node.name]
        self._drop(session, session.held.keys())
        return True

    def is_open(self, session: Session) -> bool:
        """Whether the session is the present one of its node."""
        return self._sessions.get(session.node.name) is session

    def report(self, session: Session, report: NodeReport) -> None:
        """Take in what the node says now."""
        before, session.report = session.held, report
        session.held = {held.stream: held for held in report.streams}
        session.reported.set()
        if self.is_open(session):
            self._drop(session, before.keys() - session.held.keys())
            self._add(session, session.held.keys() - before.keys())

    def named(self, name: str) -> Session | None:
        """The session of a node under whatever incarnation."""
        return self._sessions.get(name)

    def of(self, node: NodeId) -> Session | None:
        """The session of a node under that very incarnation."""
        session = self._sessions.get(node.name)
        return session if session is not None and session.node == node else None

    def holders(self, stream: StreamKey) -> list[Session]:
        """The sessions of the nodes that carry a stream."""
        return [self._sessions[name] for name in sorted(self._holders.get(stream, ()))]

    def coming_back(self, stream: StreamKey, edge: NodeId) -> NodeId | None:
        """Which node other than `edge` publishes the stream, by its last report, and is about to claim it again."""
        return next((each.node for each in self.holders(stream) if stream in each.wanted_back and each.node != edge), None)

    def some_holders(self, stream: StreamKey, count: int) -> list[Session]:
        """At most `count` of them, any, at a cost that does not grow with those that there are."""
        return [self._sessions[name] for name in islice(self._holders.get(stream, ()), count)]

    def _add(self, session: Session, streams: Iterable[StreamKey]) -> None:
        for stream in streams:
            self._holders.setdefault(stream, set()).add(session.node.name)

    def _drop(self, session: Session, streams: Iterable[StreamKey]) -> None:
        for stream in streams:
            names = self._holders[stream]
            names.discard(session.node.name)
            if not names:
                del self._holders[stream]
