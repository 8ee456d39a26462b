"""RTMP: the chunk stream, the handshake, and the two roles of a connection, without input or output."""

from __future__ import annotations

from lalmesh.protocol.rtmp._adobe_auth import AdobeAuth
from lalmesh.protocol.rtmp._chunk import MAX_MESSAGE_BYTES, Message
from lalmesh.protocol.rtmp._chunk_reader import ChunkReader
from lalmesh.protocol.rtmp._chunk_writer import ChunkWriter, chunk_message, message_header
from lalmesh.protocol.rtmp._client import RtmpClient
from lalmesh.protocol.rtmp._commands import (
    CAN_FORWARD,
    CAPS_MODEX,
    CAPS_RECONNECT,
    Capabilities,
)
from lalmesh.protocol.rtmp._events import (
    ClientEvent,
    ConnectAccepted,
    Connected,
    MediaMessage,
    PausedOrResumed,
    PlayRequested,
    PlayStarted,
    PublishRequested,
    PublishStarted,
    Redirected,
    ServerEvent,
    StatusFailed,
    StreamClosed,
    StreamEnded,
)
from lalmesh.protocol.rtmp._handshake import RandomBytes
from lalmesh.protocol.rtmp._messages import MEDIA_CSID, MessageType
from lalmesh.protocol.rtmp._server import SERVER_CAPABILITIES, RtmpServer
from lalmesh.protocol.rtmp._session import DEFAULT_OUT_CHUNK_SIZE
from lalmesh.protocol.rtmp._states import ClientState, ConnectionState, StreamState
from lalmesh.protocol.rtmp._url import DEFAULT_PORTS, RtmpUrl

__all__ = [
    "CAN_FORWARD",
    "CAPS_MODEX",
    "CAPS_RECONNECT",
    "DEFAULT_OUT_CHUNK_SIZE",
    "DEFAULT_PORTS",
    "MAX_MESSAGE_BYTES",
    "MEDIA_CSID",
    "SERVER_CAPABILITIES",
    "AdobeAuth",
    "Capabilities",
    "ChunkReader",
    "ChunkWriter",
    "ClientEvent",
    "ClientState",
    "ConnectAccepted",
    "Connected",
    "ConnectionState",
    "MediaMessage",
    "Message",
    "MessageType",
    "PausedOrResumed",
    "PlayRequested",
    "PlayStarted",
    "PublishRequested",
    "PublishStarted",
    "RandomBytes",
    "Redirected",
    "RtmpClient",
    "RtmpServer",
    "RtmpUrl",
    "ServerEvent",
    "StatusFailed",
    "StreamClosed",
    "StreamEnded",
    "StreamState",
    "chunk_message",
    "message_header",
]
