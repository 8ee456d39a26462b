"""Clients: publish over RTMP and RTSP, play over both, HTTP and WebSocket, and what the commands push, pull and probe do with them.

These are asyncio shells around the cores of `lalmesh.protocol` and `lalmesh.container`; nothing here configures logging or reads
settings. What goes wrong is one of `lalmesh.errors`, refined in this package for what a server can answer.
"""

from __future__ import annotations

from lalmesh.client._errors import (
    ConnectionFailed,
    InvalidUrl,
    Refused,
    RefusedExists,
    RefusedNotAuthorized,
    RefusedNotFound,
    TimedOut,
)
from lalmesh.client._flv_file import FlvWriter, read_tags
from lalmesh.client._frames import Counts
from lalmesh.client._http import HttpFlvPlayer, WebSocketFlvPlayer
from lalmesh.client._open import PLAYERS, open_player, open_publisher
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions, RtspTransport
from lalmesh.client._player import Player
from lalmesh.client._probe import DEFAULT_DURATION_S, ProbeReport, TrackReport, probe
from lalmesh.client._publisher import Publisher
from lalmesh.client._pull import pull
from lalmesh.client._push import push
from lalmesh.client._rtmp import RtmpPlayer, RtmpPublisher
from lalmesh.client._rtsp import RtspPlayer, RtspPublisher
from lalmesh.client._source import Source, open_source
from lalmesh.client._transmux import HevcChoice, HevcTransmuxer

__all__ = [
    "DEFAULT_DURATION_S",
    "DEFAULT_OPTIONS",
    "PLAYERS",
    "ClientOptions",
    "ConnectionFailed",
    "Counts",
    "FlvWriter",
    "HevcChoice",
    "HevcTransmuxer",
    "HttpFlvPlayer",
    "InvalidUrl",
    "Player",
    "ProbeReport",
    "Publisher",
    "Refused",
    "RefusedExists",
    "RefusedNotAuthorized",
    "RefusedNotFound",
    "RtmpPlayer",
    "RtmpPublisher",
    "RtspPlayer",
    "RtspPublisher",
    "RtspTransport",
    "Source",
    "TimedOut",
    "TrackReport",
    "WebSocketFlvPlayer",
    "open_player",
    "open_publisher",
    "open_source",
    "probe",
    "pull",
    "push",
    "read_tags",
]
