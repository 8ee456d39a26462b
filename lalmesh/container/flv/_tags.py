"""The FLV file: its header, its tags, and what stands between them (FLV 10.1 §E.2, §E.3, §E.4.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

SIGNATURE = b"FLV"
HEADER_BYTES = 9
TAG_HEADER_BYTES = 11
PREVIOUS_TAG_SIZE_BYTES = 4
MAX_BODY_BYTES = (1 << 24) - 1  #: DataSize has 24 bits
MAX_HEADER_BYTES = 1024  #: version 1 says 9; what a later one may add is small

_HEADER = struct.Struct(">3sBBI")
_TAG = struct.Struct(">BBHBHBBH")  # type, then size, timestamp and stream id of 24 bits each, the extension after the timestamp
_LEAD = PREVIOUS_TAG_SIZE_BYTES + TAG_HEADER_BYTES
_HAS_AUDIO, _HAS_VIDEO = 0x04, 0x01
_FILTER, _TYPE_MASK = 0x20, 0x1F
_SECTION = "FLV 10.1 §E.2"


@dataclass(slots=True)
class Tag:
    """One tag (§E.4.1). Its body is the payload of an RTMP message of the same type."""

    type_id: int  #: 8 audio, 9 video, 18 script data; others have no meaning
    timestamp_ms: int  #: unsigned 32 bits, wraps
    body: bytes  #: at most `MAX_BODY_BYTES`


def flv_header(has_audio: bool, has_video: bool) -> bytes:
    """What an FLV file starts with, the first PreviousTagSize included (§E.2, §E.3)."""
    flags = (_HAS_AUDIO if has_audio else 0) | (_HAS_VIDEO if has_video else 0)
    return _HEADER.pack(SIGNATURE, 1, flags, HEADER_BYTES) + bytes(PREVIOUS_TAG_SIZE_BYTES)


def tag_header(type_id: int, timestamp_ms: int, body_size: int) -> bytes:
    """The 11 bytes before a body of `body_size` bytes, at most `MAX_BODY_BYTES`; of the time its low 32 bits (§E.4.1)."""
    return _TAG.pack(
        type_id,
        body_size >> 16,
        body_size & 0xFFFF,
        timestamp_ms >> 16 & 0xFF,
        timestamp_ms & 0xFFFF,
        timestamp_ms >> 24 & 0xFF,
        0,
        0,
    )


def previous_tag_size(body_size: int) -> bytes:
    """The 4 bytes after a body of `body_size` bytes (§E.3)."""
    return (TAG_HEADER_BYTES + body_size).to_bytes(PREVIOUS_TAG_SIZE_BYTES, "big")


class TagReader:
    """Split an FLV stream into tags. It holds at most one tag and what one call of `feed` brings."""

    def __init__(self) -> None:
        """Wait for the file header."""
        self._buffer = bytearray()
        self._header_seen = False

    def feed(self, data: bytes) -> Iterator[Tag]:
        """Iterate over the tags that `data` completed.

        Raises:
            RemoteProtocolError: the stream does not start with an FLV header; after it the reader is of no more use.
            LimitExceeded: a header of over `MAX_HEADER_BYTES`.
            UnsupportedError: an encrypted tag.
        Source: FLV 10.1 §E.2, §E.3, §E.4.1
        """
        self._buffer += data  # kept even if the caller drops the iterator
        return self._tags()

    def _tags(self) -> Iterator[Tag]:
        if not self._header_seen and not self._take_header():
            return
        while (tag := self._next_tag()) is not None:
            yield tag

    def _take_header(self) -> bool:
        if not SIGNATURE.startswith(self._buffer[:3]):
            raise RemoteProtocolError(f"FLV stream starts with {bytes(self._buffer[:3])!r}", section=_SECTION, at=0)
        if len(self._buffer) < HEADER_BYTES:
            return False
        _, _, _, size = _HEADER.unpack_from(self._buffer)
        if size < HEADER_BYTES:
            raise RemoteProtocolError(f"FLV header of {size} bytes", section=_SECTION, at=5)
        if size > MAX_HEADER_BYTES:
            raise LimitExceeded("FLV header size", size, MAX_HEADER_BYTES, section=_SECTION, at=5)
        if len(self._buffer) < size:
            return False
        del self._buffer[:size]
        self._header_seen = True
        return True

    def _next_tag(self) -> Tag | None:
        """The next PreviousTagSize, which may say anything, tag header and body, taken as one."""
        buffer = self._buffer
        if len(buffer) < _LEAD:
            return None
        kind, size_high, size_low, time_mid, time_low, time_high, _, _ = _TAG.unpack_from(buffer, PREVIOUS_TAG_SIZE_BYTES)
        if kind & _FILTER:
            raise UnsupportedError("encrypted FLV tag")
        size = size_high << 16 | size_low
        end = _LEAD + size
        if len(buffer) < end:
            return None
        with memoryview(buffer) as view:
            body = bytes(view[_LEAD:end])
        del buffer[:end]
        return Tag(kind & _TYPE_MASK, time_high << 24 | time_mid << 16 | time_low, body)
