"""AV1: open bitstream units, the `av1C` record, the sequence header, and where decoding can start (AV1 bitstream specification)."""

from lalmesh.codec.av1._obus import (
    OBU_FRAME,
    OBU_FRAME_HEADER,
    OBU_SEQUENCE_HEADER,
    OBU_TEMPORAL_DELIMITER,
    Obu,
    is_random_access,
    parse_obus,
    read_leb128,
    serialize_obu,
    write_leb128,
)
from lalmesh.codec.av1._record import AV1CodecConfigurationRecord
from lalmesh.codec.av1._sequence_header import PROFILES, SequenceHeader, parse_sequence_header

__all__ = [
    "OBU_FRAME",
    "OBU_FRAME_HEADER",
    "OBU_SEQUENCE_HEADER",
    "OBU_TEMPORAL_DELIMITER",
    "PROFILES",
    "AV1CodecConfigurationRecord",
    "Obu",
    "SequenceHeader",
    "is_random_access",
    "parse_obus",
    "parse_sequence_header",
    "read_leb128",
    "serialize_obu",
    "write_leb128",
]
