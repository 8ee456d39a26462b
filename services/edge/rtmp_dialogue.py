"""What is said on one RTMP connection: what the client asks for, and what becomes of it.

No task and no timer a read: requests that need an answer from elsewhere get a task of their own. A connection may publish and play
several streams at once. What ends one of them from here ends the connection only with the last.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable
from typing import assert_never

from lalmesh.errors import LalmeshError, LimitExceeded, RemoteProtocolError, UnsupportedError
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
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import Connection
from services.edge.client import Client, joined_queries, stream_url
from services.edge.entrance import Closed
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext, close_soon
from services.edge.rtmp_requests import RtmpRequests
from services.edge.rtmp_streams import RtmpStreams
from services.edge.session import SESSION_ID_BYTES
from services.edge.window_count import WindowCount

log = logging.getLogger(__name__)

#: Requests to publish and to play of one connection in a while, whatever becomes of them: each is a task, and perhaps a call of the
#: scheduler or of a webhook. As many as there may be message streams, and as many again; one for each second of each that is played
#: on, for who waits for them to begin, is less.
MAX_REQUESTS = 64
REQUESTS_S = 10.0  #: that while


class RtmpDialogue:
    """One client."""

    def __init__(
        self,
        context: EdgeContext,
        metrics: EdgeMetrics,
        transport: asyncio.Transport,
        connection: Connection,
        protocol: str,
        client: Remote,
    ) -> None:
        """Begin.

        Args:
            context: what all connections share.
            metrics: where to count.
            transport: carries what is said.
            connection: as its listener counts it.
            protocol: ``rtmp`` or ``rtmps``.
            client: who it is.
        """
        self.refusal = ""  #: why it is not let in; empty where it is
        self.publishes = False  #: whether any of its streams is published
        self.is_full = False  #: whether the transport takes nothing more for the moment
        self.context = context
        self.metrics = metrics
        self.protocol = protocol
        self.client = client
        self.transport: asyncio.Transport | None = transport
        self.server = RtmpServer(os.urandom, chunk_size=context.chunk_size, max_message_bytes=context.max_message_bytes)
        self.streams = RtmpStreams()
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._publish_and_play = RtmpRequests(self)
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._asking = WindowCount(REQUESTS_S, self._loop.time)
        self._asked: Connected | None = None  # what it said about itself
        self._closing = ""
        self._session_id = secrets.token_hex(SESSION_ID_BYTES)  # of the connection, and of the first stream on it

    def slack_s(self) -> float:
        """How long it is until players here get what it publishes next; 0: at once."""
        return self.streams.slack_s(self.context.relays)

    # what the wire tells

    def feed(self, data: bytes | memoryview) -> None:
        """Give bytes to the core, carry out what they ask for, send what it has to say."""
        if self._closing:
            return
        media: dict[int, list[MediaMessage]] = {}
        try:
            for event in self.server.feed(data):
                if isinstance(event, MediaMessage):
                    media.setdefault(event.stream_id, []).append(event)
                else:
                    self.streams.take_in(media)
                    self._handle(event)
            self.streams.take_in(media)
        except (RemoteProtocolError, UnsupportedError) as error:
            self.streams.take_in(media)
            self._broken(error)
            return
        self.send()

    def full(self) -> None:
        """The transport is full."""
        self.is_full = True
        self.streams.pause()

    def drained(self) -> None:
        """The transport has drained."""
        self.is_full = False
        self.streams.resume()

    def expire(self, reason: str) -> None:
        """Its listener has no more time for it."""
        self._closing = self._closing or reason
        if self.transport is not None:
            self.transport.abort()

    def lost(self, reason: str) -> None:
        """The connection is gone; for `reason`, where it was not closed from here."""
        self.transport = None
        for task in self._requests.values():
            task.cancel()
        for stream_id in list(self.streams):
            self.end_stream(stream_id, self._closing or reason)

    # what its requests ask

    def send(self) -> None:
        """Send what the core has to say."""
        data = self.server.data_to_send()
        if data and self.transport is not None:
            self.transport.write(data)

    def close(self, reason: str) -> None:
        """Close the connection once what was written is sent."""
        if not self._closing:
            self._closing = reason
            if self.transport is not None:
                close_soon(self.transport, self._loop)

    def close_unless_used(self, stream_id: int, reason: str) -> None:
        """Message stream `stream_id` is over, or its request refused: so is the connection, if nothing else lives on it."""
        if not self.streams and not self._requests.keys() - {stream_id}:
            self.close(reason)

    def end_stream(self, stream_id: int, reason: str) -> None:
        """Give back what a message stream has, and forget what it asked for."""
        request = self._requests.pop(stream_id, None)
        if request is not None:
            request.cancel()
        stream = self.streams.pop(stream_id, None)
        self._watch_silence()
        if stream is not None:
            stream.end()
            self.context.sessions.closed(stream.session, reason)

    def client_of(self, event: PublishRequested | PlayRequested) -> Client:
        """Who asks, and by what."""
        asked = self._asked
        return Client(
            protocol=self.protocol,
            address=self.client.address,
            peer=self.client.peer,
            session_id=self._session_id,
            url=stream_url(asked.tc_url if asked is not None else "", event.app, event.name),
            app=event.app,
            query=joined_queries(asked.query if asked is not None else "", event.query),
            user_agent=asked.flash_ver if asked is not None else "",
            via=parse_via(asked.relay) if asked is not None else (),
        )

    def ask_to_reconnect(self) -> bool:
        """Ask the client to go on elsewhere; one that does not understand that is not asked."""
        asked = self.transport is not None and self.server.request_reconnect(self._elsewhere(), Closed.DRAINING.value)
        self.send()
        return asked

    # what the client asks for

    def _broken(self, error: LalmeshError) -> None:
        self.metrics.protocol_errors.labels(self.protocol).inc()
        log.warning("peer broke the protocol: %s", error, extra={"peer": self.client.peer, "protocol": self.protocol})
        self.send()
        self.close(f"protocol error: {error}")

    def _watch_silence(self) -> None:
        """Silence ends what publishes, and a connection that came to nothing; a player has nothing to say."""
        self.publishes = self.streams.publishes
        self._connection.watch_idle = self.publishes or not (self.streams or self._requests)

    def _handle(self, event: ServerEvent) -> None:
        match event:
            case Connected():
                self._connected(event)
            case PublishRequested():
                self._count_request()
                self._request(event.stream_id, self._publish_and_play.publish(event))
            case PlayRequested():
                self._count_request()
                self._request(event.stream_id, self._publish_and_play.play(event))
            case StreamClosed(stream_id):
                self.end_stream(stream_id, "closed by the client")
            case PausedOrResumed():
                pass  # a live stream goes on; the client was told what it asked for
            case MediaMessage():
                pass
            case _:
                assert_never(event)

    def _connected(self, event: Connected) -> None:
        if self.refusal:
            blocked = self._connection.is_blocked
            self.server.reject_connect(description=self.refusal if blocked else f"too many connections: {self.refusal}")
            self.send()
            self.close(self.refusal)
            return
        self._asked = event
        if (closed := self.context.entrance.closed) is not None:
            self._send_elsewhere(closed)
        else:
            peer = self.client.peer
            self.context.events.rtmp_connected(self._session_id, peer, event.app, event.flash_ver, event.tc_url, event.query)
            self.server.accept_connect()

    def _send_elsewhere(self, closed: Closed) -> None:
        """Nobody new is let in."""
        self.metrics.refused.labels(self.protocol, closed.label).inc()
        redirect_url = self._elsewhere()
        log.info("connection refused: %s", closed.value, extra={"peer": self.client.peer, "redirect": redirect_url})
        self.server.reject_connect(description=closed.value, redirect_url=redirect_url)
        self.send()
        self.close(closed.value)

    def _elsewhere(self) -> str:
        """Where to connect to instead; empty where nothing is known."""
        return self.context.entrance.url(self.protocol, f"/{self._asked.app if self._asked is not None else ''}")

    def _count_request(self) -> None:
        count = self._asking.add()
        if count > MAX_REQUESTS:
            raise LimitExceeded(f"requests to publish and to play in {REQUESTS_S:g} s", count, MAX_REQUESTS)

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
            self.close("internal error")
        elif self.transport is not None:
            self.feed(b"")  # what waited for the answer
