"""What an RTMP client is told that may not publish or play: the code of the protocol, and what the refusal is counted by.

And what the log is told, which is not one line for each: a connection on which something lives is not closed over a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from lalmesh.errors import InvalidName, ServiceError, StreamExists, StreamNotFound, Unavailable
from lalmesh.runtime.authorisation import AccessRefused
from services.edge.window_count import WindowCount

log = logging.getLogger(__name__)

#: The last message stream of a connection that is played on. RTMP names it in every message, so for each of them a stream is
#: packaged and kept for joins once more. Clients play on what createStream gives them: the lowest that is free, mostly the first.
MAX_PLAYED_STREAM_ID = 4
MAX_REFUSAL_LINES = 8  #: in the log, of one connection in a while; `edge_refused_total` has them all
REFUSAL_LINES_S = 60.0  #: that while


class MessageStreamNotPlayed(ServiceError):
    """Nothing is played on this message stream."""


def check_played_on(stream_id: int) -> None:
    """Refuse to play on a message stream that few have.

    Raises:
        MessageStreamNotPlayed: it is beyond `MAX_PLAYED_STREAM_ID`.
    """
    if stream_id > MAX_PLAYED_STREAM_ID:
        raise MessageStreamNotPlayed(f"play on message stream {stream_id}, limit {MAX_PLAYED_STREAM_ID}: connect once more")


class Refusal(NamedTuple):
    """One request that is refused."""

    reason: str  #: for metrics
    code: str  #: of the ``onStatus`` that says so


def refused_publish(error: ServiceError) -> Refusal:
    """For a publisher."""
    reason = "exists" if isinstance(error, StreamExists) else "name" if isinstance(error, InvalidName) else _reason(error)
    is_our_fault = reason == "unavailable" or isinstance(error, Unavailable)
    return Refusal(reason, "NetStream.Publish.Failed" if is_our_fault else "NetStream.Publish.BadName")


def refused_play(error: ServiceError) -> Refusal:
    """For a player."""
    reason = "name" if isinstance(error, InvalidName) else "not found" if isinstance(error, StreamNotFound) else _reason(error)
    return Refusal(reason, "NetStream.Play.StreamNotFound" if reason in ("name", "not found") else "NetStream.Play.Failed")


def _reason(error: ServiceError) -> str:
    match error:
        case AccessRefused():
            return error.refused.reason.value
        case Unavailable():
            return error.label
        case MessageStreamNotPlayed():
            return "message stream"
        case _:
            return "unavailable"


class RefusalLog:
    """The lines about the refusals of one connection: the first few of a while, and how many others there were."""

    def __init__(self, peer: str, clock: Callable[[], float]) -> None:
        """Begin; `clock` gives seconds."""
        self._peer = peer
        self._lines = WindowCount(REFUSAL_LINES_S, clock)
        self._left_out = 0  # since the last line

    def tell(self, who: str, what: str, error: ServiceError) -> None:
        """`who`, such as a player, is refused `what`, a stream as it was asked for."""
        if self._lines.add() > MAX_REFUSAL_LINES:
            self._left_out += 1
            return
        more = f"; {self._left_out} refusals of this connection before it were not told" if self._left_out else ""
        self._left_out = 0
        log.warning("%s of %r refused: %s%s", who, what[:600], error, more, extra={"peer": self._peer})
