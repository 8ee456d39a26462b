"""Where a follower goes on it is told its last revision again, and sees by that whether the store is what it was."""

from __future__ import annotations

import pytest

from lalmesh.runtime.registry import Changed, KeyValue, Listing, Removed
from services.scheduler.registry._watch import StartOver, Told


def entry(key: str, revision: int, value: bytes = b"", lease_id: int = 0) -> KeyValue:
    return KeyValue(key, value, revision, revision, lease_id)


def put(key: str, revision: int, value: bytes = b"", lease_id: int = 0) -> Changed:
    return Changed(entry(key, revision, value, lease_id))


def listed(*entries: KeyValue, revision: int = 7) -> Told:
    return Told(Listing(entries, revision))


BOTH: list[Changed | Removed] = [put("a", 8), Removed("b", 8)]  # of one transaction


def told_both() -> Told:
    told = listed(entry("b", 7))
    assert told.new(BOTH) == BOTH
    return told


def test_after_a_listing_what_comes_is_new() -> None:
    told = listed(entry("a", 5), entry("b", 7))
    assert told.new([]) == []
    assert told.new([put("b", 7), put("a", 8), put("a", 9)]) == [put("a", 8), put("a", 9)]
    assert told.revision == 9


def test_what_was_told_last_is_told_again_and_is_not_new() -> None:
    told = told_both()
    assert told.new([*BOTH, put("c", 9)]) == [put("c", 9)]
    assert told.new([put("c", 9)]) == []


def test_where_nothing_is_told_again_as_it_is_compacted_all_is_new() -> None:
    assert told_both().new([put("c", 9)]) == [put("c", 9)]


def test_what_was_removed_at_the_revision_of_a_listing_is_not_known() -> None:
    assert listed(entry("a", 5)).new([Removed("b", 7), put("c", 8)]) == [put("c", 8)]


@pytest.mark.parametrize(
    "others",
    [
        [put("c", 8)],
        [put("a", 8, b"other"), Removed("b", 8)],
        [put("a", 8, lease_id=1), Removed("b", 8)],
        [put("a", 8)],
        [put("a", 8), Removed("c", 8)],
        [Removed("b", 8)],
        [*BOTH, put("c", 8)],
    ],
)
def test_anything_else_at_that_revision_is_another_past(others: list[Changed | Removed]) -> None:
    with pytest.raises(StartOver, match="revision 8 is not what it was"):
        told_both().new([*others, put("d", 9)])


@pytest.mark.parametrize("others", [[put("c", 7)], [put("b", 7, b"other")], [Removed("b", 7)]])
def test_a_listing_knows_another_past_too(others: list[Changed | Removed]) -> None:
    with pytest.raises(StartOver):
        listed(entry("a", 5), entry("b", 7)).new(others)


def test_a_listing_at_whose_revision_others_wrote_knows_what_was_written_there_since() -> None:
    with pytest.raises(StartOver):
        listed(entry("a", 5)).new([put("b", 7)])
