"""What has come over a connection and waits to be looked at, at either end."""

from __future__ import annotations

from collections import deque
from itertools import islice

from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtsp._messages import InterleavedFrame, Message
from lalmesh.protocol.rtsp._reader import MessageReader


class Inbox:
    """Messages in order, and what is wrong behind them. Who takes them says what may wait, and bounds it."""

    def __init__(self) -> None:
        """Nothing has come."""
        self.messages: deque[Message] = deque()  #: to be taken from the left
        self.error: RemoteProtocolError | None = None  #: to be raised once they are taken; for ever, the first
        self.packets = 0  #: of those that `count` has counted and nobody has taken
        self.packet_bytes = 0  #: of them
        self.requests = 0  #: all others, likewise
        self._reader = MessageReader()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Read `data`; nothing more behind an error."""
        if self.error is not None:
            return
        try:
            self.messages.extend(self._reader.feed(data))
        except RemoteProtocolError as error:
            self.error = error

    @property
    def has_counted(self) -> bool:
        """Some that wait have been counted: `take` them, which is dearer than to take them from the left of `messages`."""
        return bool(self.packets or self.requests)

    def take(self) -> Message:
        """The first one, counted or not."""
        message = self.messages.popleft()
        if self.has_counted:
            self._count(message, -1)
        return message

    def count(self) -> None:
        """Count what waits. Each message is looked at once, however often this is called."""
        new = len(self.messages) - self.packets - self.requests
        for message in islice(reversed(self.messages), new):
            self._count(message, 1)

    def _count(self, message: Message, times: int) -> None:
        if isinstance(message, InterleavedFrame):
            self.packets += times
            self.packet_bytes += times * len(message.payload)
        else:
            self.requests += times

    def break_off(self, error: RemoteProtocolError) -> None:
        """Somebody found `error` in a message: those behind it are not taken."""
        self.messages.clear()
        self.packets = self.packet_bytes = self.requests = 0
        self.error = self.error or error
