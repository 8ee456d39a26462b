"""What is said on one RTSP connection, whatever carries its bytes: requests of the client, and what becomes of them.

No task and no timer a read: a request that needs an answer from elsewhere gets a task of its own, and there is one such request at
a time. A connection publishes one stream or plays one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import assert_never

from lalmesh.errors import LalmeshError, RemoteProtocolError, ServiceError, UnsupportedError
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
    match_control,
)
from lalmesh.protocol.sdp import parse_session
from lalmesh.runtime.http_port import SERVER
from lalmesh.runtime.listener import Connection
from services.edge.rtp_tracks import IncomingTrack, incoming_tracks
from services.edge.rtsp_link import Described, RtspPlayer, Wire
from services.edge.rtsp_publish import RtspPublisher
from services.edge.rtsp_refusal import refusal_of
from services.edge.rtsp_service import RtspService
from services.edge.session import SessionRole

log = logging.getLogger(__name__)


class RtspDialogue:
    """One client. It is the `RtspLink` of its publisher and its player."""

    def __init__(self, service: RtspService, wire: Wire, connection: Connection, protocol: str, client: tuple[str, str]) -> None:
        """Begin.

        Args:
            service: what all connections share.
            wire: carries what is said.
            connection: as its listener counts it.
            protocol: ``rtsp``, ``rtsps``, ``ws-rtsp``, ``wss-rtsp``.
            client: its address, and address:port.
        """
        self.context = service.context
        self.settings = service.settings
        self.metrics = service.metrics
        self.ports = service.ports
        self.loop = service.loop
        self.protocol = protocol
        self.is_socket = wire.is_socket
        self.address, self.peer = client
        self.refusal = ""  #: why its first request is to be refused; empty where it is not
        self._service = service
        self._wire = wire
        self._connection = connection
        timeout_s = service.settings.session_timeout_s
        self._core = RtspServer(os.urandom, session_timeout_s=timeout_s, server_name=SERVER)
        self._auth = service.auth.connection(self.address)
        self._publisher: RtspPublisher | None = None
        self._player: RtspPlayer | None = None
        self._undescribed: Described | None = None  # of a player that set tracks up without asking what there are
        self._request: asyncio.Task[None] | None = None
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

    def heard(self) -> None:
        """A datagram came from the client."""
        self._core.heard(self.loop.time())

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
                self._take_in(packets)
                self._handle(event)
                if self._closing:
                    break
            self._take_in(packets)
        except (RemoteProtocolError, UnsupportedError) as error:
            with contextlib.suppress(UnsupportedError):
                self._take_in(packets)
            self._broken(error)
            return
        self._send()
        self._watch_silence()

    def full(self) -> None:
        """The transport takes no more for now."""
        if self._player is not None:
            self._player.transport_full()

    def drained(self) -> None:
        """It takes more."""
        if self._player is not None:
            self._player.transport_drained()

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
        elif self._publisher is not None and (reason := self._publisher.sweep(now_s, self._service.silence_s)):
            self.close(reason)

    # the core

    def _send(self) -> None:
        data = self._core.data_to_send()
        if data:
            self._wire.write(data)

    def _broken(self, error: LalmeshError) -> None:
        self.metrics.protocol_errors.labels(self.protocol).inc()
        log.warning("peer broke the protocol: %s", error, extra={"peer": self.peer, "protocol": self.protocol})
        self._send()
        self.close(f"protocol error: {error}")

    def _take_in(self, packets: list[tuple[int, bytes]]) -> None:
        """Bring the packets of one read to the publication, in one run."""
        if not packets:
            return
        taken = list(packets)
        packets.clear()
        if self._publisher is not None:
            self._publisher.feed(taken)

    def _take_in_rtcp(self, track: int, packet: bytes) -> None:
        if self._publisher is not None:
            self._publisher.feed_rtcp(track, packet)
        elif self._player is not None:
            self._player.rtcp(track, packet)

    def _watch_silence(self) -> None:
        """Silence ends a connection, but not one that plays, nor one that uses UDP: the core knows when that is over."""
        plays = self._core.state is ServerState.PLAYING
        self._connection.watch_idle = not (plays or self._request is not None or self._core.expires_at_s is not None)

    # what the client asks for

    def _handle(self, event: ServerEvent) -> None:
        self._connection.begun = True
        if self.refusal and not isinstance(event, PacketReceived | Paused | TornDown):
            self._core.reject(503, ("Connection", "close"))
            self._send()
            self.close(self.refusal)
            return
        match event:
            case DescribeRequested():
                self._if_allowed(event.request, SessionRole.PLAYER, event.path, lambda: self._later(self._describe(event)))
            case AnnounceRequested():
                self._if_allowed(event.request, SessionRole.PUBLISHER, event.path, lambda: self._later(self._announce(event)))
            case SetupRequested():
                self._setup(event)
            case PlayRequested():
                self._play()
            case RecordRequested():
                self._record()
            case Paused():
                if self._player is not None and self._core.state is not ServerState.PLAYING:
                    self._player.pause()
            case TornDown():
                self._torn_down(event)
            case PacketReceived():
                pass
            case _:
                assert_never(event)

    def _if_allowed(self, request: Request, role: SessionRole, path: StreamPath, go_on: Callable[[], None]) -> None:
        """Without credentials, or with wrong ones, a request is refused as often as it comes, within a bound."""
        wrong_before = self._auth.wrong
        challenges = self._auth.challenges(request, role, path)
        if not challenges:
            go_on()
            return
        self._core.reject(401, *(("WWW-Authenticate", challenge) for challenge in challenges))
        if self._auth.wrong != wrong_before:
            self._count_refusal(role, path, "credentials", "wrong credentials")
        if self._auth.is_over:
            self._send()
            self.close("wrong credentials too often")

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
        if event.is_publisher:
            if self._publisher is not None and event.track is not None:
                self._choose(event, event.track, self._publisher.setup)
            else:
                self._core.reject(454)
        elif self._player is None:  # Interop: some set up a track that they know without asking for the description
            self._if_allowed(event.request, SessionRole.PLAYER, event.path, lambda: self._later(self._setup_undescribed(event)))
        else:
            self._setup_player(event, self._player)

    def _setup_player(self, event: SetupRequested, player: RtspPlayer) -> None:
        track, told = event.track, self._undescribed
        if track is None and told is not None:
            track = match_control(event.request.uri, told.base, told.controls, self._core.transports.keys())
        if track is None:
            self._core.reject(404)
        else:
            self._choose(event, track, player.setup)

    def _choose(self, event: SetupRequested, track: int, setup: Callable[[int, Transport], Transport]) -> None:
        """Take the first of the ways that will do. UDP would undo what TLS is for, and goes past what a WebSocket is for."""
        for offered in event.transports:
            if offered.is_udp and self.protocol != "rtsp":
                continue
            try:
                chosen = setup(track, offered)
            except OSError as error:
                log.warning("no UDP for a client: %s", error, extra={"peer": self.peer})
                continue
            self._core.accept_setup(chosen, track=track)
            return
        self._core.reject(461)

    def _torn_down(self, event: TornDown) -> None:
        if event.is_whole:
            self._end("closed by the client")
        elif self._publisher is not None:
            self._publisher.remove(event.tracks)

    # publishing

    async def _announce(self, event: AnnounceRequested) -> None:
        try:
            description = parse_session(event.description)
        except RemoteProtocolError as error:
            self._refuse(SessionRole.PUBLISHER, event.path, 400, "description", str(error))
            return
        tracks = incoming_tracks(description, event.request.uri)
        if all(track.depacketizer is None for track in tracks):
            self._refuse(SessionRole.PUBLISHER, event.path, 415, "description", "none of its media is carried by RTP")
            return
        self._end("announced anew")
        try:
            await self._publish(event, tracks)
        except ServiceError as error:
            self._refuse_for(SessionRole.PUBLISHER, event.path, error)

    async def _publish(self, event: AnnounceRequested, tracks: list[IncomingTrack]) -> None:
        stream = self.context.stream_key(event.path.app, event.path.name)
        publishing = await self.context.publish(stream, self.close)
        session = self.context.sessions.open(self.protocol, SessionRole.PUBLISHER, stream, self.peer, self.close)
        self._publisher = RtspPublisher(self, publishing, session, tracks)
        self._core.accept_announce([track.control for track in tracks])

    def _record(self) -> None:
        if self._publisher is None:
            self._core.reject(454)
            return
        self._publisher.record()
        self._core.accept_record()

    # playing

    async def _describe(self, event: DescribeRequested) -> None:
        """A client that has set tracks up may look at another stream: then what it plays stays."""
        player = self._service.player(self)
        described = await self._described(player, event.path)
        if described is None:
            return
        if self._core.transports:
            player.close("only described")
        else:
            self._replace_player(player)
        self._core.accept_describe(described.sdp, described.controls, base_url=described.base)

    async def _setup_undescribed(self, event: SetupRequested) -> None:
        """The last part of the URL is that of a track, what is before it the stream."""
        app, _, name = event.path.app.rpartition("/")
        player = self._service.player(self)
        described = await self._described(player, event.path._replace(app=app, name=name))
        if described is None:
            return
        base = described.base or event.request.uri.rstrip("/").rpartition("/")[0]
        self._replace_player(player)
        self._undescribed = Described(sdp=b"", controls=described.controls, base=base)
        self._setup_player(event, player)

    async def _described(self, player: RtspPlayer, path: StreamPath) -> Described | None:
        """Let `player` get hold of a stream; None where the request has been refused."""
        try:
            return await player.describe(self.context.stream_key(path.app, path.name))
        except (ServiceError, UnsupportedError) as error:
            player.close("refused")
            self._refuse_for(SessionRole.PLAYER, path, error)
            return None
        except BaseException:
            player.close("gone")
            raise

    def _replace_player(self, player: RtspPlayer) -> None:
        if self._player is not None:
            self._player.close("described anew")
        self._player, self._undescribed = player, None

    def _play(self) -> None:
        if self._player is None:
            self._core.reject(454)
            return
        self._core.accept_play(self._player.play())
        self._send()
        self._player.start()

    # refusals, and the end

    def _refuse_for(self, role: SessionRole, path: StreamPath, error: LalmeshError) -> None:
        refusal = refusal_of(error)
        self._count_refusal(role, path, refusal.reason, str(error))
        self._core.reject(refusal.status, *refusal.fields)

    def _refuse(self, role: SessionRole, path: StreamPath, status: int, reason: str, detail: str) -> None:
        self._count_refusal(role, path, reason, detail)
        self._core.reject(status)

    def _count_refusal(self, role: SessionRole, path: StreamPath, reason: str, detail: str) -> None:
        self.metrics.refused.labels(self.protocol, reason).inc()
        what = f"{path.app}/{path.name}"[:600]
        log.warning("%s of %r refused: %s", role.value, what, detail, extra={"peer": self.peer})

    def _end(self, reason: str) -> None:
        """End what is published and played here, and the request that waits, unless it is what ends them."""
        request = self._request
        if request is not None and request is not asyncio.current_task():
            self._request = None
            request.cancel()
        publisher, self._publisher = self._publisher, None
        player, self._player = self._player, None
        if publisher is not None:
            publisher.close(reason)
        if player is not None:
            player.close(reason)
