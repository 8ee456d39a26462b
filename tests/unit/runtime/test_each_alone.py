"""One thing done with each of many."""

from __future__ import annotations

import pytest

from lalmesh.runtime.each_alone import TRACEBACKS, for_each_alone


def test_one_that_fails_keeps_no_other_and_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    assert for_each_alone([4, 0, 2], lambda item: 8 // item, "no share") == [2, 4]
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info and record.exc_info[0]) == ("no share", ZeroDivisionError)


def test_the_items_may_change_meanwhile() -> None:
    items = {1, 2, 3}
    for_each_alone(items, items.remove, "not removed")
    assert items == set()


def test_what_fails_with_thousands_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert for_each_alone(range(3000), lambda _: [].pop(), "not closed") == []
    assert [record.getMessage() for record in caplog.records] == [*["not closed"] * TRACEBACKS, "not closed: 3000 of 3000"]
