"""What the registry holds of one kind of record, by key, as it was told last. A pure core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, ItemsView, Mapping, Sequence, ValuesView
from typing import Generic, Protocol, TypeVar

from lalmesh.runtime.registry import KeyValue
from services.scheduler.changes import Change
from services.scheduler.records import DamagedRecordError

log = logging.getLogger(__name__)

_Change = TypeVar("_Change")


class _Record(Protocol):
    """A record; records are compared to find out what changed."""

    @property
    def mod_revision(self) -> int:
        """Of the write that it is from."""
        ...


class Part(Protocol):
    """What is known of the keys under one prefix; see `Kept`."""

    def replace(self, listed: Collection[str]) -> Sequence[Change]:
        """Forget what is not `listed`."""
        ...

    def write(self, entry: KeyValue, *, listed: bool) -> Sequence[Change]:
        """Take in a key."""
        ...

    def remove(self, key: str, revision: int) -> Sequence[Change]:
        """Forget a key."""
        ...


_Kind = TypeVar("_Kind", bound=_Record)


class Kept(Generic[_Kind, _Change]):
    """The records of one kind. What is older than the record that is known changes nothing."""

    def __init__(self, parse: Callable[[KeyValue], _Kind], told: Callable[[_Kind | None, _Kind | None], Sequence[_Change]]) -> None:
        """Begin with nothing known.

        Args:
            parse: makes the record of an entry; raises `DamagedRecordError`.
            told: hears what a key held and holds now, also where both are the same, and gives what those are told of it who want
                to know of changes.
        """
        self._parse = parse
        self._told = told
        self._records: dict[str, _Kind] = {}

    def get(self, key: str) -> _Kind | None:
        """The record in a key."""
        return self._records.get(key)

    def values(self) -> ValuesView[_Kind]:
        """Every record."""
        return self._records.values()

    def items(self) -> ItemsView[str, _Kind]:
        """Every key with its record."""
        return self._records.items()

    def replace(self, listed: Collection[str]) -> list[_Change]:
        """Forget what is not `listed`."""
        return [change for key in [key for key in self._records if key not in listed] for change in self.set(key, None)]

    def write(self, entry: KeyValue, *, listed: bool) -> Sequence[_Change]:
        """A key is as `entry` says, unless a later write of it is known; a `listed` entry is the truth even so."""
        known = self._records.get(entry.key)
        if not listed and known is not None and known.mod_revision >= entry.mod_revision:
            return []
        try:
            return self.set(entry.key, self._parse(entry))
        except DamagedRecordError as exc:
            log.error("%s", exc)
            return []

    def remove(self, key: str, revision: int) -> Sequence[_Change]:
        """A key was removed at `revision`."""
        known = self._records.get(key)
        return [] if known is None or known.mod_revision > revision else self.set(key, None)

    def set(self, key: str, record: _Kind | None) -> Sequence[_Change]:
        """A key holds `record` now, None for nothing."""
        before = self._records.pop(key, None)
        if record is not None:
            self._records[key] = record
        changes = self._told(before, record)
        return [] if before == record else changes


def found_record(
    found: Mapping[str, KeyValue | None], key: str, parse: Callable[[KeyValue], _Kind], known: _Kind | None
) -> _Kind | None:
    """The record of a key that a transaction `found`, `known` where that was not asked for it; raises `DamagedRecordError`."""
    if key not in found:
        return known
    entry = found[key]
    return parse(entry) if entry is not None else None
