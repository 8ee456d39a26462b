"""Open bitstream units, and where decoding can start (AV1 §5.3, §7.6.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lalmesh.errors import RemoteProtocolError

OBU_SEQUENCE_HEADER = 1
OBU_TEMPORAL_DELIMITER = 2
OBU_FRAME_HEADER = 3
OBU_FRAME = 6

_OBU_SECTION = "AV1 §5.3"
_MAX_LEB128_BYTES = 8  # §4.10.5
_KEY_FRAME_SHOWN = 0b0001  # show_existing_frame 0, frame_type KEY_FRAME, show_frame 1 (§5.9.2)
_REDUCED_STILL_PICTURE = 0x08  # in the first byte of a sequence header (§5.5.1)


@dataclass(slots=True, frozen=True)
class Obu:
    """One open bitstream unit."""

    obu_type: int  #: 1..15 (§6.2.2)
    payload: bytes  #: without header and size
    temporal_id: int = 0  #: 0..7
    spatial_id: int = 0  #: 0..3


def read_leb128(data: bytes, at: int = 0) -> tuple[int, int]:
    """The number at byte `at` and the offset behind it.

    Raises:
        RemoteProtocolError: cut off, over 8 bytes or over 32 bits.
    Source: AV1 §4.10.5
    """
    value = 0
    for index, byte in enumerate(data[at : at + _MAX_LEB128_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >> 32:
                break
            return value, at + index + 1
    raise RemoteProtocolError("leb128 cut off or over 32 bits", section="AV1 §4.10.5", at=at)


def write_leb128(value: int) -> bytes:
    """The shortest leb128 of `value`, 0 to 2**32 - 1 (AV1 §4.10.5)."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _spans(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset of header, start and end of payload for each OBU (§5.3.1, §5.3.2)."""
    at = 0
    while at < len(data):
        header = data[at]
        if header & 0x80:
            raise RemoteProtocolError("obu_forbidden_bit set", section=_OBU_SECTION, at=at)
        start = at + (2 if header & 4 else 1)
        size = len(data) - start  # the last one may go without a size
        if header & 2:
            size, start = read_leb128(data, start)
        if size < 0 or start + size > len(data):
            raise RemoteProtocolError(f"OBU of {size} bytes, {len(data) - start} there", section=_OBU_SECTION, at=at)
        yield at, start, start + size
        at = start + size


def parse_obus(data: bytes) -> Iterator[Obu]:
    """Iterate over the OBUs of a temporal unit or of `config_obus`; the last one may lack its size.

    Raises:
        RemoteProtocolError: forbidden bit, bad size, cut off; after the good ones.
    Source: AV1 §5.3
    """
    for at, start, end in _spans(data):
        extension = data[at + 1] if data[at] & 4 else 0
        yield Obu(data[at] >> 3, data[start:end], extension >> 5, extension >> 3 & 3)


def serialize_obu(obu: Obu) -> bytes:
    """The OBU with its size (AV1 §5.3)."""
    extension = obu.temporal_id << 5 | obu.spatial_id << 3
    header = bytes((obu.obu_type << 3 | 6, extension)) if extension else bytes((obu.obu_type << 3 | 2,))
    return header + write_leb128(len(obu.payload)) + obu.payload


def is_random_access(temporal_unit: bytes) -> bool:
    """Whether decoding can start here: a sequence header, then as first frame a key frame that is shown (AV1 §7.6.2).

    Raises:
        RemoteProtocolError: an OBU before the first frame is broken.
    """
    sequence_header: int | None = None  # its first byte
    for at, start, end in _spans(temporal_unit):
        obu_type = temporal_unit[at] >> 3
        first = temporal_unit[start] if end > start else -1
        if obu_type == OBU_SEQUENCE_HEADER and first >= 0:
            sequence_header = first
        elif obu_type in (OBU_FRAME, OBU_FRAME_HEADER):
            return sequence_header is not None and bool(sequence_header & _REDUCED_STILL_PICTURE or first >> 4 == _KEY_FRAME_SHOWN)
    return False
