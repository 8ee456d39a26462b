"""Whether an edge counts a player of HLS, and what it is answered then.

```
first playlist ──► 302 to the same with an id      playlist with a good id ──► that of all players, which is asked for once
an id that was ended ──► 410                       another id, or no stream by that name here ──► as it came: the node decides
```
hls nodes are told who is counted here already. There are some that count all the same, and redirect: those of before, which do not
know that edges can, and those that put the id on every line (`hls.session.hash_key`), where this edge has not heard of that. They
have their way, for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from lalmesh.names import StreamKey
from lalmesh.protocol.hls import HlsPath, PlaylistName, with_query
from lalmesh.runtime.hls_answers import NOT_KNOWN, Played
from lalmesh.runtime.hls_sessions import HlsPlayer, Players, SessionIds, session_in, with_session
from services.edge.answer_cache import Answer

LEFT_ALONE_S = 20.0  #: that hls nodes which count themselves are left to that, until they are tried again


@dataclass(slots=True, frozen=True)
class Asked:
    """What a request is for, where the edge can tell."""

    found: HlsPath
    stream: StreamKey

    @property
    def is_playlist(self) -> bool:
        """Whether it is for a playlist."""
        return isinstance(self.found.resource, PlaylistName)


@dataclass(slots=True, frozen=True)
class AskAgain:
    """The player is to ask by another query."""

    query: str


@dataclass(slots=True, frozen=True)
class Ended:
    """Its session was ended."""


@dataclass(slots=True, frozen=True)
class Uncounted:
    """It is asked for by `query`, and not counted here."""

    query: str


@dataclass(slots=True, frozen=True)
class Counted:
    """It is asked for by `query`, which is that of all players, and counted here."""

    asked: Asked
    session_id: str
    query: str

    def for_player(self, body: bytes) -> bytes:
        """What all players are answered, for this one: the playlists that a multivariant one names are asked for with its id."""
        if self.asked.found.resource is not PlaylistName.INDEX:
            return body
        return with_query(body.decode(), with_session("", self.session_id)).encode()


Decision: TypeAlias = AskAgain | Ended | Uncounted | Counted


class _By(Enum):
    """Who counts."""

    EDGE = 1
    NODES = 2
    NODES_BY_A_KEY = 3  # of their own: ids of edges are none to them


class HlsCounting:
    """Decides for the requests of one edge, and counts their players."""

    def __init__(self, ids: SessionIds, players: Players, clock: Callable[[], float]) -> None:
        """Know `players` by `ids`; `clock` gives seconds."""
        self.players = players
        self._ids = ids
        self._clock = clock
        self._by = _By.EDGE
        self._until = 0.0

    def decide(self, asked: Asked, query: str) -> Decision:
        """What becomes of a request that may be answered, with `query`, percent-encoded as it came."""
        session_id, rest = session_in(query)
        if not session_id:
            if asked.is_playlist and self._counting is not _By.NODES_BY_A_KEY:
                return AskAgain(with_session(rest, self._ids.make(asked.stream)))
            return Uncounted(query)
        if self.players.is_kicked(session_id):
            return Ended()
        if not (self.players.knows(asked.stream, session_id) or self._ids.is_good(session_id, asked.stream)):
            return Uncounted(query)  # of a key that is not known here, or of none
        match self._counting:
            case _By.EDGE:
                return Counted(asked, session_id, rest)
            case _By.NODES:
                return Uncounted(query)
            case _By.NODES_BY_A_KEY:
                return Uncounted(rest)

    def redirected(self, counted: Counted, answer: Answer) -> Uncounted | None:
        """How to ask again where a node has `answer`-ed with a redirection; None where its player is to have that."""
        offered = session_in(answer.headers.get("Location", "").partition("?")[2])[0]
        if not offered:  # it is about something else
            return None
        self._until = self._clock() + LEFT_ALONE_S
        if self._ids.is_good(offered, counted.asked.stream):
            self._by = _By.NODES
            return Uncounted(with_session(counted.query, counted.session_id))
        self._by = _By.NODES_BY_A_KEY
        return None

    def answered(
        self,
        counted: Counted,
        player: Callable[[], HlsPlayer],
        sent_bytes: int,
        codecs: tuple[str, ...] = (),
        played: Played = NOT_KNOWN,
    ) -> None:
        """Count a player that was answered with so many bytes of what is `played`, of a stream that is coded so."""
        asked = counted.asked
        is_media = asked.found.resource is not PlaylistName.INDEX  # the others are answered once they name media
        self.players.saw(asked.stream, counted.session_id, player, sent_bytes, is_media=is_media, codecs=codecs, played=played)

    @property
    def _counting(self) -> _By:
        return self._by if self._clock() < self._until else _By.EDGE
