"""What happens to nodes, owners and relays that no edge can tell of, as events. A pure core.

Every replica sees it and tells of it, under an id that is the same for all of them: so it is told though some of them die, and kept
once. What a replica finds when it begins is no news.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from lalmesh.names import StreamKey
from lalmesh.runtime.dialled import dialled
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.events import Facts
from lalmesh.runtime.sessions import SessionRole
from services.scheduler.changes import Change, GroupChanged, NodeChanged, RelayChanged
from services.scheduler.records import GroupRecord, NodeRecord
from services.scheduler.relay_records import RelayRecord

ID_BYTES = 12


@dataclass(slots=True, frozen=True, kw_only=True)
class ClusterEvent:
    """An event that any replica may tell of."""

    kind: EventKind
    once: str  #: its id
    stream: StreamKey | None = None
    node: str = ""  #: the node that it is about; empty: the replica that tells
    facts: Facts = field(default_factory=dict)


def events_of(change: Change, now_us: int, is_unheard: Callable[[RelayRecord], bool]) -> Iterator[ClusterEvent]:
    """What a change is worth telling.

    Args:
        change: what is otherwise in the registry now.
        now_us: Unix microseconds.
        is_unheard: of a relay that an edge was to run: whether that is known not to have heard of it, nor another before.
    """
    match change:
        case NodeChanged(before, now):
            yield from _of_node(before, now)
        case GroupChanged(before, now) if before is not None and now is not None and before.origin.node != now.origin.node:
            yield _moved(before, now)
        case RelayChanged(before, now) if before is not None and (now is None or now.id != before.id):
            if before.waits_for or is_unheard(before):
                yield _never_ran(before, now_us)
        case _:
            pass


def _of_node(before: NodeRecord | None, now: NodeRecord | None) -> Iterator[ClusterEvent]:
    if before is not None and (now is None or now.node != before.node):
        yield _node(EventKind.NODE_DOWN, before, _membership(before))
    if now is None:
        return
    revision = str(now.mod_revision).encode()
    if before is None or before.node != now.node:
        yield _node(EventKind.NODE_UP, now, _membership(now))
    elif before.away and not now.away:
        yield _node(EventKind.NODE_UP, now, revision)
    elif now.away and not before.away:
        yield _node(EventKind.NODE_AWAY, now, revision)
    if now.draining and (before is None or before.node != now.node or not before.draining):
        yield _node(EventKind.NODE_DRAINING, now, b"")


def _membership(record: NodeRecord) -> bytes:
    """What tells apart the times at which one process is a member: each has a lease of its own, which all replicas see."""
    return b"lease %d" % record.lease_id


def _node(kind: EventKind, record: NodeRecord, which: bytes) -> ClusterEvent:
    """An event of a node; `which` tells it from others of that kind that one process of a node has."""
    facts = {
        "role": record.role.value,
        "incarnation": record.node.incarnation.hex(),
        "address": record.address.address,
        "zone": record.zone,
    }
    once = _id(kind, record.node.name.encode(), record.node.incarnation, which)
    return ClusterEvent(kind=kind, once=once, node=record.node.name, facts=facts)


def _moved(before: GroupRecord, now: GroupRecord) -> ClusterEvent:
    kind = EventKind.OWNER_MOVED
    facts = {
        "origin": now.origin.node.name,
        "before": before.origin.node.name,
        "place": {"term": now.place.term, "revision": now.place.revision},
        "heir": now.heir.node.name if now.heir is not None else "",
    }
    once = _id(kind, now.stream.quoted().encode(), b"%d.%d" % (now.place.term, now.place.revision))
    return ClusterEvent(kind=kind, once=once, stream=now.stream, node=now.origin.node.name, facts=facts)


def _never_ran(relay: RelayRecord, now_us: int) -> ClusterEvent:
    """A relay has ended that no edge has had; in the words of those that have one."""
    kind = EventKind.RELAY_PUSH_STOP if relay.is_push else EventKind.RELAY_PULL_STOP
    server = dialled(relay.urls[0], relay.stream.name, is_push=relay.is_push)
    facts = {
        "session_id": relay.id,
        "role": (SessionRole.RELAY_PUSH if relay.is_push else SessionRole.RELAY_PULL).value,
        "protocol": server.protocol,
        "remote_addr": server.peer,
        "url": server.url,
        "query": "",
        "user_agent": "",
        "read_bytes_sum": 0,
        "wrote_bytes_sum": 0,
        "reason": f"it has waited for {relay.waits_for or 'its edge to hear of it'} and never ran",
        "duration_ms": max(0, now_us - relay.created_us) // 1000,
    }
    return ClusterEvent(kind=kind, once=_id(kind, relay.id.encode()), stream=relay.stream, facts=facts)


def _id(kind: EventKind, *parts: bytes) -> str:
    return f"{kind.value}-{blake2b(b'|'.join(parts), digest_size=ID_BYTES).hexdigest()}"
