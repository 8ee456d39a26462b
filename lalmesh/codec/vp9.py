"""VP9: the `vpcC` record and the uncompressed header of key frames (VP9 bitstream specification)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lalmesh.bits import BitReader
from lalmesh.errors import RemoteProtocolError, UnsupportedError

_RECORD = struct.Struct(">B3x6BH")
_RECORD_SECTION = "VP Codec ISOBMFF Binding §2.2"
_HEADER_SECTION = "VP9 §6.2"
_FRAME_MARKER = 2
_SYNC_CODE = 0x498342
_CS_RGB = 7
_MAX_KEY_HEADER_BYTES = 12  # markers, sync code, colour and frame size of any profile take less


@dataclass(slots=True, frozen=True, kw_only=True)
class VPCodecConfigurationRecord:
    """The payload of a `vpcC` box, version and flags included, as files and enhanced RTMP have it."""

    profile: int  #: 0..3
    level: int  #: ten times the level, 10..62; 0 undefined
    bit_depth: int = 8  #: 8, 10 or 12
    chroma_subsampling: int = 1  #: 0 4:2:0 vertical, 1 4:2:0 colocated, 2 4:2:2, 3 4:4:4
    full_range: bool = False
    colour_primaries: int = 2  #: ISO/IEC 23091-2, 2 unspecified
    transfer_characteristics: int = 2  #: ISO/IEC 23091-2, 2 unspecified
    matrix_coefficients: int = 2  #: ISO/IEC 23091-2, 2 unspecified
    codec_initialization_data: bytes = b""  #: empty for VP8 and VP9

    @classmethod
    def parse(cls, data: bytes) -> VPCodecConfigurationRecord:
        """Read a record; what follows it is ignored.

        Raises:
            RemoteProtocolError: cut off.
            UnsupportedError: a version other than 1.
        Source: VP Codec ISOBMFF Binding §2.2
        """
        if len(data) < _RECORD.size:
            raise RemoteProtocolError(f"vpcC of {len(data)} bytes, at least {_RECORD.size} wanted", section=_RECORD_SECTION)
        version, profile, level, sampling, primaries, transfer, matrix, size = _RECORD.unpack_from(data)
        if version != 1:
            raise UnsupportedError(f"vpcC version {version}")
        if len(data) < _RECORD.size + size:
            raise RemoteProtocolError(f"codecInitializationData of {size} bytes cut off", section=_RECORD_SECTION)
        return cls(
            profile=profile,
            level=level,
            bit_depth=sampling >> 4,
            chroma_subsampling=sampling >> 1 & 7,
            full_range=bool(sampling & 1),
            colour_primaries=primaries,
            transfer_characteristics=transfer,
            matrix_coefficients=matrix,
            codec_initialization_data=data[_RECORD.size : _RECORD.size + size],
        )

    def serialize(self) -> bytes:
        """Give the bytes of the record (VP Codec ISOBMFF Binding §2.2)."""
        record = _RECORD.pack(
            1,
            self.profile,
            self.level,
            self.bit_depth << 4 | self.chroma_subsampling << 1 | self.full_range,
            self.colour_primaries,
            self.transfer_characteristics,
            self.matrix_coefficients,
            len(self.codec_initialization_data),
        )
        return record + self.codec_initialization_data

    @property
    def rfc6381(self) -> str:
        """The codec for a CODECS parameter in its short form, such as ``vp09.00.10.08`` (VP Codec ISOBMFF Binding §5)."""
        return f"vp09.{self.profile:02}.{self.level:02}.{self.bit_depth:02}"


@dataclass(slots=True, frozen=True, kw_only=True)
class KeyFrameHeader:
    """The uncompressed header of a key frame, up to the frame size (§6.2)."""

    profile: int  #: 0..3
    bit_depth: int  #: 8, 10 or 12
    show_frame: bool
    width: int  #: pixels, 1..65536
    height: int  #: pixels, 1..65536


def parse_key_frame(frame: bytes) -> KeyFrameHeader | None:
    """The header of a key frame, None of any other frame.

    Raises:
        RemoteProtocolError: cut off, no frame marker or sync code, a reserved bit.
    Source: VP9 §6.2, §7.2
    """
    reader = BitReader(frame[:_MAX_KEY_HEADER_BYTES])
    profile = _read_profile(reader)
    if reader.flag() or reader.flag():  # show_existing_frame, or frame_type is not KEY_FRAME
        return None
    show_frame = reader.flag()
    reader.skip(1)  # error_resilient_mode
    if reader.read(24) != _SYNC_CODE:
        raise RemoteProtocolError("VP9 key frame without its sync code", section="VP9 §7.2")
    bit_depth = _read_color_config(reader, profile)
    width, height = reader.read(16) + 1, reader.read(16) + 1
    return KeyFrameHeader(profile=profile, bit_depth=bit_depth, show_frame=show_frame, width=width, height=height)


def is_random_access(frame: bytes) -> bool:
    """Whether decoding can start here: a key frame.

    Raises:
        RemoteProtocolError: no VP9 frame header.
    Source: VP9 §6.2
    """
    reader = BitReader(frame[:2])
    _read_profile(reader)
    return not (reader.flag() or reader.flag())


def _read_profile(reader: BitReader) -> int:
    if reader.read(2) != _FRAME_MARKER:
        raise RemoteProtocolError("VP9 frame without its marker", section=_HEADER_SECTION)
    profile = reader.read(1) | reader.read(1) << 1
    if profile == 3 and reader.flag():
        raise RemoteProtocolError("VP9 profile over 3 is reserved", section="VP9 §7.2")
    return profile


def _read_color_config(reader: BitReader, profile: int) -> int:
    """color_config() (§6.2.2): only the bit depth is kept."""
    bit_depth = (12 if reader.flag() else 10) if profile >= 2 else 8
    with_subsampling = profile in (1, 3)
    if reader.read(3) != _CS_RGB:
        reader.skip(4 if with_subsampling else 1)  # color_range, then subsampling_x, subsampling_y, reserved_zero
    elif with_subsampling:
        reader.skip(1)  # reserved_zero
    else:
        raise RemoteProtocolError(f"RGB in VP9 profile {profile}", section="VP9 §7.2.2")
    return bit_depth
