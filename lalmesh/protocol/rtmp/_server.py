"""The server's end of an RTMP connection.

The core reads the peer's bytes and reports what it asks for; the application answers, at once or later. Nothing tells the peer of
success before the application accepted. While a request waits, everything else is served, except what depends on it: until
connect is answered everything waits, and media of a message stream waits for the answer to its publish, with what comes about the
same stream after it. After an answer that was not given from inside the loop over `RtmpServer.feed`, call ``feed(b"")`` to get what
waited.

The core must not know what streams exist, who may publish, or what time it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from lalmesh.amf import AmfValue
from lalmesh.errors import LocalProtocolError, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtmp._chunk import MAX_CHUNK_SIZE, MAX_MESSAGE_BYTES, Message
from lalmesh.protocol.rtmp._commands import (
    CAN_FORWARD,
    CAPS_MODEX,
    CAPS_RECONNECT,
    Capabilities,
    asks_to_publish,
    integer,
    members,
    parse_capabilities,
    parse_command,
    text,
)
from lalmesh.protocol.rtmp._events import MediaMessage, ServerEvent
from lalmesh.protocol.rtmp._handshake import RandomBytes, ServerHandshake
from lalmesh.protocol.rtmp._media import media_messages
from lalmesh.protocol.rtmp._messages import AUDIO_VIDEO_TYPES, COMMAND_TYPES, MEDIA_TYPES, UserControl, UserControlEvent
from lalmesh.protocol.rtmp._served import MessageStream, Served
from lalmesh.protocol.rtmp._server_commands import command_events
from lalmesh.protocol.rtmp._session import DEFAULT_OUT_CHUNK_SIZE, DEFAULT_WINDOW_BYTES, Session
from lalmesh.protocol.rtmp._states import STREAM_STEPS, ConnectionState, Step, StreamState, next_state

#: what we say to clients of Enhanced RTMP: any codec is passed on, ModEx prefixes are understood
SERVER_CAPABILITIES = Capabilities(four_cc_list=("*",), video={"*": CAN_FORWARD}, audio={"*": CAN_FORWARD}, caps_ex=CAPS_MODEX)

_PUBLISHING = StreamState.PUBLISHING  # a global is found faster than a member of an Enum
_SERVER_PROPERTIES: dict[str, AmfValue] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0, "mode": 1.0}


class RtmpServer:
    """One client's connection. Feed it bytes, answer its events, send what `data_to_send` gives after each of both."""

    def __init__(
        self,
        random_bytes: RandomBytes,
        *,
        chunk_size: int = DEFAULT_OUT_CHUNK_SIZE,
        window_bytes: int = DEFAULT_WINDOW_BYTES,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        capabilities: Capabilities = SERVER_CAPABILITIES,
    ) -> None:
        """Wait for a client.

        Args:
            random_bytes: fills the handshake.
            chunk_size: payload bytes of the chunks that we send, 1 to `MAX_CHUNK_SIZE`.
            window_bytes: acknowledgement window and peer bandwidth that we announce.
            max_message_bytes: largest message taken from the client, at most `MAX_MESSAGE_BYTES`; until it asks to publish,
                `MAX_OPENING_MESSAGE_BYTES` at most.
            capabilities: what clients of Enhanced RTMP are told of us.
        """
        if not 0 < chunk_size <= MAX_CHUNK_SIZE:
            raise LocalProtocolError(f"chunk size {chunk_size}", section="RTMP 1.0 §5.4.1")
        self._session = Session(ServerHandshake(random_bytes), max_message_bytes, asks_to_publish)
        self._chunk_size = chunk_size
        self._window_bytes = window_bytes
        self._capabilities = capabilities
        self._served = Served(self._session)
        self._streams = self._served.streams
        self._held: dict[int, list[Message]] = {}  # by message stream: media before the answer to publish, and what came after

    @property
    def state(self) -> ConnectionState:
        """Where the connection is."""
        return self._served.state

    @property
    def client_capabilities(self) -> Capabilities:
        """What the client said of itself when it connected."""
        return parse_capabilities(members(self._served.connect.argument(0)))

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[ServerEvent]:
        """Iterate over what `data` made happen. `data` has been read when this returns; an iterator left early loses nothing.

        Raises:
            RemoteProtocolError: while iterating, after the events before it; once raised, the same is raised for ever.
            LimitExceeded: the same, where a named bound was passed.
            UnsupportedError: the same; the client wants encrypted RTMP.
        """
        if self._session.receive(data):
            self._served.step(Step.HANDSHAKE_DONE)
        return self._events()

    def data_to_send(self) -> bytes:
        """Give what has to be sent to the client now, and forget it."""
        return self._session.data_to_send()

    def _events(self) -> Iterator[ServerEvent]:
        session, streams = self._session, self._streams
        inbox = session.inbox
        try:
            while inbox:
                message = inbox[0]
                stream = streams.get(message.stream_id)
                if message.type_id in AUDIO_VIDEO_TYPES and stream is not None and stream.state is _PUBLISHING:
                    inbox.popleft()  # the hot path: 75 messages a second of each publisher, without one call
                    if message.payload:
                        yield MediaMessage(message.stream_id, message.type_id, message.timestamp_ms, message.payload)
                elif self._served.state is ConnectionState.ASKED:
                    break
                else:
                    inbox.popleft()
                    if not self._held_back(message, stream):
                        yield from self._message(message, stream)
            if inbox or self._held:
                session.check_held(*self._held.values())
        except (RemoteProtocolError, UnsupportedError) as error:
            inbox.clear()
            self._held.clear()
            session.error = error
        if session.error is not None:
            raise session.error

    def _held_back(self, message: Message, stream: MessageStream | None) -> bool:
        """Hold `message` if it depends on the answer to a publish that the application has not given yet."""
        if stream is not None and stream.state is StreamState.PUBLISH_ASKED and message.type_id in MEDIA_TYPES:
            self._held.setdefault(message.stream_id, []).append(message)
            return True
        subject = self._subject(message) if self._held else 0
        if subject not in self._held:
            return False
        self._held[subject].append(message)
        return True

    def _subject(self, message: Message) -> int:
        """The message stream that a message is about, also where it travels on another one; 0 is the connection."""
        if message.type_id in COMMAND_TYPES:
            command = parse_command(message)
            if command.name == "deleteStream":
                return integer(command.argument(1))
            if command.name == "FCUnpublish":
                name = text(command.argument(1))
                return next((key for key in self._held if self._streams[key].name == name), 0)
        return message.stream_id

    def _message(self, message: Message, stream: MessageStream | None) -> Iterator[ServerEvent]:
        if self._served.state is ConnectionState.REFUSED:
            return
        if message.type_id in MEDIA_TYPES:
            state = stream.state if stream is not None else StreamState.IDLE
            next_state(STREAM_STEPS, state, Step.MEDIA)
            if state is StreamState.PUBLISHING:
                yield from media_messages(message)
        elif message.type_id in COMMAND_TYPES:
            yield from command_events(self._served, parse_command(message), message.stream_id)
            self._session.check_unsent()

    # answers of the application

    def accept_connect(self, description: str = "Connection succeeded.") -> None:
        """Let the client in; it learns our window, bandwidth and chunk size first.

        Raises:
            LocalProtocolError: no connect waits.
        """
        self._served.step(Step.ACCEPT_CONNECT)
        self._session.send_window(self._window_bytes)
        self._session.send_peer_bandwidth(self._window_bytes)
        self._session.send_chunk_size(self._chunk_size)
        said = members(self._served.connect.argument(0))
        info: dict[str, AmfValue] = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": description,
            "objectEncoding": float(integer(said.get("objectEncoding"))),
        }
        if self.client_capabilities.enhanced:
            info |= self._capabilities.to_members()
        self._session.send_command(0, "_result", self._served.connect.transaction_id, dict(_SERVER_PROPERTIES), info)

    def reject_connect(
        self, code: str = "NetConnection.Connect.Rejected", description: str = "Connection rejected.", *, redirect_url: str = ""
    ) -> None:
        """Refuse the client, or send it to another server. What it still says is ignored; close after sending.

        Args:
            code: the status code.
            description: for people.
            redirect_url: where to connect to instead, scheme to application; the client adds its stream name. Not all follow it.

        Raises:
            LocalProtocolError: no connect waits.
        """
        self._served.step(Step.REJECT_CONNECT)
        info: dict[str, AmfValue] = {"level": "error", "code": code, "description": description}
        if redirect_url:
            info["ex"] = {"code": 302.0, "redirect": redirect_url}
        self._session.send_command(0, "_error", self._served.connect.transaction_id, None, info)

    def accept_publish(self, stream_id: int, description: str = "Publishing.") -> None:
        """Let the client publish on message stream `stream_id`.

        Raises:
            LocalProtocolError: no publish waits on it.
        """
        stream = self._answer(stream_id, Step.ACCEPT_PUBLISH)
        info: AmfValue = {"code": "NetStream.Publish.Start", "description": description}
        self._session.send_command(0, "onFCPublish", 0.0, None, info)
        self._session.send_status(stream_id, "status", "NetStream.Publish.Start", description, details=stream.name)

    def reject_publish(self, stream_id: int, code: str = "NetStream.Publish.BadName", description: str = "Refused.") -> None:
        """Refuse what message stream `stream_id` wants to publish. It may ask again; media that it has under way is passed over.

        Raises:
            LocalProtocolError: no publish waits on it.
        """
        self._answer(stream_id, Step.REJECT_PUBLISH)
        self._session.send_status(stream_id, "error", code, description)

    def end_publish(self, stream_id: int, code: str = "NetStream.Publish.Failed", description: str = "Ended.") -> None:
        """Tell a publisher that nothing more is taken from it; media that it has under way is passed over.

        Raises:
            LocalProtocolError: it does not publish.
        """
        self._answer(stream_id, Step.END_PUBLISH)
        self._session.send_status(stream_id, "error", code, description)

    def accept_play(self, stream_id: int, description: str = "Playing.") -> None:
        """Let the client play on message stream `stream_id`; media may be sent to it after this.

        The data messages that Flash servers send here, ``|RtmpSampleAccess`` and ``NetStream.Data.Start``, are left out: no client
        waits for them, and ffmpeg and GStreamer take each for one more track.

        Raises:
            LocalProtocolError: no play waits on it.
        """
        stream = self._answer(stream_id, Step.ACCEPT_PLAY)
        session = self._session
        session.send_user_control(UserControl(UserControlEvent.STREAM_BEGIN, stream_id))
        session.send_status(stream_id, "status", "NetStream.Play.Reset", description, details=stream.name)
        session.send_status(stream_id, "status", "NetStream.Play.Start", description, details=stream.name)

    def reject_play(self, stream_id: int, code: str = "NetStream.Play.StreamNotFound", description: str = "Not found.") -> None:
        """Refuse what message stream `stream_id` wants to play. It may ask again.

        Raises:
            LocalProtocolError: no play waits on it.
        """
        self._answer(stream_id, Step.REJECT_PLAY)
        self._session.send_status(stream_id, "error", code, description)

    def end_play(self, stream_id: int, description: str = "The stream is over.") -> None:
        """Tell a player that the stream is over.

        Raises:
            LocalProtocolError: it does not play.
        """
        stream = self._answer(stream_id, Step.END_PLAY)
        self._session.send_user_control(UserControl(UserControlEvent.STREAM_EOF, stream_id))
        for code in ("NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"):
            self._session.send_status(stream_id, "status", code, description, details=stream.name)

    def request_reconnect(self, tc_url: str = "", description: str = "Please reconnect.") -> bool:
        """Ask the client to reconnect, to `tc_url` if it is not empty, while it goes on here until it has.

        Returns:
            False, and nothing is sent, if the client did not say that it understands this.
        Source: Enhanced RTMP v2, Reconnect Request
        """
        if self._served.state is not ConnectionState.CONNECTED or not self.client_capabilities.caps_ex & CAPS_RECONNECT:
            return False
        more: dict[str, AmfValue] = {"tcUrl": tc_url} if tc_url else {}
        self._session.send_status(0, "status", "NetConnection.Connect.ReconnectRequest", description, **more)
        return True

    def _answer(self, stream_id: int, step: Step) -> MessageStream:
        stream = self._streams.get(stream_id) or MessageStream()  # one that is not there is idle, and no answer fits that
        stream.state = next_state(STREAM_STEPS, stream.state, step)
        self._session.inbox.extendleft(reversed(self._held.pop(stream_id, ())))
        return stream
