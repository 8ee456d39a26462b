"""What an RTMP client is told that may not publish or play: the code of the protocol, and what the refusal is counted by."""

from __future__ import annotations

from typing import NamedTuple

from lalmesh.errors import InvalidName, ServiceError, StreamExists, StreamNotFound, Unavailable
from lalmesh.runtime.authorisation import AccessRefused


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
        case _:
            return "unavailable"
