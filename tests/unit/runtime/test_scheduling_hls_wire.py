from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import NotAuthorized, RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.rpc.lalmesh.v1 import hls_pb2, scheduler_pb2
from lalmesh.runtime.ownership import Epoch, HlsOwner, NodeAddress, NodeId
from lalmesh.runtime.recording import MAX_RULES, parse_rule
from lalmesh.runtime.scheduling import (
    Endpoint,
    HeldStream,
    HlsAssigned,
    HlsEndpoint,
    HlsLimit,
    HlsReleased,
    HlsWanted,
    Joined,
    NamedStreams,
    NodeReport,
    RecordingRules,
    Refusal,
    Refused,
    Role,
    command_wire,
    control_wire,
    hls_wire,
    report_wire,
    wire,
)
from lalmesh.runtime.sessions import SessionTouch

CAM = StreamKey.of("live/a", "cam")
H1 = NodeAddress(NodeId("h1", b"12345678"), "h1:50054")
OTHERS = (Endpoint("rtmp", "10.0.0.2", 1935), Endpoint("http", "::1", 8080))
OWNER = HlsOwner(stream=CAM, epoch=Epoch(7, 9), worker=H1, limit=20, exact=True)


@pytest.mark.parametrize(
    ("serialize", "parse", "value"),
    [
        (hls_wire.serialize_hls_owner, hls_wire.parse_hls_owner, OWNER.signed(b"key")),
        (hls_wire.serialize_hls_wanted, hls_wire.parse_hls_wanted, HlsWanted(CAM)),
        (hls_wire.serialize_hls_wanted, hls_wire.parse_hls_wanted, HlsWanted(CAM, Epoch(7, 9))),
        (hls_wire.serialize_hls_limit, hls_wire.parse_hls_limit, HlsLimit(CAM, Epoch(7, 9), 40)),
        (hls_wire.serialize_hls_released, hls_wire.parse_hls_released, HlsReleased(CAM, Epoch(7, 9), 37)),
        (
            control_wire.serialize_session_touch,
            control_wire.parse_session_touch,
            SessionTouch(id="s", stream=CAM, peer="1.2.3.4:5", sent_bytes=1 << 40, over=True),
        ),
        (command_wire.serialize_command, command_wire.parse_command, HlsAssigned(OWNER)),
        (command_wire.serialize_command, command_wire.parse_command, RecordingRules((parse_rule("live/* flv+hls keep_s=9"),))),
        (command_wire.serialize_command, command_wire.parse_command, Joined(7, (HlsEndpoint("h1", "10.0.0.1", 8081),), OTHERS)),
        (wire.serialize_locate_hls_result, wire.parse_locate_hls_result, OWNER),
        (wire.serialize_locate_hls_result, wire.parse_locate_hls_result, Refused(Refusal.NO_WORKER, "none", 0.5)),
        (
            report_wire.serialize_report,
            report_wire.parse_report,
            NodeReport(node=H1, role=Role.HLS, streams=(HeldStream(stream=CAM, left_out=("ts: pcma",), relayed_to=("a~1",)),)),
        ),
    ],
)
def test_what_is_said_is_heard(serialize: Callable[[Any], Any], parse: Callable[[Any], Any], value: object) -> None:
    message = serialize(value)
    assert parse(type(message).FromString(message.SerializeToString())) == value


@pytest.mark.parametrize("found", [NamedStreams(), NamedStreams((CAM,)), NamedStreams(fetched=CAM)])
def test_what_a_name_means_is_heard(found: NamedStreams) -> None:
    assert hls_wire.parse_named_streams(CAM.name, hls_wire.serialize_named_streams(found)) == found


def test_the_lease_that_a_node_lives_under_is_heard() -> None:
    heard = command_wire.parse_command(command_wire.serialize_command(Joined(7, lease=1 << 62)))
    assert isinstance(heard, Joined)
    assert heard.lease == 1 << 62


@pytest.mark.parametrize(
    ("parse", "message"),
    [
        (hls_wire.parse_hls_owner, hls_pb2.HlsOwner()),
        (hls_wire.parse_hls_limit, scheduler_pb2.HlsLimit(app="live", name="cam", limit=1 << 60)),
        (hls_wire.parse_hls_endpoint, scheduler_pb2.HlsEndpoint(node="h", host="h")),
        (hls_wire.parse_hls_endpoint, scheduler_pb2.HlsEndpoint(node="h", host="h" * 300, port=1)),
        (control_wire.parse_session_touch, scheduler_pb2.SessionTouch(app="live", name="cam")),
        (control_wire.parse_session_touch, scheduler_pb2.SessionTouch(id="x\0y", app="live", name="cam")),
        (control_wire.parse_session_touch, scheduler_pb2.SessionTouch(id="x" * 129, app="live", name="cam")),
        (wire.parse_locate_hls_result, scheduler_pb2.LocateHlsResult()),
    ],
)
def test_what_no_peer_may_send_is_its_error(parse: Callable[[Any], object], message: object) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(message)


@given(wire_bytes=st.binary(max_size=80))
@pytest.mark.parametrize(
    ("message", "parse"),
    [
        (hls_pb2.HlsOwner, hls_wire.parse_hls_owner),
        (scheduler_pb2.HlsWanted, hls_wire.parse_hls_wanted),
        (scheduler_pb2.HlsLimit, hls_wire.parse_hls_limit),
        (scheduler_pb2.HlsReleased, hls_wire.parse_hls_released),
        (scheduler_pb2.SessionTouch, control_wire.parse_session_touch),
        (scheduler_pb2.NodeCommand, command_wire.parse_command),
        (scheduler_pb2.NodeReport, report_wire.parse_report),
    ],
)
def test_any_bytes_are_a_value_or_the_error_of_a_peer(
    message: type[Message], parse: Callable[[Any], object], wire_bytes: bytes
) -> None:
    with suppress(DecodeError, RemoteProtocolError):
        parse(message.FromString(wire_bytes))


def test_an_owner_is_vouched_for_by_the_cluster_key() -> None:
    signed = OWNER.signed(b"key")
    signed.verify((b"new", b"key"))
    replace(signed, worker=NodeAddress(H1.node, "elsewhere:1")).verify((b"key",))  # addresses are not signed
    other = NodeAddress(NodeId("h1", b"87654321"), "h1:50054")
    for changed in (
        replace(signed, limit=21),
        replace(signed, exact=False),
        replace(signed, epoch=Epoch(7, 10)),
        replace(signed, stream=StreamKey.of("live", "cam")),
        replace(signed, worker=other),
        OWNER,
    ):
        with pytest.raises(NotAuthorized):
            changed.verify((b"key",))


def test_rules_of_recording_are_bounded_and_formats_of_newer_versions_are_passed_over() -> None:
    rule = scheduler_pb2.RecordingRule(pattern="live/*", formats=["flv", "webm"])
    newer = scheduler_pb2.RecordingRule(pattern="live/*", formats=["webm"])
    parsed = hls_wire.parse_recording_rules(scheduler_pb2.RecordingRules(rules=[newer, rule]))
    assert parsed == RecordingRules((parse_rule("live/* flv"),))
    with pytest.raises(RemoteProtocolError):
        hls_wire.parse_recording_rules(scheduler_pb2.RecordingRules(rules=[rule] * (MAX_RULES + 1)))
    with pytest.raises(RemoteProtocolError):
        hls_wire.parse_recording_rules(scheduler_pb2.RecordingRules(rules=[scheduler_pb2.RecordingRule(formats=["flv"])]))
