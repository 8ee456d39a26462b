"""What happens in a cluster and the outside may want to hear of (docs/design.md §7, Webhooks).

A node tells the scheduler of its events, in their order, and keeps them until that has them (`SchedulerClient.tell_events`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lalmesh.names import StreamKey
from lalmesh.runtime.telemetry import TraceContext

MAX_EVENT_ID_BYTES = 128
MAX_EVENT_KIND_BYTES = 64
EVENT_BYTES = 200  #: of an event beside its id, its node and its facts: names of fields, kind, time, stream
TRACE_BYTES = 70  #: of the span
NUMBER_BYTES = 10  #: of a fact that is a number or a truth; most have fewer digits
MAX_FACTS_BYTES = 64 << 10  #: JSON of one event: one of a stream with a few hundred players is some 100 bytes each

Facts = Mapping[str, Any]  #: JSON by name


@dataclass(slots=True, frozen=True, kw_only=True)
class Event:
    """Something happened."""

    id: str  #: 1 to `MAX_EVENT_ID_BYTES` bytes, unique for ever: whoever gets it twice can tell
    kind: str  #: such as ``pub_start``; 1 to `MAX_EVENT_KIND_BYTES` bytes
    at_us: int  #: Unix microseconds
    node: str  #: name of the node where it happened
    stream: StreamKey | None = None  #: that it is about; None where it is about none
    facts: Facts = field(default_factory=dict)  #: what is special to the kind
    trace: TraceContext | None = None  #: the span that it is a part of; None: none that is known


def size_bytes(event: Event) -> int:
    """About what an event takes, as JSON in UTF-8. Some 2 µs: what holds many is bounded by it."""
    size = EVENT_BYTES + len(event.id) + len(event.node) + (TRACE_BYTES if event.trace is not None else 0)
    for name, value in event.facts.items():
        size += len(name) + _value_bytes(value)
    return size


def _value_bytes(value: object) -> int:
    match value:
        case str():
            return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        case bool() | int() | float() | None:
            return NUMBER_BYTES
        case _:
            return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


_NUMBERED = re.compile(r"([0-9a-f]{16})-([1-9][0-9]{0,15})")


def event_id(incarnation: bytes, number: int) -> str:
    """The id of the event that a node has numbered so, from 1, under its incarnation."""
    return f"{incarnation.hex()}-{number}"


def number_of(event_id: str) -> tuple[str, int] | None:
    """The incarnation, in hexadecimal, and the number that an id is made of; None where it is another sort of id."""
    found = _NUMBERED.fullmatch(event_id)
    return (found[1], int(found[2])) if found else None
