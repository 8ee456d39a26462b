"""The pace and the bounds of a link, and what is counted of it."""

from __future__ import annotations

from dataclasses import dataclass

MESSAGE_MARGIN_BYTES = 512 << 10  #: of a message, left beside the largest unit: for its tracks, 400 KiB by RTMP at most
UNCOUNTED_BYTES = 32 << 10  #: of those, left for what is not counted: numbers, mostly


@dataclass(slots=True, frozen=True, kw_only=True)
class LinkLimits:
    """The pace and the bounds of a link."""

    dead_s: float = 2.0  #: so much silence breaks it
    heartbeat_s: float = 0.5  #: each side sends at least this often
    flush_s: float = 0.001  #: a send follows the last by at least so much
    busy_flush_s: float = 0.010  #: ... and by so much while it sends more than `busy_messages_per_s`
    busy_messages_per_s: int = 300
    batch_bytes: int = 512 << 10  #: payload and tracks of a batch, or one larger unit with its tracks
    max_message_bytes: int = 16 << 20  #: what gRPC accepts; a stream with a unit of almost that is ended with `CloseReason.LIMIT`

    @property
    def max_unit_bytes(self) -> int:
        """The largest unit that a message has room for beside any tracks that come by RTMP."""
        return self.max_message_bytes - MESSAGE_MARGIN_BYTES

    @property
    def max_run_bytes(self) -> int:
        """What a message has room for: one unit, and the tracks that go along with it."""
        return self.max_message_bytes - UNCOUNTED_BYTES


@dataclass(slots=True)
class LinkCounters:
    """What went over a link."""

    batches_sent: int = 0
    batches_received: int = 0
    units_sent: int = 0
    units_received: int = 0
    payload_bytes_sent: int = 0
    payload_bytes_received: int = 0
