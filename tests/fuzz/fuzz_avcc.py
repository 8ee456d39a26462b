"""Fuzz: H.264 configuration records, written again, and the tracks described from them."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec import build_track, codec_string
    from lalmesh.codec.h264 import AvcDecoderConfigurationRecord
    from lalmesh.media import Codec


def target(data: bytes) -> None:
    AvcDecoderConfigurationRecord.parse(data).serialize()
    codec_string(build_track(1, Codec.H264, data))


fuzz(target)
