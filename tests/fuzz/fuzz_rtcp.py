"""Fuzz: compound RTCP packets, written again."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.protocol.rtp import Compound, parse_compound, serialize_compound


def target(data: bytes) -> None:
    compound = parse_compound(data)
    assert parse_compound(serialize_compound(compound.packets)) == Compound(compound.packets)


fuzz(target)
