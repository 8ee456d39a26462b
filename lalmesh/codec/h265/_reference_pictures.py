"""The reference pictures that a sequence parameter set announces (ISO/IEC 23008-2 §7.3.7)."""

from __future__ import annotations

from lalmesh.bits import BitReader
from lalmesh.codec.nalu import bounded_ue
from lalmesh.errors import LimitExceeded

MAX_DPB_PICTURES = 16  #: MaxDpbSize never is more (§A.4.2)
MAX_SHORT_TERM_REF_PIC_SETS = 64  #: num_short_term_ref_pic_sets (§7.4.3.2.1)
MAX_LONG_TERM_REF_PICS = 32  #: num_long_term_ref_pics_sps (§7.4.3.2.1)
MAX_DELTA_POC_MINUS1 = 0x7FFF  #: delta_poc_s0_minus1 and its kin (§7.4.8)


def skip_reference_pictures(bits: BitReader, log2_max_poc_lsb: int) -> None:
    """Pass over the short-term and long-term reference pictures."""
    deltas: list[int] = []
    for index in range(bounded_ue(bits, "num_short_term_ref_pic_sets", MAX_SHORT_TERM_REF_PIC_SETS)):
        deltas = _predict_ref_pic_set(bits, deltas) if index and bits.flag() else _parse_ref_pic_set(bits)
    if bits.flag():  # long_term_ref_pics_present_flag
        count = bounded_ue(bits, "num_long_term_ref_pics_sps", MAX_LONG_TERM_REF_PICS)
        bits.skip(count * (log2_max_poc_lsb + 1))


def _parse_ref_pic_set(bits: BitReader) -> list[int]:
    """Give the delta POCs of a st_ref_pic_set() that stands for itself: those before the picture, then those after (§7.3.7)."""
    negative = bounded_ue(bits, "num_negative_pics", MAX_DPB_PICTURES)
    positive = bounded_ue(bits, "num_positive_pics", MAX_DPB_PICTURES - negative)
    return [*_parse_deltas(bits, negative, -1), *_parse_deltas(bits, positive, 1)]


def _parse_deltas(bits: BitReader, count: int, sign: int) -> list[int]:
    deltas: list[int] = []
    for _ in range(count):
        previous = deltas[-1] if deltas else 0
        deltas.append(previous + sign * (1 + bounded_ue(bits, "delta_poc_minus1", MAX_DELTA_POC_MINUS1)))
        bits.skip(1)  # used_by_curr_pic_flag
    return deltas


def _predict_ref_pic_set(bits: BitReader, reference: list[int]) -> list[int]:
    """Give the delta POCs of a st_ref_pic_set() that is predicted from the one before it (§7.3.7, 7-61, 7-62)."""
    negative = bits.flag()  # delta_rps_sign
    magnitude = 1 + bounded_ue(bits, "abs_delta_rps_minus1", MAX_DELTA_POC_MINUS1)
    shift = -magnitude if negative else magnitude
    kept = [delta + shift for delta in (*reference, 0) if bits.flag() or bits.flag()]  # used_by_curr_pic_flag, else use_delta_flag
    if len(kept) > MAX_DPB_PICTURES + 1:  # one may be the picture itself, which does not count
        raise LimitExceeded("NumDeltaPocs", len(kept), MAX_DPB_PICTURES)
    return sorted((delta for delta in kept if delta < 0), reverse=True) + sorted(delta for delta in kept if delta > 0)
