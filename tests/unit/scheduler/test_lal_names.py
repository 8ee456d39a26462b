from __future__ import annotations

import pytest

from services.scheduler.lal_names import lal_protocol, lal_session_id, own_session_id

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
