"""Requests to publish and to play on one RTMP connection: who is let in, and how each stream ends from here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from lalmesh.errors import ServiceError
from lalmesh.protocol.rtmp import PlayRequested, PublishRequested
from lalmesh.remux import RtmpPackager
from lalmesh.runtime.sessions import SessionRole
from services.edge.joining import Joining
from services.edge.outputs import OutputFormat
from services.edge.player import playing_on
from services.edge.rtmp_refusals import RefusalLog, check_played_on, refused_play, refused_publish
from services.edge.rtmp_streams import RtmpPlayer, RtmpPublisher

if TYPE_CHECKING:
    from services.edge.rtmp_dialogue import RtmpDialogue


class RtmpRequests:
    """Those of one dialogue."""

    def __init__(self, dialogue: RtmpDialogue) -> None:
        """Answer by `dialogue`."""
        self._dialogue = dialogue
        self._context = dialogue.context
        self._server = dialogue.server
        self._streams = dialogue.streams
        self._log = RefusalLog(dialogue.client.peer, asyncio.get_running_loop().time)

    async def publish(self, event: PublishRequested) -> None:
        """Let a publisher in, or refuse it."""
        stream_id, client = event.stream_id, self._dialogue.client_of(event)
        try:
            stream = self._context.stream_key(event.app, event.name)
            taken_over = self._publisher_closer(stream_id, "NetStream.Publish.BadName")
            publishing = await self._context.publish(stream, client, taken_over)
        except ServiceError as error:
            self._refuse_publish(stream_id, event, error)
            return
        close = self._publisher_closer(stream_id, "NetStream.Publish.Failed")
        session = self._context.sessions.open(client, SessionRole.PUBLISHER, stream, close, publishing.trace)
        session.ask_to_reconnect = self._dialogue.ask_to_reconnect
        self._streams[stream_id] = RtmpPublisher(publishing, session, self._dialogue.metrics)
        self._server.accept_publish(stream_id)
        self._dialogue.send()

    def _refuse_publish(self, stream_id: int, event: PublishRequested, error: ServiceError) -> None:
        reason, code = refused_publish(error)
        self._refused("publisher", f"{event.app}/{event.name}", reason, error)
        self._server.reject_publish(stream_id, code, str(error))
        self._dialogue.send()
        self._dialogue.close_unless_used(stream_id, f"refused: {error}")

    async def play(self, event: PlayRequested) -> None:
        """Let a player in, or refuse it."""
        stream_id, client = event.stream_id, self._dialogue.client_of(event)
        try:
            check_played_on(stream_id)
            stream = self._context.stream_key(event.app, event.name)
            joining = await self._context.join(stream, client)
        except ServiceError as error:
            self._refuse_play(stream_id, event, error)
            return
        with joining.given_back_unless_taken():
            if self._dialogue.transport is not None:
                self._server.accept_play(stream_id)
                self._dialogue.send()
                self._start_player(self._dialogue.transport, stream_id, joining)

    def _start_player(self, transport: asyncio.Transport, stream_id: int, joining: Joining) -> None:
        context = self._context

        def packager() -> RtmpPackager:
            return RtmpPackager(context.body_muxer(), chunk_size=context.chunk_size, stream_id=stream_id)

        close = self._player_closer(stream_id)
        form = OutputFormat(key=("rtmp", stream_id), name="rtmp", packager=packager)
        playing = playing_on(transport, joining.take(), form, close, context.player_sndbuf_bytes)
        session = joining.session
        session.close = close
        session.ask_to_reconnect = self._dialogue.ask_to_reconnect
        self._streams[stream_id] = RtmpPlayer(playing, session)
        playing.start()
        if self._dialogue.is_full:  # by another player on this connection, whose burst has not drained
            playing.pause()

    def _refuse_play(self, stream_id: int, event: PlayRequested, error: ServiceError) -> None:
        reason, code = refused_play(error)
        self._refused("player", f"{event.app}/{event.name}", reason, error)
        self._server.reject_play(stream_id, code, str(error))
        self._dialogue.send()
        self._dialogue.close_unless_used(stream_id, f"refused: {error}")

    def _refused(self, who: str, what: str, reason: str, error: ServiceError) -> None:
        self._dialogue.metrics.refused.labels(self._dialogue.protocol, reason).inc()
        self._log.tell(who, what, error)

    def _player_closer(self, stream_id: int) -> Callable[[str], None]:
        """What ends a player from here: the stream is over, the player too slow, the edge stops."""

        def close(reason: str) -> None:
            if stream_id not in self._streams:
                return
            self._dialogue.end_stream(stream_id, reason)
            if self._dialogue.transport is not None:
                self._server.end_play(stream_id, reason)
                self._dialogue.send()
            self._dialogue.close_unless_used(stream_id, reason)

        return close

    def _publisher_closer(self, stream_id: int, code: str) -> Callable[[str], None]:
        """What ends a publisher from here: the cluster gave the stream to somebody else, or the edge stops."""

        def close(reason: str) -> None:
            if stream_id not in self._streams:  # before it was accepted
                self._dialogue.close(reason)
                return
            self._dialogue.end_stream(stream_id, reason)
            if self._dialogue.transport is not None:
                self._server.end_publish(stream_id, code, reason)
                self._dialogue.send()
            self._dialogue.close_unless_used(stream_id, reason)

        return close
