"""Where decoding can start in what RTP brings."""

from __future__ import annotations

from lalmesh.codec import h264
from lalmesh.codec.nalu_codecs import H264, NaluCodec
from lalmesh.errors import RemoteProtocolError

_I_SLICES = (2, 7)  # slice_type (ISO/IEC 14496-10 Table 7-6)


def is_random_access(codec: NaluCodec, nalus: list[bytes], payload: bytes) -> bool:
    """Whether decoding can start at an access unit, by its codec; or at an I picture of H.264 that parameter sets go with.

    Interop: encoders that never send IDR pictures, and say so nowhere, repeat their parameter sets where decoding can start.

    Args:
        codec: H.264 or H.265.
        nalus: of the access unit, parameter sets included.
        payload: the same without them, as AVCC.
    """
    if codec.is_random_access(payload):
        return True
    if codec is not H264 or not any(h264.nalu_type(nalu) == h264.NaluType.SPS for nalu in nalus):
        return False
    return all(_is_intra(nalu) for nalu in nalus if h264.is_slice(nalu))


def _is_intra(nalu: bytes) -> bool:
    """Whether an H.264 slice refers to no other picture; of one that is cut off, nobody knows."""
    try:
        return h264.slice_type(nalu) in _I_SLICES
    except RemoteProtocolError:
        return False
