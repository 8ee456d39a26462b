"""What the registry holds for the scheduler: the keys, and the records in them as JSON that an operator can read.

```
nodes/NAME          who a node is and what it can carry                    under the node's lease
claims/APP/NAME     who may write a stream                                 under the publishing edge's lease
groups/APP/NAME     where it is read and written                           under the origin's lease
hls/APP/NAME        who segments it, and its numbers (`hls_records.py`)    for ever; under one of its own once nobody does
```
What is of the cluster as a whole is in `cluster_records.py`. The revision of the transaction that writes a claim is its epoch, and
that of the one that writes a group its place, so neither is in the value, only the term; a claim made again keeps its epoch there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar
from urllib.parse import quote

from lalmesh.errors import InvalidName, ServiceError
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeAddress, NodeId, Place
from lalmesh.runtime.registry import KeyValue
from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl, Capacity, Endpoint, Load, NodeReport, Role
from services.scheduler.asked_urls import dump_asked, parse_asked

NODES = "nodes/"
CLAIMS = "claims/"
GROUPS = "groups/"
BESIDE_LOAD = ("opened_sessions", "hls_egress_bps")  #: figures of a load that replicas of before do not know
MAX_REPLACED = 8  #: earlier incarnations that a node record remembers: enough for a node that restarts in a loop

_Record = TypeVar("_Record")
_Figures = TypeVar("_Figures", Capacity, Load)


class DamagedRecordError(ServiceError):
    """A value in the registry that no scheduler wrote."""

    def __init__(self, key: str) -> None:
        """Keep the `key`."""
        self.key = key
        super().__init__(f"registry key {key} holds no record")


def node_key(name: str) -> str:
    """The key of a node."""
    return NODES + quote(name, safe="")


def claim_key(stream: StreamKey) -> str:
    """The key that says who may write the stream."""
    return CLAIMS + stream.quoted()


def group_key(stream: StreamKey) -> str:
    """The key that says where the stream is."""
    return GROUPS + stream.quoted()


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeRecord:
    """A member."""

    address: NodeAddress
    role: Role
    zone: str = ""
    machine: str  #: never empty: a node that stated none is a machine of its own
    endpoints: tuple[Endpoint, ...] = ()
    capacity: Capacity = field(default_factory=Capacity)
    load: Load = field(default_factory=Load)  #: some time ago, for replicas that the node does not report to; see `Registrar`
    version: str = ""
    draining: bool = False
    away: bool = False  #: its membership stream ended
    worker_of: str = ""  #: name of the node that it is a worker of; empty: it is a whole one
    replaced: tuple[bytes, ...] = ()  #: incarnations that this one took the name from, newest first; they may not come back
    lease_id: int = 0
    mod_revision: int = 0

    @property
    def node(self) -> NodeId:
        """The node under its incarnation."""
        return self.address.node

    @classmethod
    def of(cls, report: NodeReport, *, away: bool = False, replaced: tuple[bytes, ...] = ()) -> NodeRecord:
        """The record of a node that says `report` of itself."""
        return cls(
            address=report.node,
            role=report.role,
            zone=report.zone,
            machine=report.machine or f"node:{report.node.node.name}",
            endpoints=report.endpoints,
            capacity=report.capacity,
            load=report.load,
            version=report.version,
            draining=report.draining,
            away=away,
            worker_of=report.worker_of,
            replaced=replaced,
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class ClaimRecord:
    """The right to write a stream."""

    stream: StreamKey
    term: int
    publication: bytes
    edge: NodeAddress
    origin: str  #: name of the origin that the claim was placed at first; for the operator's eyes
    kept: Epoch | None = None  #: the epoch that it had before it was made again; None: that of the transaction which wrote it
    asked: AskedUrl = NOT_ASKED  #: by the publisher; see `RelayDirectory.noted`
    lease_id: int = 0
    mod_revision: int = 0

    @property
    def epoch(self) -> Epoch:
        """The epoch that was granted."""
        return self.kept or Epoch(self.term, self.mod_revision)


@dataclass(slots=True, frozen=True, kw_only=True)
class GroupRecord:
    """Where a stream is."""

    stream: StreamKey
    term: int
    origin: NodeAddress
    heir: NodeAddress | None
    epoch: Epoch  #: of the claim that the group was last pointed for
    publication: bytes
    pointed: Place | None = None  #: its place when it was pointed there, where only heirs were named since; None: the present
    lease_id: int = 0
    mod_revision: int = 0

    @property
    def place(self) -> Place:
        """Where and since when."""
        return Place(self.term, self.mod_revision)

    @property
    def pointed_place(self) -> Place:
        """The place that it had first where it is: who has seen that knows where the stream is, if not who the heir is."""
        return self.pointed or self.place

    @property
    def location(self) -> Location:
        """What readers are told."""
        return Location(stream=self.stream, place=self.place, origin=self.origin, heir=self.heir)


def grant_of(claim: ClaimRecord, group: GroupRecord) -> Grant:
    """The grant, not yet signed, that a claim and the group it goes to amount to."""
    return Grant(
        stream=claim.stream,
        epoch=claim.epoch,
        publication=claim.publication,
        edge=claim.edge,
        origin=group.origin,
        heir=group.heir,
        place=group.place,
    )


def serialize_node(record: NodeRecord) -> bytes:
    """The value of a node's key."""
    load = asdict(record.load)
    # beside it: replicas of before take the record for damaged where figures are new to them
    beside = {name: load.pop(name) for name in BESIDE_LOAD}
    return dump(
        {
            "incarnation": record.node.incarnation.hex(),
            "role": record.role.value,
            "zone": record.zone,
            "machine": record.machine,
            "address": record.address.address,
            "endpoints": [asdict(endpoint) for endpoint in record.endpoints],
            "capacity": asdict(record.capacity),
            "load": load,
            **beside,
            "version": record.version,
            "draining": record.draining,
            "away": record.away,
            "worker_of": record.worker_of,
            "name": record.node.name,
            "replaced": [incarnation.hex() for incarnation in record.replaced],
        }
    )


