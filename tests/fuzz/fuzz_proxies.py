"""Fuzz: what balancers and proxies say of their clients: headers of the PROXY protocol in pieces, Forwarded, X-Forwarded-For."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from multidict import CIMultiDict

    from lalmesh.errors import RemoteProtocolError
    from lalmesh.runtime.forwarded import ForwardedHeader, Remote, TrustedProxies
    from lalmesh.runtime.proxy_protocol import ProxyHeaderReader

PROXY = Remote("10.0.0.1", "10.0.0.1:1")
TRUSTED = [TrustedProxies(["10.0.0.0/8"], header) for header in ForwardedHeader]
BEGINNINGS = (b"", b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\x00\r\nQUIT\n", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00")


def read(data: bytes, size: int) -> tuple[object, int]:
    """What the header is, and how much of `data` it took, in pieces of `size`."""
    reader, taken = ProxyHeaderReader(), 0
    for at in range(0, len(data), size):
        taken += reader.feed(data[at : at + size])
    return reader.header, taken


def target(data: bytes) -> None:
    for beginning in BEGINNINGS:
        try:
            whole = read(beginning + data, len(data) + len(beginning) + 1)
        except RemoteProtocolError:
            whole = None
        try:
            assert read(beginning + data, 1 + len(data) % 7) == whole
        except RemoteProtocolError:
            assert whole is None
    text = data.decode("utf-8", "surrogateescape")
    for trusted in TRUSTED:
        for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"):
            try:
                client = trusted.client_of(PROXY, CIMultiDict([(name, line) for line in text.split("\n")]))
            except RemoteProtocolError:
                continue
            assert client.address
            assert client.scheme in ("", "http", "https")


fuzz(target)
