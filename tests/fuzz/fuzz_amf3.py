"""Fuzz: AMF 3 values, bare and in a message of type 17."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.amf import parse_amf3, parse_amf3_message


def target(data: bytes) -> None:
    if data[:1] < b"\x80":
        parse_amf3(data[1:])
    else:
        parse_amf3_message(data[1:])


fuzz(target)
