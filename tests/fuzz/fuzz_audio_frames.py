"""Fuzz: frame headers of MP3, AC-3 and Opus."""

from collections.abc import Callable

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec import ac3, mp3, opus

PARSERS: list[Callable[[bytes], object]] = [mp3.FrameHeader.parse, ac3.SyncFrameHeader.parse, opus.packet_samples]


def target(data: bytes) -> None:
    if data:
        PARSERS[data[0] % len(PARSERS)](data[1:])


fuzz(target)
