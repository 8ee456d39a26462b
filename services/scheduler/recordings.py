"""Rules of recording that come and go by API: written to the registry, from where every replica has them."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from glob import escape

from lalmesh.names import StreamKey
from lalmesh.runtime.recording import MAX_RULES, RecordRule
from lalmesh.runtime.registry import Absent, Delete, KeyValue, Put, Registry, Unchanged
from services.scheduler.recording_rules import RuleDirectory, RuleRecord, rule_key, serialize_rule
from services.scheduler.view import View

log = logging.getLogger(__name__)

ID_BYTES = 8


def pattern_of(stream: StreamKey) -> str:
    """The pattern that `stream` alone matches."""
    return escape(str(stream))


class TooManyRulesError(Exception):
    """There are `MAX_RULES` already."""


class Recordings:
    """The rules of the cluster."""

    def __init__(self, registry: Registry, view: View, *, wall_clock: Callable[[], float] = time.time) -> None:
        """Write to `registry`, read in `view`."""
        self._registry = registry
        self._view = view
        self._wall_clock = wall_clock

    @property
    def known(self) -> RuleDirectory:
        """What the registry told last."""
        return self._view.directory.recording

    def configure(self, rules: Sequence[RecordRule]) -> None:
        """Record by these rules of the configuration, and no longer by those before."""
        self._view.configure_recording(rules)

    async def add(self, rule: RecordRule, stream: StreamKey | None = None) -> RuleRecord:
        """Record by `rule` from now on; where `stream` is given, that one only, whatever the rule's pattern.

        Raises:
            TooManyRulesError: others have to go first.
            Unavailable: not known whether the rule was added.
        """
        if len(self.known.rules.rules) >= MAX_RULES:
            raise TooManyRulesError(f"{MAX_RULES} rules of recording are there already")
        if stream is not None:
            rule = replace(rule, pattern=pattern_of(stream))
        created_us = int(self._wall_clock() * 1_000_000)
        record = RuleRecord(id=secrets.token_hex(ID_BYTES), rule=rule, stream=str(stream or ""), created_us=created_us)
        key, value = rule_key(record.id), serialize_rule(record)
        result = await self._registry.transact([Absent(key)], [Put(key, value)])
        if not result.succeeded:  # the same 64 random bits twice
            return await self.add(rule, stream)
        self._view.learn(KeyValue(key, value, result.revision, result.revision))
        log.info("recording rule %s: %s as %s", record.id, rule.pattern, "+".join(made.value for made in rule.formats))
        return record

    async def remove(self, rule_id: str) -> bool:
        """Let a rule that was added by API go; False where there is none of that id.

        Raises:
            Unavailable: not known whether it went.
        """
        key = rule_key(rule_id)
        while True:
            entry, _ = await self._registry.get(key)
            if entry is None:
                return False
            result = await self._registry.transact([Unchanged(key, entry.mod_revision)], [Delete(key)])
            if result.succeeded:
                self._view.learn_gone([key], result.revision)  # who asks next is told so
                log.info("recording rule %s removed", rule_id)
                return True
