"""The `colr` box: colours that are known beside the bitstream (ISO/IEC 14496-12 §12.1.5)."""

from __future__ import annotations

import struct

from lalmesh.amf import AmfValue, parse_amf0
from lalmesh.codec.vp9 import VPCodecConfigurationRecord
from lalmesh.container.fmp4._boxes import box
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import Codec, Track

_NCLX = struct.Struct(">4sHHHB")
_UNSPECIFIED = 2  # ISO/IEC 23091-2
_FULL_RANGE = 0x80
_COLOUR_INFO, _COLOUR_CONFIG = "colorInfo", "colorConfig"  # Enhanced RTMP v2, Metadata Frame
_NAMES = ("colorPrimaries", "transferCharacteristics", "matrixCoefficients")

_Colours = tuple[int, int, int, bool]  # primaries, transfer characteristics, matrix coefficients, full range


def colr(track: Track) -> bytes:
    """The box of a video track; empty where nobody tells its colours but the bitstream, which every decoder reads."""
    colours = _of_record(track) or _of_metadata(track)
    if colours is None:
        return b""
    *numbers, full_range = colours
    return box(b"colr", _NCLX.pack(b"nclx", *numbers, _FULL_RANGE if full_range else 0))


def _of_record(track: Track) -> _Colours | None:
    if track.codec is not Codec.VP9 or not track.configuration:
        return None
    record = VPCodecConfigurationRecord.parse(track.configuration)
    colours = (record.colour_primaries, record.transfer_characteristics, record.matrix_coefficients)
    return None if _UNSPECIFIED in colours else (*colours, record.full_range)


def _of_metadata(track: Track) -> _Colours | None:
    """What the publisher told; the range is not among it, and limited where nobody says otherwise."""
    try:
        values = parse_amf0(track.video_metadata)
    except RemoteProtocolError:
        return None
    pairs = zip(values[::2], values[1::2], strict=False)
    info = next((value for name, value in pairs if name == _COLOUR_INFO), None)
    config = info.get(_COLOUR_CONFIG) if isinstance(info, dict) else None
    numbers = [_number(config.get(name)) for name in _NAMES] if isinstance(config, dict) else []
    primaries, transfer, matrix = numbers if None not in numbers and numbers else (None, None, None)
    if primaries is None or transfer is None or matrix is None:
        return None
    return primaries, transfer, matrix, False


def _number(value: AmfValue) -> int | None:
    return int(value) if isinstance(value, float) and value.is_integer() and 0 <= value <= 0xFFFF else None
