"""Ids of players of HLS, which any node makes and any node knows again, and where they stand in queries."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_plus

from lalmesh.names import StreamKey

PARAMETER: Final = "session_id"
TIME_BYTES: Final = 6  #: Unix milliseconds
RANDOM_BYTES: Final = 6  #: that tell ids of one millisecond apart; it is the signature that nobody can guess
SIGNATURE_CHARS: Final = 24  #: hexadecimal digits of HMAC-SHA256 that are shown: 96 bits
_CHANCE_CHARS: Final = 2 * (TIME_BYTES + RANDOM_BYTES)
ID_CHARS: Final = _CHANCE_CHARS + SIGNATURE_CHARS
_NS_PER_MS: Final = 1_000_000
_CONTEXT: Final = b"lalmesh hls session, version 1"


@dataclass(slots=True, frozen=True)
class SessionIds:
    """Makes ids of players, and knows them again."""

    keys: tuple[bytes, ...] = field(repr=False)  #: signed with the first, taken of all
    on_files: bool = False  #: whether players ask with it for files too, and nobody is answered whose id is none

    def make(self, stream: StreamKey) -> str:
        """A fresh id of a player of `stream`, who asks for the first time now."""
        chance = (time.time_ns() // _NS_PER_MS).to_bytes(TIME_BYTES, "big").hex() + secrets.token_hex(RANDOM_BYTES)
        return chance + _signature(stream, chance, self.keys[0])

    def is_good(self, text: str, stream: StreamKey) -> bool:
        """Whether `text` is an id that was made for a player of `stream` with one of the keys."""
        if len(text) != ID_CHARS or not text.isascii():
            return False
        chance, shown = text[:_CHANCE_CHARS], text[_CHANCE_CHARS:]
        return any(hmac.compare_digest(shown, _signature(stream, chance, key)) for key in self.keys)


def made_us(session_id: str) -> int:
    """When an id was made, Unix microseconds; 0 where it does not look like one that says it."""
    try:
        return int(session_id[: 2 * TIME_BYTES], 16) * 1000 if len(session_id) == ID_CHARS else 0
    except ValueError:
        return 0


def _signature(stream: StreamKey, chance: str, key: bytes) -> str:
    message = b"\0".join((_CONTEXT, stream.app.encode(), stream.name.encode(), chance.encode()))
    return hmac.digest(key, message, "sha256").hex()[:SIGNATURE_CHARS]


def session_in(query: str) -> tuple[str, str]:
    """The id in a `query`, empty where there is none, the last one where there are several; and the rest of the query, as it came.

    Args:
        query: percent-encoded, as it was received.
    """
    session_id, rest = "", list[str]()
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if name == PARAMETER or (("%" in name or "+" in name) and unquote_plus(name) == PARAMETER):
            session_id = unquote_plus(value) or session_id
        elif item:
            rest.append(item)
    return session_id, "&".join(rest)


def with_session(query: str, session_id: str) -> str:
    """A `query` that has no id, with one."""
    added = f"{PARAMETER}={session_id}"
    return f"{query}&{added}" if query else added
