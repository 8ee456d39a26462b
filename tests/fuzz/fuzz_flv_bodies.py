"""Fuzz: a run of message bodies; each is a type, a length of two bytes, and so many bytes."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.container.flv import BodyDemuxer


def target(data: bytes) -> None:
    demuxer = BodyDemuxer()
    at = 0
    while at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        demuxer.demux(data[at] % 19, at, data[at + 3 : at + 3 + size])
        at += 3 + size


fuzz(target)
