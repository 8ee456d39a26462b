"""Fuzz: H.265 sequence parameter sets."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec.h265 import parse_sps


fuzz(parse_sps)
