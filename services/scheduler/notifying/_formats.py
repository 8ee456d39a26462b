"""What receivers get: a function of the event for each format. Nothing else is known of a format anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lalmesh.names import ANY_APP
from lalmesh.runtime.event_kinds import KINDS, EventKind
from lalmesh.runtime.events import Event
from lalmesh.runtime.notify import NotifyFormat
from services.scheduler.notifying._lal import lal_body, lal_name


@dataclass(slots=True, frozen=True, kw_only=True)
class About:
    """Who tells."""

    server_id: str = "1"
    cluster: str = "lalmesh"


@dataclass(slots=True, frozen=True)
class Message:
    """An event as a receiver gets it."""

    name: str  #: of the event in the format, for ``{event}`` of the URL
    body: bytes  #: JSON


def message_of(event: Event, made: NotifyFormat, about: About) -> Message:
    """The event in a format."""
    name, body = FORMATS[made](event, about)
    return Message(name, json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace"))


def as_json(event: Event) -> dict[str, Any]:
    """An event as this project shows it everywhere: webhooks, /v1/events, dead letters."""
    stream = event.stream
    return {
        "id": event.id,
        "event": event.kind,
        "at": datetime.fromtimestamp(event.at_us / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "node": event.node,
        "stream": None if stream is None else {"app": "" if stream.app == ANY_APP else stream.app, "name": stream.name},
        "data": dict(event.facts),
    }


def _lalmesh(event: Event, about: About) -> tuple[str, dict[str, Any]]:
    return event.kind, {**as_json(event), "cluster": about.cluster, "server_id": about.server_id}


def _lal(event: Event, about: About) -> tuple[str, dict[str, Any]]:
    return lal_name(event), lal_body(event, about.server_id)


FORMATS: Mapping[NotifyFormat, Callable[[Event, About], tuple[str, dict[str, Any]]]] = {
    NotifyFormat.LALMESH: _lalmesh,
    NotifyFormat.LAL: _lal,
}


def is_known(kind: str) -> bool:
    """Whether there is such a kind: a node of a later version may have more."""
    return kind in {known.value for known in KINDS}


def kind_of(event: Event) -> EventKind | None:
    """The kind of an event; None where this version does not know it."""
    return EventKind(event.kind) if is_known(event.kind) else None
