"""What stays in memory."""

from __future__ import annotations

from services.hls.rendition import MadeFile
from services.hls.shelf import NEWEST, Budget, Shelf


def file(number: int, size: int = 10) -> MadeFile:
    return MadeFile(f"1.1-{number}.ts", bytes(size), number, stored=True)


def test_what_is_stored_goes_but_the_newest() -> None:
    budget = Budget(1000)
    shelf = Shelf(budget)
    for number in range(10):
        assert shelf.put(file(number)) == []
    shelf.stored(9)
    assert [number for number in range(10) if shelf.get(f"1.1-{number}.ts") is not None] == list(range(10 - NEWEST, 10))
    assert budget.used_bytes == NEWEST * 10


def test_what_is_not_stored_stays() -> None:
    shelf = Shelf(Budget(1000))
    for number in range(10):
        shelf.put(file(number))
    shelf.stored(2)
    assert len(shelf) == 7


def test_over_the_budget_the_oldest_goes_and_the_newest_never() -> None:
    shelf = Shelf(Budget(35))
    shelf.stored(0)
    assert [shelf.put(file(number)) for number in range(5)] == [[], [], [], [], [1]]
    assert shelf.put(file(9, 100)) == [2, 3, 4]
    assert shelf.get("1.1-9.ts") is not None


def test_all_shelves_share_the_budget_and_give_it_back() -> None:
    budget = Budget(1000)
    one, other = Shelf(budget), Shelf(budget)
    one.put(file(1))
    other.put(file(1))
    one.clear()
    assert budget.used_bytes == 10


def test_what_storage_has_of_any_stream_goes_before_what_it_has_not() -> None:
    budget = Budget(60)
    one, other = Shelf(budget), Shelf(budget)
    for number in range(3):
        one.put(file(number))
    one.stored(2)
    assert [other.put(file(number)) for number in range(5)] == [[], [], [], [], []]
    assert (len(one), len(other)) == (1, 5)
    assert other.put(file(5)) == [0], "the newest of the other stays"
