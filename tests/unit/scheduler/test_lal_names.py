from __future__ import annotations

import pytest

from lalmesh.names import ANY_APP, StreamKey
from services.scheduler.lal_names import lal_app_name, lal_protocol, lal_session_id, own_session_id

ROWS = [
    ("rtmp", "publisher", "RTMP", "RTMPPUBSUB"),
    ("rtmps", "player", "RTMP", "RTMPPUBSUB"),
    ("rtmp", "relay_pull", "RTMP", "RTMPPULL"),
    ("rtmp", "relay_push", "RTMP", "RTMPPUSH"),
    ("rtsp", "publisher", "RTSP", "RTSPPUB"),
    ("wss-rtsp", "player", "RTSP", "RTSPSUB"),
    ("rtsps", "relay_pull", "RTSP", "RTSPPULL"),
    ("http-flv", "player", "FLV", "FLVSUB"),
    ("wss-flv", "player", "FLV", "FLVSUB"),
    ("https-ts", "player", "TS", "TSSUB"),
    ("ws-fmp4", "player", "MP4", "MP4SUB"),
    ("hls", "player", "HLS", "HLSSUB"),
]


@pytest.mark.parametrize(("protocol", "role", "name", "prefix"), ROWS)
def test_a_session_is_called_as_lal_calls_it(protocol: str, role: str, name: str, prefix: str) -> None:
    assert lal_protocol(protocol) == name
    assert lal_session_id("00ab12", protocol, role) == prefix + "00ab12"
    assert own_session_id(prefix + "00ab12") == "00ab12"


def test_an_id_without_a_prefix_is_our_own() -> None:
    assert own_session_id("00ab12") == "00ab12"


@pytest.mark.parametrize(
    ("url", "app"),
    [
        ("rtmp://h:1935/live/cam", "live"),
        ("rtmp://h/hls/cam", "hls"),
        ("rtmp://h/a/b/cam", "a/b"),
        ("rtmp://h/caf%C3%A9/cam", "café"),
        ("http://h/live/cam.flv?a=b/c", "live"),
        ("http://h/hls/cam.flv", "hls"),
        ("http://h/hls/cam.m3u8", ""),
        ("https://h/hls/cam/index.m3u8", ""),
        ("http://h/hls/live/cam.m3u8", "live"),
        ("http://h/hls/a/b/cam/playlist.m3u8", "a/b"),
        ("http://h/other/cam.m3u8", ""),
        ("/live/cam", "live"),
        ("rtmp://[::1/live/cam", "live"),
        ("rtmp://h", ""),
        ("", ""),
    ],
)
def test_where_applications_mean_nothing_the_url_says_which_one_was_named(url: str, app: str) -> None:
    assert lal_app_name(StreamKey(ANY_APP, "cam"), [url]) == app
    assert lal_app_name(StreamKey.of("own", "cam"), [url]) == "own"


def test_the_first_url_that_names_an_application_counts() -> None:
    urls = ["http://h/hls/cam.m3u8", "rtmp://h/live/cam", "rtmp://h/other/cam"]
    assert lal_app_name(StreamKey(ANY_APP, "cam"), urls) == "live"
