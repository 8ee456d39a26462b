"""MPEG audio, layers I to III of MPEG-1, MPEG-2 and MPEG-2.5: the frame header (ISO/IEC 11172-3, 13818-3)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec

HEADER_BYTES = 4

_SECTION = "ISO/IEC 11172-3 §2.4.2.3"
_MPEG1 = "1"
_VERSIONS = {0b00: "2.5", 0b10: "2", 0b11: _MPEG1}  # 2.5 is the extension of Fraunhofer that everybody reads
_SAMPLE_RATES_HZ = {_MPEG1: (44100, 48000, 32000), "2": (22050, 24000, 16000), "2.5": (11025, 12000, 8000)}
_SINGLE_CHANNEL = 0b11

# kbit/s by bitrate_index 1..14, keyed by (MPEG-1, layer); MPEG-2 and 2.5 share theirs (13818-3 §2.4.2.3)
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BITRATES_KBPS = {
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): _LOW,
    (False, 3): _LOW,
}


@dataclass(slots=True, frozen=True, kw_only=True)
class FrameHeader:
    """The header of one MPEG audio frame (§2.4.1.3)."""

    version: str  #: ``1``, ``2`` or ``2.5``
    layer: int  #: 1..3
    bitrate_bps: int
    sample_rate_hz: int
    channels: int  #: 1 or 2
    padding: bool  #: one slot more than the bit rate asks for

    @classmethod
    def parse(cls, buf: bytes) -> FrameHeader:
        """Read the header that `buf` starts with.

        Raises:
            RemoteProtocolError: cut off, no syncword, or a reserved version, layer, bit rate or sample rate.
            UnsupportedError: free format, whose frame size the header does not tell.
        Source: ISO/IEC 11172-3 §2.4.2.3
        """
        if len(buf) < HEADER_BYTES or buf[0] != 0xFF or buf[1] < 0xE0:
            raise RemoteProtocolError(f"no MPEG audio header: {buf[:HEADER_BYTES].hex()}", section=_SECTION)
        version, layer = _VERSIONS.get(buf[1] >> 3 & 3), 4 - (buf[1] >> 1 & 3)
        bitrate_index, rate_index = buf[2] >> 4, buf[2] >> 2 & 3
        if version is None or layer == 4 or bitrate_index == 15 or rate_index == 3:
            raise RemoteProtocolError(f"reserved value in MPEG audio header {buf[:HEADER_BYTES].hex()}", section=_SECTION)
        if bitrate_index == 0:
            raise UnsupportedError("free format MPEG audio")
        return cls(
            version=version,
            layer=layer,
            bitrate_bps=_BITRATES_KBPS[version == _MPEG1, layer][bitrate_index - 1] * 1000,
            sample_rate_hz=_SAMPLE_RATES_HZ[version][rate_index],
            channels=1 if buf[3] >> 6 == _SINGLE_CHANNEL else 2,
            padding=bool(buf[2] & 2),
        )

    @property
    def codec(self) -> Codec:
        """MP3 of layer III, else MP2: every decoder of layer II reads layer I too (§1.1)."""
        return Codec.MP3 if self.layer == 3 else Codec.MP2

    @property
    def samples_per_frame(self) -> int:
        """Samples a channel: 384, 576 or 1152."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != _MPEG1 else 1152

    @property
    def frame_bytes(self) -> int:
        """Size of the frame, header included (§2.4.3.1)."""
        slot_bytes = 4 if self.layer == 1 else 1
        slots = self.samples_per_frame // 8 * self.bitrate_bps // (self.sample_rate_hz * slot_bytes)
        return (slots + self.padding) * slot_bytes
