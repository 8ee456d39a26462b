"""What players and publishers say to servers, and what they make of the answers: a class for each protocol, no socket and no clock.

A talk begins with `data_to_send`. It is fed until `has_begun`: a player then has its first unit, a publisher may send. A player
that looks at no more is not fed any further; `sign_of_life` is what keeps its server sending.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, assert_never

from lalmesh.client._errors import InvalidUrl, Refused, rtmp_refusal
from lalmesh.client._link import Mode
from lalmesh.client._rtmp_link import CLIENT_CAPABILITIES, parse_rtmp_url, redirected
from lalmesh.client.load._http_answer import EndlessAnswer
from lalmesh.client.load._http_reading import HttpUrl
from lalmesh.client.load._logins import with_login
from lalmesh.client.load._websocket import SIGN_OF_LIFE
from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.container.fmp4 import Fmp4Demuxer
from lalmesh.container.mpegts import TsDemuxer
from lalmesh.media import AccessUnit, Kind, MediaEvent, TracksChanged, TrackSet
from lalmesh.protocol.rtmp import (
    AdobeAuth,
    ClientEvent,
    ConnectAccepted,
    MediaMessage,
    MessageType,
    PlayStarted,
    PublishStarted,
    Redirected,
    RtmpClient,
    RtmpUrl,
    StatusFailed,
    StreamEnded,
    message_header,
)

ACKNOWLEDGE_BYTES: Final = 1_000_000  #: received since the last acknowledgement; servers ask for one each 2.5 MB or so
SIGN_OF_LIFE_S: Final = 10.0  #: without a word of ours; servers that ping give up after 20 s or more

Demux: TypeAlias = Callable[[bytes], Iterable[MediaEvent]]


class Talk(ABC):
    """One side of one connection."""

    host: str
    port: int
    is_encrypted: bool

    def __init__(self) -> None:
        """Say nothing yet."""
        self.has_begun = False
        self.redirect = ""  #: the URL that the server sends us to; empty: none
        self.ended = ""  #: why what had begun is over; empty while it is not
        self.tracks = TrackSet()  #: of what is played, as far as they came

    @abstractmethod
    def feed(self, data: bytes, now_s: float) -> list[MediaEvent]:
        """Take what came at `now_s`; the media in it.

        Raises:
            LalmeshError: the server refused, or broke the protocol.
        """

    def no_more(self) -> None:  # noqa: B027 - most say all in time
        """Nothing more comes, or it was waited for too long.

        Raises:
            Refused: the server did, and had not ended to say why.
        """

    @abstractmethod
    def data_to_send(self) -> bytes:
        """What is to be sent now; it is forgotten."""

    def sign_of_life(self, received_bytes: int, now_s: float) -> bytes:
        """What is to be sent at `now_s` by who has received so much and reads it no more; it is asked for each second."""
        return b""

    def goodbye(self) -> bytes:
        """What is to be sent last."""
        return b""

    def _note(self, events: list[MediaEvent]) -> list[MediaEvent]:
        """Know the tracks, and when the first picture or sound is there. Gives all but script data."""
        found: list[MediaEvent] = []
        for event in events:
            if isinstance(event, TracksChanged):
                self.tracks = event.tracks
            elif isinstance(event, AccessUnit):
                track = self.tracks.get(event.track_id)
                if track is None or track.kind is Kind.DATA:
                    continue
                self.has_begun = True
            found.append(event)
        return found


class FlvDemux:
    """The units of a FLV stream."""

    def __init__(self) -> None:
        """Wait for its header."""
        self._reader = TagReader()
        self._demuxer = BodyDemuxer()

    def __call__(self, data: bytes) -> Iterable[MediaEvent]:
        """What `data` completed."""
        for tag in self._reader.feed(data):
            yield from self._demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)


#: what is behind a path, by its ending
DEMUXERS: Final[dict[str, Callable[[], Demux]]] = {
    ".flv": FlvDemux,
    ".ts": lambda: TsDemuxer().feed,
    ".mp4": lambda: Fmp4Demuxer().feed,
}


def demux_for(path: str) -> Demux:
    """What reads the stream at `path`.

    Raises:
        InvalidUrl: its ending does not tell what it is.
    """
    for ending, make in DEMUXERS.items():
        if path.endswith(ending):
            return make()
    raise InvalidUrl(f"{path}: what is played over HTTP or WebSocket ends in {', '.join(DEMUXERS)} or .m3u8")


class HttpTalk(Talk):
    """Plays an endless answer over HTTP, or a WebSocket."""

    def __init__(self, url: HttpUrl, demux: Demux | None = None) -> None:
        """Ask for the stream at `url`, which `demux` reads, or what goes by its ending.

        Raises:
            InvalidUrl: that does not tell what it is.
        """
        super().__init__()
        self.host, self.port, self.is_encrypted = url.host, url.port, url.is_encrypted
        self._answer = EndlessAnswer(url)
        self._demux = demux_for(url.path) if demux is None else demux
        self._said_at_s: float | None = None

    def feed(self, data: bytes, now_s: float) -> list[MediaEvent]:
        """As `Talk.feed`."""
        body = self._answer.feed(data)
        self.redirect, self.ended = self._answer.redirect, self._answer.ended
        return self._note(list(self._demux(body))) if self._answer.is_open else []

    def no_more(self) -> None:
        """As `Talk.no_more`."""
        self._answer.no_more()

    def data_to_send(self) -> bytes:
        """As `Talk.data_to_send`."""
        return self._answer.data_to_send()

    def sign_of_life(self, received_bytes: int, now_s: float) -> bytes:
        """As `Talk.sign_of_life`: servers do not wait for one over HTTP."""
        if not self._answer.is_socket:
            return b""
        if self._said_at_s is not None and now_s - self._said_at_s < SIGN_OF_LIFE_S:
            return b""
        self._said_at_s = now_s
        return SIGN_OF_LIFE


class RtmpTalk(Talk):
    """Plays or publishes by RTMP."""

    def __init__(self, url: str, mode: Mode, before: RtmpTalk | None = None) -> None:
        """Do `mode` at `url`; `before`: the talk that was challenged there.

        Raises:
            InvalidUrl, UnsupportedError: it is no such URL.
        """
        super().__init__()
        self._url: RtmpUrl = parse_rtmp_url(url)
        self.host, self.port, self.is_encrypted = self._url.host, self._url.port, self._url.tls
        self._mode = mode
        self._auth: AdobeAuth = AdobeAuth(self._url.user, self._url.password, os.urandom) if before is None else before._auth
        self._client = RtmpClient(self._url, mode, os.urandom, capabilities=CLIENT_CAPABILITIES, app_query=self._auth.query)
        self._demuxer = BodyDemuxer()
        self._acknowledged_bytes = 0
        self._said_at_s = 0.0

    @property
    def stream_id(self) -> int:
        """Of the message stream that is published."""
        return self._client.stream_id

    def may_ask_again(self, refused: Refused) -> bool:
        """Whether it was only a challenge, which the next talk answers."""
        return bool(self._url.user) and self._auth.challenged(refused.description)

    def feed(self, data: bytes, now_s: float) -> list[MediaEvent]:
        """As `Talk.feed`."""
        media: list[MediaEvent] = []
        for event in self._client.feed(data):
            self._handle(event, media)
        return self._note(media) if self._mode == "play" else []

    def _handle(self, event: ClientEvent, media: list[MediaEvent]) -> None:
        match event:
            case MediaMessage():
                media += self._demuxer.demux(event.type_id, event.timestamp_ms, event.payload)
            case ConnectAccepted() | PlayStarted():
                pass
            case PublishStarted():
                self.has_begun = True
            case Redirected(url):
                if not self.has_begun:
                    target = redirected(self._url, url)
                    self.redirect = with_login(str(target), target.user, target.password)
            case StatusFailed(code, description):
                raise rtmp_refusal(code, description)
            case StreamEnded(code):
                if not self.has_begun:
                    raise Refused(code, "ended by the server")
                self.ended = code
            case _:
                assert_never(event)

    def data_to_send(self) -> bytes:
        """As `Talk.data_to_send`."""
        return self._client.data_to_send()

    def send_first(self, messages: Iterable[tuple[int, bytes]]) -> None:
        """Publish metadata and configurations."""
        for type_id, body in messages:
            self._client.send_media(type_id, 0, body)

    def sign_of_life(self, received_bytes: int, now_s: float) -> bytes:
        """As `Talk.sign_of_life`: an acknowledgement, which servers take for an answer to a ping too (RTMP 1.0 §5.4.3)."""
        if received_bytes - self._acknowledged_bytes < ACKNOWLEDGE_BYTES and now_s - self._said_at_s < SIGN_OF_LIFE_S:
            return b""
        self._acknowledged_bytes, self._said_at_s = received_bytes, now_s
        header = message_header(2, MessageType.ACKNOWLEDGEMENT, 0, 4, stream_id=0)
        return header + (received_bytes & 0xFFFFFFFF).to_bytes(4, "big")

    def goodbye(self) -> bytes:
        """As `Talk.goodbye`."""
        self._client.close()
        return self._client.data_to_send()
