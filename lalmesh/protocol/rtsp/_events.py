"""What an RTSP server and an RTSP client report: two closed unions of dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.protocol.rtsp._fields import MediaRange, RtpInfo
from lalmesh.protocol.rtsp._messages import Request
from lalmesh.protocol.rtsp._transport import Transport
from lalmesh.protocol.rtsp._url import StreamPath


@dataclass(slots=True, frozen=True, kw_only=True)
class DescribeRequested:
    """A player asks for the description of a stream. Answer with `accept_describe` or `reject`."""

    request: Request  #: as it came; its ``Authorization`` header is for the application to judge
    path: StreamPath


@dataclass(slots=True, frozen=True, kw_only=True)
class AnnounceRequested:
    """A publisher describes what it will send. Answer with `accept_announce` or `reject`."""

    request: Request
    path: StreamPath
    description: bytes  #: the session description; not looked at


@dataclass(slots=True, frozen=True, kw_only=True)
class SetupRequested:
    """A client asks for a way for a track. Answer with `accept_setup` or `reject`, 461 where none of the ways will do."""

    request: Request
    path: StreamPath  #: of the stream that was described or announced; without either, of the URI of the request
    track: int | None  #: index of its control URL; None where a player asks without having asked for a description
    transports: tuple[Transport, ...]  #: ways that can be built here, TCP or UDP to one address, the preferred one first
    is_publisher: bool


@dataclass(slots=True, frozen=True, kw_only=True)
class PlayRequested:
    """A player wants media from now on. Answer with `accept_play` or `reject`."""

    request: Request
    tracks: tuple[int, ...]  #: which of those that are set up
    range: MediaRange | None  #: live streams have no choice
    is_resumed: bool  #: they all play already: the player asks for another range, or has not noticed


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordRequested:
    """A publisher is about to send. Answer with `accept_record` or `reject`."""

    request: Request


@dataclass(slots=True, frozen=True)
class Paused:
    """A client wants no media, or sends none, for a while."""

    tracks: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class TornDown:
    """A client is done with tracks. Where they were all that were set up, the session is over."""

    tracks: tuple[int, ...]
    is_whole: bool  #: the session is over


@dataclass(slots=True)
class PacketReceived:
    """A packet that came among the messages. Not frozen: one is built for each packet."""

    track: int
    is_rtcp: bool
    payload: bytes


ServerEvent: TypeAlias = (
    DescribeRequested | AnnounceRequested | SetupRequested | PlayRequested | RecordRequested | Paused | TornDown | PacketReceived
)


@dataclass(slots=True, frozen=True, kw_only=True)
class Described:
    """The description of what is played. Answer with `RtspClient.setup`."""

    description: bytes  #: not looked at
    base_url: str  #: what its control URLs are relative to


@dataclass(slots=True, frozen=True)
class Announced:
    """The server took the description of what is published. Answer with `RtspClient.setup`."""


@dataclass(slots=True, frozen=True)
class TrackSetUp:
    """The server chose the way of a track. All tracks come before the start."""

    track: int  #: index of what `RtspClient.setup` was given
    transport: Transport


@dataclass(slots=True, frozen=True)
class FellBackToTcp:
    """The server cannot do UDP: every track is set up again, on the connection. Ports that were open can be closed."""


@dataclass(slots=True, frozen=True)
class Started:
    """Media flow now: the server is about to send, or wants them."""

    rtp_info: tuple[RtpInfo, ...] = ()  #: of what is played, where the server tells
    range: MediaRange | None = None


@dataclass(slots=True, frozen=True)
class Failed:
    """The server refused. Close the connection."""

    method: str  #: what it refused
    status: int
    reason: str


@dataclass(slots=True, frozen=True)
class Redirected:
    """The server wants the client elsewhere. Close the connection."""

    url: str  #: absolute
    is_proxy: bool = False  #: only to be reached through it (305)


@dataclass(slots=True, frozen=True)
class Ended:
    """The server says that it is over."""

    reason: str


ClientEvent: TypeAlias = Described | Announced | TrackSetUp | FellBackToTcp | Started | PacketReceived | Failed | Redirected | Ended
