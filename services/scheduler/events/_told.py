"""What both logs make of an event: its text, and what it says of the sessions of its stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from lalmesh.names import StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_log import DeadLetter
from lalmesh.runtime.events import Event
from lalmesh.runtime.telemetry import HEADER, TraceContext

GONE = "the node has gone"  #: why sessions end whose node does not say so any more
OVER = "-over"  #: added to the id of what began a session, for the end that the log tells of
VIEWER = "-viewer"  #: added to the id of the event that the first or last viewer of a stream comes by


class Part(Enum):
    """What a session is to its stream."""

    IN = "in"  #: it brings media
    OUT = "out"  #: it is a player
    PUSH = "push"  #: it takes them elsewhere


@dataclass(slots=True, frozen=True)
class SessionChange:
    """What an event says of a session."""

    part: Part
    begins: bool
    session_id: str


_CHANGES = {
    EventKind.PUB_START.value: (Part.IN, True),
    EventKind.PUB_STOP.value: (Part.IN, False),
    EventKind.RELAY_PULL_START.value: (Part.IN, True),
    EventKind.RELAY_PULL_STOP.value: (Part.IN, False),
    EventKind.SUB_START.value: (Part.OUT, True),
    EventKind.SUB_STOP.value: (Part.OUT, False),
    EventKind.RELAY_PUSH_START.value: (Part.PUSH, True),
    EventKind.RELAY_PUSH_STOP.value: (Part.PUSH, False),
}
_STOPS = {
    EventKind.PUB_START.value: EventKind.PUB_STOP,
    EventKind.RELAY_PULL_START.value: EventKind.RELAY_PULL_STOP,
    EventKind.SUB_START.value: EventKind.SUB_STOP,
    EventKind.RELAY_PUSH_START.value: EventKind.RELAY_PUSH_STOP,
}


def change_of(event: Event) -> SessionChange | None:
    """What an event says of a session; None: nothing."""
    found = _CHANGES.get(event.kind)
    session_id = str(event.facts.get("session_id", ""))
    if found is None or event.stream is None or not session_id:
        return None
    return SessionChange(*found, session_id)


def viewer_event(event: Event) -> Event:
    """That the player whom `event` is about was the first, or the last."""
    kind = EventKind.FIRST_VIEWER if event.kind == EventKind.SUB_START.value else EventKind.LAST_VIEWER
    facts = {name: event.facts.get(name, "") for name in ("session_id", "protocol", "role")}
    return replace(event, id=event.id + VIEWER, kind=kind.value, facts=facts)


def stop_event(start: Event, at_us: int) -> Event:
    """The end of the session that `start` began, whose node has gone."""
    lasted = {"reason": GONE, "duration_ms": max(0, (at_us - start.at_us) // 1000)}
    return replace(start, id=start.id + OVER, kind=_STOPS[start.kind].value, at_us=at_us, facts={**start.facts, **lasted})


def with_sessions(event: Event, *, has_in: bool, has_out: bool) -> Event:
    """The event with what is known of its stream after it."""
    return replace(event, facts={**event.facts, "has_in_session": has_in, "has_out_session": has_out})


def serialize(event: Event) -> str:
    """JSON of an event."""
    return json.dumps(_as_json(event), separators=(",", ":"), ensure_ascii=False)


def parse(text: str) -> Event:
    """The reverse of `serialize`."""
    return _from_json(json.loads(text))


def serialize_letter(letter: DeadLetter) -> str:
    """JSON of a dead letter, but for its id."""
    value = {"receiver": letter.receiver, "at_us": letter.at_us, "attempts": letter.attempts, "error": letter.error}
    return json.dumps({**value, "event": _as_json(letter.event)}, separators=(",", ":"), ensure_ascii=False)


def parse_letter(letter_id: str, text: str) -> DeadLetter:
    """The reverse of `serialize_letter`."""
    value = json.loads(text)
    return DeadLetter(id=letter_id, **{**value, "event": _from_json(value["event"])})


def _as_json(event: Event) -> dict[str, Any]:
    stream = [event.stream.app, event.stream.name] if event.stream is not None else None
    value = {"id": event.id, "kind": event.kind, "at_us": event.at_us, "node": event.node}
    told = {**value, "stream": stream, "facts": dict(event.facts)}
    return told if event.trace is None else {**told, HEADER: str(event.trace)}


def _from_json(value: dict[str, Any]) -> Event:
    stream = StreamKey(*value["stream"]) if value["stream"] is not None else None
    return Event(
        id=value["id"],
        kind=value["kind"],
        at_us=value["at_us"],
        node=value["node"],
        stream=stream,
        facts=value["facts"],
        trace=TraceContext.parse(value.get(HEADER, "")),
    )
