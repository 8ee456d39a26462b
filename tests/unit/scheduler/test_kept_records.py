"""Records as the registry told them last."""

from __future__ import annotations

import pytest

from lalmesh.runtime.registry import KeyValue
from services.scheduler.cluster_records import TERM_KEY, TermRecord, parse_term
from services.scheduler.kept import Kept, found_record
from services.scheduler.records import DamagedRecordError

Change = tuple[TermRecord | None, TermRecord | None]


def entry(revision: int, value: bytes = b"7") -> KeyValue:
    return KeyValue(TERM_KEY, value, revision, revision)


def record(revision: int, term: int = 7) -> TermRecord:
    return TermRecord(term=term, mod_revision=revision)


class Told:
    """Records, and all that was told of them."""

    def __init__(self) -> None:
        self.heard: list[Change] = []
        self.kept: Kept[TermRecord, Change] = Kept(parse_term, self._told)

    def _told(self, before: TermRecord | None, now: TermRecord | None) -> list[Change]:
        self.heard.append((before, now))
        return [(before, now)]


def test_a_later_write_replaces_what_is_known_and_says_so() -> None:
    kept = Told().kept
    assert kept.write(entry(2), listed=False) == [(None, record(2))]
    assert kept.write(entry(3), listed=False) == [(record(2), record(3))]
    assert [*kept.values()] == [record(3)]


def test_what_is_not_later_is_passed_over_unless_it_is_listed() -> None:
    kept = Told().kept
    kept.write(entry(3), listed=False)
    assert kept.write(entry(3, b"8"), listed=False) == []
    assert kept.remove(TERM_KEY, 2) == []
    assert kept.write(entry(2), listed=True) == [(record(3), record(2))]
    assert kept.remove(TERM_KEY, 2) == [(record(2), None)]


def test_the_same_again_is_heard_and_changes_nothing() -> None:
    told = Told()
    told.kept.write(entry(3), listed=True)
    assert told.kept.write(entry(3), listed=True) == []
    assert told.heard[-1] == (record(3), record(3))


def test_what_is_not_listed_is_forgotten() -> None:
    kept = Told().kept
    kept.write(entry(3), listed=True)
    assert kept.replace([TERM_KEY]) == []
    assert kept.replace([]) == [(record(3), None)]
    assert kept.get(TERM_KEY) is None


def test_a_damaged_value_leaves_what_is_known() -> None:
    kept = Told().kept
    kept.write(entry(3), listed=True)
    assert kept.write(entry(4, b"soon"), listed=True) == []
    assert kept.get(TERM_KEY) == record(3)


def test_what_a_transaction_found_goes_before_what_was_known() -> None:
    assert found_record({TERM_KEY: entry(3)}, TERM_KEY, parse_term, record(2)) == record(3)
    assert found_record({TERM_KEY: None}, TERM_KEY, parse_term, record(2)) is None
    assert found_record({}, TERM_KEY, parse_term, record(2)) == record(2)
    with pytest.raises(DamagedRecordError):
        found_record({TERM_KEY: entry(3, b"soon")}, TERM_KEY, parse_term, None)
