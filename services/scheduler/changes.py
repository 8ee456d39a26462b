"""What the directory says has changed: before and now, None where there was or is nothing."""

from __future__ import annotations

from dataclasses import dataclass

from services.scheduler.hls_records import HlsRecord
from services.scheduler.recording_rules import RulesChanged
from services.scheduler.records import ClaimRecord, GroupRecord, NodeRecord


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


Change = NodeChanged | ClaimChanged | GroupChanged | HlsChanged | RulesChanged
