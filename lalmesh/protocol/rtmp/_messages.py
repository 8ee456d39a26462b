"""RTMP messages other than commands: protocol control, user control, data and aggregates (RTMP 1.0 §5.4, §6.2, §7.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from lalmesh.amf import parse_amf3_message, serialize_amf0
from lalmesh.errors import LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtmp._chunk import Message


class MessageType(IntEnum):
    """Message type ids (RTMP 1.0 §5.4, §7.1). Set Chunk Size (1) and Abort (2) never leave the chunk stream."""

    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA_AMF0 = 18
    COMMAND_AMF0 = 20
    AGGREGATE = 22


CONTROL_TYPES = frozenset((3, 4, 5, 6))
MEDIA_TYPES = frozenset((8, 9, 15, 18, 22))
AUDIO_VIDEO_TYPES = frozenset((8, 9))
COMMAND_TYPES = frozenset((17, 20))
DATA_TYPES = frozenset((15, 18))

CSID_CONTROL = 2  #: protocol control messages must use it (§5.4)
CSID_CONNECTION = 3  #: commands on message stream 0
CSID_STREAM = 4  #: commands on other message streams
MEDIA_CSID = {18: 5, 8: 6, 9: 7}  #: the chunk stream of each kind of media message that we send, the same for every player

LIMIT_DYNAMIC = 2  #: of Set Peer Bandwidth (§5.4.5)
_SET_DATA_FRAME = serialize_amf0("@setDataFrame")
_ON_META_DATA = serialize_amf0("onMetaData")
_TAG_HEADER = struct.Struct(">II")  # of FLV: type, size; timestamp, its upper byte; the stream id follows


class UserControlEvent(IntEnum):
    """Events of user control messages (RTMP 1.0 §7.1.7; the last four are in no standard)."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    STREAM_DRY = 2
    SET_BUFFER_LENGTH = 3
    STREAM_IS_RECORDED = 4
    PING_REQUEST = 6
    PING_RESPONSE = 7
    SWF_VERIFY_REQUEST = 26
    SWF_VERIFY_RESPONSE = 27
    BUFFER_EMPTY = 31
    BUFFER_READY = 32


#: bytes after the event itself
_EVENT_BYTES: dict[int, int] = {
    **dict.fromkeys(UserControlEvent, 4),
    UserControlEvent.SET_BUFFER_LENGTH: 8,
    UserControlEvent.SWF_VERIFY_REQUEST: 0,
    UserControlEvent.SWF_VERIFY_RESPONSE: 0,
}


@dataclass(slots=True, frozen=True)
class UserControl:
    """A user control message."""

    event: int  #: a `UserControlEvent`, or one that is not known here
    value: int = 0  #: message stream id; of a ping the sender's time in ms
    buffer_ms: int = 0  #: of Set Buffer Length


def parse_user_control(payload: bytes) -> UserControl:
    """Take a user control message apart.

    Raises:
        RemoteProtocolError: shorter than its event needs.
    Source: RTMP 1.0 §6.2, §7.1.7
    """
    event = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 + _EVENT_BYTES.get(event, 0):
        raise RemoteProtocolError(f"user control message {event} of {len(payload)} bytes", section="RTMP 1.0 §7.1.7")
    buffer_ms = int.from_bytes(payload[6:10], "big") if event == UserControlEvent.SET_BUFFER_LENGTH else 0
    return UserControl(event, int.from_bytes(payload[2:6], "big"), buffer_ms)


def serialize_user_control(message: UserControl) -> bytes:
    """The payload of a user control message."""
    body = (message.value & 0xFFFFFFFF).to_bytes(4, "big") + (message.buffer_ms & 0xFFFFFFFF).to_bytes(4, "big")
    return message.event.to_bytes(2, "big") + body[: _EVENT_BYTES[message.event]]


def parse_uint32(payload: bytes, what: str) -> int:
    """The number in an Acknowledgement, Window Acknowledgement Size or Set Peer Bandwidth message.

    Raises:
        RemoteProtocolError: shorter than four bytes.
    Source: RTMP 1.0 §5.4.3 to §5.4.5
    """
    if len(payload) < 4:
        raise RemoteProtocolError(f"{what} of {len(payload)} bytes", section="RTMP 1.0 §5.4")
    return int.from_bytes(payload[:4], "big")


def split_aggregate(message: Message) -> Iterator[Message]:
    """Give the messages inside an aggregate, their times moved so that the first one has that of the aggregate.

    Raises:
        RemoteProtocolError: while iterating, after the whole ones: one is cut off.
    Source: RTMP 1.0 §7.1.6
    """
    payload, at, shift = message.payload, 0, None
    while at < len(payload):
        if at + 11 > len(payload):
            raise RemoteProtocolError("aggregate cut off in a header", section="RTMP 1.0 §7.1.6", at=at)
        type_size, time = _TAG_HEADER.unpack_from(payload, at)
        start, end = at + 11, at + 11 + (type_size & 0xFFFFFF)
        if end > len(payload):
            raise RemoteProtocolError(f"aggregate cut off {end - len(payload)} bytes early", section="RTMP 1.0 §7.1.6", at=at)
        time = time >> 8 | (time & 0xFF) << 24  # as in FLV: the upper byte comes last
        shift = message.timestamp_ms - time if shift is None else shift
        yield Message(type_size >> 24 & 0x1F, message.stream_id, (time + shift) & 0xFFFFFFFF, payload[start:end])
        at = end + 4  # past the back pointer; Interop: the last one may be missing


def normalise_data(message: Message) -> bytes:
    """Give the script data of a data message as FLV stores it: AMF 0, without the ``@setDataFrame`` that a publisher puts first.

    Raises:
        RemoteProtocolError: a type 15 message is not AMF, or holds what AMF 0 cannot.
    Source: RTMP 1.0 §7.1.2
    """
    payload = message.payload
    if message.type_id == MessageType.DATA_AMF3:
        try:
            payload = serialize_amf0(*parse_amf3_message(payload))
        except LocalProtocolError as error:
            raise RemoteProtocolError(f"data message: {error.reason}", section="RTMP 1.0 §7.1.2") from None
    return payload.removeprefix(_SET_DATA_FRAME)


def data_to_publish(payload: bytes) -> bytes:
    """The reverse of `normalise_data` for what a publisher sends: servers keep metadata that is set, and pass on the rest."""
    return _SET_DATA_FRAME + payload if payload.startswith(_ON_META_DATA) else payload
