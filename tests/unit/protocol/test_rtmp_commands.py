from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.amf import AmfValue, serialize_amf0
from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.protocol.rtmp import CAN_FORWARD, CAPS_MODEX, CAPS_RECONNECT, Capabilities, Message
from lalmesh.protocol.rtmp._commands import (
    FEW_VALUES,
    MAX_COMMAND_BYTES,
    MAX_COMMAND_VALUES,
    MAX_FOURCCS,
    Command,
    asks_to_publish,
    integer,
    parse_capabilities,
    parse_command,
    serialize_command,
)


def message(payload: bytes, type_id: int = 20) -> Message:
    return Message(type_id, 0, 0, payload)


def test_a_command_is_a_name_a_transaction_and_values() -> None:
    # RTMP 1.0 §7.2.1.3, in AMF 0: string, number, null
    wire = bytes.fromhex("02 000c") + b"createStream" + bytes.fromhex("00 4010000000000000 05")
    assert serialize_command("createStream", 4.0, None) == wire
    assert parse_command(message(wire)) == Command("createStream", 4.0, [None])


@pytest.mark.parametrize("prefix", [b"\0", b""])
def test_type_17_has_a_format_byte_that_some_leave_out(prefix: bytes) -> None:
    assert parse_command(message(prefix + serialize_command("play", 1.0, None, "x"), 17)) == Command("play", 1.0, [None, "x"])


def test_a_missing_transaction_is_zero_and_missing_arguments_are_none() -> None:
    command = parse_command(message(serialize_amf0("FCUnpublish")))
    assert (command.transaction_id, command.argument(3)) == (0.0, None)


@pytest.mark.parametrize("payload", [b"", serialize_amf0(1.0), serialize_amf0(None, 1.0), b"\x02\x00\x09abc"])
def test_a_command_without_a_name_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_command(message(payload))


def test_commands_are_bounded() -> None:
    with pytest.raises(LimitExceeded, match="command bytes"):
        parse_command(message(bytes(MAX_COMMAND_BYTES + 1)))


@pytest.mark.parametrize("type_id", [17, 20])
def test_a_publish_command_is_told_from_others(type_id: int) -> None:
    assert asks_to_publish(message(serialize_command("publish", 0.0, None, "cam"), type_id))
    for other in (serialize_command("FCPublish", 0.0, None, "publish"), b"", b"\xff", bytes(MAX_COMMAND_BYTES + 1)):
        assert not asks_to_publish(message(other, type_id))
    assert not asks_to_publish(message(serialize_command("publish", 0.0), 18))


@pytest.mark.parametrize("type_id", [17, 20])
def test_a_command_has_few_values_for_its_bytes_and_few_at_all(type_id: int) -> None:
    head = serialize_command("call", 1.0)
    thicket = b"\x0a\0\0\0\0" + b"".join(b"\x0a\0\0\0\x02" + 2 * (b"\x07" + bytes((0, at))) for at in range(8))
    for values in (thicket, b"\x05" * FEW_VALUES * 2, serialize_amf0(*["h264"] * MAX_COMMAND_VALUES)):
        with pytest.raises(LimitExceeded, match="value count"):
            parse_command(message(head + values, type_id))
    assert len(parse_command(message(head + b"\x05" * 16, type_id)).arguments) == 16


def test_a_connect_that_names_every_codec_is_read() -> None:
    codes = [f"c{number:03}" for number in range(60)]
    fields: dict[str, AmfValue] = {f"field {number}": "value" for number in range(40)}
    fields |= {"fourCcList": list(codes), "videoFourCcInfoMap": dict.fromkeys(codes, 7.0), "audioFourCcInfoMap": {"*": 7.0}}
    assert parse_command(message(serialize_command("connect", 1.0, fields))).argument(0) == fields


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "7", None, True])
def test_what_is_no_finite_number_becomes_the_default(value: AmfValue) -> None:
    assert integer(value, -5) == -5


def test_capabilities_are_read_and_written() -> None:
    # Enhanced RTMP v2, Enhancing NetConnection connect Command
    said = Capabilities(
        four_cc_list=("av01", "hvc1"),
        video={"*": CAN_FORWARD, "vp09": 1},
        audio={"Opus": 1},
        caps_ex=CAPS_RECONNECT | CAPS_MODEX,
    )
    assert set(said.to_members()) == {"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"}
    assert parse_capabilities(said.to_members()) == said
    assert said.enhanced
    assert not Capabilities().enhanced
    assert Capabilities().to_members() == {}


def test_malformed_capabilities_count_as_not_said() -> None:
    said: dict[str, AmfValue] = {
        "fourCcList": [1.0, "av01", None],
        "videoFourCcInfoMap": "av01",
        "audioFourCcInfoMap": {"Opus": float("nan")},
        "capsEx": -1.0,
    }
    assert parse_capabilities(said) == Capabilities(four_cc_list=("av01",), audio={"Opus": 0}, caps_ex=0xFFFFFFFF)


def test_capability_lists_are_bounded() -> None:
    said: dict[str, AmfValue] = {"fourCcList": ["av01"] * 500, "videoFourCcInfoMap": {str(i): 1.0 for i in range(500)}}
    capabilities = parse_capabilities(said)
    assert (len(capabilities.four_cc_list), len(capabilities.video)) == (MAX_FOURCCS, MAX_FOURCCS)


@given(st.sampled_from((17, 20)), st.binary(max_size=60))
def test_any_bytes_give_a_command_or_a_protocol_error(type_id: int, payload: bytes) -> None:
    with suppress(RemoteProtocolError):
        assert isinstance(parse_command(message(payload, type_id)).name, str)
