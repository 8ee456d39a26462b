"""Fuzz: configurations of all other codecs, and the tracks described from them."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec import build_track, codec_string
    from lalmesh.media import Codec


CODECS = [Codec.AV1, Codec.VP9, Codec.AAC, Codec.OPUS, Codec.FLAC, Codec.AC3, Codec.EAC3, Codec.MP3]


def target(data: bytes) -> None:
    if data:
        codec_string(build_track(1, CODECS[data[0] % len(CODECS)], data[1:]))


fuzz(target)
