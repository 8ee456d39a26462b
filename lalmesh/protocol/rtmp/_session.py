"""What both ends of an RTMP connection share: handshake, chunks, acknowledgements, pings, and the way out.

The session reads bytes into an inbox of messages. It answers protocol control messages and pings itself, and leaves the rest to
the role above it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from lalmesh.allowance import Allowance
from lalmesh.amf import AmfValue
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtmp._chunk import MAX_MESSAGE_BYTES, Message
from lalmesh.protocol.rtmp._chunk_reader import ChunkReader
from lalmesh.protocol.rtmp._chunk_writer import ChunkWriter, chunk_message
from lalmesh.protocol.rtmp._commands import serialize_command
from lalmesh.protocol.rtmp._handshake import Handshake
from lalmesh.protocol.rtmp._messages import (
    AUDIO_VIDEO_TYPES,
    COMMAND_TYPES,
    CONTROL_TYPES,
    CSID_CONNECTION,
    CSID_CONTROL,
    CSID_STREAM,
    LIMIT_DYNAMIC,
    MEDIA_CSID,
    MessageType,
    UserControl,
    UserControlEvent,
    parse_uint32,
    parse_user_control,
    serialize_user_control,
)

DEFAULT_OUT_CHUNK_SIZE = 60_000  #: most pictures in one chunk; under 64 KiB, which some clients' buffers are limited to
DEFAULT_WINDOW_BYTES = 2_500_000  #: acknowledgement window and peer bandwidth, as Flash servers announce

MAX_HELD_BYTES = 4 << 20  #: media that came before its publish was answered: a second at 30 Mbit/s
MAX_HELD_MESSAGES = 1024  #: the same in messages, as empty ones have no bytes
MAX_UNSENT_ANSWERS_BYTES = 1 << 20  #: answers to a peer that asks without reading what it gets

#: What a command costs, told in bytes of media: one of 30 bytes 20 to 60 us, the worst 300 us, and a play begins a task. Encoders
#: have eight.
COMMAND_WEIGHT_BYTES = 1024
CONTROL_WEIGHT_BYTES = 64  #: the same of a control message that is answered, such as a ping
REQUESTS_OF_A_READ_BYTES = 4 * COMMAND_WEIGHT_BYTES  #: a slider that is dragged makes seeks and pauses, several of them a second
REQUESTS_OF_A_BURST_BYTES = 256 * COMMAND_WEIGHT_BYTES  #: eight for each message stream that there may be, all in one read


class Session:
    """One end of a connection, below its role."""

    def __init__(
        self,
        handshake: Handshake,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        opens_media: Callable[[Message], bool] | None = None,
    ) -> None:
        self.inbox: deque[Message] = deque()
        self.error: RemoteProtocolError | UnsupportedError | None = None
        self.writer = ChunkWriter()
        self._handshake: Handshake | None = handshake
        self._reader = ChunkReader(max_message_bytes=max_message_bytes, opens_media=opens_media)
        self._out = bytearray(handshake.data_to_send())
        self._received_bytes = 0
        self._acknowledged_bytes = 0
        self._acknowledge_each = 0  # bytes; 0: the peer has announced no window, and gets no acknowledgements (§5.4.3)
        self._own_window = 0
        self._requests = Allowance(
            "commands and pings", of_a_read_bytes=REQUESTS_OF_A_READ_BYTES, burst_bytes=REQUESTS_OF_A_BURST_BYTES
        )

    def receive(self, data: bytes | bytearray | memoryview) -> bool:
        """Read `data` into the inbox. An error is kept in `error` for the role to raise after what is in the inbox.

        Returns:
            Whether the handshake ended just now.
        """
        if self.error is not None or not data:  # roles are fed nothing to go on: that is no read
            return False
        handshaking = self._handshake is not None
        try:
            self._receive(data)
        except (RemoteProtocolError, UnsupportedError) as error:
            self.error = error
        return handshaking and self._handshake is None

    def _receive(self, data: bytes | bytearray | memoryview) -> None:
        if self._handshake is not None:
            data = self._handshake.feed(data)
            self._out += self._handshake.data_to_send()
            if not self._handshake.done:
                return
            self._handshake = None
        self._received_bytes += len(data)
        self._requests.read(len(data))
        for message in self._reader.feed(data):
            type_id = message.type_id
            if type_id in AUDIO_VIDEO_TYPES:  # the hot path
                self.inbox.append(message)
            elif type_id in CONTROL_TYPES:
                self._control(message)
            else:
                if type_id in COMMAND_TYPES:
                    self._requests.take(COMMAND_WEIGHT_BYTES)
                self.inbox.append(message)
        if self._acknowledge_each and self._received_bytes - self._acknowledged_bytes >= self._acknowledge_each:
            self._acknowledge()

    def check_held(self, *held: Iterable[Message]) -> None:
        """Refuse to hold more than the bounds say, when the inbox and what is in `held` wait for answers of the application.

        Raises:
            LimitExceeded: they do.
        """
        sizes = [len(message.payload) for messages in (self.inbox, *held) for message in messages]
        if len(sizes) > MAX_HELD_MESSAGES:
            raise LimitExceeded("messages before the answer to a request", len(sizes), MAX_HELD_MESSAGES)
        if sum(sizes) > MAX_HELD_BYTES:
            raise LimitExceeded("bytes before the answer to a request", sum(sizes), MAX_HELD_BYTES)

    def _control(self, message: Message) -> None:
        payload = message.payload
        match message.type_id:
            case MessageType.ACKNOWLEDGEMENT:
                parse_uint32(payload, "Acknowledgement")
            case MessageType.WINDOW_ACK_SIZE:
                window = parse_uint32(payload, "Window Acknowledgement Size")
                # At half the window: a peer that counts the handshake, or its own way, never has to stop and wait.
                self._acknowledge_each = max(window // 2, 1) if window else 0
            case MessageType.SET_PEER_BANDWIDTH:
                window = parse_uint32(payload, "Set Peer Bandwidth")
                if window != self._own_window:
                    self._requests.take(CONTROL_WEIGHT_BYTES)
                    self.send_window(window)  # the answer that §5.4.5 asks for
            case MessageType.USER_CONTROL:
                self._user_control(message)

    def _user_control(self, message: Message) -> None:
        control = parse_user_control(message.payload)
        if control.event == UserControlEvent.PING_REQUEST:
            self._requests.take(CONTROL_WEIGHT_BYTES)
            self.send_user_control(UserControl(UserControlEvent.PING_RESPONSE, control.value))
        else:
            self.inbox.append(message)

    def _acknowledge(self) -> None:
        self._acknowledged_bytes = self._received_bytes
        self._send_control(MessageType.ACKNOWLEDGEMENT, (self._received_bytes & 0xFFFFFFFF).to_bytes(4, "big"))

    def data_to_send(self) -> bytes:
        """Give what has to be sent to the peer now, and forget it."""
        if not self._out:
            return b""
        data = bytes(self._out)
        self._out.clear()
        return data

    def check_unsent(self) -> None:
        """Refuse to pile up answers.

        Raises:
            LimitExceeded: `data_to_send` was not called for more than `MAX_UNSENT_ANSWERS_BYTES`.
        """
        if len(self._out) > MAX_UNSENT_ANSWERS_BYTES:
            raise LimitExceeded("bytes of unsent answers", len(self._out), MAX_UNSENT_ANSWERS_BYTES)

    def send_window(self, window_bytes: int) -> None:
        """Announce after how many bytes we want an acknowledgement."""
        self._own_window = window_bytes
        self._send_control(MessageType.WINDOW_ACK_SIZE, window_bytes.to_bytes(4, "big"))

    def send_peer_bandwidth(self, window_bytes: int) -> None:
        """Ask the peer to have at most so many bytes unacknowledged."""
        self._send_control(MessageType.SET_PEER_BANDWIDTH, window_bytes.to_bytes(4, "big") + bytes((LIMIT_DYNAMIC,)))

    def send_chunk_size(self, chunk_size: int) -> None:
        """Announce the chunk size, and use it from here on."""
        self._out += self.writer.set_chunk_size(chunk_size)

    def send_user_control(self, message: UserControl) -> None:
        """Send a user control message."""
        self._send_control(MessageType.USER_CONTROL, serialize_user_control(message))

    def send_command(self, stream_id: int, name: str, transaction_id: float, *arguments: AmfValue) -> None:
        """Send an AMF 0 command."""
        csid = CSID_STREAM if stream_id else CSID_CONNECTION
        payload = serialize_command(name, transaction_id, *arguments)
        self._out += self.writer.send(csid, Message(MessageType.COMMAND_AMF0, stream_id, 0, payload))

    def send_status(self, stream_id: int, level: str, code: str, description: str, **more: AmfValue) -> None:
        """Send an ``onStatus`` command (RTMP 1.0 §7.2.2)."""
        self.send_command(stream_id, "onStatus", 0.0, None, {"level": level, "code": code, "description": description, **more})

    def send_media(self, stream_id: int, type_id: int, timestamp_ms: int, prefix: bytes, payload: bytes) -> None:
        """Send a media message, `prefix` and `payload` in one."""
        csid = MEDIA_CSID[type_id]
        size = self.writer.chunk_size
        for piece in chunk_message(csid, type_id, timestamp_ms, prefix, payload, chunk_size=size, stream_id=stream_id):
            self._out += piece

    def _send_control(self, type_id: int, payload: bytes) -> None:
        self._out += self.writer.send(CSID_CONTROL, Message(type_id, 0, 0, payload))
