"""Parts of pages that are written by a command."""

from __future__ import annotations

import pytest

from lalmesh.runtime.marked import with_marked


def test_what_stands_between_the_marks_is_replaced_and_nothing_else() -> None:
    assert with_marked("a <b>old</b> c </b>", "<b>", "</b>", "new") == "a <b>new</b> c </b>"


@pytest.mark.parametrize("page", ["", "<b> alone", "</b> before <b>"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="the page needs <b> and </b>"):
        with_marked(page, "<b>", "</b>", "new")