def parse_node(entry: KeyValue) -> NodeRecord:
    """The record in a node's key; raises `DamagedRecordError`."""
    return parse_record(entry, _node)


def _node(entry: KeyValue, value: dict[str, Any]) -> NodeRecord:
    node = NodeId(str(value["name"]), bytes.fromhex(value["incarnation"]))
    return NodeRecord(
        address=NodeAddress(node, str(value["address"])),
        role=Role(value["role"]),
        zone=str(value["zone"]),
        machine=str(value["machine"]),
        endpoints=tuple(Endpoint(str(item["protocol"]), str(item["host"]), int(item["port"])) for item in value["endpoints"]),
        capacity=_figures(Capacity, value["capacity"]),
        load=replace(_figures(Load, value["load"]), **{name: int(value.get(name, 0)) for name in BESIDE_LOAD}),
        version=str(value["version"]),
        draining=bool(value["draining"]),
        away=bool(value["away"]),
        worker_of=str(value.get("worker_of", "")),  # replicas of before do not write it
        replaced=tuple(bytes.fromhex(incarnation) for incarnation in value["replaced"]),
        lease_id=entry.lease_id,
        mod_revision=entry.mod_revision,
    )


def _figures(kind: type[_Figures], value: dict[str, Any]) -> _Figures:
    """Numbers by name; whole but for fractions. What replicas of later versions know besides is left out."""
    known = {each.name for each in fields(kind)} & value.keys()
    figures: dict[str, Any] = {name: float(value[name]) if name.endswith("_fraction") else int(value[name]) for name in known}
    return kind(**figures)


def serialize_claim(record: ClaimRecord) -> bytes:
    """The value of a claim's key."""
    edge, publication = dump_address(record.edge), record.publication.hex()
    value = {"term": record.term, "publication": publication, "edge": edge, "origin": record.origin} | dump_asked(record.asked)
    return dump(value if record.kept is None else {**value, "epoch": record.kept._asdict()})


def parse_claim(entry: KeyValue) -> ClaimRecord:
    """The record in a claim's key; raises `DamagedRecordError`."""
    return parse_record(entry, _claim)


def _claim(entry: KeyValue, value: dict[str, Any]) -> ClaimRecord:
    return ClaimRecord(
        stream=StreamKey.from_quoted(entry.key.removeprefix(CLAIMS)),
        term=int(value["term"]),
        publication=bytes.fromhex(value["publication"]),
        edge=parse_address(value["edge"]),
        origin=str(value["origin"]),
        kept=_epoch(value["epoch"]) if "epoch" in value else None,
        asked=parse_asked(value),
        lease_id=entry.lease_id,
        mod_revision=entry.mod_revision,
    )


def serialize_group(record: GroupRecord) -> bytes:
    """The value of a group's key. An epoch of revision 0 stands for that of the transaction which writes it."""
    value = {
        "term": record.term,
        "origin": dump_address(record.origin),
        "heir": dump_address(record.heir) if record.heir else None,
        "epoch": record.epoch._asdict(),
        "publication": record.publication.hex(),
    }
    pointed = record.pointed
    return dump(value if pointed is None else {**value, "pointed": {"term": pointed.term, "revision": pointed.revision}})


def parse_group(entry: KeyValue) -> GroupRecord:
    """The record in a group's key; raises `DamagedRecordError`."""
    return parse_record(entry, _group)


def _group(entry: KeyValue, value: dict[str, Any]) -> GroupRecord:
    return GroupRecord(
        stream=StreamKey.from_quoted(entry.key.removeprefix(GROUPS)),
        term=int(value["term"]),
        origin=parse_address(value["origin"]),
        heir=parse_address(value["heir"]) if value["heir"] else None,
        epoch=_epoch(value["epoch"], otherwise=entry.mod_revision),
        publication=bytes.fromhex(value["publication"]),
        pointed=Place(*_epoch(value["pointed"])) if "pointed" in value else None,
        lease_id=entry.lease_id,
        mod_revision=entry.mod_revision,
    )


def _epoch(value: dict[str, Any], *, otherwise: int = 0) -> Epoch:
    return Epoch(int(value["term"]), int(value["revision"]) or otherwise)


def dump(value: dict[str, Any]) -> bytes:
    """A record as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def dump_address(address: NodeAddress) -> dict[str, str]:
    """A node as part of a record."""
    return {"name": address.node.name, "incarnation": address.node.incarnation.hex(), "address": address.address}


def parse_address(value: dict[str, Any]) -> NodeAddress:
    """The node in a part of a record; raises whatever does not fit."""
    return NodeAddress(NodeId(str(value["name"]), bytes.fromhex(value["incarnation"])), str(value["address"]))


def parse_record(entry: KeyValue, build: Callable[[KeyValue, dict[str, Any]], _Record]) -> _Record:
    """What `build` makes of the JSON in a key; raises `DamagedRecordError`."""
    try:
        return build(entry, json.loads(entry.value))
    except (ValueError, TypeError, KeyError, AttributeError, InvalidName) as exc:
        raise DamagedRecordError(entry.key) from exc
