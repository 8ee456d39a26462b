"""The `esds` box: the descriptors of MPEG-4 that AAC and MP3 are configured with (ISO/IEC 14496-1 §7.2.6, 14496-14 §5.6)."""

from __future__ import annotations

from lalmesh.codec.nalu import RecordReader
from lalmesh.container.fmp4._boxes import full_box
from lalmesh.errors import RemoteProtocolError

_SECTION = "ISO/IEC 14496-1 §7.2.6"
_ES, _DECODER_CONFIG, _DECODER_SPECIFIC_INFO, _SL_CONFIG = 3, 4, 5, 6  # Table 1
_AUDIO_STREAM = 0x05 << 2 | 1  # streamType, upStream 0, reserved 1 (Table 6)
_SL_OF_MP4 = b"\x02"  # the only predefined value that files have (14496-14 §3.1.2)
_MAX_SIZE_BYTES = 4  # of an expandable size (§8.3.3)
_STREAM_DEPENDENCE, _URL, _OCR_STREAM = 0x80, 0x40, 0x20


def esds(object_type: int, specific: bytes) -> bytes:
    """The box of an audio track.

    Args:
        object_type: objectTypeIndication.
        specific: DecoderSpecificInfo, such as an AudioSpecificConfig; empty: none.
    Source: ISO/IEC 14496-14 §5.6
    """
    config = bytes((object_type, _AUDIO_STREAM)) + bytes(3 + 4 + 4)  # buffer size, largest and mean bit rate: not said
    info = _descriptor(_DECODER_SPECIFIC_INFO, specific) if specific else b""
    stream = bytes(2 + 1) + _descriptor(_DECODER_CONFIG, config + info) + _descriptor(_SL_CONFIG, _SL_OF_MP4)  # ES_ID is 0 in files
    return full_box(b"esds", 0, 0, _descriptor(_ES, stream))


def parse_esds(body: bytes) -> tuple[int, bytes]:
    """The objectTypeIndication, and the DecoderSpecificInfo or nothing.

    Args:
        body: of the box, version and flags included.

    Raises:
        RemoteProtocolError: cut off, or another descriptor than is expected.
    Source: ISO/IEC 14496-1 §7.2.6.5, §7.2.6.6
    """
    reader = RecordReader(body, _SECTION)
    reader.take(4)
    stream = RecordReader(_take(reader, _ES), _SECTION)
    stream.take(2)
    flags = stream.uint(1)
    stream.take(2 if flags & _STREAM_DEPENDENCE else 0)
    stream.take(stream.uint(1) if flags & _URL else 0)
    stream.take(2 if flags & _OCR_STREAM else 0)
    config = RecordReader(_take(stream, _DECODER_CONFIG), _SECTION)
    object_type = config.uint(1)
    config.take(1 + 3 + 4 + 4)
    return object_type, _take(config, _DECODER_SPECIFIC_INFO) if config.bytes_left else b""


def _descriptor(tag: int, body: bytes) -> bytes:
    sizes = [len(body) & 0x7F]
    rest = len(body) >> 7
    while rest:
        sizes.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((tag, *reversed(sizes))) + body


def _take(reader: RecordReader, tag: int) -> bytes:
    found = reader.uint(1)
    if found != tag:
        raise RemoteProtocolError(f"descriptor {found}, {tag} expected", section=_SECTION)
    size = 0
    for _ in range(_MAX_SIZE_BYTES):
        byte = reader.uint(1)
        size = size << 7 | byte & 0x7F
        if byte < 0x80:
            return reader.take(size)
    raise RemoteProtocolError("descriptor size over 4 bytes", section="ISO/IEC 14496-1 §8.3.3")
