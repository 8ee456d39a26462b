"""Requests are held to the models of their operations, and nothing is converted."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from services.scheduler.api import ApiModel, PageQuery, ProblemError
from services.scheduler.api._checking import MAX_ERRORS, check_body, check_query, refuse_query


class Colour(Enum):
    RED = "red"


class Inner(ApiModel):
    number: int = 0


class Body(ApiModel):
    name: str = Field(min_length=1)
    count: int = Field(default=0, ge=0, le=9)
    share: float = 0.0
    inner: tuple[Inner, ...] = ()


class Query(PageQuery):
    colour: Colour | None = None
    is_big: bool = False
    limit: Annotated[float | None, Field(ge=0)] = None
    text: str | None = None
    ids: tuple[int, ...] = ()


def fields(exc: ProblemError) -> list[str]:
    return [error.field for error in exc.errors]


def test_a_body_is_taken_as_it_is() -> None:
    body = check_body(Body, b'{"name": "a", "share": 1, "inner": [{"number": 2}]}')
    assert (body.name, body.share, body.inner[0].number) == ("a", 1.0, 2)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b"", [""]),
        (b"{", [""]),
        (b"\xff", [""]),
        (b"[]", [""]),
        (b"{}", ["name"]),
        (b'{"name": 1}', ["name"]),
        (b'{"name": "", "count": "1", "more": 1}', ["name", "count", "more"]),
        (b'{"name": "a", "count": true}', ["count"]),
        (b'{"name": "a", "count": 1.5}', ["count"]),
        (b'{"name": "a", "share": NaN}', ["share"]),
        (b'{"name": "a", "inner": [{}, {"number": "x"}]}', ["inner.1.number"]),
    ],
)
def test_every_field_that_is_wrong_is_named(text: bytes, wrong: list[str]) -> None:
    with pytest.raises(ProblemError) as caught:
        check_body(Body, text)
    assert fields(caught.value) == wrong
    assert caught.value.status == 400


def test_as_many_errors_are_told_as_somebody_reads() -> None:
    with pytest.raises(ProblemError) as caught:
        check_body(Body, b'{"name": "a", "inner": [' + b",".join([b"1"] * 100) + b"]}")
    assert len(caught.value.errors) == MAX_ERRORS
    assert caught.value.detail.endswith("99 more")


def test_a_query_is_read_as_its_fields_have_it() -> None:
    asked = [("page", "2"), ("colour", "red"), ("is_big", "true"), ("limit", "1.5"), ("text", "7"), ("ids", "1"), ("ids", "2")]
    query = check_query(Query, asked)
    assert (query.page, query.items_per_page, query.colour, query.is_big) == (2, 100, Colour.RED, True)
    assert (query.limit, query.text, query.ids) == (1.5, "7", (1, 2))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("page", text) for text in ("0", "x", "-1", "", " 1", "+1", "1_0", "1.0", "01", "١", "9" * 50, "1e400", "true")),
        *(("is_big", text) for text in ("1", "yes", "True", "")),
        *(("limit", text) for text in ("-1", "NaN", "Infinity", "null")),
        ("colour", "blue"),
        ("ids", "x"),
        ("other", "1"),
    ],
)
def test_what_is_written_in_another_way_is_refused(name: str, text: str) -> None:
    with pytest.raises(ProblemError) as caught:
        check_query(Query, [(name, text)])
    assert caught.value.field.split(".")[0] == name


def test_what_can_be_given_once_is_not_taken_twice() -> None:
    with pytest.raises(ProblemError, match="more than once"):
        check_query(Query, [("page", "1"), ("page", "1")])


def test_where_no_query_is_known_there_is_none() -> None:
    refuse_query({})
    with pytest.raises(ProblemError):
        refuse_query({"x": ""})


def is_taken_or_refused(check: Callable[[], object]) -> bool:
    try:
        check()
    except ProblemError as exc:
        return bool(exc.errors)
    return True


@given(st.binary(max_size=200))
def test_any_body_is_taken_or_refused(body: bytes) -> None:
    assert is_taken_or_refused(lambda: check_body(Body, body))


@given(st.lists(st.tuples(st.sampled_from([*Query.model_fields, "x"]), st.text(max_size=40)), max_size=5))
def test_any_query_is_taken_or_refused(query: list[tuple[str, str]]) -> None:
    assert is_taken_or_refused(lambda: check_query(Query, query))
