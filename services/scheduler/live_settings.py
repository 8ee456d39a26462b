"""Settings that are made over the API: kept in the registry, told to every node and replica.

All of them are one record, ``settings/live``, so whoever reads it has a state that somebody wrote. It is followed beside the view:
ownership does not depend on it. The term stands in it, so that nodes tell what was made after the registry was wiped or restored,
at a low revision, from what is outdated.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lalmesh.errors import Unavailable
from lalmesh.runtime.config import (
    API,
    Config,
    ConfigError,
    KeyChange,
    Loaded,
    api_catalogue,
    changes_between,
    check_api_keys,
    overlay,
)
from lalmesh.runtime.registry import Absent, Changed, Compare, FollowEvent, KeyValue, Listing, Put, Registry, Removed, Unchanged
from lalmesh.runtime.scheduling import LiveSettings
from lalmesh.runtime.scheduling.control import MAX_SETTING_BYTES
from services.scheduler.changes import Change
from services.scheduler.cluster_records import TERM_KEY, parse_term
from services.scheduler.members import Session
from services.scheduler.terms import NEVER, Terms

log = logging.getLogger(__name__)

KEY = "settings/live"
MAX_RECORD_BYTES = MAX_SETTING_BYTES  #: so no setting in it is one that nodes do not take
ATTEMPTS = 5  #: to write where others do at the same time
RETRY_AFTER_S = 1.0


class SettingsConflictError(Exception):
    """The settings are of another revision than the one that was to be changed."""


class SettingsTooLargeError(Exception):
    """There would be more than a record may hold."""


@dataclass(slots=True, frozen=True)
class MadeSettings:
    """What a change made of the settings."""

    settings: LiveSettings
    changed: tuple[KeyChange, ...]  #: what is another than before, where a node is configured as this scheduler


class SettingsPart:
    """They, as a part of a scheduler."""

    def __init__(self, registry: Registry, terms: Terms, members: Iterable[Session]) -> None:
        """Keep them in `registry`, which `terms` writes to, and tell `members`, those that have joined this replica."""
        self._registry = registry
        self._terms = terms
        self._members = members
        self._is_known = False
        self.current = LiveSettings()  #: as the registry told them last
        self.base: Callable[[], Loaded] = _defaults  #: what settings stand above here, for them to be checked with
        self.told: Callable[[LiveSettings], None] = _nobody  #: hears of them in this process

    async def run(self) -> None:
        """See `ControlPart.run`."""
        async for event in self._registry.follow(KEY):
            settings = _after(event)
            if settings is not None and not (isinstance(event, Changed) and settings.version < self.current.version):
                self._take(settings)

    def handle(self, change: Change) -> None:
        """See `ControlPart.handle`."""

    def joined(self, session: Session) -> None:
        """See `ControlPart.joined`."""
        if self._is_known:
            session.send(self.current)

    def reported(self, session: Session) -> None:
        """See `ControlPart.reported`."""

    async def change(self, values: Mapping[str, object], revision: int | None = None) -> MadeSettings:
        """Set `values`, by the paths of their keys; None takes a setting back.

        Args:
            values: what changes.
            revision: the one that was looked at; None: whichever there is.

        Raises:
            ConfigError: they are not allowed, by themselves or beside those that there are.
            SettingsConflictError: they are of another revision.
            SettingsTooLargeError: they would be too many.
            Unavailable: not known whether they were written.
        """
        check_api_keys(values)
        return await self._write(lambda now: {k: v for k, v in {**now, **values}.items() if v is not None}, revision)

    async def clear(self) -> MadeSettings:
        """Take all settings back.

        Raises:
            Unavailable: not known whether they went.
        """
        return await self._write(lambda now: {}, None)

    async def _write(self, make: Callable[[Mapping[str, object]], Mapping[str, object]], revision: int | None) -> MadeSettings:
        for _ in range(ATTEMPTS):
            await self._terms.keep_up()
            found = (await self._registry.transact([Unchanged(KEY, NEVER), Unchanged(TERM_KEY, NEVER)], [])).found
            entry, term = found.get(KEY), found.get(TERM_KEY)
            before = LiveSettings() if entry is None else parse_settings(entry)
            if revision is not None and revision != before.revision:
                raise SettingsConflictError(f"revision {revision} was changed, {before.revision} is in force")
            values = make(before.values)
            config = self._config(values)
            made = None if term is None else await self._transact(entry, term, values)
            if made is not None:
                self._take(made)
                return MadeSettings(made, tuple(changes_between(self._config_before(before), config)))
        raise Unavailable("others change settings at the same time", retry_after_s=RETRY_AFTER_S)

    def _config(self, values: Mapping[str, object]) -> Config:
        return overlay(self.base(), {path: value for path, value in values.items() if path in api_catalogue()}, API)

    def _config_before(self, before: LiveSettings) -> Config:
        """What was in force: settings that contradict what this scheduler has been configured to since were not."""
        try:
            return self._config(before.values)
        except ConfigError:
            return self.base().config

    async def _transact(self, entry: KeyValue | None, term: KeyValue, values: Mapping[str, object]) -> LiveSettings | None:
        """What was written; None where somebody else was faster."""
        number = parse_term(term).term
        record = json.dumps({"term": number, "values": values}, ensure_ascii=False, sort_keys=True).encode()
        if len(record) > MAX_RECORD_BYTES:
            raise SettingsTooLargeError(f"settings of {len(record)} bytes, limit {MAX_RECORD_BYTES}")
        compare: Compare = Absent(KEY) if entry is None else Unchanged(KEY, entry.mod_revision)
        compares = [compare, Unchanged(TERM_KEY, term.mod_revision)]
        result = await self._terms.transact(compares, [Put(KEY, record)])  # also where there are none: revisions rise
        return LiveSettings(result.revision, values, number) if result.succeeded else None

    def _take(self, settings: LiveSettings) -> None:
        if self._is_known and settings == self.current:
            return
        self._is_known, self.current = True, settings
        for session in self._members:
            session.send(settings)
        self.told(settings)


def parse_settings(entry: KeyValue) -> LiveSettings:
    """What the registry holds."""
    match _json(entry.value):
        case {"term": int(term), "values": dict(values)}:
            return LiveSettings(entry.mod_revision, values, term)
        case _:
            log.error("%s holds no settings", KEY)
            return LiveSettings(entry.mod_revision)


def _json(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _after(event: FollowEvent) -> LiveSettings | None:
    """The settings after an event; None where it is about another key. Revision 0: there are none."""
    match event:
        case Listing(entries):
            found = next((entry for entry in entries if entry.key == KEY), None)
            return LiveSettings() if found is None else parse_settings(found)
        case Changed(entry):
            return parse_settings(entry) if entry.key == KEY else None
        case Removed(key):
            return LiveSettings() if key == KEY else None


def _defaults() -> Loaded:
    return Loaded(Config(), {})


def _nobody(settings: LiveSettings) -> None:
    """Nobody in this process hears of settings."""
