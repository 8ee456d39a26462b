"""Action Message Format: the values that RTMP commands and FLV script data are made of."""

from __future__ import annotations

from lalmesh.amf._amf0 import parse_amf0, parse_amf3_message, serialize_amf0
from lalmesh.amf._amf3 import parse_amf3, serialize_amf3
from lalmesh.amf._values import (
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_TEXT_BYTES,
    MAX_VALUES,
    UNDEFINED,
    AmfDate,
    AmfValue,
    EcmaArray,
    TypedObject,
    Undefined,
    Xml,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_NAME_BYTES",
    "MAX_TEXT_BYTES",
    "MAX_VALUES",
    "UNDEFINED",
    "AmfDate",
    "AmfValue",
    "EcmaArray",
    "TypedObject",
    "Undefined",
    "Xml",
    "parse_amf0",
    "parse_amf3",
    "parse_amf3_message",
    "serialize_amf0",
    "serialize_amf3",
]
