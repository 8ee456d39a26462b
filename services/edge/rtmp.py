"""RTMP and RTMPS on the edge: publish and play. Moves bytes between sockets and `RtmpServer` cores."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import assert_never

from lalmesh.errors import (
    InvalidName,
    LalmeshError,
    RemoteProtocolError,
    ServiceError,
    StreamExists,
    StreamNotFound,
    UnsupportedError,
)
from lalmesh.names import StreamKey
from lalmesh.protocol.rtmp import (
    Connected,
    MediaMessage,
    PausedOrResumed,
    PlayRequested,
    PublishRequested,
    RtmpServer,
    ServerEvent,
    StreamClosed,
)
from lalmesh.relay_path import parse_via
from lalmesh.remux import RtmpPackager
from lalmesh.runtime.authorisation import AccessRefused
from lalmesh.runtime.forwarded import NOBODY, Remote
from lalmesh.runtime.listener import ListenerLimits, go_on_reading, peer_of, socket_transport, stop_reading
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client, joined_queries, stream_url
from services.edge.entrance import Closed
from services.edge.ingest import Ingest
from services.edge.metrics import EdgeMetrics
from services.edge.outputs import OutputFormat
from services.edge.player import EdgeContext, Playing, close_soon, playing_on
from services.edge.publishing import Publishing
from services.edge.relay import Relay
from services.edge.session import SESSION_ID_BYTES, Session
from services.edge.stream_listener import StreamListener

log = logging.getLogger(__name__)


class _Publisher:
    """One message stream that is published."""

    __slots__ = ("ingest", "publishing", "session")

    def __init__(self, publishing: Publishing, session: Session, metrics: EdgeMetrics) -> None:
        self.publishing = publishing
        self.session = session
        self.ingest = Ingest(publishing, session, metrics)
        session.bytes_moved = lambda: self.publishing.core.counters.payload_bytes
        session.media = publishing.media
        session.facts = lambda: self.ingest.facts

    def end(self) -> None:
        """Give the stream back."""
        self.publishing.close()


class _Player:
    """One message stream that is played."""

    __slots__ = ("playing", "session")

    def __init__(self, playing: Playing, session: Session) -> None:
        self.playing = playing
        self.session = session
        session.bytes_moved = lambda: self.playing.sent_bytes
        session.media = playing.media

    def end(self) -> None:
        """Give the relay back."""
        self.playing.end()


class RtmpConnection(asyncio.BufferedProtocol):
    """One client's connection. No task and no timer a read: requests that need an answer from elsewhere get a task of their own.

    It may publish and play several streams at once. What ends one of them from here ends the connection only with the last.
    """

    def __init__(self, listener: RtmpListener, client: Remote | None) -> None:
        """A connection of `listener`; of `client`, or of whoever its socket says."""
        self._listener = listener
        self._context = listener.context
        self._loop = listener.loop
        self._server = RtmpServer(
            os.urandom, chunk_size=self._context.chunk_size, max_message_bytes=self._context.max_message_bytes
        )
        self._streams: dict[int, _Publisher | _Player] = {}
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._transport: asyncio.Transport | None = None
        self._asked: Connected | None = None  # what it said about itself
        self._closing = ""
        self._refusal = ""
        self._paused = False
        self._remote = client or NOBODY
        self._session_id = secrets.token_hex(SESSION_ID_BYTES)  # of the connection, and of the first stream on it
        self._buffer = listener.buffer()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is here."""
        self._transport = socket_transport(transport)
        if self._remote is NOBODY:
            self._remote = peer_of(transport)
        self._connection, self._refusal = self._listener.admission.admit(self._remote.address, self._expire)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` have been read."""
        self._connection.last_read = self._loop.time()
        self._advance(self._buffer[:nbytes])

    def eof_received(self) -> None:
        """The client is done."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._listener.admission.leave(self._connection)
        self._transport = None
        reason = self._closing or (f"connection lost: {exc}" if exc else "closed by the peer")
        for task in self._requests.values():
            task.cancel()
        for stream_id in list(self._streams):
            self._end_stream(stream_id, reason)

    def pause_writing(self) -> None:
        """The transport is full: its players lag, and what the client may ask for has to wait, since it takes no answers."""
        self._paused = True
        stop_reading(self._transport)
        for stream in self._streams.values():
            if isinstance(stream, _Player):
                stream.playing.pause()

    def resume_writing(self) -> None:
        """The transport has drained."""
        self._paused = False
        go_on_reading(self._transport)
        for stream in self._streams.values():
            if isinstance(stream, _Player):
                stream.playing.resume()

    # the core

    def _advance(self, data: bytes | memoryview) -> None:
        """Give bytes to the core, carry out what they ask for, send what it has to say."""
        media: dict[int, list[MediaMessage]] = {}
        try:
            for event in self._server.feed(data):
                if isinstance(event, MediaMessage):
                    media.setdefault(event.stream_id, []).append(event)
                else:
                    self._take_in(media)
                    self._handle(event)
            self._take_in(media)
        except (RemoteProtocolError, UnsupportedError) as error:
            self._take_in(media)
            self._broken(error)
            return
        self._send()

    def _broken(self, error: LalmeshError) -> None:
        self._listener.metrics.protocol_errors.labels(self._listener.protocol).inc()
        log.warning("peer broke the protocol: %s", error, extra={"peer": self._remote.peer, "protocol": self._listener.protocol})
        self._send()
        self._close(f"protocol error: {error}")

    def _send(self) -> None:
        data = self._server.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _close(self, reason: str) -> None:
        if not self._closing:
            self._closing = reason
            if self._transport is not None:
                close_soon(self._transport, self._loop)

    def _close_unless_used(self, stream_id: int, reason: str) -> None:
        """Message stream `stream_id` is over, or its request refused: so is the connection, if nothing else lives on it."""
        if not self._streams and not self._requests.keys() - {stream_id}:
            self._close(reason)

    def _watch_silence(self) -> None:
        """Silence ends what publishes, and a connection that came to nothing; a player has nothing to say."""
        publishes = any(isinstance(stream, _Publisher) for stream in self._streams.values())
        self._connection.watch_idle = publishes or not (self._streams or self._requests)

    def _expire(self, reason: str) -> None:
        self._closing = self._closing or reason
        if self._transport is not None:
            self._transport.abort()

    def _take_in(self, media: dict[int, list[MediaMessage]]) -> None:
        """Bring the messages of one read to their publications, in one run each."""
        if not media:
            return
        now_us = time.time_ns() // 1000
        items = list(media.items())
        media.clear()
        for stream_id, messages in items:
            publisher = self._streams.get(stream_id)
            if isinstance(publisher, _Publisher):
                publisher.ingest.feed(messages, now_us)

    # what the client asks for

    def _handle(self, event: ServerEvent) -> None:
        match event:
            case Connected():
                self._connected(event)
            case PublishRequested():
                self._request(event.stream_id, self._publish(event))
            case PlayRequested():
                self._request(event.stream_id, self._play(event))
            case StreamClosed(stream_id):
                self._end_stream(stream_id, "closed by the client")
            case PausedOrResumed():
                pass  # a live stream goes on; the client was told what it asked for
            case MediaMessage():
                pass
            case _:
                assert_never(event)

    def _connected(self, event: Connected) -> None:
        if self._refusal:
            blocked = self._connection.is_blocked
            self._server.reject_connect(description=self._refusal if blocked else f"too many connections: {self._refusal}")
            self._send()
            self._close(self._refusal)
            return
        self._asked = event
        if (closed := self._context.entrance.closed) is not None:
            self._send_elsewhere(closed)
        else:
            peer = self._remote.peer
            self._context.events.rtmp_connected(self._session_id, peer, event.app, event.flash_ver, event.tc_url, event.query)
            self._server.accept_connect()

    def _send_elsewhere(self, closed: Closed) -> None:
        """Nobody new is let in."""
        self._listener.metrics.refused.labels(self._listener.protocol, closed.label).inc()
        redirect_url = self._elsewhere()
        log.info("connection refused: %s", closed.value, extra={"peer": self._remote.peer, "redirect": redirect_url})
        self._server.reject_connect(description=closed.value, redirect_url=redirect_url)
        self._send()
        self._close(closed.value)

    def _elsewhere(self) -> str:
        """Where to connect to instead; empty where nothing is known."""
        return self._context.entrance.url(self._listener.protocol, f"/{self._asked.app if self._asked is not None else ''}")

    def _ask_to_reconnect(self) -> bool:
        """Ask the client to go on elsewhere; one that does not understand that is not asked."""
        asked = self._transport is not None and self._server.request_reconnect(self._elsewhere(), Closed.DRAINING.value)
        self._send()
        return asked

    def _request(self, stream_id: int, work: Awaitable[None]) -> None:
        """Answer in a task; the same message stream cannot ask again before it has been answered."""
        self._connection.begun = True
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._requests[stream_id] = task
        self._watch_silence()
        task.add_done_callback(lambda done: self._answered(stream_id, done))

    def _answered(self, stream_id: int, task: asyncio.Task[None]) -> None:
        if self._requests.get(stream_id) is task:
            del self._requests[stream_id]
        self._watch_silence()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("request failed", exc_info=error)
            self._close("internal error")
        elif self._transport is not None and not self._closing:
            self._advance(b"")  # what waited for the answer

    def _client(self, event: PublishRequested | PlayRequested) -> Client:
        asked = self._asked
        return Client(
            protocol=self._listener.protocol,
            address=self._remote.address,
            peer=self._remote.peer,
            session_id=self._session_id,
            url=stream_url(asked.tc_url if asked is not None else "", event.app, event.name),
            query=joined_queries(asked.query if asked is not None else "", event.query),
            user_agent=asked.flash_ver if asked is not None else "",
            via=parse_via(asked.relay) if asked is not None else (),
        )

    async def _publish(self, event: PublishRequested) -> None:
        stream_id, client = event.stream_id, self._client(event)
        try:
            stream = self._context.stream_key(event.app, event.name)
            taken_over = self._publisher_closer(stream_id, "NetStream.Publish.BadName")
            publishing = await self._context.publish(stream, client, taken_over)
        except ServiceError as error:
            self._refuse_publish(stream_id, event, error)
            return
        close = self._publisher_closer(stream_id, "NetStream.Publish.Failed")
        session = self._context.sessions.open(client, SessionRole.PUBLISHER, stream, close)
        session.ask_to_reconnect = self._ask_to_reconnect
        self._streams[stream_id] = _Publisher(publishing, session, self._listener.metrics)
        self._server.accept_publish(stream_id)
        self._send()

    def _refuse_publish(self, stream_id: int, event: PublishRequested, error: ServiceError) -> None:
        reason = "exists" if isinstance(error, StreamExists) else "name" if isinstance(error, InvalidName) else _reason(error)
        code = "NetStream.Publish.BadName" if reason != "unavailable" else "NetStream.Publish.Failed"
        self._refused("publisher", f"{event.app}/{event.name}", reason, error)
        self._server.reject_publish(stream_id, code, str(error))
        self._send()
        self._close_unless_used(stream_id, f"refused: {error}")

    async def _play(self, event: PlayRequested) -> None:
        stream_id, client = event.stream_id, self._client(event)
        try:
            stream = self._context.stream_key(event.app, event.name)
            relay = await self._context.relay(stream, client)
        except ServiceError as error:
            self._refuse_play(stream_id, event, error)
            return
        with relay.given_back_unless_taken() as take:
            if self._transport is not None:
                self._server.accept_play(stream_id)
                self._send()
                self._start_player(self._transport, stream_id, client, stream, take())

    def _start_player(self, transport: asyncio.Transport, stream_id: int, client: Client, stream: StreamKey, relay: Relay) -> None:
        context = self._context

        def packager() -> RtmpPackager:
            return RtmpPackager(context.body_muxer(), chunk_size=context.chunk_size, stream_id=stream_id)

        close = self._player_closer(stream_id)
        form = OutputFormat(key=("rtmp", stream_id), name="rtmp", packager=packager)
        playing = playing_on(transport, relay, form, close, context.player_sndbuf_bytes)
        session = context.sessions.open(client, SessionRole.PLAYER, stream, close)
        session.ask_to_reconnect = self._ask_to_reconnect
        self._streams[stream_id] = _Player(playing, session)
        playing.start()
        if self._paused:  # by another player on this connection, whose burst has not drained
            playing.pause()

    def _refuse_play(self, stream_id: int, event: PlayRequested, error: ServiceError) -> None:
        reason = "name" if isinstance(error, InvalidName) else "not found" if isinstance(error, StreamNotFound) else _reason(error)
        code = "NetStream.Play.StreamNotFound" if reason in ("name", "not found") else "NetStream.Play.Failed"
        self._refused("player", f"{event.app}/{event.name}", reason, error)
        self._server.reject_play(stream_id, code, str(error))
        self._send()
        self._close_unless_used(stream_id, f"refused: {error}")

    def _refused(self, who: str, what: str, reason: str, error: ServiceError) -> None:
        self._listener.metrics.refused.labels(self._listener.protocol, reason).inc()
        log.warning("%s of %r refused: %s", who, what[:600], error, extra={"peer": self._remote.peer})

    # the end of a stream

    def _end_stream(self, stream_id: int, reason: str) -> None:
        request = self._requests.pop(stream_id, None)
        if request is not None:
            request.cancel()
        stream = self._streams.pop(stream_id, None)
        self._watch_silence()
        if stream is not None:
            stream.end()
            self._context.sessions.closed(stream.session, reason)

    def _player_closer(self, stream_id: int) -> Callable[[str], None]:
        """What ends a player from here: the stream is over, the player too slow, the edge stops."""

        def close(reason: str) -> None:
            if stream_id not in self._streams:
                return
            self._end_stream(stream_id, reason)
            if self._transport is not None:
                self._server.end_play(stream_id, reason)
                self._send()
            self._close_unless_used(stream_id, reason)

        return close

    def _publisher_closer(self, stream_id: int, code: str) -> Callable[[str], None]:
        """What ends a publisher from here: the cluster gave the stream to somebody else, or the edge stops."""

        def close(reason: str) -> None:
            if stream_id not in self._streams:  # before it was accepted
                self._close(reason)
                return
            self._end_stream(stream_id, reason)
            if self._transport is not None:
                self._server.end_publish(stream_id, code, reason)
                self._send()
            self._close_unless_used(stream_id, reason)

        return close


def _reason(error: ServiceError) -> str:
    """What a metric counts a refusal by."""
    return error.refused.reason.value if isinstance(error, AccessRefused) else "unavailable"


class RtmpListener(StreamListener):
    """The RTMP or (with `tls`) RTMPS port of an edge."""

    def __init__(
        self,
        context: EdgeContext,
        limits: ListenerLimits,
        metrics: EdgeMetrics,
        tls: ssl.SSLContext | None = None,
        *,
        takes_headers: bool = False,
    ) -> None:
        """Prepare; see `StreamListener`."""
        super().__init__("rtmp", limits, metrics, tls, takes_headers=takes_headers)
        self.context = context
        self.metrics = metrics
        self.loop = asyncio.get_running_loop()

    def connection(self, client: Remote | None) -> RtmpConnection:
        """A client has come."""
        return RtmpConnection(self, client)
