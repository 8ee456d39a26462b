from __future__ import annotations

import pytest

from lalmesh.runtime.push_targets import shown_target, without_key


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtmp://a.example/live2/abcd-1234", "rtmp://a.example/live2/***"),
        ("rtmps://u:p@a.example:443/rtmp/FB-1?s_bl=1", "rtmps://a.example:443/rtmp/***"),
        ("rtmp://a.example/live/cam?token=1", "rtmp://a.example/live/cam"),
        ("rtmp://a.example/live/c%61m", "rtmp://a.example/live/c%61m"),
        ("rtmp://a.example/{app}/{name}", "rtmp://a.example/{app}/{name}"),
        ("rtmp://a.example/{app}/key-{name}", "rtmp://a.example/{app}/***"),
        ("rtmp://a.example", "rtmp://a.example"),
        ("rtmp://a.example/", "rtmp://a.example/"),
        ("rtmp://a.example/live2/abcd-1234//", "rtmp://a.example/live2/***"),
        ("rtmp://a.example/live/cam/", "rtmp://a.example/live/cam/"),
        ("rtsp://a.example/abcd-1234", "rtsp://a.example/***"),
    ],
)
def test_the_last_part_is_shown_only_where_it_is_the_name_of_the_stream(url: str, shown: str) -> None:
    assert shown_target(url, "cam") == shown


def test_what_a_target_says_is_shown_without_its_key() -> None:
    url = "rtmp://u:p@a/live2/ab%20cd"
    assert without_key("rtmp://a/live2/ab%20cd?x=1: no 'ab cd' here, nor xab cdx", url, "cam") == (
        "rtmp://a/live2/*** no '***' here, nor xab cdx"
    )
    assert without_key("no abcd here", "rtmp://a/live2/abcd/", "cam") == "no *** here"
    assert without_key("rtmp://a/live/cam: no", "rtmp://a/live/cam", "cam") == "rtmp://a/live/cam: no"
