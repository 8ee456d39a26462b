"""Picture order counts (ISO/IEC 14496-10 §8.2.1)."""

from __future__ import annotations

from lalmesh.codec.h264._pps import parse_pps
from lalmesh.codec.h264._record import AvcDecoderConfigurationRecord
from lalmesh.codec.h264._slices import FIRST_SLICES, SlicePlace, parse_slice_order
from lalmesh.codec.h264._sps import parse_sps
from lalmesh.codec.nalu import SliceOrder


class PictureOrder(SliceOrder):
    """The output order of the pictures of one stream, worked out from their slice headers in decoding order (§8.2.1).

    memory_management_control_operation 5, which hardly any encoder writes, is not looked for: counts behind it are off until the
    next IDR picture.
    """

    def __init__(self, record: AvcDecoderConfigurationRecord) -> None:
        """Read the parameter sets of `record`.

        Raises:
            RemoteProtocolError: one does not parse.
        """
        self._sps = {sps.sps_id: sps for sps in map(parse_sps, record.sps)}
        self._pps = {pps.pps_id: pps for pps in map(parse_pps, record.pps)}
        self._sequence = 0
        self._reference = (0, 0)  # prevPicOrderCntMsb and prevPicOrderCntLsb
        self._frame_num = 0  # prevFrameNum
        self._frame_num_offset = 0  # prevFrameNumOffset

    def _is_slice(self, first: int, length: int) -> bool:
        return first & 0x1F in FIRST_SLICES

    def _place(self, head: bytes) -> tuple[int, int] | None:
        header = parse_slice_order(head, self._sps, self._pps)
        if header is None:
            return None
        count = self._count(header)
        return self._sequence, count

    def _count(self, header: SlicePlace) -> int:
        """PicOrderCnt of the picture, and what the next one needs to know of it."""
        if header.is_idr:
            self._sequence += 1
            self._reference = (0, 0)
            self._frame_num_offset = 0
        elif self._frame_num > header.frame_num:
            self._frame_num_offset += 1 << header.sps.log2_max_frame_num
        self._frame_num = header.frame_num
        match header.sps.poc.type:
            case 0:
                return self._count_by_lsb(header)
            case 1:
                return self._count_by_cycle(header)
            case _:
                return 2 * (self._frame_num_offset + header.frame_num) - (not header.is_reference)  # (8-12)

    def _count_by_lsb(self, header: SlicePlace) -> int:
        """Type 0 (§8.2.1.1)."""
        (msb, previous), lsb, size = self._reference, header.lsb, 1 << header.sps.poc.log2_max_lsb
        if lsb < previous and previous - lsb >= size // 2:
            msb += size
        elif lsb > previous and lsb - previous > size // 2:
            msb -= size
        if header.is_reference:
            self._reference = msb, lsb
        return msb + lsb + min(0, header.deltas[1])

    def _count_by_cycle(self, header: SlicePlace) -> int:
        """Type 1 (§8.2.1.2)."""
        poc, offsets = header.sps.poc, header.sps.poc.offsets_for_ref_frame
        number = self._frame_num_offset + header.frame_num if offsets else 0
        if not header.is_reference and number > 0:
            number -= 1
        expected = 0
        if number > 0:
            cycles, place = divmod(number - 1, len(offsets))
            expected = cycles * sum(offsets) + sum(offsets[: place + 1])
        if not header.is_reference:
            expected += poc.offset_for_non_ref_pic
        top = expected + header.deltas[0]
        bottom = top + poc.offset_for_top_to_bottom_field + header.deltas[1]
        if header.is_field:
            return bottom if header.is_bottom else top
        return min(top, bottom)
