"""RTSP 1.0: messages, and the two roles of a connection (RFC 2326). Sans-I/O."""

from __future__ import annotations

from lalmesh.protocol.rtsp._calls import Authenticator
from lalmesh.protocol.rtsp._client import RtspClient
from lalmesh.protocol.rtsp._client_tracks import TrackRequest
from lalmesh.protocol.rtsp._events import (
    Announced,
    AnnounceRequested,
    ClientEvent,
    Described,
    DescribeRequested,
    Ended,
    Failed,
    FellBackToTcp,
    PacketReceived,
    Paused,
    PlayRequested,
    RecordRequested,
    Redirected,
    ServerEvent,
    SetupRequested,
    Started,
    TornDown,
    TrackSetUp,
)
from lalmesh.protocol.rtsp._fields import DEFAULT_SESSION_TIMEOUT_S, MediaRange, RtpInfo, SessionId
from lalmesh.protocol.rtsp._messages import (
    MAX_FRAME_BYTES,
    Headers,
    InterleavedFrame,
    Message,
    Request,
    Response,
    serialize_frame,
    serialize_frame_header,
)
from lalmesh.protocol.rtsp._reader import MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADER_FIELDS, MessageReader
from lalmesh.protocol.rtsp._server import RandomBytes, RtspServer
from lalmesh.protocol.rtsp._server_session import MAX_TRACKS
from lalmesh.protocol.rtsp._states import METHODS, ClientState, ServerState
from lalmesh.protocol.rtsp._transport import Pair, Transport, parse_transports, serialize_transports
from lalmesh.protocol.rtsp._url import DEFAULT_PORTS, ControlUrls, RtspUrl, StreamPath, base_url, resolve_control, split_path

__all__ = [
    "DEFAULT_PORTS",
    "DEFAULT_SESSION_TIMEOUT_S",
    "MAX_BODY_BYTES",
    "MAX_FRAME_BYTES",
    "MAX_HEADER_FIELDS",
    "MAX_HEAD_BYTES",
    "MAX_TRACKS",
    "METHODS",
    "AnnounceRequested",
    "Announced",
    "Authenticator",
    "ClientEvent",
    "ClientState",
    "ControlUrls",
    "DescribeRequested",
    "Described",
    "Ended",
    "Failed",
    "FellBackToTcp",
    "Headers",
    "InterleavedFrame",
    "MediaRange",
    "Message",
    "MessageReader",
    "PacketReceived",
    "Pair",
    "Paused",
    "PlayRequested",
    "RandomBytes",
    "RecordRequested",
    "Redirected",
    "Request",
    "Response",
    "RtpInfo",
    "RtspClient",
    "RtspServer",
    "RtspUrl",
    "ServerEvent",
    "ServerState",
    "SessionId",
    "SetupRequested",
    "Started",
    "StreamPath",
    "TornDown",
    "TrackRequest",
    "TrackSetUp",
    "Transport",
    "base_url",
    "parse_transports",
    "resolve_control",
    "serialize_frame",
    "serialize_frame_header",
    "serialize_transports",
    "split_path",
]
