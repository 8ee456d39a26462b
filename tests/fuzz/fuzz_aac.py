"""Fuzz: AudioSpecificConfig, written again, and ADTS."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec.aac import AudioSpecificConfig, parse_adts


def target(data: bytes) -> None:
    if data[:1] < b"\x80":
        config = AudioSpecificConfig.parse(data[1:])
        assert AudioSpecificConfig.parse(config.serialize()) == config
    else:
        parse_adts(data[1:])


fuzz(target)
