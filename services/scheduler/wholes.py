"""Nodes that are several workers, as the one that they are to whoever is sent there. A pure core.

The workers of an edge share its ports, and the kernel says which of them a connection comes to. So a client is sent to the edge,
whose capacity and load are those of its workers together, and never from one of its workers to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from hashlib import blake2b
from typing import TypeVar

from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import Capacity, Endpoint, Load
from services.scheduler.records import NodeRecord

INCARNATION_BYTES = 8

_Figures = TypeVar("_Figures", Capacity, Load)


def parts_of(name: str, records: Iterable[NodeRecord]) -> list[NodeRecord]:
    """The node of a name, and all workers of it."""
    return [record for record in records if name in (record.node.name, record.worker_of)]


def names_of(name: str, records: Iterable[NodeRecord]) -> frozenset[str]:
    """`name` itself, and those of all its workers: what has to do with the node, also once that has gone."""
    return frozenset((name, *(record.node.name for record in records if record.worker_of == name)))


def name_of(record: NodeRecord) -> str:
    """The name of the whole node that a record is, or is a part of."""
    return record.worker_of or record.node.name


class Wholes:
    """Whole nodes, each of one record or of those of its workers."""

    def __init__(self, records: Iterable[NodeRecord] = ()) -> None:
        """Make them of `records`. A node that is no worker stays as it is."""
        parts: dict[str, list[NodeRecord]] = {}
        for record in records:
            parts.setdefault(name_of(record), []).append(record)
        self._parts: dict[NodeId, Sequence[NodeRecord]] = {}
        self._wholes: dict[NodeId, NodeId] = {}
        #: all of them
        self.records: list[NodeRecord] = []
        for name, found in parts.items():
            whole = _whole(name, found)
            self.records.append(whole)
            self._parts[whole.node] = found
            self._wholes.update(dict.fromkeys((part.node for part in found), whole.node))

    def of(self, node: NodeId) -> NodeId:
        """The whole that a node is a part of, `node` itself where it is none of these."""
        return self._wholes.get(node, node)

    def parts(self, whole: NodeId) -> Sequence[NodeRecord]:
        """The records that a whole was made of."""
        return self._parts.get(whole, ())

    def load(self, whole: NodeRecord, load_of: Callable[[NodeRecord], Load]) -> Load:
        """What a whole carries, where `load_of` gives what each of its parts does."""
        parts = self._parts.get(whole.node, (whole,))
        return load_of(parts[0]) if len(parts) == 1 else _sum(Load, map(load_of, parts))


def _whole(name: str, parts: Sequence[NodeRecord]) -> NodeRecord:
    first = parts[0]
    if not first.worker_of and len(parts) == 1:
        return first
    # another set of workers is another start of the node: what was counted of the former does not go on
    starts = blake2b(b"".join(sorted(part.node.incarnation for part in parts)), digest_size=INCARNATION_BYTES).digest()
    return replace(
        first,
        address=NodeAddress(NodeId(name, starts), first.address.address),
        endpoints=_endpoints(parts),
        capacity=_sum(Capacity, (part.capacity for part in parts)),
        worker_of="",
    )


def _endpoints(parts: Iterable[NodeRecord]) -> tuple[Endpoint, ...]:
    return tuple(dict.fromkeys(endpoint for part in parts for endpoint in part.endpoints))


def _sum(kind: type[_Figures], figures: Iterable[_Figures]) -> _Figures:
    """Each figure of all together."""
    found = list(figures)
    return kind(**{each.name: sum(getattr(figure, each.name) for figure in found) for each in fields(kind)})
