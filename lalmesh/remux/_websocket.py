"""The headers of WebSocket messages as a server sends them: whole and unmasked (RFC 6455 §5.2)."""

from __future__ import annotations

from lalmesh.remux._packager import Parts

_FIN_TEXT = 0x81
_FIN_BINARY = 0x82


def binary_frame_header(size: int) -> bytes:
    """The header of one whole, unmasked, binary WebSocket message of `size` bytes (RFC 6455 §5.2)."""
    return _frame_header(_FIN_BINARY, size)


def binary_message(data: bytes) -> bytes:
    """One whole binary message; nothing where there is nothing to say."""
    return binary_frame_header(len(data)) + data if data else b""


def text_message(text: str) -> bytes:
    """One whole text message."""
    data = text.encode()
    return _frame_header(_FIN_TEXT, len(data)) + data


def close_message(parts: Parts, at: int, size: int) -> int:
    """Make the `size` bytes that stand in `parts` behind the place `at`, which was kept free, one binary message.

    Gives the bytes of the message; where there are none, the place goes again.
    """
    if not size:
        del parts[at]
        return 0
    header = parts[at] = binary_frame_header(size)
    return size + len(header)


def _frame_header(first: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, 0x7E)) + size.to_bytes(2, "big")
    return bytes((first, 0x7F)) + size.to_bytes(8, "big")
