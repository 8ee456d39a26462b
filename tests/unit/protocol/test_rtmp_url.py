from __future__ import annotations

import pytest

from lalmesh.errors import UnsupportedError
from lalmesh.protocol.rtmp import RtmpUrl
from lalmesh.protocol.rtmp._url import split_app, split_name


@pytest.mark.parametrize(
    ("url", "host", "port", "app", "name", "tc_url"),
    [
        ("rtmp://h/live/cam", "h", 1935, "live", "cam", "rtmp://h/live"),
        ("rtmp://h:1936/live/cam?a=b&c=d/e", "h", 1936, "live", "cam?a=b&c=d/e", "rtmp://h:1936/live"),
        ("rtmps://h/app/inst/cam", "h", 443, "app/inst", "cam", "rtmps://h/app/inst"),
        ("rtmp://[::1]:1935/live/cam", "::1", 1935, "live", "cam", "rtmp://[::1]/live"),
        ("rtmp://h/live?token=x/cam?y", "h", 1935, "live?token=x", "cam?y", "rtmp://h/live?token=x"),
        ("rtmp://h/live/cam#1", "h", 1935, "live", "cam#1", "rtmp://h/live"),
        ("rtmp://h/cam", "h", 1935, "", "cam", "rtmp://h/"),
        ("rtmp://h", "h", 1935, "", "", "rtmp://h/"),
        # with two parts in the path a query is the name's, slashes and all
        ("rtmp://h/a/b?k=v/x", "h", 1935, "a", "b?k=v/x", "rtmp://h/a"),
        # with one part, what follows the last slash of the query is the name: so is the second half of a parameter with a slash
        ("rtmp://h/x?u=a/b", "h", 1935, "x?u=a", "b", "rtmp://h/x?u=a"),
        # a virtual host is a parameter like others, of the application or of the name; `...` in a name is no syntax
        ("rtmp://h/live?vhost=v.example/cam", "h", 1935, "live?vhost=v.example", "cam", "rtmp://h/live?vhost=v.example"),
        ("rtmp://h/live/cam?vhost=v.example", "h", 1935, "live", "cam?vhost=v.example", "rtmp://h/live"),
        (
            "rtmp://h/live...vhost...v.example/cam",
            "h",
            1935,
            "live...vhost...v.example",
            "cam",
            "rtmp://h/live...vhost...v.example",
        ),
        ("rtmp://h/live/cam?vhost=", "h", 1935, "live", "cam?vhost=", "rtmp://h/live"),
    ],
)
def test_urls_are_taken_apart(url: str, host: str, port: int, app: str, name: str, tc_url: str) -> None:
    parsed = RtmpUrl.parse(url)
    assert (parsed.host, parsed.port, parsed.app, parsed.name, parsed.tc_url) == (host, port, app, name, tc_url)


def test_the_text_is_the_url_again() -> None:
    assert str(RtmpUrl.parse("rtmps://h:444/live/cam?a=b")) == "rtmps://h:444/live/cam?a=b"
    assert (RtmpUrl.parse("rtmps://h/live/cam").tls, RtmpUrl.parse("rtmp://h/live/cam").tls) == (True, False)


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [("user:se%40cret", "user", "se@cret"), ("user", "user", ""), (":secret", "", "secret"), ("", "", "")],
)
def test_a_user_and_a_password_are_kept_and_not_repeated(login: str, user: str, password: str) -> None:
    url = RtmpUrl.parse(f"rtmp://{login}@h/live/cam")
    assert (url.user, url.password) == (user, password)
    assert str(url) == "rtmp://h/live/cam"
    assert "cret" not in repr(url)


@pytest.mark.parametrize("url", ["rtmp://", "rtmp:///live/x", "rtmp://h:x/live/x", "rtmp://h:99999/live/x", "rtmp://[::1/live/x"])
def test_what_is_no_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError):
        RtmpUrl.parse(url)


def test_other_schemes_are_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="rtmpe"):
        RtmpUrl.parse("rtmpe://h/live/x")


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("live", ("live", "")),
        ("live/", ("live", "")),
        ("/live?token=x?y", ("live", "token=x?y")),
        ("a//b", ("a//b", "")),
        ("", ("", "")),
    ],
)
def test_applications_lose_their_query_and_outer_slashes(app: str, expected: tuple[str, str]) -> None:
    assert split_app(app) == expected


@pytest.mark.parametrize(
    ("app", "name", "expected"),
    [
        ("app", "name?a=b?c", ("app", "name", "a=b?c")),
        ("app/inst", "name", ("app/inst", "name", "")),
        ("app", "inst/name", ("app/inst", "name", "")),
        ("app", "", ("app", "", "")),
        ("", "inst/name", ("inst", "name", "")),
        ("app", "name?sign=a/b", ("app", "name", "sign=a/b")),
        ("app", "../name", ("app/..", "name", "")),
    ],
)
def test_both_spellings_of_an_instance_give_the_same_stream(app: str, name: str, expected: tuple[str, str, str]) -> None:
    assert split_name(app, name) == expected
