"""Kicks: sessions that are ended by their ids, wherever they are.

The session directory says at which node a session is. A node may have joined any replica, so a kick is written to the registry
under a short lease; every replica follows that, and hands it on to those of its nodes that it is for, also to one that joins while
it lasts. Nodes that joined the replica that was asked hear of it at once.

Players of HLS are no node's, and where the directory cannot be asked, nobody knows whose a session is: every edge and hls node is
told of the id then. Ids are random, so a node that does not know one has nothing to do.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lalmesh.errors import Unavailable
from lalmesh.runtime.registry import Changed, KeyValue, Listing, Put, Registry, Removed
from lalmesh.runtime.scheduling.control import MAX_KICKED, KickSessions
from lalmesh.runtime.scheduling.model import Role
from lalmesh.runtime.sessions import (
    MAX_ID_BYTES,
    MAX_PAGE,
    Session,
    SessionDirectory,
    SessionFilter,
    SessionKind,
    SessionsUnavailable,
)
from services.scheduler.changes import Change
from services.scheduler.members import Members
from services.scheduler.members import Session as Member
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.records import DamagedRecordError, dump, parse_record

log = logging.getLogger(__name__)

KICKS = "kicks/"
LEASE_S = 10  #: that a kick stands: longer than a node takes to find another replica
ID_BYTES = 8
MAX_STANDING = 1000  #: kicks that a replica keeps for nodes that join: more in `LEASE_S` is a flood, and older ones have been heard


@dataclass(slots=True, frozen=True, kw_only=True)
class Kick:
    """Who is to be told to end what."""

    reason: str
    nodes: Mapping[str, Sequence[str]] = field(default_factory=dict)  #: ids of sessions by the name of their node
    everywhere: Sequence[str] = ()  #: ids of which all edges and hls nodes are told

    def command_for(self, name: str, role: Role) -> KickSessions | None:
        """What a node is to be told; None where nothing."""
        if role not in (Role.EDGE, Role.HLS):
            return None
        ids = [*self.nodes.get(name, ()), *self.everywhere]
        return KickSessions(tuple(ids[:MAX_KICKED]), self.reason) if ids else None


def kick_of(sessions: Iterable[Session], reason: str) -> Kick:
    """A kick of these sessions."""
    nodes: dict[str, list[str]] = {}
    everywhere: list[str] = []
    for session in sessions:
        if session.kind is SessionKind.HLS:
            everywhere.append(session.id)
        else:
            nodes.setdefault(session.node, []).append(session.id)
    return Kick(reason=reason, nodes=nodes, everywhere=everywhere)


def serialize_kick_record(kick: Kick) -> bytes:
    """The value of a kick's key."""
    nodes = {name: list(ids) for name, ids in kick.nodes.items()}
    # replicas of before tell hls nodes alone of those under "hls", and miss it where it is not there
    return dump({"reason": kick.reason, "nodes": nodes, "hls": [], "everywhere": list(kick.everywhere)})


def parse_kick_record(entry: KeyValue) -> Kick:
    """The kick in a key; raises `DamagedRecordError`."""
    return parse_record(entry, _kick)


def _kick(_: KeyValue, value: dict[str, Any]) -> Kick:
    nodes = {str(name): _ids(ids) for name, ids in value["nodes"].items()}
    return Kick(reason=str(value["reason"]), nodes=nodes, everywhere=_ids((*value["hls"], *value["everywhere"])))


def _ids(values: Iterable[object]) -> tuple[str, ...]:
    """Those that can be: replicas of before wrote down whatever they were asked for."""
    return tuple(filter(can_be_id, map(str, values)))


def can_be_id(text: str) -> bool:
    """Whether a session can have that id: 1 to `MAX_ID_BYTES` bytes of UTF-8, all of them to be seen. Nodes take no other."""
    return bool(text) and text.isprintable() and len(text.encode()) <= MAX_ID_BYTES


