"""Sessions, events, kicks, the blacklist, relays and settings as messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.rpc.lalmesh.v1 import control_pb2, scheduler_pb2
from lalmesh.runtime.events import Event
from lalmesh.runtime.scheduling import (
    Blacklist,
    BlacklistEntry,
    KickSessions,
    LiveSettings,
    RelayJob,
    RelayJobs,
    RelayState,
    RelayStatus,
    command_wire,
    control_wire,
)
from lalmesh.runtime.sessions import SessionRole, SessionTouch
from lalmesh.runtime.telemetry import TraceContext

CAM = StreamKey.of("live", "cam")
TOUCH = SessionTouch(
    id="s",
    stream=CAM,
    protocol="rtmp",
    role=SessionRole.PUBLISHER,
    peer="[2001:db8::1]:5",
    sent_bytes=1,
    received_bytes=2,
    is_total=True,
    is_brief=True,
    opened_us=3,
    url="rtmp://h/live/cam",
    query="a=1",
    user_agent="FMLE/3.0",
    codecs=("h264", "aac"),
    queued_bytes=4,
    skips=5,
    first_media_ms=6,
    over=True,
)
PULL = RelayJob(
    id="r1",
    is_push=False,
    stream=CAM,
    urls=("rtmp://a/live/cam", "rtsp://u:p@b/cam"),
    start_timeout_ms=5000,
    retries=3,
    rtsp_udp=True,
    verify_tls=False,
    ca_file="/ca.pem",
    via=("here~1", "there~2"),
)
PUSH = RelayJob(id="r2", is_push=True, stream=CAM, urls=("rtmps://x/app/key",))
COMMANDS = [
    KickSessions(("a", "b"), "an operator says so"),
    Blacklist((BlacklistEntry("10.0.0.0/8", 9), BlacklistEntry("2001:db8::/32"))),
    Blacklist(),
    RelayJobs((PULL, PUSH)),
    LiveSettings(7, {"edge.play.gop_num": 2, "edge.http.cors_origins": ["*"]}, 3),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_commands_arrive_as_they_were_sent(command: Any) -> None:
    assert command_wire.parse_command(command_wire.serialize_command(command)) == command


@pytest.mark.parametrize(
    ("serialize", "parse", "value"),
    [
        (control_wire.serialize_session_touch, control_wire.parse_session_touch, TOUCH),
        (
            control_wire.serialize_event,
            control_wire.parse_event,
            Event(id="n1-1", kind="pub_start", at_us=5, node="n1", stream=CAM, facts={"url": "ü", "n": [1, None]}),
        ),
        (control_wire.serialize_event, control_wire.parse_event, Event(id="n1-2", kind="node_up", at_us=5, node="n1")),
        (
            control_wire.serialize_event,
            control_wire.parse_event,
            Event(id="n1-3", kind="sub_stop", at_us=5, node="n1", stream=CAM, trace=TraceContext(3, 4)),
        ),
        (
            control_wire.serialize_relay_status,
            control_wire.parse_relay_status,
            RelayStatus(id="r", state=RelayState.PAUSED, url="u", session_id="s", attempts=2, error="e", since_us=8),
        ),
    ],
)
def test_values_arrive_as_they_were_sent(
    serialize: Callable[[Any], Message], parse: Callable[[Any], object], value: object
) -> None:
    assert parse(serialize(value)) == value


@pytest.mark.parametrize(
    ("parse", "message"),
    [
        (control_wire.parse_event, control_pb2.Event(kind="x")),
        (control_wire.parse_event, control_pb2.Event(id="x")),
        (control_wire.parse_event, control_pb2.Event(id="x", kind="k", facts="[1]")),
        (control_wire.parse_event, control_pb2.Event(id="x", kind="k", facts="{")),
        (control_wire.parse_event, control_pb2.Event(id="x", kind="k", facts="[" * 60_000)),
        (control_wire.parse_event, control_pb2.Event(id="x" * 129, kind="k")),
        (control_wire.parse_blacklist, control_pb2.Blacklist(entries=[control_pb2.BlacklistEntry(network="1" * 300)])),
        (control_wire.parse_kick, control_pb2.KickSessions(session_ids=[""])),
        (control_wire.parse_kick, control_pb2.KickSessions(session_ids=["a"] * 1001)),
        (control_wire.parse_relay_jobs, control_pb2.RelayJobs(jobs=[control_pb2.RelayJob(id="r", app="a", name="b")])),
        (control_wire.parse_live_settings, control_pb2.LiveSettings(values={"a": "nothing"})),
    ],
)
def test_what_no_peer_may_send_is_its_error(parse: Callable[[Any], object], message: object) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(message)


@given(wire_bytes=st.binary(max_size=80))
@pytest.mark.parametrize(
    ("message", "parse"),
    [
        (scheduler_pb2.SessionTouch, control_wire.parse_session_touch),
        (control_pb2.Event, control_wire.parse_event),
        (control_pb2.Blacklist, control_wire.parse_blacklist),
        (control_pb2.KickSessions, control_wire.parse_kick),
        (control_pb2.RelayJobs, control_wire.parse_relay_jobs),
        (control_pb2.RelayStatus, control_wire.parse_relay_status),
        (control_pb2.LiveSettings, control_wire.parse_live_settings),
    ],
)
def test_any_bytes_are_a_value_or_the_error_of_a_peer(
    message: type[Message], parse: Callable[[Any], object], wire_bytes: bytes
) -> None:
    with suppress(DecodeError, RemoteProtocolError):
        parse(message.FromString(wire_bytes))


def test_what_a_source_said_in_other_bytes_is_told_all_the_same() -> None:
    status = RelayStatus(id="r", state=RelayState.PAUSED, error="RTSP 454 (DESCRIBE: Introuvable \udce9)" + "é" * 1024)
    told = control_wire.parse_relay_status(control_wire.serialize_relay_status(status))
    assert told.error.startswith("RTSP 454 (DESCRIBE: Introuvable \ufffd)é")
