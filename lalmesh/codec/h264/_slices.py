"""Slice headers as far as they say which picture a slice is of, and where that is shown (ISO/IEC 14496-10 §7.3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lalmesh.bits import BitReader
from lalmesh.codec.h264._nalus import NaluType
from lalmesh.codec.h264._pps import Pps
from lalmesh.codec.h264._sps import PicOrderCnt, Sps
from lalmesh.codec.nalu import SLICE_HEAD_BYTES, bounded_ue, unescape_rbsp

FIRST_SLICES = frozenset({1, 2, 5})  #: a slice, its partition A, an IDR slice: each begins with a slice header


def begins_picture(nalu: bytes | memoryview) -> bool:
    """Whether a slice is the first of its picture: first_mb_in_slice is 0 (§7.4.3). False of what is no slice, or cut off."""
    return len(nalu) > 1 and nalu[0] & 0x1F in FIRST_SLICES and nalu[1] >= 0x80


def slice_type(nalu: bytes) -> int:
    """Give the slice_type of a slice, 0 to 9: P, B, I, SP, SI, and again from 5 on where all slices of the picture are (Table 7-6).

    Raises:
        RemoteProtocolError: the header is cut off, or the value over 9.
    """
    bits = BitReader(unescape_rbsp(nalu[:SLICE_HEAD_BYTES])[1:])
    bits.ue()  # first_mb_in_slice
    return bounded_ue(bits, "slice_type", 9)


@dataclass(slots=True, frozen=True)
class SlicePlace:
    """What a slice header says of its picture's place."""

    sps: Sps
    is_idr: bool
    is_reference: bool
    frame_num: int
    is_field: bool
    is_bottom: bool
    lsb: int  #: pic_order_cnt_lsb; type 0
    deltas: tuple[int, int]  #: delta_pic_order_cnt_bottom is the second with type 0; delta_pic_order_cnt with type 1


def parse_slice_order(nalu: bytes, sps_by_id: Mapping[int, Sps], pps_by_id: Mapping[int, Pps]) -> SlicePlace | None:
    """Read slice_header() up to delta_pic_order_cnt (§7.3.3); None where its parameter sets are not known.

    Args:
        nalu: the first `SLICE_HEAD_BYTES` of one of `FIRST_SLICES`.
        sps_by_id: the sequence parameter sets.
        pps_by_id: the picture parameter sets.

    Raises:
        RemoteProtocolError: the header is cut off.
    """
    bits = BitReader(unescape_rbsp(nalu)[1:])
    bits.ue()  # first_mb_in_slice
    bits.ue()  # slice_type
    pps = pps_by_id.get(bits.ue())
    sps = sps_by_id.get(pps.sps_id) if pps is not None else None
    if pps is None or sps is None:
        return None
    bits.skip(2 if sps.separate_colour_plane else 0)
    frame_num = bits.read(sps.log2_max_frame_num)
    is_field = not sps.frame_mbs_only and bits.flag()
    is_bottom = is_field and bits.flag()
    is_idr = nalu[0] & 0x1F == NaluType.IDR_SLICE
    if is_idr:
        bits.ue()  # idr_pic_id
    lsb = bits.read(sps.poc.log2_max_lsb) if sps.poc.type == 0 else 0
    deltas = _parse_order_deltas(bits, sps.poc, pps.bottom_field_pic_order and not is_field)
    return SlicePlace(sps, is_idr, nalu[0] & 0x60 != 0, frame_num, is_field, is_bottom, lsb, deltas)


def _parse_order_deltas(bits: BitReader, poc: PicOrderCnt, of_frame: bool) -> tuple[int, int]:
    """Read delta_pic_order_cnt_bottom or delta_pic_order_cnt; `of_frame`: both fields may have their own (§7.3.3)."""
    if poc.type == 0:
        return 0, bits.se() if of_frame else 0
    if poc.type == 1 and not poc.delta_always_zero:
        return bits.se(), bits.se() if of_frame else 0
    return 0, 0
