"""H.264 and H.265 into RTP payloads (RFC 6184 §5.6, §5.7.1, §5.8; RFC 7798 §4.4.1 to §4.4.3).

Small NALUs that follow each other share a packet. A NALU that is larger than a packet is cut into fragments of one size, only the
last of which is shorter: they leave together by segmentation offload. Parameter sets go before each random access point without.
"""

from __future__ import annotations

from lalmesh.codec.nalu import iter_avcc_headers
from lalmesh.codec.nalu_codecs import NaluCodec
from lalmesh.media import AccessUnit
from lalmesh.protocol.rtp._nalus import H264_PAYLOAD_TYPES, H265_PAYLOAD_TYPES
from lalmesh.protocol.rtp._packetizer import MAX_PAYLOAD_BYTES, Chunk, Payload

_STAP_A, _FU_A = 24, 28
_AP, _FU = 48, 49
_START, _END = 0x80, 0x40
_SIZE_BYTES = 2  # before each NALU of an aggregate


class VideoPacketizer:
    """One track under one configuration."""

    def __init__(self, codec: NaluCodec, configuration: bytes, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        """Send the parameter sets of `configuration` (avcC or hvcC, perhaps empty) in payloads of `max_payload_bytes` at most.

        Raises:
            RemoteProtocolError: the configuration does not parse.
        """
        self._codec = codec
        self._max_bytes = max_payload_bytes
        self._parameter_sets = codec.parameter_sets(configuration) if configuration else ()
        self._is_h264 = codec.header_bytes == 1
        self._payload_types = H264_PAYLOAD_TYPES if self._is_h264 else H265_PAYLOAD_TYPES

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payloads of an access unit; the last one has the marker.

        Raises:
            RemoteProtocolError: lengths of NALUs that do not fit the unit.
        """
        payloads: list[Payload] = []
        together: list[Chunk] = []
        together_bytes = self._codec.header_bytes
        for nalu in self._nalus(unit):
            needed = _SIZE_BYTES + len(nalu)
            if together and together_bytes + needed > self._max_bytes:
                payloads.append(self._joined(together))
                together, together_bytes = [], self._codec.header_bytes
            if len(nalu) > self._max_bytes:
                if together:
                    payloads.append(self._joined(together))
                    together, together_bytes = [], self._codec.header_bytes
                payloads += self._fragments(nalu)
            else:
                together.append(nalu)
                together_bytes += needed
        if together:
            payloads.append(self._joined(together))
        if payloads:
            payloads[-1].marker = True
        return payloads

    def _nalus(self, unit: AccessUnit) -> list[Chunk]:
        """The NALUs of a unit, behind parameter sets where decoding can start; none that would be taken for an aggregate."""
        view = memoryview(unit.payload)  # so that the bytes are copied once, into the packet
        nalus: list[Chunk] = [
            nalu
            for at, length in iter_avcc_headers(unit.payload)
            if length >= self._codec.header_bytes and self._type(nalu := view[at : at + length]) not in self._payload_types
        ]
        if not unit.random_access or any(self._type(nalu) == self._codec.sps for nalu in nalus):
            return nalus
        ahead = 1 if nalus and self._type(nalus[0]) == self._codec.delimiter else 0  # a delimiter stays first
        return [*nalus[:ahead], *self._parameter_sets, *nalus[ahead:]]

    def _type(self, nalu: Chunk) -> int:
        return nalu[0] & 0x1F if self._is_h264 else nalu[0] >> 1 & 0x3F

    def _joined(self, nalus: list[Chunk]) -> Payload:
        """One NALU as it is, or several as STAP-A or AP."""
        if len(nalus) == 1:
            return Payload((nalus[0],))
        header = _stap_header(nalus) if self._is_h264 else _ap_header(nalus)
        return Payload((header, *(part for nalu in nalus for part in (len(nalu).to_bytes(_SIZE_BYTES, "big"), nalu))))

    def _fragments(self, nalu: Chunk) -> list[Payload]:
        """FU-A or FU of one size, only the last shorter."""
        header, kind = _fu_header(nalu) if self._is_h264 else _fu_header_h265(nalu)
        step = self._max_bytes - len(header) - 1
        starts = range(self._codec.header_bytes, len(nalu), step)
        flags = [_START, *(0 for _ in starts[2:]), _END]
        return [Payload((header + bytes((flag | kind,)), nalu[at : at + step])) for flag, at in zip(flags, starts, strict=True)]


def _stap_header(nalus: list[Chunk]) -> bytes:
    """The header of a STAP-A: F of any, the highest NRI (RFC 6184 §5.7.1)."""
    forbidden = max(nalu[0] & 0x80 for nalu in nalus)
    reference = max(nalu[0] & 0x60 for nalu in nalus)
    return bytes((forbidden | reference | _STAP_A,))


def _ap_header(nalus: list[Chunk]) -> bytes:
    """The header of an AP: F of any, the lowest layer and temporal id (RFC 7798 §4.4.2)."""
    forbidden = max(nalu[0] & 0x80 for nalu in nalus)
    layer = min((nalu[0] & 1) << 5 | nalu[1] >> 3 for nalu in nalus)
    temporal_id = min(nalu[1] & 7 for nalu in nalus)
    return bytes((forbidden | _AP << 1 | layer >> 5, (layer & 0x1F) << 3 | temporal_id))


def _fu_header(nalu: Chunk) -> tuple[bytes, int]:
    """FU indicator, and the type that the FU header repeats (RFC 6184 §5.8)."""
    return bytes((nalu[0] & 0xE0 | _FU_A,)), nalu[0] & 0x1F


def _fu_header_h265(nalu: Chunk) -> tuple[bytes, int]:
    """Payload header, and the type that the FU header repeats (RFC 7798 §4.4.3)."""
    return bytes((nalu[0] & 0x81 | _FU << 1, nalu[1])), nalu[0] >> 1 & 0x3F
