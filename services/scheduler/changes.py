"""What the directory says has changed: before and now, None where there was or is nothing."""

from __future__ import annotations

from dataclasses import dataclass

from services.scheduler.cluster_records import DrainRecord, DutyRecord, SchedulerRecord, SettlingRecord
from services.scheduler.hls_records import HlsRecord
from services.scheduler.recording_rules import RulesChanged
from services.scheduler.records import ClaimRecord, GroupRecord, NodeRecord
from services.scheduler.relay_records import RelayRecord


@dataclass(slots=True, frozen=True)
class NodeChanged:
    """A node joined, changed, went away or has gone."""

    before: NodeRecord | None
    now: NodeRecord | None


@dataclass(slots=True, frozen=True)
class ClaimChanged:
    """Somebody else, or nobody, may write a stream."""

    before: ClaimRecord | None
    now: ClaimRecord | None


@dataclass(slots=True, frozen=True)
class GroupChanged:
    """A stream is somewhere else, or nowhere."""

    before: GroupRecord | None
    now: GroupRecord | None


@dataclass(slots=True, frozen=True)
class HlsChanged:
    """Somebody else, or nobody, segments a stream, or its limit was raised."""

    before: HlsRecord | None
    now: HlsRecord | None


@dataclass(slots=True, frozen=True)
class SettlingChanged:
    """First claims begin, or cease, to wait."""

    before: SettlingRecord | None
    now: SettlingRecord | None


@dataclass(slots=True, frozen=True)
class SchedulerChanged:
    """A replica stands, or does not any more."""

    before: SchedulerRecord | None
    now: SchedulerRecord | None


@dataclass(slots=True, frozen=True)
class DutyChanged:
    """Another replica, or none, has a duty."""

    before: DutyRecord | None
    now: DutyRecord | None


@dataclass(slots=True, frozen=True)
class DrainChanged:
    """A node is to drain."""

    before: DrainRecord | None
    now: DrainRecord | None


@dataclass(slots=True, frozen=True)
class RelayChanged:
    """A stream is fetched or sent, is not any more, or by another edge."""

    before: RelayRecord | None
    now: RelayRecord | None


@dataclass(slots=True, frozen=True)
class RelayRulesChanged:
    """Rules of relays came or went."""


ClusterChange = SettlingChanged | SchedulerChanged | DutyChanged | DrainChanged
Change = NodeChanged | ClaimChanged | GroupChanged | HlsChanged | RulesChanged | RelayChanged | RelayRulesChanged | ClusterChange
