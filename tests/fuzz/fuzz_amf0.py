"""Fuzz: AMF 0 values, as commands carry them, written again."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.amf import parse_amf0, serialize_amf0


def target(data: bytes) -> None:
    serialize_amf0(*parse_amf0(data))


fuzz(target)
