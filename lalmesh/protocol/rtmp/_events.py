"""What an RTMP server and an RTMP client report: two closed unions of dataclasses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True, kw_only=True)
class Connected:
    """A client asks to connect to an application. Answer with `accept_connect` or `reject_connect`."""

    app: str  #: without query and outer slashes; not checked, may be empty
    query: str  #: what followed ``?`` in the application
    tc_url: str
    flash_ver: str  #: the client's name of itself
    relay: str = ""  #: the clusters that a relay comes through (`lalmesh.relay_path`)


@dataclass(slots=True, frozen=True, kw_only=True)
class PublishRequested:
    """A client asks to publish. Answer with `accept_publish` or `reject_publish`."""

    stream_id: int  #: message stream id
    app: str  #: the application, with what the name had before its last slash; not checked
    name: str  #: the stream name; not checked, may be empty
    query: str  #: what followed the first ``?`` in the name
    kind: str  #: ``live``, ``record``, ``append`` or another word of the client


@dataclass(slots=True, frozen=True, kw_only=True)
class PlayRequested:
    """A client asks to play. Answer with `accept_play` or `reject_play`."""

    stream_id: int
    app: str
    name: str
    query: str


@dataclass(slots=True)
class MediaMessage:
    """Audio, video or script data of a stream that is published or played. Not frozen: one is built for each message."""

    stream_id: int
    type_id: int  #: 8 audio, 9 video, 18 script data in AMF 0 without ``@setDataFrame``
    timestamp_ms: int  #: unsigned 32 bits, wraps
    payload: bytes  #: as the data of a FLV tag; never empty


@dataclass(slots=True, frozen=True)
class PausedOrResumed:
    """A player paused or resumed."""

    stream_id: int
    paused: bool


@dataclass(slots=True, frozen=True)
class StreamClosed:
    """A client ended what it published, played, or had asked to."""

    stream_id: int


ServerEvent = Connected | PublishRequested | PlayRequested | MediaMessage | PausedOrResumed | StreamClosed


@dataclass(slots=True, frozen=True)
class ConnectAccepted:
    """The server took the connection."""


@dataclass(slots=True, frozen=True)
class PublishStarted:
    """The server wants media now."""


@dataclass(slots=True, frozen=True)
class PlayStarted:
    """The server is about to send media."""


@dataclass(slots=True, frozen=True)
class StatusFailed:
    """The server refused, or gave up. Close the connection."""

    code: str  #: such as ``NetStream.Publish.BadName``
    description: str


@dataclass(slots=True, frozen=True)
class Redirected:
    """The server wants the client elsewhere: at once where it refused to connect, when it suits where it asked to reconnect."""

    url: str  #: a URL to connect to, in place of the ``tcUrl``; empty for the same one


@dataclass(slots=True, frozen=True)
class StreamEnded:
    """What was played is over."""

    code: str  #: such as ``NetStream.Play.UnpublishNotify``


ClientEvent = ConnectAccepted | PublishStarted | PlayStarted | MediaMessage | StatusFailed | Redirected | StreamEnded
