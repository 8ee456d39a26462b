"""Where a worker begins: after the last segment that the worker before has stored, if that is not long ago. A pure core.

Where the worker before has left because nobody asked, no player waits for what comes next: a list that went on would have those who
come now play what is of before, and then the hole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lalmesh.media import TICKS_PER_MS
from lalmesh.runtime.ownership import HlsOwner
from lalmesh.runtime.reader import ReaderMemory
from services.hls.cuts import Start, TargetsFixed
from services.hls.hosting import WorkerSettings
from services.hls.layout import StoredState
from services.hls.numbers import first_number, fresh_number

_US = 1_000_000


@dataclass(slots=True, frozen=True, kw_only=True)
class Beginning:
    """What a worker begins with."""

    start: Start
    memory: ReaderMemory | None = None  #: of the worker before; None: the stream is joined at a random access point
    renditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  #: states of those of the worker before, by format

    @property
    def goes_on(self) -> bool:
        """Whether the playlists of the worker before go on."""
        return self.memory is not None

    @property
    def targets(self) -> TargetsFixed | None:
        """The targets, where they are known."""
        return TargetsFixed(self.start.targets) if self.start.targets is not None else None

    @property
    def again_from(self) -> int | None:
        """The segment that the worker before may have begun, and that is made again from the same unit on; None: none is."""
        return self.start.number if self.goes_on and not self.start.discontinuity else None


def beginning_of(owner: HlsOwner, state: StoredState | None, settings: WorkerSettings, now_us: int, *, is_known: bool) -> Beginning:
    """Where the worker that `owner` names begins.

    Args:
        owner: with the numbers that the registry knows of.
        state: of the worker before.
        settings: how streams are segmented.
        now_us: Unix time in microseconds.
        is_known: whether storage has answered: if not, there may be a state that nobody can read.
    """
    first = first_number(
        limit=owner.limit,
        exact=owner.exact,
        stored_next=state.next_number if state is not None else None,
        fresh=fresh_number(now_us / _US, settings.cuts.segment // TICKS_PER_MS),
        is_known=is_known,
    )
    if state is None:
        return Beginning(start=Start(number=first.number))
    if state.ended or state.left or now_us - state.stored_us > settings.resumable_s * _US:
        return Beginning(start=Start(number=first.number), renditions=state.renditions)
    start = Start(
        number=first.number,
        targets=state.targets,
        discontinuity=not first.resumes,
        end=state.end,
        end_us=state.end_us,
        configuration=state.configuration,
        publication=state.memory.last.publication,
    )
    return Beginning(start=start, memory=state.memory, renditions=state.renditions)
