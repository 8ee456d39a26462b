"""Tokens of the API."""

from __future__ import annotations

import pytest

from lalmesh.runtime.api_tokens import ApiRole, ApiToken, Tokens, hash_token, make_token, parse_time, parse_token

HASH = hash_token("secret")


def test_tokens_are_long_and_never_the_same() -> None:
    assert make_token() != make_token()
    assert len(make_token()) == len("lalmesh_") + 43  # 256 bits in base 64


def test_a_token_survives_its_line() -> None:
    for token in (
        ApiToken(name="a", role=ApiRole.ADMIN, hash=HASH),
        ApiToken(name="b.1_-", role=ApiRole.VIEWER, hash=HASH, expires_s=parse_time("2030-01-31T12:00:00+02:00")),
    ):
        assert parse_token(str(token)) == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"a {HASH}",
        f"a root {HASH}",
        f"a anybody {HASH}",
        f"ä admin {HASH}",
        "a admin secret",
        f"a admin {HASH}0",
        f"a admin {HASH} 2030-01-31",
        f"a admin {HASH} expires=soon",
        f"a admin {HASH} expires=2030-01-31 expires=2030-01-31",
    ],
)
def test_what_is_no_token_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_token(text)
    assert HASH not in str(caught.value)


def test_a_token_is_found_until_it_is_over() -> None:
    tokens = Tokens([parse_token(f"a admin {HASH} expires=1970-01-01T00:01:00Z"), parse_token(f"b viewer {hash_token('other')}")])
    found = tokens.find("secret")
    assert found is not None
    assert (found.name, found.role) == ("a", ApiRole.ADMIN)
    assert [found.is_over(now_s) for now_s in (59, 60)] == [False, True]
    assert [tokens.find(text) for text in ("", "secre", "secret ", "s\udc80", "x" * 100_000, HASH)] == [None] * 6


def test_tokens_that_are_over_are_tokens_still() -> None:
    assert Tokens([parse_token(f"a admin {HASH} expires=1970-01-01")])
    assert not Tokens()
