"""Fuzz: H.264 sequence parameter sets."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec.h264 import parse_sps


fuzz(parse_sps)
