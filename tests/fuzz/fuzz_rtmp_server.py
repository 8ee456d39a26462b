"""Fuzz: all that a client may send; every request is granted."""

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.protocol.rtmp import Connected, PlayRequested, PublishRequested, RtmpServer


HANDSHAKE = b"\x03" + bytes(3072)  #: C0, a simple C1, and any C2


def target(data: bytes) -> None:
    server = RtmpServer(bytes)
    opening = b"" if data[:1] == b"\x03" else HANDSHAKE  # a capture begins with its own
    for part in (opening, *halves(data)):
        for event in server.feed(part):
            if isinstance(event, Connected):
                server.accept_connect()
            elif isinstance(event, PublishRequested):
                server.accept_publish(event.stream_id)
            elif isinstance(event, PlayRequested):
                server.accept_play(event.stream_id)
        server.data_to_send()


fuzz(target)
