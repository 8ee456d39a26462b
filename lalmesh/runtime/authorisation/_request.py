"""What somebody wants, and what he shows for it, whatever protocol he says it in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from lalmesh.names import StreamKey


class Action(Enum):
    """What a client wants of a stream."""

    PUBLISH = "publish"
    PLAY = "play"


class Family(Enum):
    """Protocols that rules know: those with TLS and over WebSocket are of the same family."""

    RTMP = "rtmp"
    RTSP = "rtsp"
    FLV = "flv"
    TS = "ts"
    FMP4 = "fmp4"
    HLS = "hls"
    RECORD = "record"


_RTSP: Final = frozenset({"rtsp", "rtsps", "ws-rtsp", "wss-rtsp"})


def family_of(protocol: str) -> Family:
    """The family of a protocol as sessions are called: ``rtmps``, ``wss-flv``, ``https-hls``.

    Raises:
        ValueError: there is none of that name.
    """
    if protocol in ("rtmp", "rtmps"):
        return Family.RTMP
    return Family.RTSP if protocol in _RTSP else Family(protocol.rpartition("-")[2])


class LoginCheck(Enum):
    """What a name and a password are worth."""

    RIGHT = "right"
    STALE = "stale"  #: right, but for a nonce that is too old: the client has to say it again
    WRONG = "wrong"


class Login(Protocol):
    """A name and something that shows that a client knows its password."""

    @property
    def user(self) -> str:
        """The name."""
        ...

    @property
    def password(self) -> str:
        """As it was sent; empty where it was not, as by Digest."""
        ...

    def check(self, password: str | None) -> LoginCheck:
        """Compare with the `password` of the user; None: there is no such user, which takes as long to find out."""
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class Request:
    """One client asks for one stream."""

    action: Action
    stream: StreamKey
    protocol: str  #: as sessions are called: ``rtmp``, ``https-flv``, ``http-hls``
    address: str  #: of the client; behind a trusted proxy as that says
    query: str = ""  #: of the URL, raw
    user_agent: str = ""
    login: Login | None = None  #: Basic or Digest
    bearer: str = ""  #: of ``Authorization: Bearer``
    session_id: str = ""  #: where there is one already

    @property
    def family(self) -> Family:
        """The family of the protocol."""
        return family_of(self.protocol)
