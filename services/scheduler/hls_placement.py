"""Which hls node segments a stream. A pure core.

As with origins the less loaded of the first two by hash is taken. It has no heir, since whoever comes next finds in shared storage
what it needs; and where the publisher is does not matter to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from lalmesh.names import StreamKey
from services.scheduler.candidates import Candidate, choose_less_loaded, weight


def choose_worker(stream: StreamKey, candidates: Iterable[Candidate]) -> tuple[Candidate, str] | None:
    """The hls node that is to segment a stream, and why it; None where none has room."""
    usable = [candidate for candidate in candidates if candidate.has_room]
    ranked = sorted(usable, key=lambda each: -weight(stream, each.name))
    return choose_less_loaded(ranked[:2]) if ranked else None
