"""What a client runs into. What bytes of the server break is a `lalmesh.errors.RemoteProtocolError`, as everywhere."""

from __future__ import annotations

from lalmesh.errors import NotAuthorized, ServiceError, StreamExists, StreamNotFound


class InvalidUrl(ServiceError):
    """What was given is no URL of a stream."""


class ConnectionFailed(ServiceError):
    """The server cannot be reached, is not who it should be, or the connection broke."""


class TimedOut(ServiceError):
    """A wait passed its limit."""

    def __init__(self, what: str, limit_s: float) -> None:
        """Keep `what` did not come and the `limit_s` in seconds that it had."""
        self.what = what
        self.limit_s = limit_s
        super().__init__(f"no {what} within {limit_s:g} s")


class Refused(ServiceError):
    """The server answered, and said no."""

    def __init__(self, code: str, description: str) -> None:
        """Keep the server's `code`, such as ``NetStream.Publish.Denied`` or ``HTTP 503``, and its `description`."""
        self.code = code
        self.description = description
        super().__init__(f"refused: {code}" + (f" ({description})" if description else ""))


class RefusedNotFound(Refused, StreamNotFound):
    """Nobody publishes the stream there."""


class RefusedExists(Refused, StreamExists):
    """Somebody else publishes the stream there, or its name is not accepted: RTMP has one code for both."""


class RefusedNotAuthorized(Refused, NotAuthorized):
    """The server does not let us."""


_RTMP_REFUSALS: dict[str, type[Refused]] = {
    "NetStream.Play.StreamNotFound": RefusedNotFound,
    "NetStream.Publish.BadName": RefusedExists,
    "NetStream.Publish.Denied": RefusedNotAuthorized,
    "NetStream.Publish.Unauthorized": RefusedNotAuthorized,
    "NetStream.Play.Unauthorized": RefusedNotAuthorized,
}
#: of a connect, whatever its code: what Adobe's authentication says in descriptions
_ADOBE_REFUSALS = ("code=403 need auth", "?reason=needauth", "?reason=authfailed", "?reason=nosuchuser")
_HTTP_REFUSALS: dict[int, type[Refused]] = {
    401: RefusedNotAuthorized,
    403: RefusedNotAuthorized,
    404: RefusedNotFound,
    410: RefusedNotFound,
}


def rtmp_refusal(code: str, description: str) -> Refused:
    """The error that a status of RTMP stands for."""
    kind = RefusedNotAuthorized if any(word in description for word in _ADOBE_REFUSALS) else _RTMP_REFUSALS.get(code, Refused)
    return kind(code or "no code", description)


def http_refusal(status: int, description: str) -> Refused:
    """The error that a status of HTTP stands for."""
    return _HTTP_REFUSALS.get(status, Refused)(f"HTTP {status}", description)


def rtsp_refusal(status: int, reason: str, method: str) -> Refused:
    """The error that the status of an answer to `method` stands for."""
    return _HTTP_REFUSALS.get(status, Refused)(f"RTSP {status}", f"{method}: {reason}" if reason else method)
