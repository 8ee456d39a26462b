"""Relays and their rules as they are asked for: by API, and by what stands in for the API of lal."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from glob import escape
from hashlib import blake2b
from typing import Literal

from lalmesh.errors import StreamExists, StreamNotFound, Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.recording import RuleError
from lalmesh.runtime.registry import Absent, Delete, KeyValue, Put, Registry, Unchanged
from lalmesh.runtime.relay_rules import (
    MAX_RULES,
    NEVER_S,
    RelayOptions,
    RelayRule,
    check_url,
    checked_options,
    checked_stop,
)
from lalmesh.runtime.scheduling.control import MAX_RELAY_JOBS, MAX_RELAY_URLS, RelayState, RelayStatus
from services.scheduler.relay_directory import RelayDirectory
from services.scheduler.relay_plan import ID_BYTES
from services.scheduler.relay_records import CONFIGURED, RelayRecord, RelayRuleRecord, rule_key, serialize_relay_rule
from services.scheduler.relaying import Relaying
from services.scheduler.service import SchedulerService
from services.scheduler.view import View

log = logging.getLogger(__name__)

CHANGED_S = 1.0  #: after which something that changed meanwhile may be asked again

ShownState = Literal["waiting", "connecting", "running", "paused", "failed"]


class TooManyRelaysError(Exception):
    """There are as many as there can be."""


class MadeByRuleError(Exception):
    """A relay ends when its rule does."""


@dataclass(slots=True, frozen=True)
class ShownRelay:
    """A relay, and what it does as far as that is known."""

    record: RelayRecord
    status: RelayStatus | None

    @property
    def state(self) -> ShownState:
        """How far it is: waiting where no edge has it."""
        if self.record.edge is None:
            return "waiting"
        state = self.status.state if self.status is not None else RelayState.CONNECTING
        return state.value


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayingSettings:
    """What the configuration says of relays."""

    rules: Sequence[RelayRule] = ()
    start_timeout_s: float = 10.0  #: of relays that have none of their own


class Relays:
    """The relays of the cluster."""

    def __init__(self, registry: Registry, view: View, relaying: Relaying, *, wall_clock: Callable[[], float] = time.time) -> None:
        """Write to `registry` what `relaying` follows."""
        self._registry = registry
        self._view = view
        self._relaying = relaying
        self._wall_clock = wall_clock

    @property
    def known(self) -> RelayDirectory:
        """What the registry told last."""
        return self._view.directory.relaying

    def configure(self, rules: Sequence[RelayRule]) -> None:
        """Go by these rules of the configuration, and no longer by those before."""
        self.known.configure(_with_ids(rules))
        self._relaying.look_soon()

    def is_unheard(self, record: RelayRecord) -> bool:
        """See `Relaying.is_unheard`."""
        return self._relaying.is_unheard(record)

    # relays

    def shown(self, records: Iterable[RelayRecord] | None = None) -> list[ShownRelay]:
        """These, by default all of them by stream: at the cost of one look at what edges reported, where `show` looks for each."""
        statuses = self._relaying.states.statuses()
        return [self._show(record, statuses.get(record.id)) for record in (self.known.relays() if records is None else records)]

    def show(self, record: RelayRecord) -> ShownRelay:
        """One, as its edge reported it here; otherwise as the replica wrote it down that the edge reports to."""
        return self._show(record, self._relaying.states.status(record))

    def _show(self, record: RelayRecord, status: RelayStatus | None) -> ShownRelay:
        written = self.known.state(record.id) if status is None else None
        if written is not None:
            status = RelayStatus(
                id=record.id,
                state=written.state,
                url=written.url,
                session_id=written.session_id,
                error=written.error,
                since_us=written.since_us,
            )
        return ShownRelay(record, status)

    async def start_pull(
        self, stream: StreamKey, urls: Sequence[str], *, options: RelayOptions | None = None, stop_after_s: float = NEVER_S
    ) -> RelayRecord:
        """Fetch `stream` from the first of `urls` that has it, from now on. One that was asked for before is replaced.

        Args:
            stream: what it is called here.
            urls: sources, in the order in which they are tried; no templates.
            options: how it is run.
            stop_after_s: it ends so long after the last one who watched has left, or where nobody ever did; `NEVER_S`.

        Raises:
            RuleError: something in it is not allowed; `RelayLoopError`: the source is this cluster.
            StreamExists: it is published here, or a rule fetches it.
            TooManyRelaysError: others have to go first.
            Unavailable: not known whether it begins.
        """
        before = self.known.pull(stream)
        if (before is None and self._view.directory.claim(stream) is not None) or (before is not None and before.rule):
            raise StreamExists(f"{stream} is being published" if before is None else f"{stream} is fetched by rule {before.rule}")
        record = self._record(stream, urls, options, is_push=False)
        return await self._make(replace(record, stop_after_s=checked_stop(stop_after_s)), before)

    async def start_push(self, stream: StreamKey, url: str, *, options: RelayOptions | None = None) -> RelayRecord:
        """Send `stream` to `url` whenever it is published, until that is ended. Raises as `start_pull`."""
        record = self._record(stream, [url], options, is_push=True)
        before = self.known.at(record.key)
        if before is not None:
            raise StreamExists(f"{stream} is sent there already")
        return await self._make(record, None)

    async def stop_pull(self, stream: StreamKey) -> ShownRelay:
        """End a pull that was asked for; as it was.

        Raises:
            StreamNotFound: none is known.
            MadeByRuleError: it is by a rule, and would begin again.
            Unavailable: not known whether it has ended.
        """
        record = self.known.pull(stream)
        if record is None:
            raise StreamNotFound(f"{stream} is not fetched")
        return await self.stop(record)

    async def stop(self, record: RelayRecord) -> ShownRelay:
        """End a relay that was asked for; raises as `stop_pull`."""
        if record.rule:
            raise MadeByRuleError(f"it is by rule {record.rule}, and ends with that")
        shown = self.show(record)
        while True:
            entry, _ = await self._registry.get(record.key)
            if entry is None:
                return shown
            result = await self._registry.transact([Unchanged(entry.key, entry.mod_revision)], [Delete(entry.key)])
            if result.succeeded:
                self._view.learn_gone([entry.key], result.revision)
                self._relaying.look_soon()
                log.info("relay of %s ended by API", record.stream, extra={"relay": record.id})
                return shown

    def _record(self, stream: StreamKey, urls: Sequence[str], options: RelayOptions | None, *, is_push: bool) -> RelayRecord:
        if not 1 <= len(urls) <= MAX_RELAY_URLS:
            raise RuleError("urls", f"a relay needs 1 to {MAX_RELAY_URLS} URLs")
        checked = tuple(check_url(url, is_push=is_push) for url in urls)
        return RelayRecord(
            id="",
            is_push=is_push,
            stream=stream,
            urls=checked,
            options=checked_options(options or RelayOptions()),
            created_us=self._now_us(),
        )

    async def _make(self, record: RelayRecord, before: RelayRecord | None) -> RelayRecord:
        if before is None and len(self.known.relays()) >= MAX_RELAY_JOBS:
            raise TooManyRelaysError(f"{MAX_RELAY_JOBS} relays are there already")
        write = self._relaying.plan.made(record, before)
        if not await self._relaying.carry_out(write):
            raise Unavailable(f"the relay of {record.stream} has changed meanwhile", retry_after_s=CHANGED_S)
        self._relaying.look_soon()
        return write.record

    # rules

    async def add_rule(self, rule: RelayRule, stream: StreamKey | None = None) -> RelayRuleRecord:
        """Relay by `rule` from now on; where `stream` is given, that one only, whatever the rule's pattern.

        Raises:
            TooManyRelaysError: others have to go first.
            Unavailable: not known whether the rule was added.
        """
        if len(self.known.rules) >= MAX_RULES:
            raise TooManyRelaysError(f"{MAX_RULES} rules of relays are there already")
        if stream is not None:
            pattern = str(stream) if not rule.is_push and not rule.on_demand else escape(str(stream))
            rule = replace(rule, pattern=pattern)
        record = RelayRuleRecord(id=secrets.token_hex(ID_BYTES), rule=rule, stream=str(stream or ""), created_us=self._now_us())
        key, value = rule_key(record.id), serialize_relay_rule(record)
        result = await self._registry.transact([Absent(key)], [Put(key, value)])
        if not result.succeeded:  # the same 64 random bits twice
            return await self.add_rule(rule, stream)
        self._view.learn(KeyValue(key, value, result.revision, result.revision))
        log.info("relay rule %s: %s of %s", record.id, "push" if rule.is_push else "pull", rule.pattern)
        return record

    async def remove_rule(self, rule_id: str) -> bool:
        """Let a rule that was added by API go, and the relays that are by it; False where there is none of that id.

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
                self._view.learn_gone([key], result.revision)
                log.info("relay rule %s removed", rule_id)
                return True

    def _now_us(self) -> int:
        return int(self._wall_clock() * 1_000_000)


def build_relays(registry: Registry, service: SchedulerService, name: str, settings: RelayingSettings) -> Relays:
    """The relays of the replica `name` with `service`, of which they become a part."""
    service.directory.relaying.configure(_with_ids(settings.rules))
    relaying = Relaying(
        registry,
        service.view,
        service.presence,
        service.members,
        service.metrics,
        service.locator,
        name=name,
        start_timeout_s=settings.start_timeout_s,
    )
    service.segmenting.bring = relaying.bring
    service.control.parts.append(relaying)
    return Relays(registry, service.view, relaying)


def _with_ids(rules: Sequence[RelayRule]) -> list[tuple[str, RelayRule]]:
    """Rules of the configuration, each with the id that every replica gives it that has it."""
    return [(f"{CONFIGURED}{_digest(rule)}", rule) for rule in rules]


def _digest(rule: RelayRule) -> str:
    """Of what a rule says: its id is the same at every replica, and after a restart."""
    return blake2b(repr(rule).encode(), digest_size=ID_BYTES).hexdigest()
