"""Slice segment headers as far as picture order counts need them, and the counts (ISO/IEC 23008-2 §7.3.6.1, §8.3.1)."""

from __future__ import annotations

from lalmesh.bits import BitReader
from lalmesh.codec.h265._nalus import FIRST_IRAP, FIRST_NON_VCL, HEADER_BYTES, LAST_IRAP, NaluType, nalu_type
from lalmesh.codec.h265._pps import parse_pps
from lalmesh.codec.h265._record import HevcDecoderConfigurationRecord
from lalmesh.codec.h265._sps import parse_sps
from lalmesh.codec.nalu import SliceOrder, unescape_rbsp

_BLA = (16, 17, 18)  #: BLA_W_LP to BLA_N_LP
#: leading pictures, and those that no picture of their sub-layer refers to: none of them is prevTid0Pic (§8.3.1)
_NO_REFERENCE_FOR_ORDER = frozenset((*range(0, 15, 2), 7, 9))


def begins_picture(nalu: bytes | memoryview) -> bool:
    """Whether a NALU is the first slice segment of its picture (§7.4.7.1). False of what is no slice segment, or cut off."""
    return len(nalu) > HEADER_BYTES and (nalu[0] >> 1) & 0x3F < FIRST_NON_VCL and nalu[HEADER_BYTES] >= 0x80


class PictureOrder(SliceOrder):
    """The output order of the pictures of one stream, worked out from their slice headers in decoding order (§8.3.1)."""

    def __init__(self, record: HevcDecoderConfigurationRecord) -> None:
        """Read the parameter sets of `record`.

        Raises:
            RemoteProtocolError: one does not parse.
            UnsupportedError: one belongs to another layer than 0.
        """
        sets = record.parameter_sets
        self._sps = {sps.sps_id: sps for sps in map(parse_sps, sets.sps)}
        self._pps = {pps.pps_id: pps for pps in map(parse_pps, sets.pps)}
        self._sequence = 0
        self._reference = 0  # PicOrderCntVal of prevTid0Pic

    def _is_slice(self, first: int, length: int) -> bool:
        return length > HEADER_BYTES and (first >> 1) & 0x3F < FIRST_NON_VCL

    def _place(self, head: bytes) -> tuple[int, int] | None:
        kind, temporal_id = nalu_type(head), (head[1] & 7) - 1
        is_idr = kind in (NaluType.IDR_W_RADL, NaluType.IDR_N_LP)
        parsed = self._parse_lsb(head, is_irap=FIRST_IRAP <= kind <= LAST_IRAP, is_idr=is_idr)
        if parsed is None:
            return None
        lsb, size = parsed
        if is_idr or kind in _BLA or not self._sequence:
            self._sequence += 1  # NoRaslOutputFlag is 1: the most significant bits begin at 0 (§8.3.1)
            count = lsb
        else:
            before = size // 2 - 1  # the nearest to the reference, of two equally near the later (8-1)
            count = self._reference + (lsb - self._reference + before) % size - before
        if temporal_id == 0 and kind not in _NO_REFERENCE_FOR_ORDER:
            self._reference = count
        return self._sequence, count

    def _parse_lsb(self, head: bytes, *, is_irap: bool, is_idr: bool) -> tuple[int, int] | None:
        """slice_pic_order_cnt_lsb and what it counts up to, of the first slice segment of a picture (§7.3.6.1)."""
        bits = BitReader(unescape_rbsp(head)[HEADER_BYTES:])
        if not bits.flag():  # first_slice_segment_in_pic_flag
            return None
        bits.skip(1 if is_irap else 0)  # no_output_of_prior_pics_flag
        pps = self._pps.get(bits.ue())
        sps = self._sps.get(pps.sps_id) if pps is not None else None
        if pps is None or sps is None:
            return None
        bits.skip(pps.extra_slice_header_bits)
        bits.ue()  # slice_type
        bits.skip(pps.output_flag_present + 2 * sps.separate_colour_plane)  # pic_output_flag, colour_plane_id
        return 0 if is_idr else bits.read(sps.log2_max_poc_lsb), 1 << sps.log2_max_poc_lsb
