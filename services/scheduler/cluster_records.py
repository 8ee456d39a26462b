"""What the registry holds of the cluster as a whole: the keys, and the records in them.

```
cluster/term                  Unix seconds                                                for ever
cluster/settling              first claims wait while it lives                            under a lease of its own, `lease_s`
schedulers/NAME/INCARNATION   a replica that stands                                       under the replica's lease
duties/NAME                   the replica that does what only one is to do                under the replica's lease
drains/NAME                   a node or replica that is to drain                          under the lease of its own key
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.registry import KeyValue
from lalmesh.runtime.scheduling.model import Drain
from services.scheduler.records import DamagedRecordError, dump, parse_record

TERM_KEY = "cluster/term"
SETTLING_KEY = "cluster/settling"
SCHEDULERS = "schedulers/"
DUTIES = "duties/"
DRAINS = "drains/"


def scheduler_key(name: str, incarnation: bytes) -> str:
    """The key of a replica."""
    return f"{SCHEDULERS}{quote(name, safe='')}/{incarnation.hex()}"


def duty_key(duty: str) -> str:
    """The key of a duty."""
    return DUTIES + duty


def drain_key(name: str) -> str:
    """The key that says that a node, or a replica, is to drain."""
    return DRAINS + quote(name, safe="")


@dataclass(slots=True, frozen=True, kw_only=True)
class TermRecord:
    """The term, as it was last written."""

    term: int
    mod_revision: int


@dataclass(slots=True, frozen=True, kw_only=True)
class SettlingRecord:
    """Nodes are given time to say what they hold."""

    reason: str  #: for the operator's eyes
    mod_revision: int = 0
    lease_id: int = 0  #: it ends with that


@dataclass(slots=True, frozen=True, kw_only=True)
class SchedulerRecord:
    """A replica that has settled, or found others that have, and has not been away since."""

    key: str
    address: str = ""  #: what the others reach its gRPC listener by; empty: not stated
    delivers: bool = False  #: it delivers its share of the events, out of a log that all replicas have
    mod_revision: int = 0


@dataclass(slots=True, frozen=True, kw_only=True)
class DutyRecord:
    """Who does what only one replica is to do."""

    holder: str  #: its key
    mod_revision: int = 0


@dataclass(slots=True, frozen=True, kw_only=True)
class DrainRecord:
    """A node, or a replica, that is to give everything away."""

    node: NodeId
    deadline_s: float = 0.0  #: 0: what the node is configured to take
    all_workers: bool = False  #: it is one of several workers, and all of its node drain
    mod_revision: int = 0

    @property
    def command(self) -> Drain:
        """What the node is told."""
        return Drain(self.deadline_s, self.all_workers)


def serialize_term(term: int) -> bytes:
    """The value of `TERM_KEY`."""
    return b"%d" % term


def parse_term(entry: KeyValue) -> TermRecord:
    """The record in `TERM_KEY`; raises `DamagedRecordError`."""
    if not entry.value.isdigit():
        raise DamagedRecordError(entry.key)
    return TermRecord(term=int(entry.value), mod_revision=entry.mod_revision)


def serialize_settling(reason: str) -> bytes:
    """The value of `SETTLING_KEY`."""
    return dump({"reason": reason})


def parse_settling(entry: KeyValue) -> SettlingRecord:
    """The record in `SETTLING_KEY`; raises `DamagedRecordError`."""
    return parse_record(entry, _settling)


def _settling(entry: KeyValue, value: dict[str, Any]) -> SettlingRecord:
    return SettlingRecord(reason=str(value["reason"]), mod_revision=entry.mod_revision, lease_id=entry.lease_id)


def serialize_scheduler(name: str, address: str, *, delivers: bool = False) -> bytes:
    """The value of a replica's key."""
    return dump({"name": name, "address": address, "delivers": delivers})


def parse_scheduler(entry: KeyValue) -> SchedulerRecord:
    """The record in a replica's key. That it is there is what counts, so its value may be anything."""
    try:
        return parse_record(entry, _scheduler)
    except DamagedRecordError:
        return SchedulerRecord(key=entry.key, mod_revision=entry.mod_revision)


def _scheduler(entry: KeyValue, value: dict[str, Any]) -> SchedulerRecord:
    address, delivers = str(value.get("address", "")), value.get("delivers") is True
    return SchedulerRecord(key=entry.key, address=address, delivers=delivers, mod_revision=entry.mod_revision)


def serialize_duty(holder: str) -> bytes:
    """The value of a duty's key."""
    return dump({"holder": holder})


def parse_duty(entry: KeyValue) -> DutyRecord:
    """The record in a duty's key; raises `DamagedRecordError`."""
    return parse_record(entry, lambda _, value: DutyRecord(holder=str(value["holder"]), mod_revision=entry.mod_revision))


def serialize_drain(node: NodeId, deadline_s: float, *, all_workers: bool = False) -> bytes:
    """The value of the key that says that a node is to drain."""
    return dump({"incarnation": node.incarnation.hex(), "deadline_s": deadline_s, "all_workers": all_workers})


def parse_drain(entry: KeyValue) -> DrainRecord:
    """The record in such a key; raises `DamagedRecordError`."""
    return parse_record(entry, _drain)


def _drain(entry: KeyValue, value: dict[str, Any]) -> DrainRecord:
    node = NodeId(unquote(entry.key.removeprefix(DRAINS)), bytes.fromhex(value["incarnation"]))
    deadline_s, all_workers = float(value["deadline_s"]), value.get("all_workers") is True
    return DrainRecord(node=node, deadline_s=deadline_s, all_workers=all_workers, mod_revision=entry.mod_revision)
