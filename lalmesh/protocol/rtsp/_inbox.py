"""What has come over a connection and waits to be looked at, at either end."""

from __future__ import annotations

from collections import deque

from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtsp._messages import Message
from lalmesh.protocol.rtsp._reader import MessageReader


class Inbox:
    """Messages in order, and what is wrong behind them. Who takes them says what may wait, and bounds it."""

    def __init__(self) -> None:
        """Nothing has come."""
        self.messages: deque[Message] = deque()  #: to be taken from the left
        self.error: RemoteProtocolError | None = None  #: to be raised once they are taken; for ever, the first
        self._reader = MessageReader()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Read `data`; nothing more behind an error."""
        if self.error is not None:
            return
        try:
            self.messages.extend(self._reader.feed(data))
        except RemoteProtocolError as error:
            self.error = error

    def break_off(self, error: RemoteProtocolError) -> None:
        """Somebody found `error` in a message: those behind it are not taken."""
        self.messages.clear()
        self.error = self.error or error
