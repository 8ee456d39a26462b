"""H.265: NALU types, parameter sets, the `hvcC` record, random access, picture order (ISO/IEC 23008-2; ISO/IEC 14496-15 §8)."""

from lalmesh.codec.h265._nalus import NaluType, is_random_access, is_slice, nalu_type
from lalmesh.codec.h265._picture_order import PictureOrder, begins_picture
from lalmesh.codec.h265._pps import Pps, parse_pps
from lalmesh.codec.h265._profile import ProfileTierLevel
from lalmesh.codec.h265._record import MAX_ARRAYS, MAX_NALUS_IN_ARRAY, HevcDecoderConfigurationRecord, NaluArray, ParameterSets
from lalmesh.codec.h265._reference_pictures import (
    MAX_DELTA_POC_MINUS1,
    MAX_DPB_PICTURES,
    MAX_LONG_TERM_REF_PICS,
    MAX_SHORT_TERM_REF_PIC_SETS,
)
from lalmesh.codec.h265._sps import MAX_SIDE, Sps, parse_sps
from lalmesh.codec.h265._vui import MAX_CPB_COUNT, MAX_SPATIAL_SEGMENTATION

__all__ = [
    "MAX_ARRAYS",
    "MAX_CPB_COUNT",
    "MAX_DELTA_POC_MINUS1",
    "MAX_DPB_PICTURES",
    "MAX_LONG_TERM_REF_PICS",
    "MAX_NALUS_IN_ARRAY",
    "MAX_SHORT_TERM_REF_PIC_SETS",
    "MAX_SIDE",
    "MAX_SPATIAL_SEGMENTATION",
    "HevcDecoderConfigurationRecord",
    "NaluArray",
    "NaluType",
    "ParameterSets",
    "PictureOrder",
    "Pps",
    "ProfileTierLevel",
    "Sps",
    "begins_picture",
    "is_random_access",
    "is_slice",
    "nalu_type",
    "parse_pps",
    "parse_sps",
]
