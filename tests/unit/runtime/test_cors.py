"""Which web pages may read streams."""

from __future__ import annotations

import pytest

from lalmesh.runtime.cors import EXPOSED, CorsPolicy

PAGE = "https://tv.example:8443"


def test_any_page_may_read_without_credentials() -> None:
    expected = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    assert CorsPolicy(("*",)).headers(PAGE) == expected


def test_a_listed_page_may_read_with_credentials() -> None:
    headers = CorsPolicy((PAGE + "/",)).headers("HTTPS://tv.example:8443")
    assert headers["Access-Control-Allow-Origin"] == "HTTPS://tv.example:8443"
    assert (headers["Access-Control-Allow-Credentials"], headers["Vary"]) == ("true", "Origin")


@pytest.mark.parametrize("origin", ["https://evil.example", "https://tv.example", "null", None])
def test_another_page_may_not_read(origin: str | None) -> None:
    assert CorsPolicy((PAGE,)).headers(origin) == {"Vary": "Origin"}


def test_an_own_page_may_read_whatever_the_list_becomes() -> None:
    policy = CorsPolicy((), ("http://localhost:8083",))
    policy.allow((PAGE,))
    assert "Access-Control-Allow-Origin" in policy.headers("http://localhost:8083")
    assert "Access-Control-Allow-Origin" not in policy.headers("http://localhost:8080")


def test_without_a_list_nothing_is_said() -> None:
    assert CorsPolicy(()).headers(PAGE) == {}


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        ((), None, True),
        ((), "http://edge.example:8080", True),
        ((), PAGE, False),
        ((PAGE,), PAGE, True),
        ((PAGE,), "https://evil.example", False),
        (("*",), "https://evil.example", True),
        ((), "null", False),
    ],
)
def test_a_socket_may_be_opened_by_no_browser_the_same_host_or_a_listed_page(
    listed: tuple[str, ...], origin: str | None, allowed: bool
) -> None:
    assert CorsPolicy(listed).allows_socket(origin, "edge.example:8080") is allowed


def test_a_preflight_is_told_what_may_be_asked_with_which_headers() -> None:
    said = CorsPolicy((PAGE,)).preflight(PAGE, "range")
    assert (said["Access-Control-Allow-Methods"], said["Access-Control-Allow-Headers"]) == ("GET, HEAD", "range")
    assert "Access-Control-Allow-Headers" not in CorsPolicy(("*",)).preflight(PAGE, None)


def test_a_page_that_may_not_read_is_told_nothing_before_either() -> None:
    assert CorsPolicy((PAGE,)).preflight("https://evil.example", "range") == {}
