"""The errors of lalmesh: what the wire did wrong, what we do not implement, what a service refuses.

```
LalmeshError
├── ProtocolError(reason, section, at)    the wire is wrong
│   ├── RemoteProtocolError               the peer did it
│   │   └── LimitExceeded(what, value, limit)
│   └── LocalProtocolError                we tried to: our bug
├── UnsupportedError(what)                legal, not implemented
└── ServiceError                          a service says no
```
"""

from __future__ import annotations


class LalmeshError(Exception):
    """Root of every error that lalmesh raises on purpose."""


class ProtocolError(LalmeshError):
    """Bytes or a sequence of events that the protocol does not allow."""

    def __init__(self, reason: str, *, section: str = "", at: int | None = None) -> None:
        """Keep the facts.

        Args:
            reason: what is wrong, with the values that show it.
            section: the section of the standard that is broken, such as ``RTMP 1.0 §5.3.1``.
            at: byte offset into the input where it was noticed, where that is known.
        """
        self.reason = reason
        self.section = section
        self.at = at
        where = "".join((f" [{section}]" if section else "", f" at byte {at}" if at is not None else ""))
        super().__init__(reason + where)


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol: answer as the standard says, close, log a warning."""


class LimitExceeded(RemoteProtocolError):
    """The peer asked for more than a named bound allows."""

    def __init__(self, what: str, value: int, limit: int, *, section: str = "", at: int | None = None) -> None:
        """Keep `what` was counted, its `value` and the `limit` that it passed."""
        self.what = what
        self.value = value
        self.limit = limit
        super().__init__(f"{what} of {value}, limit {limit}", section=section, at=at)


class LocalProtocolError(ProtocolError):
    """We tried to break the protocol: a bug of ours."""


class UnsupportedError(LalmeshError):
    """Legal, but not implemented here: refuse politely."""

    def __init__(self, what: str) -> None:
        """Keep `what` was asked for."""
        self.what = what
        super().__init__(f"not supported: {what}")


class ServiceError(LalmeshError):
    """A service refuses what it was asked for."""


class InvalidName(ServiceError):
    """An application or stream name that lalmesh does not accept (see `lalmesh.names`)."""


class StreamNotFound(ServiceError):
    """Nobody publishes the stream."""


class StreamExists(ServiceError):
    """Somebody else publishes the stream."""


class RelayLoop(ServiceError):
    """A relay asks for what would come back to where it is from."""


class NotAuthorized(ServiceError):
    """The caller may not do this."""


class Fenced(ServiceError):
    """The request carries an epoch or a place that has been outdated by a newer one."""


class Unavailable(ServiceError):
    """What is needed to decide cannot be reached now; ask again after `retry_after_s`."""

    label = "unavailable"  #: what metrics count a client by that is refused for it

    def __init__(self, reason: str, *, retry_after_s: float) -> None:
        """Keep the `reason` and the pause in seconds after which asking again makes sense."""
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class NoOriginAvailable(Unavailable):
    """No origin has room for the stream."""
