"""What a server knows of its client: where the connection is, what it said when it connected, and its message streams."""

from __future__ import annotations

from collections.abc import Iterator

from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.protocol.rtmp._commands import Command
from lalmesh.protocol.rtmp._events import StreamClosed
from lalmesh.protocol.rtmp._session import Session
from lalmesh.protocol.rtmp._states import CONNECTION_STEPS, ConnectionState, Step, StreamState, next_state

FIRST_STREAM_ID = 1  #: of the message stream that createStream gives first. Interop: some clients use it without asking for one
MAX_MESSAGE_STREAMS = 32  #: of one connection; players and publishers use one or two


class MessageStream:
    """One message stream."""

    __slots__ = ("name", "state")

    def __init__(self) -> None:
        self.state = StreamState.IDLE
        self.name = ""  #: as the client wrote it, which FCUnpublish repeats


class Served:
    """One client."""

    __slots__ = ("app", "connect", "session", "state", "streams")

    def __init__(self, session: Session) -> None:
        """Nothing was said yet on `session`."""
        self.session = session
        self.state = ConnectionState.HANDSHAKING
        self.streams: dict[int, MessageStream] = {}  #: by id
        self.connect = Command("", 0.0, [])  #: the one that was made last
        self.app = ""  #: that it named

    def step(self, step: Step) -> None:
        """Take a step of the connection.

        Raises:
            ProtocolError: it may not follow; remote or local, by whose it is.
        """
        self.state = next_state(CONNECTION_STEPS, self.state, step)

    def free_id(self) -> int:
        """The lowest id that no message stream has."""
        return next(free for free in range(FIRST_STREAM_ID, MAX_MESSAGE_STREAMS + 2) if free not in self.streams)

    def create(self, stream_id: int) -> MessageStream:
        """Make a message stream.

        Raises:
            LimitExceeded: there are `MAX_MESSAGE_STREAMS`.
        """
        if len(self.streams) >= MAX_MESSAGE_STREAMS:
            raise LimitExceeded("message streams", len(self.streams) + 1, MAX_MESSAGE_STREAMS)
        stream = self.streams[stream_id] = MessageStream()
        return stream

    def open(self, stream_id: int) -> MessageStream:
        """The message stream that a command came on.

        Raises:
            RemoteProtocolError: it was not created.
        """
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id != FIRST_STREAM_ID:
                raise RemoteProtocolError(f"message stream {stream_id} was not created", section="RTMP 1.0 §7.2.1.3")
            stream = self.create(stream_id)
        return stream

    def close(self, stream_id: int) -> Iterator[StreamClosed]:
        """Let a message stream be idle, which ends what it was doing."""
        stream = self.streams.get(stream_id)
        if stream is not None:
            before, stream.state = stream.state, StreamState.IDLE
            if before not in (StreamState.IDLE, StreamState.DISMISSED):
                yield StreamClosed(stream_id)
