"""What the parts of an RTSP connection know of each other: the connection, and whoever plays on it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from lalmesh.names import StreamKey
from lalmesh.protocol.http_auth import Scheme
from lalmesh.protocol.rtp import DEFAULT_REORDER_MS
from lalmesh.protocol.rtsp import DEFAULT_SESSION_TIMEOUT_S, Request, StreamPath, Transport
from services.edge.client import Client
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.rtp_ports import RtpPorts, UdpSettings

UdpStart = Literal["gop", "next"]


@dataclass(slots=True, frozen=True, kw_only=True)
class AuthSettings:
    """Who may publish and play, by name and password. No user for something: anybody may do it."""

    publish_users: Mapping[str, str] = field(default_factory=dict, repr=False)
    play_users: Mapping[str, str] = field(default_factory=dict, repr=False)
    schemes: tuple[Scheme, ...] = (Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5)


@dataclass(slots=True, frozen=True, kw_only=True)
class RtspSettings:
    """How RTSP is spoken here."""

    session_timeout_s: int = DEFAULT_SESSION_TIMEOUT_S  #: silence that a client with UDP tracks may keep; it is told
    reorder_ms: int = DEFAULT_REORDER_MS  #: the most that a lost datagram of a publisher delays those behind it
    drop_broken_gop: bool = False  #: after a loss, drop pictures up to the next random access point
    wait_publisher_s: float = 10.0  #: how long a DESCRIBE waits for a stream; 0: 404 at once
    udp: UdpSettings = field(default_factory=UdpSettings)
    udp_start: UdpStart = "gop"  #: a UDP player gets the cached GOP at a pace, or starts at the next random access point
    auth: AuthSettings = field(default_factory=AuthSettings)


class Wire(Protocol):
    """What carries the bytes of a dialogue."""

    transport: asyncio.Transport | None  #: None before and after
    is_socket: bool  #: bytes go as WebSocket messages

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def goodbye(self, reason: str) -> None:
        """Close after what waits has been sent."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class RtspLink(Protocol):
    """A connection, as its publisher or player sees it."""

    context: EdgeContext
    settings: RtspSettings
    metrics: EdgeMetrics
    ports: RtpPorts
    loop: asyncio.AbstractEventLoop
    protocol: str  #: ``rtsp``, ``rtsps``, ``ws-rtsp``, ``wss-rtsp``: what sessions are called
    can_use_udp: bool  #: it would undo what TLS is for, goes past what a WebSocket is for, and passes no balancer of connections
    is_socket: bool  #: what is written goes as WebSocket messages, `lalmesh.remux.binary_frame_header` before each
    peer: str  #: address:port of the client
    address: str  #: its address alone

    @property
    def transport(self) -> asyncio.Transport | None:
        """Where packets among the messages are written to; None once it is gone."""
        ...

    @property
    def transports(self) -> Mapping[int, Transport]:
        """The way of each track that is set up, as the client was told."""
        ...

    def write(self, data: bytes) -> None:
        """Send whole messages or frames (RFC 2326 §10.12) at once; as one WebSocket message where `is_socket`."""
        ...

    def client(self, request: Request, path: StreamPath) -> Client:
        """Who asks for the stream that `path` names."""
        ...

    def heard(self) -> None:
        """A datagram came from the client: it is there."""
        ...

    def may_begin_another(self) -> bool:
        """Whether the client may begin one more session on a connection that has had one; it is counted then."""
        ...

    def close(self, reason: str) -> None:
        """End the connection, after what waits has been sent."""
        ...


def local_address(link: RtspLink) -> str:
    """The address of ours that the client connected to.

    Raises:
        OSError: the connection is gone.
    """
    if link.transport is None:
        raise OSError(errno.ENOTCONN, "the connection is gone")
    address: str = link.transport.get_extra_info("sockname")[0]
    return address


@dataclass(slots=True, frozen=True, kw_only=True)
class Described:
    """What a player is told of a stream."""

    sdp: bytes
    controls: Sequence[str]  #: control URLs of its tracks, in order
    base: str = ""  #: what they are relative to; empty: the URL of the request


class RtspPlayer(Protocol):
    """One player on a connection. Its session line is opened with `play`, closed with `close`."""

    async def describe(self, stream: StreamKey, client: Client) -> Described:
        """Get hold of a stream for `client`; its description.

        Raises:
            ServiceError: there is none, or nobody can tell now.
            UnsupportedError: none of its tracks can go out by RTP.
        """
        ...

    def describe_again(self) -> Described | None:
        """The description as it is now, of the session that it has; None where what it was told of is another stream by now."""
        ...

    def setup(self, track: int, transport: Transport) -> Transport:
        """Take `transport`, TCP or UDP, for a track; it comes back with what the client has to know (ports, SSRC).

        Raises:
            OSError: no UDP port is free.
        """
        ...

    def play(self, tracks: Collection[int]) -> Mapping[int, tuple[int, int]]:
        """Be ready to send `tracks`; by track, the number of its first packet, and its RTP timestamp at one instant of all.

        Media go out after `start`.

        Raises:
            ServiceError: what was described is there no more.
        """
        ...

    def start(self) -> None:
        """The client has been told: send."""
        ...

    def pause(self, tracks: Collection[int]) -> None:
        """Send nothing of `tracks` until `play`."""
        ...

    def remove(self, tracks: Collection[int]) -> None:
        """The client is done with `tracks`, but not with all."""
        ...

    def transport_full(self) -> None:
        """The transport of the connection takes no more for now."""
        ...

    def transport_drained(self) -> None:
        """It takes more."""
        ...

    def rtcp(self, track: int, packet: bytes) -> None:
        """An RTCP packet of the client came on the connection."""
        ...

    def close(self, reason: str) -> None:
        """End: give relay, ports and session back; a second call does nothing."""
        ...
