"""Sessions: every publisher and player of an edge by id, with one log line when it opens and one when it closes."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.each_alone import for_each_alone
from lalmesh.runtime.sessions import SessionRole
from lalmesh.runtime.telemetry import Attribute, Fact, Span, SpanName, TraceContext
from services.edge.client import Client, now_us
from services.edge.endings import Ending, ending_of
from services.edge.metrics import EdgeMetrics

log = logging.getLogger(__name__)

SESSION_ID_BYTES = 8
NOT_CLOSED = "session could not be closed"


@dataclass(slots=True, frozen=True)
class SessionMedia:
    """What goes through a session, as it is now."""

    codecs: tuple[str, ...] = ()
    first_us: int = 0  #: Unix microseconds of the first media; 0: none yet
    queued_bytes: int = 0  #: that wait for a player
    skips: int = 0  #: of a player that lagged
    publication: bytes = b""  #: id of what is played; empty: not known


class SessionWatcher(Protocol):
    """Who hears of sessions that begin and end."""

    def opened(self, session: Session) -> None:
        """A session has begun; whoever opened it still adds to it before anything else happens."""
        ...

    def closed(self, session: Session, reason: str) -> None:
        """A session has ended."""
        ...


@dataclass(slots=True, eq=False)
class Session:
    """One publisher, player or relay."""

    client: Client
    role: SessionRole
    stream: StreamKey
    opened_at: float  #: the loop's time, seconds
    close: Callable[[str], None]  #: end it, with a reason
    session_id: str = field(default_factory=lambda: secrets.token_hex(SESSION_ID_BYTES))
    opened_us: int = field(default_factory=now_us)  #: Unix microseconds
    bytes_moved: Callable[[], int] = lambda: 0  #: in from a publisher, out to a player
    media: Callable[[], SessionMedia] = SessionMedia
    facts: Callable[[], dict[str, object]] = dict  #: what its closing line says beside
    #: ask its client to go on at another edge; gives whether it was asked
    ask_to_reconnect: Callable[[], bool] = lambda: False
    was_kicked: bool = False  #: whether somebody had it ended, with a reason in words of their own
    trace: TraceContext | None = None  #: the span that log lines about it name
    play: Span = field(default_factory=lambda: Span(None))  #: of a player whose client has a trace, until its first media

    @property
    def protocol(self) -> str:
        """How its client speaks.

        ``rtmp``, ``rtmps``; ``http-flv``, ``https-flv``, ``ws-flv``, ``wss-flv``; with ``ts`` and ``fmp4`` likewise; ``rtsp``,
        ``rtsps``, ``ws-rtsp``, ``wss-rtsp``.
        """
        return self.client.protocol

    @property
    def address(self) -> str:
        """Of its client, without the port."""
        return self.client.address

    @property
    def is_input(self) -> bool:
        """Whether media come in by it; otherwise they go out."""
        return self.role in (SessionRole.PUBLISHER, SessionRole.RELAY_PULL)

    @property
    def peer(self) -> str:
        """address:port of its client."""
        return self.client.peer


class Sessions:
    """All sessions of one edge."""

    def __init__(self, metrics: EdgeMetrics) -> None:
        """Start with none."""
        self._metrics = metrics
        self._sessions: dict[str, Session] = {}
        self._loop = asyncio.get_running_loop()
        #: how many there have been
        self.opened = 0
        self._unbegun: dict[str, Session] = {}  # players that no media went to yet, as far as anybody has looked
        #: who hears of them
        self.watchers: list[SessionWatcher] = []

    def __iter__(self) -> Iterator[Session]:
        """Every session."""
        return iter(list(self._sessions.values()))

    def get(self, session_id: str) -> Session | None:
        """The session of an id."""
        return self._sessions.get(session_id)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._sessions)

    def open(
        self,
        client: Client,
        role: SessionRole,
        stream: StreamKey,
        close: Callable[[str], None],
        trace: TraceContext | None = None,
    ) -> Session:
        """Begin a session of `client`; `close` ends it from here. It has the client's id, unless another session has that now."""
        session = Session(client, role, stream, self._loop.time(), close, trace=trace)
        if client.session_id and client.session_id not in self._sessions:
            session.session_id = client.session_id
        self._sessions[session.session_id] = session
        self.opened += 1
        self._metrics.opened(client.protocol, role)
        if role is SessionRole.PLAYER:
            self._unbegun[session.session_id] = session
            if client.trace is not None:
                session.play = telemetry.start(SpanName.PLAY, client.trace, _attributes(session), at_us=client.asked_us)
                session.trace = session.play.context
        with telemetry.within(session.trace):
            log.info("%s opened", role.value, extra=self._facts(session))
        for watcher in self.watchers:
            watcher.opened(session)
        return session

    def closed(self, session: Session, reason: str) -> None:
        """The session has ended; a second call does nothing."""
        if self._sessions.pop(session.session_id, None) is None:
            return
        moved = session.bytes_moved()
        if session.session_id in self._unbegun:
            self._look_at(session)
            self._unbegun.pop(session.session_id, None)
            session.play.set({Attribute.REASON: reason})
            session.play.end(reason)
        if session.is_input:
            self._tell_input(session, reason, moved)
        self._metrics.sessions_closed.labels(session.protocol, session.role.value, _ending(session, reason).value).inc()
        facts = {"reason": reason, "duration_s": round(self._loop.time() - session.opened_at, 3), "bytes": moved}
        with telemetry.within(session.trace):
            log.info("%s closed: %s", session.role.value, reason, extra=self._facts(session) | facts | session.facts())
        for watcher in self.watchers:
            watcher.closed(session, reason)

    def sweep(self) -> None:
        """Once a second: tell of players that have got their first media."""
        for_each_alone(self._unbegun.values(), self._look_at, "player could not be looked at")

    def _look_at(self, session: Session) -> None:
        media = session.media()
        if not media.first_us:
            return
        del self._unbegun[session.session_id]
        self._metrics.join_seconds.labels(session.protocol).observe(max(0, media.first_us - session.client.asked_us) / 1e6)
        publication = telemetry.of_publication(media.publication)
        facts = {**_attributes(session), Attribute.PUBLICATION: media.publication.hex()}
        begun_us, links = session.client.asked_us, (session.play.context,)
        first = telemetry.start(SpanName.FIRST_FRAME, publication, facts, at_us=begun_us, links=links) if publication else None
        if first is not None:
            first.end(at_us=max(begun_us, media.first_us))
            session.trace = session.trace or first.context
        session.play.end(at_us=max(begun_us, media.first_us))

    def _tell_input(self, session: Session, reason: str, moved: int) -> None:
        facts = {**_attributes(session), Attribute.ROLE: session.role.value, Attribute.REASON: reason, Attribute.BYTES: moved}
        publication = session.media().publication.hex()
        telemetry.record(SpanName.PUBLISHER, session.trace, session.opened_us, {**facts, Attribute.PUBLICATION: publication})

    def _facts(self, session: Session) -> dict[str, object]:
        return {
            "session_id": session.session_id,
            "protocol": session.protocol,
            "stream_key": str(session.stream),
            "peer": session.peer,
        }


def _attributes(session: Session) -> dict[Attribute, Fact]:
    return {
        Attribute.STREAM: str(session.stream),
        Attribute.PROTOCOL: session.protocol,
        Attribute.SESSION: session.session_id,
    }


def _ending(session: Session, reason: str) -> Ending:
    if session.was_kicked:
        return Ending.KICKED
    return ending_of(reason, is_relay=session.role in (SessionRole.RELAY_PULL, SessionRole.RELAY_PUSH))
