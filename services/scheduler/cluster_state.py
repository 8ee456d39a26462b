"""The cluster as a whole, as the registry told it last: term, settling, replicas, duties, drains. A pure core."""

from __future__ import annotations

from collections.abc import Sequence

from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.registry import Compare, Unchanged
from services.scheduler.changes import DrainChanged, DutyChanged, SchedulerChanged, SettlingChanged
from services.scheduler.cluster_records import (
    SETTLING_KEY,
    TERM_KEY,
    DrainRecord,
    DutyRecord,
    SchedulerRecord,
    SettlingRecord,
    TermRecord,
    drain_key,
    duty_key,
    parse_drain,
    parse_duty,
    parse_scheduler,
    parse_settling,
    parse_term,
)
from services.scheduler.kept import Kept

Standing = tuple[Compare, ...] | None  #: what holds while a replica stands; None: it does not


class ClusterState:
    """What the registry holds of the cluster as a whole."""

    def __init__(self) -> None:
        """Begin with nothing known; the replica stands alone."""
        self.terms: Kept[TermRecord, SettlingChanged] = Kept(parse_term, _untold)
        self.settlings = Kept(parse_settling, lambda before, now: [SettlingChanged(before, now)])
        self.schedulers = Kept(parse_scheduler, self._scheduler_told)
        self.duties = Kept(parse_duty, lambda before, now: [DutyChanged(before, now)])
        self.drains = Kept(parse_drain, lambda before, now: [DrainChanged(before, now)])
        #: of this replica: first claims are granted only while it holds; without compares: there can be no other replica
        self.standing: Standing = ()
        self._own_key = ""

    @property
    def term(self) -> TermRecord | None:
        """The term, None while none is known."""
        return self.terms.get(TERM_KEY)

    @property
    def settling(self) -> SettlingRecord | None:
        """Why first claims wait, None where they do not."""
        return self.settlings.get(SETTLING_KEY)

    def duty(self, duty: str) -> DutyRecord | None:
        """Who has a duty."""
        return self.duties.get(duty_key(duty))

    def drain(self, node: NodeId) -> DrainRecord | None:
        """Whether that incarnation of a node was told to drain, and until when."""
        record = self.drains.get(drain_key(node.name)) if self.drains.values() else None  # asked for with every claim
        return record if record is not None and record.node == node else None

    def begin_to_stand(self, own: SchedulerRecord) -> None:
        """The replica was written down."""
        self._own_key = own.key
        self.standing = (Unchanged(own.key, own.mod_revision),)

    def cease_to_stand(self) -> None:
        """The replica is not written down, or may not be."""
        self.standing = None

    def _scheduler_told(self, before: SchedulerRecord | None, now: SchedulerRecord | None) -> list[SchedulerChanged]:
        if before is not None and before.key == self._own_key and now is None:
            self.cease_to_stand()
        return [SchedulerChanged(before, now)]


def _untold(before: TermRecord | None, now: TermRecord | None) -> Sequence[SettlingChanged]:
    """Nobody asks to hear of terms: who uses one compares it."""
    return []