class Kicks:
    """Ends sessions. A `ControlPart` of the scheduler."""

    def __init__(self, registry: Registry, members: Members, sessions: SessionDirectory, metrics: SchedulerMetrics) -> None:
        """Write to `registry`, look into `sessions`, tell `members`."""
        self._registry = registry
        self._members = members
        self._sessions = sessions
        self._metrics = metrics
        self._standing: dict[str, Kick] = {}  # by key, in the order in which they came

    async def kick(self, session_id: str, reason: str) -> list[Session] | None:
        """End a session. Gives it, nothing where there is none of that id, None where nobody can tell and all nodes are told.

        Nobody is asked for, nor told of, what can be no id (`can_be_id`).

        Raises:
            Unavailable: the registry did not take the kick, so that nodes which joined other replicas may not hear of it.
        """
        if not can_be_id(session_id):
            return []
        try:
            found = await self._sessions.find(session_id)
        except SessionsUnavailable as exc:
            log.warning("session %s is looked for at every node: %s", session_id, exc)
            await self._carry_out(Kick(reason=reason, everywhere=(session_id,)))
            return None
        if found:
            await self._carry_out(kick_of(found, reason))
        return found

    async def kick_all(self, wanted: SessionFilter, reason: str, limit: int = MAX_KICKED) -> tuple[list[Session], bool]:
        """End the sessions that are wanted, `limit` of them at most. Gives them, and whether there may be more.

        Raises:
            SessionsUnavailable: the directory cannot be asked which they are.
            Unavailable: see `kick`.
        """
        found: list[Session] = []
        cursor = ""
        while len(found) < limit:
            page = await self._sessions.page(wanted, cursor=cursor, limit=min(MAX_PAGE, limit - len(found)))
            found += page.sessions
            cursor = page.cursor
            if not cursor:
                break
        if found:
            await self._carry_out(kick_of(found, reason))
        return found, bool(cursor)

    # ControlPart

    async def run(self) -> None:
        """Follow what other replicas were asked for."""
        async for event in self._registry.follow(KICKS):
            match event:
                case Listing(entries):
                    for key in self._standing.keys() - {entry.key for entry in entries}:
                        del self._standing[key]
                    for entry in entries:
                        self._learn(entry)
                case Changed(entry):
                    self._learn(entry)
                case Removed(key):
                    self._standing.pop(key, None)

    def handle(self, change: Change) -> None:
        """Nothing that changes in the view is of interest."""

    def joined(self, session: Member) -> None:
        """It may have missed some."""
        for kick in self._standing.values():
            _tell(session, kick)

    def reported(self, session: Member) -> None:
        """Nothing to do."""

    async def _carry_out(self, kick: Kick) -> None:
        self._metrics.kicks.inc(sum(map(len, kick.nodes.values())) + len(kick.everywhere))
        key = KICKS + secrets.token_hex(ID_BYTES)
        self._stand(key, kick)
        try:
            lease_id = await self._registry.grant_lease(LEASE_S)
            await self._registry.transact([], [Put(key, serialize_kick_record(kick), lease_id)])
        except Unavailable:
            self._standing.pop(key, None)  # no lease ends it; one that was written all the same comes back
            if not self._reaches_all(kick):
                raise

    def _reaches_all(self, kick: Kick) -> bool:
        """Whether every node that it is for has joined this replica, and so heard of it."""
        return not kick.everywhere and all(self._members.named(name) is not None for name in kick.nodes)

    def _learn(self, entry: KeyValue) -> None:
        if entry.key in self._standing:
            return
        try:
            self._stand(entry.key, parse_kick_record(entry))
        except DamagedRecordError as exc:
            log.error("kick left out: %s", exc)

    def _stand(self, key: str, kick: Kick) -> None:
        while len(self._standing) >= MAX_STANDING:
            del self._standing[next(iter(self._standing))]
        self._standing[key] = kick
        for member in self._members:
            _tell(member, kick)


def _tell(member: Member, kick: Kick) -> None:
    if (command := kick.command_for(member.node.name, member.report.role)) is not None:
        member.send(command)
