"""Pieces of parameter sets that the two codecs write alike."""

from __future__ import annotations

from fractions import Fraction

from lalmesh.bits import BitReader
from lalmesh.codec.nalu._framing import unescape_rbsp
from lalmesh.errors import LimitExceeded, RemoteProtocolError

MAX_PARAMETER_SET_BYTES = 4096  #: the largest that encoders write are a few hundred bytes; reading bits costs their square
MAX_FRAME_RATE = 1000  #: pictures a second; above, encoders wrote their clock rate and not a picture rate
EXTENDED_SAR = 255  #: aspect_ratio_idc after which width and height follow

#: chroma_format_idc -> (SubWidthC, SubHeightC), both 1 where chroma has planes of its own or none (ISO/IEC 14496-10 Table 6-1)
_CHROMA_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}


def parameter_set_bits(nalu: bytes, header_bytes: int) -> BitReader:
    """Start reading a parameter set behind its NALU header of `header_bytes`.

    Raises:
        LimitExceeded: more than `MAX_PARAMETER_SET_BYTES`.
    """
    if len(nalu) > MAX_PARAMETER_SET_BYTES:
        raise LimitExceeded("parameter set bytes", len(nalu), MAX_PARAMETER_SET_BYTES)
    return BitReader(unescape_rbsp(nalu)[header_bytes:])


def bounded_ue(bits: BitReader, what: str, limit: int) -> int:
    """Read the ue(v) called `what` in the standard, 0 to `limit`.

    Raises:
        RemoteProtocolError: it is cut off, or (LimitExceeded) above `limit`.
    """
    value = bits.ue()
    if value > limit:
        raise LimitExceeded(what, value, limit)
    return value


def parse_window(bits: BitReader) -> tuple[int, int, int, int]:
    """Read a flag and, where it is set, the left, right, top and bottom offset of a window."""
    return (bits.ue(), bits.ue(), bits.ue(), bits.ue()) if bits.flag() else (0, 0, 0, 0)


def parse_cropped_size(bits: BitReader, width: int, height: int, chroma_format_idc: int, *, fields: int = 1) -> tuple[int, int]:
    """Read the window of a coded picture that is shown, and give its size.

    Args:
        bits: at the flag before the window.
        width: pixels that are coded.
        height: the same.
        chroma_format_idc: 0 to 3; offsets count samples of chroma.
        fields: 2 where vertical offsets count lines of a field, `height` being that of a frame.

    Raises:
        RemoteProtocolError: nothing is left.
    Source: ISO/IEC 14496-10 (7-19) to (7-22), ISO/IEC 23008-2 §7.4.3.2.1
    """
    left, right, top, bottom = parse_window(bits)
    unit_x, unit_y = _CHROMA_SUBSAMPLING[chroma_format_idc]
    width, height = width - unit_x * (left + right), height - unit_y * fields * (top + bottom)
    if width <= 0 or height <= 0:
        section = "ISO/IEC 14496-10 §7.4.2.1.1, ISO/IEC 23008-2 §7.4.3.2.1"
        raise RemoteProtocolError(f"picture cropped to {width}x{height}", section=section)
    return width, height


def skip_vui_appearance(bits: BitReader) -> None:
    """Pass over what begins both VUIs, aspect ratio to chroma location (ISO/IEC 14496-10 §E.1.1, ISO/IEC 23008-2 §E.2.1)."""
    if bits.flag() and bits.read(8) == EXTENDED_SAR:  # aspect_ratio_info_present_flag
        bits.skip(32)  # sar_width, sar_height
    if bits.flag():  # overscan_info_present_flag
        bits.skip(1)
    if bits.flag():  # video_signal_type_present_flag
        bits.skip(4)  # video_format, video_full_range_flag
        if bits.flag():  # colour_description_present_flag
            bits.skip(24)
    if bits.flag():  # chroma_loc_info_present_flag
        bits.ue()
        bits.ue()


def picture_rate(time_scale: int, ticks: int) -> Fraction | None:
    """Pictures a second where one lasts `ticks` of a clock of `time_scale` Hz; None where that says nothing."""
    if not time_scale or not ticks or time_scale > MAX_FRAME_RATE * ticks:
        return None
    return Fraction(time_scale, ticks)
