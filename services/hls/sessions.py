"""Counting players: each has a signed id in its URLs, which any node can check, and is counted where it asks.

A player of HLS has no connection. Its first playlist is answered with a redirection to the same URL with a `session_id`, with
which it asks for playlists from then on. The id is random, and signed, so no node has to remember it: with `hls.session.hash_key`,
else with a key made of the cluster's.

Where `hls.session.hash_key` is set, every line of the playlists carries the id, as with lal: each byte of each player is counted,
and no cache can give one player what another had. Otherwise files are the same for all players, and what is counted of one is its
playlists.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from lalmesh.names import StreamKey
from lalmesh.runtime.addresses import host_of
from lalmesh.runtime.foreign_text import well_formed
from lalmesh.runtime.sessions import SessionTouch

PARAMETER = "session_id"
RANDOM_BYTES = 12
SIGNATURE_CHARS = 24  #: hexadecimal digits of HMAC-SHA256 that are shown: 96 bits
MAX_SESSIONS = 100_000  #: counted by one node at a time; more are served, and not counted
LEFT, ENDED = "it asked for nothing for long", "ended by an operator"  #: why a session is over
KICKED_S = 3600.0  #: that an id which was kicked is answered no more: players give up long before
_CONTEXT = b"lalmesh hls session, version 1"


@dataclass(slots=True, frozen=True)
class SessionIds:
    """Makes ids of players, and knows them again."""

    keys: tuple[bytes, ...] = field(repr=False)  #: signed with the first, taken of all
    on_files: bool = False  #: whether players ask with it for files too, and nobody is answered whose id is none

    def make(self, stream: StreamKey) -> str:
        """A fresh id of a player of `stream`."""
        chance = secrets.token_hex(RANDOM_BYTES)
        return chance + _signature(stream, chance, self.keys[0])

    def is_good(self, text: str, stream: StreamKey) -> bool:
        """Whether `text` is an id that was made for a player of `stream` with one of the keys."""
        chance, shown = text[: RANDOM_BYTES * 2], text[RANDOM_BYTES * 2 :].encode()
        return any(hmac.compare_digest(shown, _signature(stream, chance, key).encode()) for key in self.keys)


def _signature(stream: StreamKey, chance: str, key: bytes) -> str:
    message = b"\0".join((_CONTEXT, stream.app.encode(), stream.name.encode(), chance.encode()))
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:SIGNATURE_CHARS]


@dataclass(slots=True, frozen=True, kw_only=True)
class HlsClient:
    """Who asks, as a request says; what its texts had that is no UTF-8 is replaced."""

    peer: str  #: address
    protocol: str = "hls"  #: or ``https-hls``
    url: str = ""  #: without query
    query: str = ""  #: without secrets
    user_agent: str = ""

    def __post_init__(self) -> None:
        """Have no text that could not be told of."""
        for name in ("url", "query", "user_agent"):
            object.__setattr__(self, name, well_formed(getattr(self, name)))


@dataclass(slots=True)
class _Seen:
    client: HlsClient
    opened_us: int
    at_s: float = 0.0
    sent_bytes: int = 0  # since the directory was told
    all_bytes: int = 0
    first_media_ms: int = 0
    codecs: tuple[str, ...] = ()
    is_told: bool = False  # of everything that seldom changes


class PlayerWatcher(Protocol):
    """Who hears of players."""

    def player_came(self, touch: SessionTouch) -> None:
        """A player has asked for the first time."""
        ...

    def player_left(self, touch: SessionTouch, sent_bytes: int, lasted_ms: int, reason: str) -> None:
        """A player has not asked for long, or may not any more."""
        ...


class Players:
    """The players that asked this node not long ago, and those that were kicked."""

    def __init__(self, idle_s: float, clock: Callable[[], float], wall_clock: Callable[[], float] = time.time) -> None:
        """One that asks for nothing for `idle_s` has left; `clock` gives seconds, `wall_clock` those of Unix."""
        self._idle_s = idle_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._players: dict[tuple[StreamKey, str], _Seen] = {}
        self._over: list[SessionTouch] = []
        self._kicked: OrderedDict[str, float] = OrderedDict()  # ids, with when they may be forgotten
        self.watcher: PlayerWatcher | None = None  #: hears of those who come and go

    def __len__(self) -> int:
        """How many there are."""
        return len(self._players)

    def saw(self, stream: StreamKey, session_id: str, client: HlsClient, sent_bytes: int, *, is_media: bool = False) -> None:
        """A player was answered, with media where it `is_media`, otherwise with a playlist."""
        seen = self._players.pop((stream, session_id), None)
        if seen is None:
            if len(self._players) >= MAX_SESSIONS:
                return
            seen = _Seen(client, round(self._wall_clock() * 1_000_000))
            if self.watcher is not None:
                self.watcher.player_came(_touch(stream, session_id, seen))
        seen.at_s = self._clock()
        seen.sent_bytes += sent_bytes
        seen.all_bytes += sent_bytes
        if is_media and not seen.first_media_ms:
            seen.first_media_ms = max(1, round(self._wall_clock() * 1000) - seen.opened_us // 1000)
        self._players[stream, session_id] = seen  # the last one seen is the last

    def touches(self, codecs: Callable[[StreamKey], tuple[str, ...]] = lambda _: ()) -> list[SessionTouch]:
        """What the directory is to be told: who was seen since the last call. Those that have left are forgotten.

        `codecs` gives those of a stream as far as they are known here.
        """
        now = self._clock()
        for key in [key for key, seen in self._players.items() if now - seen.at_s > self._idle_s]:
            self._left(key, self._players.pop(key), LEFT)
        told, self._over = self._over, []
        for (stream, session_id), seen in self._players.items():
            if not seen.sent_bytes:
                continue
            known = codecs(stream) or seen.codecs
            seen.is_told, seen.codecs = seen.is_told and known == seen.codecs, known
            told.append(_touch(stream, session_id, seen))
            seen.sent_bytes, seen.is_told = 0, True
        return told

    def again(self) -> list[Callable[[], None]]:
        """What tells the watcher of each that is here as of one that has just come, unless it has left meanwhile."""
        return [partial(self._came, key) for key in self._players]

    def _came(self, key: tuple[StreamKey, str]) -> None:
        seen = self._players.get(key)
        if seen is not None and self.watcher is not None:
            self.watcher.player_came(_touch(*key, replace(seen, is_told=False)))

    def not_told(self, touches: Iterable[SessionTouch]) -> None:
        """The directory did not take these in: they are told again."""
        for touch in touches:
            seen = self._players.get((touch.stream, touch.id))
            if touch.over and len(self._over) < MAX_SESSIONS:
                self._over.append(touch)
            elif seen is not None:
                seen.sent_bytes, seen.is_told = seen.sent_bytes + touch.sent_bytes, False

    def kick(self, session_ids: Iterable[str]) -> None:
        """Answer these no more, whether they were seen here or not."""
        wanted = set(session_ids)
        self._end([key for key in self._players if key[1] in wanted])
        until_s = self._clock() + KICKED_S
        for session_id in wanted:
            self._kicked.pop(session_id, None)
            self._kicked[session_id] = until_s
        while len(self._kicked) > MAX_SESSIONS:
            self._kicked.popitem(last=False)

    def is_kicked(self, session_id: str) -> bool:
        """Whether it is not to be answered."""
        until_s = self._kicked.get(session_id)
        return until_s is not None and until_s > self._clock()

    def end_those(self, blocks: Callable[[str], bool]) -> None:
        """Count nobody any more whose address it `blocks`: they are let in no more."""
        self._end([key for key, seen in self._players.items() if blocks(host_of(seen.client.peer))])

    def _left(self, key: tuple[StreamKey, str], seen: _Seen, reason: str) -> None:
        if self.watcher is not None:
            lasted_ms = round(self._wall_clock() * 1000) - seen.opened_us // 1000
            whole = replace(seen, is_told=False)
            self.watcher.player_left(_touch(*key, whole), seen.all_bytes, max(0, lasted_ms), reason)

    def _end(self, keys: Iterable[tuple[StreamKey, str]]) -> None:
        for key in keys:
            seen = self._players.pop(key)
            self._left(key, seen, ENDED)
            if len(self._over) < MAX_SESSIONS:
                self._over.append(replace(_touch(*key, seen), over=True))


def _touch(stream: StreamKey, session_id: str, seen: _Seen) -> SessionTouch:
    client, is_brief = seen.client, seen.is_told
    return SessionTouch(
        id=session_id,
        stream=stream,
        protocol=client.protocol,
        peer=client.peer,
        sent_bytes=seen.sent_bytes,
        is_brief=is_brief,
        opened_us=0 if is_brief else seen.opened_us,
        url="" if is_brief else client.url,
        query="" if is_brief else client.query,
        user_agent="" if is_brief else client.user_agent,
        codecs=() if is_brief else seen.codecs,
        first_media_ms=seen.first_media_ms,
    )
