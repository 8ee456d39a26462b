"""Relays of an edge: streams that it fetches from elsewhere and sends there, as the scheduler has it."""

from services.edge.relaying._attempts import RetrySettings
from services.edge.relaying._edge import RelayingSettings
from services.edge.relaying._jobs import Relaying, build_relaying

__all__ = ["Relaying", "RelayingSettings", "RetrySettings", "build_relaying"]
