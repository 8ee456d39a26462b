from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from services.scheduler.api import ApiRole, ApiToken, Permission, ProblemError, Tokens, hash_token
from services.scheduler.api._permission import TokenFailures


def check(remote: str, host: str = "localhost:8083", token: str = "", **headers: str) -> int:
    """The status that a request gets; 0 where it may pass."""
    sent = {"Host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = make_mocked_request("POST", "/", headers=sent).clone(remote=remote)
    tokens = [ApiToken(name="a", role=ApiRole.ADMIN, hash=hash_token(token))] if token else []
    try:
        Permission(Tokens(tokens)).check(request, ApiRole.OPERATOR)
    except ProblemError as error:
        return error.status
    return 0


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8083", "[::1]:8083", "192.0.2.1", "LOCALHOST:1"])
def test_programs_on_this_machine_may_change_things(remote: str, host: str) -> None:
    assert check(remote, host) == 0


@pytest.mark.parametrize("remote", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "", "unix:"])
def test_others_may_not(remote: str) -> None:
    assert check(remote) == 403


def test_neither_may_a_page_whose_name_leads_here_nor_a_proxy() -> None:
    assert check("127.0.0.1", "attacker.example:8083") == 403
    assert check("127.0.0.1", X_Forwarded_For="192.0.2.1") == 403
    assert check("127.0.0.1", Forwarded="for=192.0.2.1") == 403
    assert check("127.0.0.1", Origin="http://localhost:8083") == 0
    assert check("127.0.0.1", Origin="https://attacker.example") == 403
    assert check("127.0.0.1", Origin="null") == 403


def test_with_a_token_that_alone_counts() -> None:
    assert check("127.0.0.1", token="secret") == 401
    assert check("192.0.2.1", token="secret", Authorization="bearer secret") == 0
    assert check("192.0.2.1", token="secret", Authorization="Basic secret") == 401
    assert check("192.0.2.1", token="secret", Authorization="Bearer sécret") == 401


def test_who_shows_too_many_tokens_that_are_none_is_heard_no_more_but_where_nobody_needs_one() -> None:
    tokens = Tokens([ApiToken(name="a", role=ApiRole.ADMIN, hash=hash_token("secret"))])
    rule = Permission(tokens, failures=TokenFailures(3))

    def ask(token: str, needed: ApiRole = ApiRole.OPERATOR, remote: str = "192.0.2.1") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = make_mocked_request("POST", "/", headers=headers).clone(remote=remote)
        try:
            rule.check(request, needed)
        except ProblemError as error:
            return error.status if bool(error.retry_after_s) is (error.status == 429) else -1
        return 0

    assert [ask(token) for token in ("", "a", "", "b", "secret", "c", "", "d", "secret")] == [401] * 4 + [0, 401, 401, 429, 429]
    assert rule.granted(make_mocked_request("GET", "/", headers={"Authorization": "Bearer secret"})).role is ApiRole.ADMIN
    assert [ask("secret", ApiRole.VIEWER), ask("x", ApiRole.ANYBODY), ask("secret", remote="192.0.2.2")] == [0, 0, 0]
    rule.failures.set(0)
    assert ask("secret") == 0


def test_a_token_that_is_over_is_no_failure() -> None:
    over = Tokens([ApiToken(name="a", role=ApiRole.ADMIN, hash=hash_token("secret"), expires_s=1)])
    rule = Permission(over, failures=TokenFailures(1))
    request = make_mocked_request("POST", "/", headers={"Authorization": "Bearer secret"}).clone(remote="192.0.2.1")
    for _ in range(3):
        with pytest.raises(ProblemError) as caught:
            rule.check(request, ApiRole.OPERATOR)
        assert caught.value.status == 401


def test_a_token_that_was_taken_away_is_none() -> None:
    request = make_mocked_request("GET", "/", headers={"Authorization": "Bearer secret"})
    tokens = Tokens([ApiToken(name="a", role=ApiRole.VIEWER, hash=hash_token("secret"))])
    other = Tokens([ApiToken(name="b", role=ApiRole.VIEWER, hash=hash_token("another"))])
    assert [Permission(each, open_reads=False).allows(request, ApiRole.VIEWER) for each in (tokens, other)] == [True, False]
