"""What happens to nodes and owners, as events. A pure core.

Every replica sees it and tells of it, under an id that is the same for all of them: so it is told though some of them die, and kept
once. What a replica finds when it begins is no news.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from lalmesh.names import StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.events import Facts
from services.scheduler.changes import Change, GroupChanged, NodeChanged
from services.scheduler.records import GroupRecord, NodeRecord

ID_BYTES = 12


@dataclass(slots=True, frozen=True, kw_only=True)
class ClusterEvent:
    """An event that any replica may tell of."""

    kind: EventKind
    once: str  #: its id
    stream: StreamKey | None = None
    node: str = ""  #: the node that it is about; empty: none
    facts: Facts = field(default_factory=dict)


def events_of(change: Change) -> Iterator[ClusterEvent]:
    """What a change is worth telling."""
    match change:
        case NodeChanged(before, now):
            yield from _of_node(before, now)
        case GroupChanged(before, now) if before is not None and now is not None and before.origin.node != now.origin.node:
            yield _moved(before, now)
        case _:
            pass


def _of_node(before: NodeRecord | None, now: NodeRecord | None) -> Iterator[ClusterEvent]:
    if before is not None and (now is None or now.node != before.node):
        yield _node(EventKind.NODE_DOWN, before, b"")
    if now is None:
        return
    revision = str(now.mod_revision).encode()
    if before is None or before.node != now.node:
        yield _node(EventKind.NODE_UP, now, b"")
    elif before.away and not now.away:
        yield _node(EventKind.NODE_UP, now, revision)
    elif now.away and not before.away:
        yield _node(EventKind.NODE_AWAY, now, revision)
    if now.draining and (before is None or before.node != now.node or not before.draining):
        yield _node(EventKind.NODE_DRAINING, now, b"")


def _node(kind: EventKind, record: NodeRecord, revision: bytes) -> ClusterEvent:
    facts = {
        "role": record.role.value,
        "incarnation": record.node.incarnation.hex(),
        "address": record.address.address,
        "zone": record.zone,
    }
    once = _id(kind, record.node.name.encode(), record.node.incarnation, revision)
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


def _id(kind: EventKind, *parts: bytes) -> str:
    return f"{kind.value}-{blake2b(b'|'.join(parts), digest_size=ID_BYTES).hexdigest()}"
