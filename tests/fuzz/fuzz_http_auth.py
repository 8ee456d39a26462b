"""Fuzz: challenges and credentials of HTTP and RTSP, at both ends; what a client makes of a challenge reads as credentials."""

from contextlib import suppress

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.errors import RemoteProtocolError, UnsupportedError
    from lalmesh.protocol.http_auth import ClientAuth, Scheme, ServerAuth, Verdict, parse_credentials

METHOD, URI = "DESCRIBE", "rtsp://h/a/b"
SERVER = ServerAuth("lalmesh", bytes(16), schemes=tuple(Scheme))


def target(data: bytes) -> None:
    header = data.decode("utf-8", "surrogateescape")
    with suppress(RemoteProtocolError, UnsupportedError):
        verdict = SERVER.check(parse_credentials(header), "p", method=METHOD, uri=URI, now_s=0.0)
        assert isinstance(verdict, Verdict)
    client = ClientAuth("u", "p", bytes)
    if client.challenged(header.split("\n")):
        shown = client.authorization(METHOD, URI)
        assert shown is not None
        assert "\n" not in shown
        parse_credentials(shown)


fuzz(target)
