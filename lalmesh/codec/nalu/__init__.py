"""What H.264 and H.265 share: the two ways to hold the NALUs of an access unit, and pieces of their parameter sets and records.

*AVCC* puts a big-endian length before each NALU (ISO/IEC 14496-15 §5.3.2), 4 bytes wide wherever lalmesh holds an access unit;
*Annex B* puts a start code before each (ISO/IEC 14496-10 Annex B, ISO/IEC 23008-2 Annex B). Empty NALUs, which some encoders write,
are dropped on the way in.
"""

from lalmesh.codec.nalu._framing import (
    LENGTH_SIZE,
    MAX_NALU_BYTES,
    MAX_NALUS_PER_ACCESS_UNIT,
    START_CODE,
    annexb_to_avcc,
    avcc_to_annexb,
    escape_rbsp,
    iter_avcc_headers,
    join_annexb,
    join_avcc,
    relength,
    split_annexb,
    split_avcc,
    unescape_rbsp,
)
from lalmesh.codec.nalu._parameter_sets import (
    EXTENDED_SAR,
    MAX_FRAME_RATE,
    MAX_PARAMETER_SET_BYTES,
    bounded_ue,
    parameter_set_bits,
    parse_cropped_size,
    parse_window,
    picture_rate,
    skip_vui_appearance,
)
from lalmesh.codec.nalu._picture_order import SLICE_HEAD_BYTES, SliceOrder
from lalmesh.codec.nalu._records import (
    MAX_NALU_LENGTH_IN_RECORD,
    MAX_RECORD_BYTES,
    RecordReader,
    check_parameter_sets,
    serialize_record_nalus,
)

__all__ = [
    "EXTENDED_SAR",
    "LENGTH_SIZE",
    "MAX_FRAME_RATE",
    "MAX_NALUS_PER_ACCESS_UNIT",
    "MAX_NALU_BYTES",
    "MAX_NALU_LENGTH_IN_RECORD",
    "MAX_PARAMETER_SET_BYTES",
    "MAX_RECORD_BYTES",
    "SLICE_HEAD_BYTES",
    "START_CODE",
    "RecordReader",
    "SliceOrder",
    "annexb_to_avcc",
    "avcc_to_annexb",
    "bounded_ue",
    "check_parameter_sets",
    "escape_rbsp",
    "iter_avcc_headers",
    "join_annexb",
    "join_avcc",
    "parameter_set_bits",
    "parse_cropped_size",
    "parse_window",
    "picture_rate",
    "relength",
    "serialize_record_nalus",
    "skip_vui_appearance",
    "split_annexb",
    "split_avcc",
    "unescape_rbsp",
]
