from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.amf import parse_amf0, serialize_amf0
from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtmp import Message
from lalmesh.protocol.rtmp._media import media_messages
from lalmesh.protocol.rtmp._messages import (
    UserControl,
    UserControlEvent,
    data_to_publish,
    normalise_data,
    parse_uint32,
    parse_user_control,
    serialize_user_control,
    split_aggregate,
)

TAG_1 = bytes.fromhex("08 000002 fffff0 01 000000") + b"aa" + bytes.fromhex("0000000d")  # audio at 0x01fffff0 ms
TAG_2 = bytes.fromhex("09 000003 000004 02 000000") + b"vvv" + bytes.fromhex("0000000e")  # video 20 ms later


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("0000 00000001", UserControl(UserControlEvent.STREAM_BEGIN, 1)),
        ("0003 00000001 00000bb8", UserControl(UserControlEvent.SET_BUFFER_LENGTH, 1, 3000)),
        ("0006 00012345", UserControl(UserControlEvent.PING_REQUEST, 0x12345)),
        ("001a", UserControl(UserControlEvent.SWF_VERIFY_REQUEST)),
    ],
)
def test_user_control_messages_are_as_the_standard_says(wire: str, message: UserControl) -> None:
    # RTMP 1.0 §7.1.7
    assert parse_user_control(bytes.fromhex(wire)) == message
    assert serialize_user_control(message) == bytes.fromhex(wire)


@pytest.mark.parametrize("wire", ["", "00", "0000", "0000 000000", "0003 00000001 0000", "0006"])
def test_short_user_control_messages_are_refused(wire: str) -> None:
    with pytest.raises(RemoteProtocolError, match="user control message"):
        parse_user_control(bytes.fromhex(wire))


def test_unknown_user_control_events_are_kept() -> None:
    assert parse_user_control(bytes.fromhex("0063 01")) == UserControl(0x63, 1)


def test_a_short_control_message_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="Acknowledgement of 3 bytes"):
        parse_uint32(b"abc", "Acknowledgement")


def test_an_aggregate_is_split_and_its_times_are_moved() -> None:
    # RTMP 1.0 §7.1.6
    parts = list(split_aggregate(Message(22, 1, 500, TAG_1 + TAG_2)))
    assert parts == [Message(8, 1, 500, b"aa"), Message(9, 1, 520, b"vvv")]


def test_the_last_back_pointer_of_an_aggregate_may_be_missing() -> None:
    assert len(list(split_aggregate(Message(22, 1, 500, (TAG_1 + TAG_2)[:-4])))) == 2


@pytest.mark.parametrize("size", [1, 10, 12, len(TAG_1) + 5, len(TAG_1) + 12])
def test_an_aggregate_that_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match="cut off"):
        list(split_aggregate(Message(22, 1, 500, (TAG_1 + TAG_2)[:size])))


def test_an_aggregate_inside_an_aggregate_is_passed_over() -> None:
    inner = bytes.fromhex("16 000002 000000 00 000000") + b"xx" + bytes(4)
    assert [m.type_id for m in media_messages(Message(22, 1, 0, inner + TAG_1))] == [8]


def test_set_data_frame_is_taken_off_and_put_on_again() -> None:
    stored = serialize_amf0("onMetaData", {"width": 640.0})
    assert normalise_data(Message(18, 1, 0, serialize_amf0("@setDataFrame") + stored)) == stored
    assert data_to_publish(stored) == serialize_amf0("@setDataFrame") + stored
    assert data_to_publish(serialize_amf0("onCuePoint")) == serialize_amf0("onCuePoint")


def test_amf3_data_becomes_amf0() -> None:
    # AMF 3 §4.1: a format byte, then AMF 0 in which marker 0x11 switches to AMF 3, here to the string "hi"
    payload = b"\0" + serialize_amf0("@setDataFrame", "onMetaData") + bytes.fromhex("11 06 05") + b"hi"
    assert parse_amf0(normalise_data(Message(15, 1, 0, payload))) == ["onMetaData", "hi"]


@given(st.sampled_from((8, 9, 15, 18, 22)), st.binary(max_size=80))
def test_any_media_bytes_give_messages_or_a_protocol_error(type_id: int, payload: bytes) -> None:
    with suppress(RemoteProtocolError):
        assert all(media.payload and media.type_id in (8, 9, 15, 18) for media in media_messages(Message(type_id, 1, 0, payload)))
