"""FLAC: the STREAMINFO metadata block, bare, behind its block header, or in a `dfLa` box (RFC 9639 §8)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.bits import BitReader, BitWriter
from lalmesh.errors import RemoteProtocolError

SIGNATURE = b"fLaC"
STREAMINFO_BYTES = 34
MIN_BLOCK_SAMPLES = 16  #: RFC 9639 §8.2

_SECTION = "RFC 9639 §8.2"
_BLOCK_HEADER_BYTES = 4
_LAST_BLOCK = 0x80
_DFLA_VERSION_AND_FLAGS = bytes(4)


@dataclass(slots=True, frozen=True, kw_only=True)
class StreamInfo:
    """What a FLAC decoder must know before the first frame (RFC 9639 §8.2)."""

    min_block_samples: int  #: `MIN_BLOCK_SAMPLES` to `max_block_samples`; the last block may be shorter
    max_block_samples: int  #: at most 65535
    min_frame_bytes: int = 0  #: 24 bits, 0 unknown
    max_frame_bytes: int = 0  #: 24 bits, 0 unknown
    sample_rate_hz: int  #: 1..1048575
    channels: int  #: 1..8
    bits_per_sample: int  #: 4..32
    total_samples: int = 0  #: 36 bits, 0 unknown
    md5: bytes = bytes(16)  #: of the samples, zeros unknown

    @classmethod
    def parse(cls, configuration: bytes) -> StreamInfo:
        """Read the STREAMINFO of a configuration.

        Args:
            configuration: the 34 bytes, or metadata blocks of which STREAMINFO is the first; either bare or behind ``fLaC``
                (as enhanced RTMP has them), the blocks also behind the version and flags of a `dfLa` box.

        Raises:
            RemoteProtocolError: cut off, another block first, a sample rate of 0, under 4 bits a sample, impossible block sizes.
        Source: RFC 9639 §8.1, §8.2; FLAC in ISOBMFF §3.3.2
        """
        return _parse_streaminfo(_streaminfo_of(configuration))

    def serialize(self) -> bytes:
        """Give ``fLaC`` and one last metadata block, as enhanced RTMP and files begin (RFC 9639 §8.1, §8.2)."""
        writer = BitWriter().write(self.min_block_samples, 16).write(self.max_block_samples, 16)
        writer.write(self.min_frame_bytes, 24).write(self.max_frame_bytes, 24)
        writer.write(self.sample_rate_hz, 20).write(self.channels - 1, 3).write(self.bits_per_sample - 1, 5)
        writer.write(self.total_samples, 36)
        return SIGNATURE + bytes((_LAST_BLOCK, 0, 0, STREAMINFO_BYTES)) + writer.to_bytes() + self.md5


def _streaminfo_of(configuration: bytes) -> bytes:
    blocks = configuration.removeprefix(SIGNATURE)
    if len(blocks) == STREAMINFO_BYTES:  # Interop: ffmpeg writes no block header into enhanced RTMP and FLV
        return blocks
    blocks = blocks.removeprefix(_DFLA_VERSION_AND_FLAGS)
    header, info = blocks[:_BLOCK_HEADER_BYTES], blocks[_BLOCK_HEADER_BYTES : _BLOCK_HEADER_BYTES + STREAMINFO_BYTES]
    if len(info) < STREAMINFO_BYTES or header[0] & ~_LAST_BLOCK or int.from_bytes(header[1:], "big") != STREAMINFO_BYTES:
        raise RemoteProtocolError(f"no whole STREAMINFO behind block header {header.hex()}", section="RFC 9639 §8.1")
    return info


def _parse_streaminfo(info: bytes) -> StreamInfo:
    reader = BitReader(info)
    stream_info = StreamInfo(
        min_block_samples=reader.read(16),
        max_block_samples=reader.read(16),
        min_frame_bytes=reader.read(24),
        max_frame_bytes=reader.read(24),
        sample_rate_hz=reader.read(20),
        channels=reader.read(3) + 1,
        bits_per_sample=reader.read(5) + 1,
        total_samples=reader.read(36),
        md5=info[-16:],
    )
    _check(stream_info)
    return stream_info


def _check(info: StreamInfo) -> None:
    if info.sample_rate_hz == 0 or info.bits_per_sample < 4:
        raise RemoteProtocolError(f"{info.bits_per_sample} bits a sample at {info.sample_rate_hz} Hz", section=_SECTION)
    if not MIN_BLOCK_SAMPLES <= info.min_block_samples <= info.max_block_samples:
        raise RemoteProtocolError(f"blocks of {info.min_block_samples} to {info.max_block_samples} samples", section=_SECTION)
