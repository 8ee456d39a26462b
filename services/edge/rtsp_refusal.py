"""What a service's refusal is in RTSP."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.errors import (
    InvalidName,
    LalmeshError,
    NotAuthorized,
    RelayLoop,
    StreamExists,
    StreamNotFound,
    Unavailable,
    UnsupportedError,
)
from lalmesh.runtime.authorisation import AccessRefused, Reason


@dataclass(slots=True, frozen=True)
class Refusal:
    """The answer to a request that is refused."""

    status: int
    reason: str  #: what a metric counts it by
    fields: tuple[tuple[str, str], ...] = ()  #: headers


def refusal_of(error: LalmeshError) -> Refusal:
    """What a client is told."""
    match error:
        case InvalidName():
            return Refusal(400, "name")
        case StreamNotFound():
            return Refusal(404, "not found")
        case StreamExists():
            return Refusal(403, "exists")
        case RelayLoop():
            return Refusal(403, "loop")
        case AccessRefused() if error.refused.reason in (Reason.FULL, Reason.UNAVAILABLE):
            retry_after_s = max(1, round(error.refused.retry_after_s))
            return Refusal(503, error.refused.reason.value, (("Retry-After", str(retry_after_s)),))
        case AccessRefused():
            return Refusal(403, error.refused.reason.value)
        case NotAuthorized():
            return Refusal(403, "forbidden")
        case UnsupportedError():
            return Refusal(415, "codec")
        case Unavailable():
            return Refusal(503, error.label, (("Retry-After", str(max(1, round(error.retry_after_s)))),))
        case _:
            return Refusal(503, "unavailable")
