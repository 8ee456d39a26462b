"""The rules of recording: those of the configuration, and those that were added by API, under ``recordings/ID``. A pure core.

Rules have no lease: they are to outlive restarts of everything.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from lalmesh.runtime.recording import MAX_RULES, RecordRule, RecordRules, make_rule
from lalmesh.runtime.registry import KeyValue
from services.scheduler.records import DamagedRecordError, dump, parse_record

log = logging.getLogger(__name__)

RECORDINGS = "recordings/"


@dataclass(slots=True, frozen=True, kw_only=True)
class RuleRecord:
    """A rule that was added by API."""

    id: str
    rule: RecordRule
    stream: str = ""  #: ``app/name`` where it is for one stream; its pattern then matches that only
    created_us: int = 0  #: Unix time in microseconds
    mod_revision: int = 0


@dataclass(slots=True, frozen=True)
class RulesChanged:
    """Rules came or went."""

    rules: tuple[RecordRule, ...]


def rule_key(rule_id: str) -> str:
    """The key of a rule."""
    return RECORDINGS + rule_id


def serialize_rule(record: RuleRecord) -> bytes:
    """The value of a rule's key."""
    return dump({"stream": record.stream, "created_us": record.created_us, **describe_rule(record.rule)})


def describe_rule(rule: RecordRule) -> dict[str, Any]:
    """A rule as JSON, here and in the API."""
    return {
        "pattern": rule.pattern,
        "formats": [made.value for made in rule.formats],
        "segment_s": rule.segment_s,
        "segment_bytes": rule.segment_bytes,
        "keep_s": rule.keep_s,
        "keep_bytes": rule.keep_bytes,
    }


def parse_rule_record(entry: KeyValue) -> RuleRecord:
    """The record in a rule's key; raises `DamagedRecordError`."""
    return parse_record(entry, _rule)


def _rule(entry: KeyValue, value: dict[str, Any]) -> RuleRecord:
    limits = {name: int(value[name]) for name in ("segment_s", "segment_bytes", "keep_s", "keep_bytes")}
    return RuleRecord(
        id=entry.key.removeprefix(RECORDINGS),
        rule=make_rule(str(value["pattern"]), [str(name) for name in value["formats"]], limits),
        stream=str(value["stream"]),
        created_us=int(value["created_us"]),
        mod_revision=entry.mod_revision,
    )


class RuleDirectory:
    """All rules as the registry told them last, those of the configuration before them."""

    def __init__(self, configured: Sequence[RecordRule] = ()) -> None:
        """Begin with those of the configuration."""
        self.configured = tuple(configured)
        self.rules = RecordRules(self.configured)
        self._records: dict[str, RuleRecord] = {}

    def configure(self, configured: Sequence[RecordRule]) -> list[RulesChanged]:
        """The configuration has these now."""
        self.configured = tuple(configured)
        return self._changed()

    def record(self, rule_id: str) -> RuleRecord | None:
        """The rule of that id that was added by API."""
        return self._records.get(rule_key(rule_id))

    def records(self) -> list[RuleRecord]:
        """Those that were added by API, in the order in which they came."""
        return sorted(self._records.values(), key=lambda record: (record.created_us, record.id))

    def replace(self, listed: Collection[str]) -> list[RulesChanged]:
        """Forget what is not `listed`."""
        gone = [key for key in self._records if key not in listed]
        for key in gone:
            del self._records[key]
        return self._changed() if gone else []

    def write(self, entry: KeyValue, *, listed: bool) -> list[RulesChanged]:
        """A key is as `entry` says, unless a later write of it is known; a `listed` entry is the truth even so."""
        known = self._records.get(entry.key)
        if known is not None and (known.mod_revision == entry.mod_revision if listed else known.mod_revision >= entry.mod_revision):
            return []
        try:
            self._records[entry.key] = parse_rule_record(entry)
        except DamagedRecordError as exc:
            log.error("%s", exc)
            return []
        return self._changed()

    def remove(self, key: str, revision: int) -> list[RulesChanged]:
        """A key was removed at `revision`."""
        known = self._records.get(key)
        if known is None or known.mod_revision > revision:
            return []
        del self._records[key]
        return self._changed()

    def _changed(self) -> list[RulesChanged]:
        rules = [*self.configured, *(record.rule for record in self.records())]
        if len(rules) > MAX_RULES:  # of the configuration, or by replicas that were asked at the same time
            log.error("%d rules of recording, limit %d: the last are not followed", len(rules), MAX_RULES)
        self.rules = RecordRules(rules[:MAX_RULES])
        return [RulesChanged(self.rules.rules)]
