"""Fuzz: H.265 configuration records, written again, and the tracks described from them."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec import build_track, codec_string
    from lalmesh.codec.h265 import HevcDecoderConfigurationRecord
    from lalmesh.media import Codec


def target(data: bytes) -> None:
    HevcDecoderConfigurationRecord.parse(data).serialize()
    codec_string(build_track(1, Codec.H265, data))


fuzz(target)
