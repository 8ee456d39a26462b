"""Fuzz: all that a client may send over RTSP; each request is granted, refused, or left to wait until the next read."""

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.protocol.rtsp import (
        AnnounceRequested,
        DescribeRequested,
        PacketReceived,
        Paused,
        PlayRequested,
        RecordRequested,
        RtspServer,
        ServerEvent,
        SetupRequested,
        TornDown,
    )

CONTROLS = ["trackID=0", "trackID=1"]
GRANT, REFUSE, WAIT = range(3)
#: a session that plays, and one that records: what is made up comes behind it
OPENINGS = [
    b"",
    b"DESCRIBE rtsp://h/a/b RTSP/1.0\nCSeq: 1\n\nSETUP rtsp://h/a/b/trackID=0 RTSP/1.0\nCSeq: 2\n"
    b"Transport: RTP/AVP/TCP;interleaved=0-1\n\nPLAY rtsp://h/a/b RTSP/1.0\nCSeq: 3\n\n",
    b"ANNOUNCE rtsp://h/a/b RTSP/1.0\nCSeq: 1\nContent-Length: 2\n\nv=SETUP rtsp://h/a/b/trackID=0 RTSP/1.0\nCSeq: 2\n"
    b"Transport: RTP/AVP/TCP;interleaved=0-1\n\nRECORD rtsp://h/a/b RTSP/1.0\nCSeq: 3\n\n",
]


class Application:
    """Answers one client as `wishes` say, two bits a request."""

    def __init__(self, wishes: int) -> None:
        self.server = RtspServer(bytes)
        self._wishes = wishes
        self._waiting: ServerEvent | None = None

    def feed(self, data: bytes) -> None:
        """Take in what the client sends, and answer what waited before."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._answer(waiting, GRANT)
        for event in self.server.feed(data, 0.0):
            self._handle(event)
        self.server.data_to_send()
        assert self.server.expires_at_s is None or self.server.transports

    def _handle(self, event: ServerEvent) -> None:
        self._wishes, wish = self._wishes >> 2, self._wishes & 3
        if isinstance(event, PacketReceived | Paused | TornDown):
            return
        if wish == WAIT:
            self._waiting = event
        else:
            self._answer(event, wish)

    def _answer(self, event: ServerEvent, wish: int) -> None:
        server = self.server
        if wish == REFUSE:
            server.reject(401, ("WWW-Authenticate", "Basic"))
        elif isinstance(event, DescribeRequested):
            server.accept_describe(b"v=0", CONTROLS)
        elif isinstance(event, AnnounceRequested):
            server.accept_announce(CONTROLS)
        elif isinstance(event, SetupRequested):
            server.accept_setup(event.transports[-1], track=event.track or 0)
        elif isinstance(event, PlayRequested):
            server.accept_play(dict.fromkeys(event.tracks, (1, 2)))
        elif isinstance(event, RecordRequested):
            server.accept_record()


def target(data: bytes) -> None:
    application = Application(int.from_bytes(data[-9:-1], "little") & ~0xFF)  # the first requests are granted; the last byte cuts
    is_capture = data.startswith(b"OPTIONS")
    opening = OPENINGS[data[0] % len(OPENINGS)] if data and not is_capture else b""
    for part in (opening, *halves(data if is_capture else data[1:]), b"", b""):
        application.feed(part)


fuzz(target)
