"""Who asks an edge for something, and how: what a decision about it, its session and every event of it say."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.authorisation import Action, Login, Request
from lalmesh.runtime.foreign_text import well_formed

_FOREIGN = ("url", "query", "user_agent", "user")  # texts that the client chose


def now_us() -> int:
    """Unix microseconds."""
    return time.time_ns() // 1000


@dataclass(slots=True, frozen=True, kw_only=True)
class Client:
    """One client on one connection, as a request of it says; what its texts had that is no UTF-8 is replaced."""

    protocol: str  #: as `Session.protocol`
    address: str  #: of the client; behind a trusted proxy as that says
    peer: str  #: address:port
    url: str = ""  #: what was asked for, without query
    app: str = ""  #: in it; empty where it has none
    query: str = ""  #: raw, with secrets: never logged, and cleaned before it is shown
    user_agent: str = ""  #: flashVer, User-Agent
    user: str = ""  #: name of its credentials (RTSP, HTTP); empty without
    via: tuple[str, ...] = ()  #: of a relay: the clusters that it comes through (`lalmesh.relay_path`)
    session_id: str = ""  #: of the request, where it has one already (HLS)
    asked_us: int = field(default_factory=now_us)  #: Unix microseconds of the request
    login: Login | None = field(default=None, repr=False)  #: Basic or Digest
    bearer: str = field(default="", repr=False)  #: of ``Authorization: Bearer``
    was_allowed: bool = False  #: what it asks for was allowed on its connection before
    trace: telemetry.TraceContext | None = None  #: what it says that it is a part of, in a header or in its query

    def __post_init__(self) -> None:
        """Have no text that could not be told of."""
        for name in _FOREIGN:
            object.__setattr__(self, name, well_formed(getattr(self, name)))
        traceparent, rest = telemetry.context_in(self.query)
        if rest != self.query:  # it is for nobody else: not for who decides, who remembers decisions, or who is told of it
            object.__setattr__(self, "trace", self.trace or telemetry.from_outside(traceparent))
            object.__setattr__(self, "query", rest)

    def request(self, action: Action, stream: StreamKey) -> Request:
        """What is to be decided about it."""
        return Request(
            action=action,
            stream=stream,
            protocol=self.protocol,
            address=self.address,
            query=self.query,
            user_agent=self.user_agent,
            login=self.login,
            bearer=self.bearer,
            session_id=self.session_id,
        )


def stream_url(base: str, app: str, name: str) -> str:
    """The URL of a stream by the scheme and host of `base`, without its credentials; the path alone where it has none."""
    scheme, separator, rest = base.partition("://")
    path = f"/{app}/{name}" if app else f"/{name}"
    authority = rest.partition("?")[0].partition("/")[0].rpartition("@")[2]
    return f"{scheme}://{authority}{path}" if separator else path


def joined_queries(*queries: str) -> str:
    """One query of several; those that are empty leave no trace."""
    return "&".join(query for query in queries if query)
