"""Boxes, the units that an MP4 file is made of (ISO/IEC 14496-12 §4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lalmesh.errors import RemoteProtocolError

HEADER_BYTES = 8
LARGE_HEADER_BYTES = 16  #: with a size of 64 bits

_SECTION = "ISO/IEC 14496-12 §4.2"
_HEADER = struct.Struct(">I4s")
_LARGE_SIZE = struct.Struct(">Q")
_TO_END, _LARGE = 0, 1  # sizes that are none


def box(kind: bytes, *parts: bytes) -> bytes:
    """The box `kind` that holds `parts` (§4.2)."""
    size = HEADER_BYTES + sum(map(len, parts))
    return b"".join((_HEADER.pack(size, kind), *parts))


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """The box `kind` that begins with its version and 24 bits of flags (§4.2)."""
    return box(kind, (version << 24 | flags).to_bytes(4, "big"), *parts)


def parse_header(buffer: bytes | bytearray, at: int = 0) -> tuple[bytes, int, int] | None:
    """Read the box header at byte `at`: ``(kind, header bytes, box bytes)``; None if it is not whole.

    Raises:
        RemoteProtocolError: a size below that of the header, or the size that stands for all the rest of a file.
    Source: ISO/IEC 14496-12 §4.2
    """
    if len(buffer) < at + HEADER_BYTES:
        return None
    size, kind = _HEADER.unpack_from(buffer, at)
    header_bytes = HEADER_BYTES
    if size == _LARGE:
        header_bytes = LARGE_HEADER_BYTES
        if len(buffer) < at + header_bytes:
            return None
        (size,) = _LARGE_SIZE.unpack_from(buffer, at + HEADER_BYTES)
    if size < header_bytes:
        what = "open end" if size == _TO_END else f"size of {size} bytes"
        raise RemoteProtocolError(f"box {kind!r} with {what}", section=_SECTION, at=at)
    return kind, header_bytes, size


def children(body: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the kinds and bodies of the boxes in `body` from byte `start` on.

    Raises:
        RemoteProtocolError: a box is cut off, after the whole ones.
    """
    at = start
    while at < len(body):
        header = parse_header(body, at)
        if header is None or at + header[2] > len(body):
            raise RemoteProtocolError("box cut off", section=_SECTION, at=at)
        kind, header_bytes, size = header
        yield kind, body[at + header_bytes : at + size]
        at += size


def child(body: bytes, *path: bytes, start: int = 0) -> bytes | None:
    """The body of the first box of the first kind in `path`, in it that of the second, and so on; None where one is missing.

    Raises:
        RemoteProtocolError: a box before it is cut off.
    """
    for kind in path:
        found = next((inner for name, inner in children(body, start) if name == kind), None)
        if found is None:
            return None
        body, start = found, 0
    return body
