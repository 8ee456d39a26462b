"""What clients of an edge do, as events: they connect, publish, play, and ask for what is not there."""

from __future__ import annotations

import time
from collections.abc import Callable

from lalmesh.names import StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.secrets_in_urls import without_login, without_secrets
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.session import Session

MISSING_S = 1.0  #: a stream that is not there is told of once in so long
MAX_MISSING = 100  #: streams that are told of within that time; whoever tries names must not fill the log

_KINDS = {
    SessionRole.PUBLISHER: (EventKind.PUB_START, EventKind.PUB_STOP),
    SessionRole.PLAYER: (EventKind.SUB_START, EventKind.SUB_STOP),
    SessionRole.RELAY_PULL: (EventKind.RELAY_PULL_START, EventKind.RELAY_PULL_STOP),
    SessionRole.RELAY_PUSH: (EventKind.RELAY_PUSH_START, EventKind.RELAY_PUSH_STOP),
}


class ClientEvents:
    """Tells `outbox` of clients and their sessions; nobody where there is none. A `SessionWatcher`."""

    def __init__(
        self, outbox: EventOutbox | None = None, *, raw_query: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """With `raw_query` queries are told with the secrets in them; `clock` gives seconds."""
        self.raw_query = raw_query
        self._outbox = outbox
        self._clock = clock
        self._missing: dict[StreamKey, float] = {}  # and when each was told of

    def opened(self, session: Session) -> None:
        """See `SessionWatcher.opened`."""
        if self._outbox is not None:
            self._outbox.add(_KINDS[session.role][0], session.stream, self._session(session), trace=session.trace)

    def closed(self, session: Session, reason: str) -> None:
        """See `SessionWatcher.closed`."""
        if self._outbox is not None:
            lasted_ms = max(0, time.time_ns() // 1_000_000 - session.opened_us // 1000)
            facts = {**self._session(session), "reason": reason, "duration_ms": lasted_ms}
            self._outbox.add(_KINDS[session.role][1], session.stream, facts, trace=session.trace)

    def rtmp_connected(self, connection_id: str, peer: str, app: str, flash_ver: str, tc_url: str, query: str) -> None:
        """An RTMP client has said whom it wants to speak to; `query` is that of its application."""
        if self._outbox is None:
            return
        base, mark, asked = tc_url.partition("?")
        base = without_login(base)  # of the client's own, whatever is told of queries
        facts = {
            "session_id": connection_id,
            "remote_addr": peer,
            "app": app,
            "flash_ver": flash_ver,
            "tc_url": f"{base}?{self._shown(asked or query)}" if mark or query else base,
        }
        self._outbox.add(EventKind.RTMP_CONNECT, facts=facts)

    def not_found(self, stream: StreamKey, client: Client) -> None:
        """`client` wanted to play a stream that is not there."""
        now = self._clock()
        if self._outbox is None or now - self._missing.get(stream, -MISSING_S) < MISSING_S:
            return
        if len(self._missing) >= MAX_MISSING:
            self._missing = {each: at for each, at in self._missing.items() if now - at < MISSING_S}
            if len(self._missing) >= MAX_MISSING:
                return
        self._missing[stream] = now
        self._outbox.add(EventKind.STREAM_NOT_FOUND, stream, self._client(client), trace=client.trace)

    def _session(self, session: Session) -> dict[str, object]:
        moved = session.bytes_moved()
        return {
            "session_id": session.session_id,
            "role": session.role.value,
            **self._client(session.client),
            "user_agent": session.client.user_agent,
            "read_bytes_sum": moved if session.is_input else 0,
            "wrote_bytes_sum": 0 if session.is_input else moved,
        }

    def _client(self, client: Client) -> dict[str, object]:
        return {
            "protocol": client.protocol,
            "remote_addr": client.peer,
            "url": client.url,
            "query": self._shown(client.query),
        }

    def _shown(self, query: str) -> str:
        return query if self.raw_query else without_secrets(query)
