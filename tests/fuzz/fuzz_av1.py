"""Fuzz: AV1 temporal units and sequence headers."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec.av1 import is_random_access, parse_obus, parse_sequence_header


def target(data: bytes) -> None:
    is_random_access(data)
    for obu in parse_obus(data):
        parse_sequence_header(obu.payload)


fuzz(target)
