from __future__ import annotations

import json
from typing import Any

import pytest

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


@pytest.mark.parametrize("kind", [EventKind.SUB_START, EventKind.SUB_STOP])
def test_a_player_of_hls_is_told_of_as_lal_does_without_the_id_that_it_was_given(kind: EventKind) -> None:
    url = "http://h:8080/hls/cam.m3u8"
    came = {**FACTS, "protocol": "hls", "role": "player", "url": url, "query": "a=1&session_id=00ab"}
    told = _lal(kind, came, ANY_APP)[1]
    assert (told["session_id"], told["app_name"], told["stream_name"]) == ("HLSSUB00ab", "", "cam")
    assert (told["url"], told["url_param"]) == (f"{url}?a=1", "a=1")
    assert _lal(kind, {**FACTS, "query": "session_id=1"})[1]["url_param"] == "session_id=1"  # anybody's parameter elsewhere


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (EventKind.FIRST_VIEWER, {}),
        (EventKind.LAST_VIEWER, {}),
        (EventKind.ALARM, {"alarm": "no_keyframe", "value": 4.0, "limit": 3.0}),
        (EventKind.ALARM_OVER, {"alarm": "no_keyframe", "value": 1.0, "limit": 3.0}),
    ],
)
def test_what_is_told_of_a_session_elsewhere_names_it_as_its_beginning_did(kind: EventKind, more: dict[str, Any]) -> None:
    session = {"session_id": "00ab", "protocol": "https-flv", "role": "player"}
    told, began = _lal(kind, {**session, **more})[1], _lal(EventKind.SUB_START, {**FACTS, **session})[1]
    names = ("session_id", "protocol", "base_type", "app_name", "stream_name")
    assert {name: told[name] for name in names} == {name: began[name] for name in names}
    assert more.items() <= told.items()


def test_an_alarm_whose_publisher_has_gone_names_none() -> None:
    assert _lal(EventKind.ALARM_OVER, {"alarm": "x", "session_id": "", "protocol": "", "role": ""})[1]["session_id"] == ""


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
