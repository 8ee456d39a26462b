"""Fuzz: all that a server may answer to a publisher or a player."""

from typing import Literal

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.protocol.rtmp import RtmpClient, RtmpUrl


HANDSHAKE = b"\x03" + bytes(3072)  #: S0, a simple S1, and any S2


def target(data: bytes) -> None:
    mode: Literal["publish", "play"] = "publish" if data[:1] < b"\x80" else "play"
    client = RtmpClient(RtmpUrl.parse("rtmp://localhost/live/a"), mode, bytes)
    for part in (HANDSHAKE, *halves(data[1:])):
        for _event in client.feed(part):
            client.data_to_send()


fuzz(target)
