"""Fuzz: all that a server may send over RTSP, to a player and to a publisher, over TCP and UDP, with credentials and without."""

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.protocol.http_auth import ClientAuth
    from lalmesh.protocol.rtsp import (
        Announced,
        Described,
        Ended,
        Failed,
        Redirected,
        RtspClient,
        RtspUrl,
        TrackRequest,
        resolve_control,
    )

OK = b"RTSP/1.0 200 OK\nCSeq: %d\nSession: a;timeout=9\n\n"
#: how many requests are granted before what is made up
OPENINGS = [b"".join(OK % (number + 1) for number in range(count)) for count in (0, 1, 2, 3, 5)]


def target(data: bytes) -> None:
    is_capture = data.startswith(b"RTSP/")  # what came of it, the last bytes say
    choice = data[-2] & 7 if is_capture else data[0] if data else 0
    auth = ClientAuth("u", "p", bytes) if choice & 1 else None
    client = RtspClient(RtspUrl.parse("rtsp://h/a/b"), "play" if choice & 2 else "publish", description=b"v=0", auth=auth)
    ports = (6, 7) if choice & 4 else None
    over = False
    for now_s, part in enumerate((OPENINGS[(choice >> 3) % len(OPENINGS)], *halves(data if is_capture else data[1:]))):
        for event in client.feed(part, now_s * 100.0):
            assert not over
            over = isinstance(event, Failed | Redirected | Ended)
            if isinstance(event, Described | Announced):
                base = event.base_url if isinstance(event, Described) else "rtsp://h/a/b"
                client.setup([TrackRequest(resolve_control(base, f"trackID={track}"), ports) for track in range(2)])
        client.handle_timer(now_s * 100.0)
        client.data_to_send()
    client.close()


fuzz(target)
