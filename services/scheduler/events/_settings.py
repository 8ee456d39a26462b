"""Bounds of the log of events."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SHARD_EVENTS = 10_000  #: of each of 16 shards: 160,000 events, some 100 MB of Redis


@dataclass(slots=True, frozen=True, kw_only=True)
class EventLogSettings:
    """How much is kept."""

    shard_events: int = DEFAULT_SHARD_EVENTS  #: that a shard holds at most; of more the oldest go, read or not
    letters: int = 10_000  #: dead letters; of more the oldest go
    once_s: float = 3600.0  #: an id that several schedulers tell of is known so long
    told_s: float = 86_400.0  #: what a node has told is known so long after it told last
