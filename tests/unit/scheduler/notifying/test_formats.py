from __future__ import annotations

import json
from typing import Any

from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.events import Event
from lalmesh.runtime.notify import NotifyFormat
from services.scheduler.notifying import About, message_of

ABOUT = About(server_id="7", cluster="here")
FACTS = {
    "session_id": "00ab", "protocol": "rtmps", "role": "relay_pull", "remote_addr": "192.0.2.1:5", "url": "rtmps://h/live/cam",
    "query": "a=1", "user_agent": "x", "has_in_session": True, "has_out_session": False, "read_bytes_sum": 9, "wrote_bytes_sum": 0,
}  # fmt: skip


def _lal(kind: EventKind, facts: dict[str, Any], app: str = "live") -> tuple[str, dict[str, Any]]:
    event = Event(id="1", kind=kind.value, at_us=1, node="n", stream=StreamKey.of(app, "cam"), facts=facts)
    message = message_of(event, NotifyFormat.LAL, ABOUT)
    return message.name, json.loads(message.body)


def test_events_of_pulls_have_what_lal_leaves_out() -> None:
    assert _lal(EventKind.RELAY_PULL_STOP, FACTS) == (
        "on_relay_pull_stop",
        {
            "server_id": "7", "session_id": "RTMPPULL00ab", "protocol": "RTMP", "base_type": "PULL", "remote_addr": "192.0.2.1:5",
            "url": "rtmps://h/live/cam?a=1", "app_name": "live", "stream_name": "cam", "url_param": "a=1", "has_in_session": True,
            "has_out_session": False, "read_bytes_sum": 9, "wrote_bytes_sum": 0,
        },
    )  # fmt: skip


def test_where_applications_mean_nothing_that_of_the_url_is_named() -> None:
    assert _lal(EventKind.PUB_START, FACTS, ANY_APP)[1]["app_name"] == "live"
    assert _lal(EventKind.PUB_START, {**FACTS, "url": ""}, ANY_APP)[1]["app_name"] == ""


def test_a_server_without_streams_lists_null_as_lal_does() -> None:
    assert _lal(EventKind.UPDATE, {"groups": [], "part": 1, "parts": 1})[1] == {"server_id": "7", "groups": None}


def test_our_own_form_has_everything() -> None:
    event = Event(id="1", kind="alarm", at_us=1_700_000_000_000_001, node="n", stream=StreamKey.of("a/b", "cam"), facts={"x": 1})
    assert json.loads(message_of(event, NotifyFormat.LALMESH, ABOUT).body) == {
        "id": "1", "event": "alarm", "at": "2023-11-14T22:13:20.000001Z", "node": "n", "stream": {"app": "a/b", "name": "cam"},
        "data": {"x": 1}, "cluster": "here", "server_id": "7",
    }  # fmt: skip


def test_an_event_of_an_older_node_is_told_whatever_bytes_it_has() -> None:
    event = Event(id="1", kind="sub_start", at_us=1, node="n", facts={"user_agent": "VLC \udce9"})
    assert json.loads(message_of(event, NotifyFormat.LALMESH, ABOUT).body)["data"] == {"user_agent": "VLC ?"}
