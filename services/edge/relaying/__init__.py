"""Relays of an edge: streams that it fetches from elsewhere and sends there, as the scheduler has it."""

from services.edge.relaying._jobs import Relaying, RelayingSettings

__all__ = ["Relaying", "RelayingSettings"]
