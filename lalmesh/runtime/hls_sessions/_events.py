"""The events of players of HLS, which come and go without a connection."""

from __future__ import annotations

from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.sessions import SessionTouch
from lalmesh.runtime.telemetry import TraceContext


class PlayerEvents:
    """Tells of them. A `PlayerWatcher`."""

    def __init__(self, outbox: EventOutbox) -> None:
        """Tell through `outbox`."""
        self._outbox = outbox

    def player_came(self, touch: SessionTouch, trace: TraceContext | None) -> None:
        """A player has asked for the first time; `trace` is the span that this is a part of."""
        self._outbox.add(EventKind.SUB_START, touch.stream, _facts(touch, 0), trace=trace)

    def player_left(self, touch: SessionTouch, sent_bytes: int, lasted_ms: int, reason: str, trace: TraceContext | None) -> None:
        """A player has not asked for long, or may not any more."""
        facts = {**_facts(touch, sent_bytes), "reason": reason, "duration_ms": lasted_ms}
        self._outbox.add(EventKind.SUB_STOP, touch.stream, facts, trace=trace)


def _facts(touch: SessionTouch, sent_bytes: int) -> dict[str, object]:
    return {
        "session_id": touch.id,
        "protocol": touch.protocol,
        "role": touch.role.value,
        "remote_addr": touch.peer,
        "url": touch.url,
        "query": touch.query,
        "user_agent": touch.user_agent,
        "read_bytes_sum": 0,
        "wrote_bytes_sum": sent_bytes,
    }
