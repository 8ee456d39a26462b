"""Fuzz: RTP packets, written again."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.protocol.rtp import RtpPacket


def target(data: bytes) -> None:
    packet = RtpPacket.parse(data)
    assert RtpPacket.parse(packet.serialize()) == packet


fuzz(target)
