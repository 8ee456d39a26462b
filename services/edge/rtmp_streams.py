"""The message streams of one RTMP connection: what it publishes and what it plays, several at once if it likes."""

from __future__ import annotations

import time

from lalmesh.protocol.rtmp import MediaMessage
from services.edge.ingest import Ingest
from services.edge.metrics import EdgeMetrics
from services.edge.player import Playing
from services.edge.publishing import Publishing
from services.edge.relay import Relays
from services.edge.session import Session


class RtmpPublisher:
    """One message stream that is published."""

    __slots__ = ("ingest", "publishing", "session")

    def __init__(self, publishing: Publishing, session: Session, metrics: EdgeMetrics) -> None:
        """Bring what comes to `publishing`; `session` shows it."""
        self.publishing = publishing
        self.session = session
        self.ingest = Ingest(publishing, session, metrics)
        session.bytes_moved = lambda: self.publishing.core.counters.payload_bytes
        session.media = publishing.media
        session.facts = lambda: self.ingest.facts

    def end(self) -> None:
        """Give the stream back."""
        self.publishing.close()


class RtmpPlayer:
    """One message stream that is played."""

    __slots__ = ("playing", "session")

    def __init__(self, playing: Playing, session: Session) -> None:
        """Hold on to `playing`; `session` shows it."""
        self.playing = playing
        self.session = session
        session.bytes_moved = lambda: self.playing.sent_bytes
        session.media = playing.media

    def end(self) -> None:
        """Give the relay back."""
        self.playing.end()


class RtmpStreams(dict[int, RtmpPublisher | RtmpPlayer]):
    """Those of one connection, by their ids."""

    @property
    def publishes(self) -> bool:
        """Whether any of them is published."""
        return any(isinstance(stream, RtmpPublisher) for stream in self.values())

    def slack_s(self, relays: Relays) -> float:
        """How long it is until players of `relays` get what is published next; 0: at once."""
        published = (stream.publishing.stream for stream in self.values() if isinstance(stream, RtmpPublisher))
        return min(map(relays.slack_s, published), default=0.0)

    def pause(self) -> None:
        """The connection is full: its players lag."""
        for stream in self.values():
            if isinstance(stream, RtmpPlayer):
                stream.playing.pause()

    def resume(self) -> None:
        """The connection has drained."""
        for stream in self.values():
            if isinstance(stream, RtmpPlayer):
                stream.playing.resume()

    def take_in(self, media: dict[int, list[MediaMessage]]) -> None:
        """Bring the messages of one read to their publications, in one run each; `media` is empty then."""
        if not media:
            return
        now_us = time.time_ns() // 1000
        items = list(media.items())
        media.clear()
        for stream_id, messages in items:
            publisher = self.get(stream_id)
            if isinstance(publisher, RtmpPublisher):
                publisher.ingest.feed(messages, now_us)
