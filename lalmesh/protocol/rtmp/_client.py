"""The client's end of an RTMP connection, for one stream that it publishes or plays.

It says what the protocol wants next by itself: handshake, connect, createStream, publish or play. It must not know sockets or time:
the shell dials, feeds bytes, sends what `RtmpClient.data_to_send` gives, and closes when an event or an error says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from lalmesh.amf import AmfValue
from lalmesh.errors import LocalProtocolError, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtmp._chunk import Message
from lalmesh.protocol.rtmp._commands import Capabilities, Command, integer, members, parse_command, text
from lalmesh.protocol.rtmp._events import (
    ClientEvent,
    ConnectAccepted,
    MediaMessage,
    PlayStarted,
    PublishStarted,
    Redirected,
    StatusFailed,
    StreamEnded,
)
from lalmesh.protocol.rtmp._handshake import ClientHandshake, RandomBytes
from lalmesh.protocol.rtmp._media import media_messages
from lalmesh.protocol.rtmp._messages import (
    COMMAND_TYPES,
    MEDIA_TYPES,
    MessageType,
    UserControl,
    UserControlEvent,
    data_to_publish,
    parse_user_control,
)
from lalmesh.protocol.rtmp._session import DEFAULT_OUT_CHUNK_SIZE, DEFAULT_WINDOW_BYTES, Session
from lalmesh.protocol.rtmp._states import CLIENT_STEPS, ClientState, Step, next_state
from lalmesh.protocol.rtmp._url import RtmpUrl

MAX_PENDING_CALLS = 8  #: we call at most four times before an answer
PLAY_BUFFER_MS = 1000  #: how much we say to buffer; a server of recorded files sends so much at once
FLASH_VERSION = "FMLE/3.0 (compatible; lalmesh)"  # some servers let only what calls itself FMLE publish

_ENDS = frozenset(
    ("NetStream.Play.UnpublishNotify", "NetStream.Play.Stop", "NetStream.Play.Complete", "NetConnection.Connect.Closed")
)
_SERVER_TALK = frozenset(("|RtmpSampleAccess", "onStatus", "onPlayStatus"))  # data messages that are not of the stream


class RtmpClient:
    """One connection to a server. Its first bytes are there to be sent as soon as it is dialled."""

    def __init__(
        self,
        url: RtmpUrl,
        mode: Literal["publish", "play"],
        random_bytes: RandomBytes,
        *,
        complex_handshake: bool = False,
        chunk_size: int = DEFAULT_OUT_CHUNK_SIZE,
        capabilities: Capabilities | None = None,
        app_query: str = "",
        said: Mapping[str, str] | None = None,
    ) -> None:
        """Begin the handshake.

        Args:
            url: application and name of the stream.
            mode: what to do with it.
            random_bytes: fills the handshake.
            complex_handshake: send a digest in the handshake, for servers that insist on one.
            chunk_size: payload bytes of the chunks that we send.
            capabilities: what to say in Enhanced RTMP; None to say nothing.
            app_query: added to the query of the application: the answer to a challenge, see `AdobeAuth`.
            said: members of the connect command besides those of RTMP.
        """
        self._session = Session(ClientHandshake(random_bytes, complex_handshake=complex_handshake))
        self._url = url
        self._mode = mode
        self._chunk_size = chunk_size
        self._capabilities = capabilities or Capabilities()
        self._app_query = app_query
        self._said = dict(said or {})
        self._state = ClientState.HANDSHAKING
        self._stream_id = 0
        self._calls: dict[float, str] = {}  # transaction id to what was called
        self._last_call = 0.0

    @property
    def state(self) -> ClientState:
        """Where the client is."""
        return self._state

    @property
    def stream_id(self) -> int:
        """The message stream that the server gave us; 0 before it did."""
        return self._stream_id

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[ClientEvent]:
        """Iterate over what `data` made happen. `data` has been read when this returns; an iterator left early loses nothing.

        Raises:
            RemoteProtocolError: while iterating, after the events before it; once raised, the same is raised for ever.
            LimitExceeded: the same, where a named bound was passed.
            UnsupportedError: the same; the server wants encrypted RTMP.
        """
        if self._session.receive(data):
            self._step(Step.HANDSHAKE_DONE)
            self._send_connect()
        return self._events()

    def data_to_send(self) -> bytes:
        """Give what has to be sent to the server now, and forget it."""
        return self._session.data_to_send()

    def send_media(self, type_id: int, timestamp_ms: int, *parts: bytes) -> None:
        """Publish a message.

        Args:
            type_id: 8 audio, 9 video, 18 script data.
            timestamp_ms: any integer; its low 32 bits are sent.
            parts: the data of a FLV tag, in one piece or several.

        Raises:
            LocalProtocolError: nothing is published now, or the message is too long.
        """
        if self._mode != "publish" or self._state is not ClientState.ACTIVE:
            raise LocalProtocolError(f"media message of a client that is {self._state.name.lower()}, to {self._mode}")
        if type_id == MessageType.DATA_AMF0:
            parts = (data_to_publish(b"".join(parts)),)
        self._session.send_media(self._stream_id, type_id, timestamp_ms, b"".join(parts[:-1]), parts[-1])

    def close(self) -> None:
        """Say that the stream is over. Close the connection after sending."""
        if self._stream_id and self._state is not ClientState.ENDED:
            if self._mode == "publish":
                self._call("FCUnpublish", None, self._url.name)
            self._session.send_command(0, "deleteStream", 0.0, None, float(self._stream_id))
        self._state = ClientState.ENDED

    def _events(self) -> Iterator[ClientEvent]:
        session = self._session
        try:
            while session.inbox:
                message = session.inbox.popleft()
                if message.type_id in MEDIA_TYPES:
                    yield from self._media(message)
                elif message.type_id in COMMAND_TYPES:
                    yield from self._command(parse_command(message))
                    session.check_unsent()
                elif message.type_id == MessageType.USER_CONTROL:
                    yield from self._user_control(parse_user_control(message.payload))
        except (RemoteProtocolError, UnsupportedError) as error:
            session.inbox.clear()
            session.error = error
        if session.error is not None:
            raise session.error

    def _media(self, message: Message) -> Iterator[ClientEvent]:
        if self._mode == "publish" or self._state is ClientState.ENDED:
            return  # Interop: servers send a publisher data of their own
        if self._state is ClientState.REQUESTING:
            yield from self._start(PlayStarted())  # Interop: not every server says so
        for media in media_messages(message):
            if media.type_id == MessageType.DATA_AMF0 and _data_name(media) in _SERVER_TALK:
                continue
            next_state(CLIENT_STEPS, self._state, Step.MEDIA)
            yield media

    def _user_control(self, message: UserControl) -> Iterator[ClientEvent]:
        if message.event == UserControlEvent.STREAM_EOF and self._state is ClientState.ACTIVE and message.value == self._stream_id:
            yield from self._end("UserControl.StreamEOF")

    # what we say

    def _send_connect(self) -> None:
        mark = "&" if "?" in self._url.app else "?"
        query = f"{mark}{self._app_query}" if self._app_query else ""
        said: dict[str, AmfValue] = {
            "app": self._url.app + query,
            "type": "nonprivate",
            "flashVer": FLASH_VERSION,
            "tcUrl": self._url.tc_url + query,
        }
        self._call("connect", said | self._said | self._capabilities.to_members())

    def _send_create_stream(self) -> None:
        self._session.send_window(DEFAULT_WINDOW_BYTES)
        self._session.send_chunk_size(self._chunk_size)
        if self._mode == "publish":
            self._call("releaseStream", None, self._url.name)
            self._call("FCPublish", None, self._url.name)
        self._call("createStream", None)

    def _send_request(self) -> None:
        session, stream_id, name = self._session, self._stream_id, self._url.name
        if self._mode == "publish":
            session.send_command(stream_id, "publish", self._transaction("publish"), None, name, "live")
        else:
            session.send_command(stream_id, "play", self._transaction("play"), None, name, -2000.0)
            session.send_user_control(UserControl(UserControlEvent.SET_BUFFER_LENGTH, stream_id, PLAY_BUFFER_MS))

    def _call(self, name: str, *arguments: AmfValue) -> None:
        self._session.send_command(0, name, self._transaction(name), *arguments)

    def _transaction(self, name: str) -> float:
        self._last_call += 1.0
        self._calls[self._last_call] = name
        if len(self._calls) > MAX_PENDING_CALLS:
            self._calls.pop(next(iter(self._calls)))
        return self._last_call

    # what the server says

    def _command(self, command: Command) -> Iterator[ClientEvent]:
        handler = _HANDLERS.get(command.name)
        if handler is not None and self._state is not ClientState.ENDED:
            yield from handler(self, command)

    def _on_result(self, command: Command) -> Iterator[ClientEvent]:
        called = self._calls.pop(command.transaction_id, "")
        if called == "connect":
            self._step(Step.CONNECT_RESULT)
            self._send_create_stream()
            yield ConnectAccepted()
        elif called == "createStream":
            self._step(Step.CREATE_RESULT)
            self._stream_id = integer(command.argument(1), -1)
            if not 0 < self._stream_id <= 0xFFFFFFFF:
                raise RemoteProtocolError("createStream result without a stream id", section="RTMP 1.0 §7.2.1.3")
            self._send_request()

    def _on_error(self, command: Command) -> Iterator[ClientEvent]:
        # Interop: releaseStream and FCPublish are often refused by servers that then let us publish.
        if self._calls.pop(command.transaction_id, "") in ("connect", "createStream", "publish", "play"):
            yield self._fail(members(command.argument(1)))

    def _on_status(self, command: Command) -> Iterator[ClientEvent]:
        info = members(command.argument(1))
        code = text(info.get("code"))
        if code == "NetConnection.Connect.ReconnectRequest":
            yield Redirected(text(info.get("tcUrl")))
        elif text(info.get("level")) == "error":
            yield self._fail(info)
        elif code == "NetStream.Publish.Start" and self._mode == "publish":
            yield from self._start(PublishStarted())
        elif code == "NetStream.Play.Start" and self._mode == "play":
            yield from self._start(PlayStarted())
        elif code in _ENDS:
            yield from self._end(code)

    def _on_close(self, _: Command) -> Iterator[ClientEvent]:
        return self._end("NetConnection.Connect.Closed")

    def _start(self, event: PublishStarted | PlayStarted) -> Iterator[ClientEvent]:
        if self._state is not ClientState.ACTIVE:  # Interop: some servers say it again when a publisher comes back
            self._step(Step.STARTED)
            yield event

    def _end(self, code: str) -> Iterator[ClientEvent]:
        self._state = ClientState.ENDED
        yield StreamEnded(code)

    def _fail(self, info: dict[str, AmfValue]) -> StatusFailed | Redirected:
        self._state = ClientState.ENDED
        redirect = text(members(info.get("ex")).get("redirect"))
        if redirect:
            return Redirected(redirect)
        return StatusFailed(text(info.get("code")), text(info.get("description")))

    def _step(self, step: Step) -> None:
        self._state = next_state(CLIENT_STEPS, self._state, step)


def _data_name(media: MediaMessage) -> str:
    """The name that a data message begins with, empty if it has none."""
    size = int.from_bytes(media.payload[1:3], "big")
    return media.payload[3 : 3 + size].decode("utf-8", "replace") if media.payload[0] == 2 else ""


_Handler = Callable[[RtmpClient, Command], Iterator[ClientEvent]]

_HANDLERS: dict[str, _Handler] = {
    "_result": RtmpClient._on_result,
    "_error": RtmpClient._on_error,
    "onStatus": RtmpClient._on_status,
    "close": RtmpClient._on_close,
}
