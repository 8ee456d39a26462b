"""What is said on one RTSP connection, whatever carries its bytes: requests of the client, and who takes them.

No task and no timer a read: a request that needs an answer from elsewhere gets a task of its own, and there is one such request at
a time. A connection publishes one stream (`rtsp_publisher_requests`) or plays one (`rtsp_player_requests`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Mapping
from typing import Final, assert_never

from lalmesh.errors import LalmeshError, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtsp import (
    AnnounceRequested,
    DescribeRequested,
    PacketReceived,
    Paused,
    PlayRequested,
    RecordRequested,
    Request,
    RtspServer,
    ServerEvent,
    ServerState,
    SetupRequested,
    StreamPath,
    TornDown,
    Transport,
)
from lalmesh.relay_path import RELAY_HEADER, parse_via
from lalmesh.runtime.authorisation import bearer_of
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.http_port import SERVER
from lalmesh.runtime.listener import Connection
from lalmesh.runtime.rate_limit import RateLimit
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client, stream_url
from services.edge.rtsp_answers import RtspAnswers
from services.edge.rtsp_link import Wire
from services.edge.rtsp_player_requests import PlayerRequests
from services.edge.rtsp_publisher_requests import PublisherRequests
from services.edge.rtsp_service import RtspService

log = logging.getLogger(__name__)

#: that one connection begins beside its first: of who looks at one stream after the other. Each costs a decision about the client,
#: and two lines in the log
SESSIONS_PER_S: Final = 4.0
SESSIONS_AT_ONCE: Final = 32  #: a list of previews


class RtspDialogue:
    """One client. It is the `RtspLink` of its publisher and its player."""

    def __init__(self, service: RtspService, wire: Wire, connection: Connection, protocol: str, client: Remote) -> None:
        """Begin.

        Args:
            service: what all connections share.
            wire: carries what is said.
            connection: as its listener counts it.
            protocol: ``rtsp``, ``rtsps``, ``ws-rtsp``, ``wss-rtsp``.
            client: who it is.
        """
        self.context = service.context
        self.settings = service.settings
        self.metrics = service.metrics
        self.ports = service.ports
        self.loop = service.loop
        self.protocol = protocol
        self.is_socket = wire.is_socket
        self.can_use_udp = protocol == "rtsp" and not client.is_handed_on
        self.address, self.peer = client.address, client.peer
        self.refusal = ""  #: why its first request is to be refused; empty where it is not
        self._service = service
        self._wire = wire
        self._connection = connection
        self._core = RtspServer(os.urandom, session_timeout_s=service.settings.session_timeout_s, server_name=SERVER)
        self._auth = service.auth.connection(self.address)
        self._answers = RtspAnswers(self, self._core, self._auth)
        self._publishes = PublisherRequests(self, self._answers)
        self._plays = PlayerRequests(self, self._answers, service.player)
        self._request: asyncio.Task[None] | None = None
        self._more_sessions: RateLimit | None = None
        self._is_full = False
        self._closing = ""
        service.add(self)

    # what publisher and player ask of it

    @property
    def transport(self) -> asyncio.Transport | None:
        """Where packets among the messages are written to; None once it is gone."""
        return self._wire.transport

    @property
    def transports(self) -> Mapping[int, Transport]:
        """The way of each track that is set up."""
        return self._core.transports

    def write(self, data: bytes) -> None:
        """Send whole messages or frames."""
        self._wire.write(data)

    def client(self, request: Request, path: StreamPath) -> Client:
        """Who asks for the stream that `path` names."""
        return Client(
            protocol=self.protocol,
            address=self.address,
            peer=self.peer,
            url=stream_url(request.uri, path.app, path.name),
            app=path.app,
            query=path.query,
            user_agent=request.headers.get("User-Agent") or "",
            via=parse_via(request.headers.get(RELAY_HEADER) or ""),
            user=login.user if (login := self._auth.login(request)) is not None else "",
            login=login,
            bearer=bearer_of(request.headers.get("Authorization") or ""),
            was_allowed=self._auth.was_allowed(request, path),
        )

    def heard(self) -> None:
        """A datagram came from the client."""
        self._core.heard(self.loop.time())

    def may_begin_another(self) -> bool:
        """Whether the client may begin one more session on this connection, which has had one; it is counted then."""
        if self._more_sessions is None:
            self._more_sessions = RateLimit(SESSIONS_PER_S, SESSIONS_AT_ONCE, self.loop.time)
        return self._more_sessions.take(self.address)

    def close(self, reason: str) -> None:
        """End what lives on the connection, and the connection after what waits has been sent."""
        if self._closing:
            return
        self._closing = reason
        self._end(reason)
        self._wire.goodbye(reason)

    # what the wire tells

    def feed(self, data: bytes | memoryview) -> None:
        """Give bytes to the core, carry out what they ask for, send what it has to say."""
        if self._closing:
            return
        packets: list[tuple[int, bytes]] = []
        try:
            for event in self._core.feed(data, self.loop.time()):
                if isinstance(event, PacketReceived):
                    if event.is_rtcp:
                        self._take_in_rtcp(event.track, event.payload)
                    else:
                        packets.append((event.track, event.payload))
                    continue
                self._publishes.take_in(packets)
                self._handle(event)
                if self._closing:
                    break
            self._publishes.take_in(packets)
        except (RemoteProtocolError, UnsupportedError) as error:
            with contextlib.suppress(UnsupportedError):
                self._publishes.take_in(packets)
            self._broken(error)
            return
        self._answers.send()
        self._watch_silence()

    def full(self) -> None:
        """The transport takes no more for now: requests that have been read wait too."""
        self._is_full = self._core.holds_requests = True
        if self._plays.player is not None:
            self._plays.player.transport_full()

    def drained(self) -> None:
        """It takes more."""
        self._is_full = self._core.holds_requests = False
        if self._plays.player is not None:
            self._plays.player.transport_drained()
        if self._core.has_held:
            self.loop.call_soon(self._go_on)  # not from here: TLS says this from inside a write

    def _rest(self) -> None:
        """Let others have their turn of the loop before the next request is looked at."""
        self._core.holds_requests = True
        self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self._is_full:
            self._core.holds_requests = False
            self.feed(b"")

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        self._closing = self._closing or reason
        self._service.remove(self)
        self._end(self._closing)

    def expire(self, reason: str) -> None:
        """End it now: a deadline has passed."""
        self._closing = self._closing or reason
        self._wire.abort()

    def sweep(self, now_s: float) -> None:
        """Once a second."""
        expires_s = self._core.expires_at_s
        if expires_s is not None and now_s > expires_s:
            self.expire(f"silent for {self.settings.session_timeout_s} s")
        elif reason := self._publishes.sweep(now_s, self._service.silence_s):
            self.close(reason)

    # the core

    def _broken(self, error: LalmeshError) -> None:
        self.metrics.protocol_errors.labels(self.protocol).inc()
        log.warning("peer broke the protocol: %s", error, extra={"peer": self.peer, "protocol": self.protocol})
        self._answers.send()
        self.close(f"protocol error: {error}")

    def _take_in_rtcp(self, track: int, packet: bytes) -> None:
        if self._publishes.publisher is not None:
            self._publishes.publisher.feed_rtcp(track, packet)
        elif self._plays.player is not None:
            self._plays.player.rtcp(track, packet)

    def _watch_silence(self) -> None:
        """Silence ends a connection, but not one that plays, nor one that uses UDP: the core knows when that is over."""
        plays = self._core.state is ServerState.PLAYING
        self._connection.watch_idle = not (plays or self._request is not None or self._core.expires_at_s is not None)

    # what the client asks for

    def _handle(self, event: ServerEvent) -> None:
        self._connection.begun = True
        if self.refusal and not isinstance(event, PacketReceived | Paused | TornDown):
            self._core.reject(403 if self._connection.is_blocked else 503, ("Connection", "close"))
            self._answers.send()
            self.close(self.refusal)
            return
        match event:
            case DescribeRequested() if self._answers.sends_elsewhere(event, SessionRole.PLAYER):
                pass
            case AnnounceRequested() if self._answers.sends_elsewhere(event, SessionRole.PUBLISHER):
                pass
            case DescribeRequested():
                if self._answers.allows(event.request, SessionRole.PLAYER, event.path):
                    self._later(self._plays.describe(event))
            case AnnounceRequested():
                if self._answers.allows(event.request, SessionRole.PUBLISHER, event.path):
                    self._later(self._publishes.announce(event, self._end))
            case SetupRequested():
                self._setup(event)
            case PlayRequested():
                self._plays.play(event)
                self._rest()
            case RecordRequested():
                self._publishes.record()
            case Paused():
                self._publishes.pause(event.tracks)
                self._plays.pause(event.tracks)
            case TornDown():
                self._torn_down(event)
            case PacketReceived():
                pass
            case _:
                assert_never(event)

    def _later(self, work: Awaitable[None]) -> None:
        """Answer in a task."""
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._request = task
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        if self._request is task:
            self._request = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("request failed", exc_info=error)
            self.close("internal error")
        elif not task.cancelled():
            self.feed(b"")  # what waited for the answer

    def _setup(self, event: SetupRequested) -> None:
        player = self._plays.player
        if event.is_publisher:
            self._publishes.setup(event)
        elif player is not None:
            self._plays.setup(event, player)
        elif self._answers.allows(event.request, SessionRole.PLAYER, event.path):
            self._later(self._plays.setup_undescribed(event))  # Interop: some set up a track that they know without asking for it

    def _torn_down(self, event: TornDown) -> None:
        if event.is_whole:
            self._publishes.leave("closed by the client")
            self._end("closed by the client")
        else:
            self._publishes.remove(event.tracks)
            self._plays.remove(event.tracks)

    def _end(self, reason: str) -> None:
        """End what is published and played here, and the request that waits, unless it is what ends them."""
        request = self._request
        if request is not None and request is not asyncio.current_task():
            self._request = None
            request.cancel()
        self._publishes.close(reason)
        self._plays.close(reason)
