"""Fuzz: all that a client may send; each request is granted, refused, or left to wait until the next read."""

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.protocol.rtmp import Connected, PlayRequested, PublishRequested, RtmpServer, ServerEvent, StreamClosed


HANDSHAKE = b"\x03" + bytes(3072)  #: C0, a simple C1, and any C2
GRANT, REFUSE, WAIT = range(3)


class Application:
    """Answers one client as `wishes` say, two bits a request."""

    def __init__(self, wishes: int) -> None:
        self.server = RtmpServer(bytes)
        self._wishes = wishes
        self._waiting: dict[int, ServerEvent] = {}  # by message stream; 0 is the connection

    def feed(self, data: bytes) -> None:
        """Take in what the client sends, and answer what waited before."""
        waiting, self._waiting = self._waiting, {}
        for event in waiting.values():
            self._answer(event, self._wish() % WAIT)
        for event in self.server.feed(data):
            self._handle(event)
        self.server.data_to_send()

    def _handle(self, event: ServerEvent) -> None:
        if isinstance(event, StreamClosed):
            self._waiting.pop(event.stream_id, None)
        elif isinstance(event, Connected | PublishRequested | PlayRequested):
            wish = self._wish()
            if wish >= WAIT:
                self._waiting[0 if isinstance(event, Connected) else event.stream_id] = event
            else:
                self._answer(event, wish)

    def _wish(self) -> int:
        self._wishes, wish = self._wishes >> 2, self._wishes & 3
        return wish

    def _answer(self, event: ServerEvent, wish: int) -> None:
        server, granted = self.server, wish == GRANT
        if isinstance(event, Connected):
            (server.accept_connect if granted else server.reject_connect)()
        elif isinstance(event, PublishRequested):
            (server.accept_publish if granted else server.reject_publish)(event.stream_id)
        elif isinstance(event, PlayRequested):
            (server.accept_play if granted else server.reject_play)(event.stream_id)


def target(data: bytes) -> None:
    application = Application(int.from_bytes(data[-9:-1], "little"))  # the last byte cuts
    opening = b"" if data[:1] == b"\x03" else HANDSHAKE  # a capture begins with its own
    for part in (opening, *halves(data), b"", b""):
        application.feed(part)


fuzz(target)
