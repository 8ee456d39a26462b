"""Fuzz: coded pictures: NALUs both ways, random access, VP9 headers."""

from collections.abc import Callable

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec import h264, h265, vp9
    from lalmesh.codec.nalu import annexb_to_avcc, avcc_to_annexb, split_annexb


PARSERS: list[Callable[[bytes], object]] = [
    split_annexb,
    annexb_to_avcc,
    avcc_to_annexb,
    vp9.is_random_access,
    h264.is_random_access,
    h265.is_random_access,
]


def target(data: bytes) -> None:
    if data:
        PARSERS[data[0] % len(PARSERS)](data[1:])


fuzz(target)
