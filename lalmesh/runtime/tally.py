"""Adding up dataclasses of counters."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def add_counters(total: Any, more: Any) -> None:
    """Add every field of `more` to the same field of `total`; both are of one dataclass of numbers."""
    for counter in fields(total):
        setattr(total, counter.name, getattr(total, counter.name) + getattr(more, counter.name))
