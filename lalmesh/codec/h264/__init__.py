"""H.264: NALU types, parameter sets, the `avcC` record, random access, picture order (ISO/IEC 14496-10; ISO/IEC 14496-15 §5)."""

from lalmesh.codec.h264._nalus import (
    MAX_SEI_MESSAGES,
    MAX_SEI_NALUS,
    RECOVERY_POINT,
    NaluType,
    is_random_access,
    is_slice,
    nalu_type,
)
from lalmesh.codec.h264._picture_order import PictureOrder
from lalmesh.codec.h264._pps import Pps, parse_pps
from lalmesh.codec.h264._profiles import MAX_DPB_FRAMES
from lalmesh.codec.h264._record import MAX_PPS, MAX_SPS, AvcDecoderConfigurationRecord
from lalmesh.codec.h264._slices import begins_picture, slice_type
from lalmesh.codec.h264._sps import MAX_FRAME_MBS, MAX_REF_FRAMES_IN_POC_CYCLE, MAX_SIDE_MBS, PicOrderCnt, Sps, parse_sps
from lalmesh.codec.h264._vui import MAX_CPB_COUNT

__all__ = [
    "MAX_CPB_COUNT",
    "MAX_DPB_FRAMES",
    "MAX_FRAME_MBS",
    "MAX_PPS",
    "MAX_REF_FRAMES_IN_POC_CYCLE",
    "MAX_SEI_MESSAGES",
    "MAX_SEI_NALUS",
    "MAX_SIDE_MBS",
    "MAX_SPS",
    "RECOVERY_POINT",
    "AvcDecoderConfigurationRecord",
    "NaluType",
    "PicOrderCnt",
    "PictureOrder",
    "Pps",
    "Sps",
    "begins_picture",
    "is_random_access",
    "is_slice",
    "nalu_type",
    "parse_pps",
    "parse_sps",
    "slice_type",
]
