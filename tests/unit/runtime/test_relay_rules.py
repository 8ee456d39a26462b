"""Rules of relays: what is taken, and what their templates stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.recording import RuleError
from lalmesh.runtime.relay_rules import (
    RelayOptions,
    check_url,
    expand,
    make_relay_rule,
    parse_relay_rule,
    static_pull_rule,
    static_push_rule,
    without_secrets,
)
from lalmesh.runtime.scheduling.model import AskedUrl

CAM = StreamKey.of("live", "cam")
ODD = StreamKey.of("live/inner", "a b?&%")


def test_a_line_says_pattern_sources_and_how() -> None:
    rule = parse_relay_rule(
        "live/* rtmp://a/{app}/{name} https://b/{name}.flv stop_after_s=-1 retries=3 verify_tls=false", is_push=False
    )
    assert rule.urls == ("rtmp://a/{app}/{name}", "https://b/{name}.flv")
    assert (rule.stop_after_s, rule.on_demand) == (-1, True)
    assert rule.options == RelayOptions(retries=3, verify_tls=False)
    assert rule.matches(CAM)
    assert not rule.matches(StreamKey.of("vod", "cam"))


def test_what_is_always_fetched_is_one_stream() -> None:
    assert parse_relay_rule("live/cam rtsp://a/x start=always rtsp_transport=udp", is_push=False).stream == CAM
    with pytest.raises(RuleError) as refused:
        parse_relay_rule("live/* rtsp://a/x start=always", is_push=False)
    assert refused.value.field == "pattern"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "pattern"),
        ("live/*", "urls"),
        ("live/* ftp://a/b", "urls"),
        ("live/* rtmp://", "urls"),
        ("live/* rtmp://a/{user}", "urls"),
        ("live/* rtmp://{app}/x/{name}", "urls"),
        ("live/* rtmp://a:{name}@b/x/y", "urls"),
        ("live/* rtmp://a:99999/b/c", "urls"),
        ("live/* rtmp://a:/b/c", "urls"),
        ("live/* rtmp://a/b/c stop_after_s=-2", "stop_after_s"),
        ("live/* rtmp://a/b/c retries=-2", "retries"),
        ("live/* rtmp://a/b/c retries=x", "retries"),
        ("live/* rtmp://a/b/c rtsp_transport=sctp", "rtsp_transport"),
        ("live/* rtmp://a/b/c stopafter=3", "stopafter"),
    ],
)
def test_what_is_wrong_is_named(text: str, field: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse_relay_rule(text, is_push=False)
    assert refused.value.field == field


def test_nothing_is_sent_over_http() -> None:
    assert check_url("http://a/b.flv", is_push=False)
    with pytest.raises(RuleError):
        check_url("http://a/b.flv", is_push=True)


def test_names_go_into_rtmp_as_they_are_and_are_encoded_elsewhere() -> None:
    assert expand("rtmp://h/{app}/{name}", CAM) == "rtmp://h/live/cam"
    assert expand("http://h/{app}/{name}.flv", ODD) == "http://h/live/inner/a%20b%3F%26%25.flv"


def test_a_query_goes_on_and_one_that_is_empty_leaves_no_mark() -> None:
    assert expand("rtmp://h/{app}/{name}?{query}", CAM, AskedUrl(query="token=1")) == "rtmp://h/live/cam?token=1"
    assert expand("rtmp://h/{app}/{name}?{query}", CAM) == "rtmp://h/live/cam"
    assert expand("rtmp://h/{app}/{name}?a=1&{query}", CAM) == "rtmp://h/live/cam?a=1"


@pytest.mark.parametrize(
    ("asked", "url"),
    [
        (AskedUrl("studio/a", "k=1"), "rtmp://h/studio/a/cam?k=1"),
        (AskedUrl(), "rtmp://h/live/cam"),
        (AskedUrl("../x"), "rtmp://h/live/cam"),
        (AskedUrl("a//b"), "rtmp://h/live/cam"),
    ],
)
def test_where_applications_mean_nothing_that_of_the_url_goes_on_as_with_lal(asked: AskedUrl, url: str) -> None:
    assert expand("rtmp://h/{app}/{name}?{query}", StreamKey(ANY_APP, "cam"), asked) == url


def test_the_application_of_a_stream_is_nobodys_choice() -> None:
    assert expand("rtmp://h/{app}/{name}", CAM, AskedUrl("other")) == "rtmp://h/live/cam"


def test_what_a_query_must_not_hold_is_encoded_and_a_name_cannot_add_one() -> None:
    assert expand("rtsp://h/{name}?{query}", CAM, AskedUrl(query="a=1\r\nX: y%20é")) == "rtsp://h/cam?a=1%0D%0AX:%20y%20%C3%A9"
    with pytest.raises(RuleError):
        expand("rtmp://h/{app}/{name}?key=1", StreamKey.of("live", "a?key=2"))


def test_a_url_that_grows_too_long_is_refused() -> None:
    with pytest.raises(RuleError):
        expand("rtmp://h/{app}/{name}?{query}", CAM, AskedUrl(query="x" * 5000))


def test_static_relays_are_those_of_lal() -> None:
    pull, push = static_pull_rule("h:1936"), static_push_rule("h:1936")
    assert (pull.is_push, pull.pattern, pull.urls, pull.stop_after_s) == (False, "*", ("rtmp://h:1936/{app}/{name}",), 0)
    assert (push.is_push, push.pattern, push.urls) == (True, "*", ("rtmp://h:1936/{app}/{name}?{query}",))


@pytest.mark.parametrize("url", ["https://h/x?a=b'c=secret", "https://h/it's?a=(b)secret", 'rtmp://h/x?a=%22secret"secret'])
def test_no_part_of_a_query_is_shown_whatever_it_holds(url: str) -> None:
    assert "secret" not in without_secrets(f"{url}, and {url}")


def test_logins_and_queries_are_not_shown() -> None:
    text = "rtsp://u:p@ss@h:554/a/b?token=1: no answer, then rtmp://h/a/b?key=2 (HTTP 503)"
    assert without_secrets(text) == "rtsp://h:554/a/b no answer, then rtmp://h/a/b (HTTP 503)"


@given(st.text(max_size=300), st.booleans())
def test_any_text_is_a_rule_or_refused(text: str, is_push: bool) -> None:
    try:
        rule = parse_relay_rule(text, is_push=is_push)
    except RuleError:
        return
    again = make_relay_rule(
        is_push=is_push,
        pattern=rule.pattern,
        urls=rule.urls,
        on_demand=rule.on_demand,
        stop_after_s=rule.stop_after_s,
        options=rule.options,
    )
    assert again == rule


def test_a_query_in_other_bytes_makes_a_url_all_the_same() -> None:
    assert expand("rtmp://a/{app}/{name}", CAM, AskedUrl(query="x=\udcff")) == "rtmp://a/live/cam"
    assert expand("http://a/{name}?{query}", CAM, AskedUrl(query="x=\udcff")).isascii()
