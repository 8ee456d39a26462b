"""How long sessions live, and how they are counted."""

from __future__ import annotations

LEAST_RATE_US = 500_000  #: between two touches that say a rate: of closer ones, chance would
SESSION_TTL_S = 60  #: a player of HLS asks at least once a target duration, which is some seconds
