"""Counting players: each has a signed id in its URLs, which any node can check, and is counted where it asks.

A player of HLS has no connection. Its first playlist is answered with a redirection to the same URL with a `session_id`, which
every line of the playlists then carries. The id is random, and signed with `hls.session.hash_key`, so no node has to remember it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import SessionTouch

PARAMETER = "session_id"
RANDOM_BYTES = 12
SIGNATURE_CHARS = 24  #: hexadecimal digits of HMAC-SHA256 that are shown: 96 bits
MAX_SESSIONS = 100_000  #: counted by one node at a time; more are served, and not counted
_CONTEXT = b"lalmesh hls session, version 1"


def new_session_id(stream: StreamKey, key: bytes) -> str:
    """A fresh id of a player of `stream`."""
    chance = secrets.token_hex(RANDOM_BYTES)
    return chance + _signature(stream, chance, key)


def is_session_id(text: str, stream: StreamKey, key: bytes) -> bool:
    """Whether `text` is an id that was made for a player of `stream` with `key`."""
    chance, signature = text[: RANDOM_BYTES * 2], text[RANDOM_BYTES * 2 :]
    return hmac.compare_digest(signature.encode(), _signature(stream, chance, key).encode())


def _signature(stream: StreamKey, chance: str, key: bytes) -> str:
    message = b"\0".join((_CONTEXT, stream.app.encode(), stream.name.encode(), chance.encode()))
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:SIGNATURE_CHARS]


@dataclass(slots=True)
class _Seen:
    at_s: float
    peer: str
    sent_bytes: int = 0  # since the directory was told


class Players:
    """The players that asked this node not long ago."""

    def __init__(self, idle_s: float, clock: Callable[[], float]) -> None:
        """One that asks for nothing for `idle_s` has left; `clock` gives seconds."""
        self._idle_s = idle_s
        self._clock = clock
        self._players: dict[tuple[StreamKey, str], _Seen] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._players)

    def saw(self, stream: StreamKey, session_id: str, peer: str, sent_bytes: int) -> None:
        """A player was answered."""
        seen = self._players.pop((stream, session_id), None)
        if seen is None:
            if len(self._players) >= MAX_SESSIONS:
                return
            seen = _Seen(0.0, peer)
        seen.at_s = self._clock()
        seen.sent_bytes += sent_bytes
        self._players[stream, session_id] = seen  # the last one seen is the last

    def touches(self) -> list[SessionTouch]:
        """What the directory is to be told: who was seen since the last call. Those that have left are forgotten."""
        now = self._clock()
        for key in [key for key, seen in self._players.items() if now - seen.at_s > self._idle_s]:
            del self._players[key]
        told = []
        for (stream, session_id), seen in self._players.items():
            if seen.sent_bytes:
                told.append(SessionTouch(id=session_id, stream=stream, peer=seen.peer, sent_bytes=seen.sent_bytes))
                seen.sent_bytes = 0
        return told
