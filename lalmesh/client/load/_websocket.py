"""The client's end of a WebSocket that carries a stream (RFC 6455)."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Final

from lalmesh.errors import RemoteProtocolError

#: A pong that nobody asked for, which is allowed, with a mask of zeros and nothing in it: a sign of life (§5.5.3).
SIGN_OF_LIFE: Final = b"\x8a\x80\0\0\0\0"

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_KNOWN: Final = frozenset((_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG))
_MAX_CONTROL_BYTES: Final = 125


def binary_message(data: bytes) -> bytes:
    """`data` as one message. Its mask is of zeros, so that all who send the same share its bytes (§5.3)."""
    size = len(data)
    if size <= _MAX_CONTROL_BYTES:
        length = bytes((0x80 | size,))
    elif size <= 0xFFFF:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes((0x80 | _BINARY,)) + length + bytes(4) + data


def websocket_key(random: bytes) -> str:
    """The ``Sec-WebSocket-Key`` that 16 random bytes make."""
    return b64encode(random).decode()


def websocket_accept(key: str) -> str:
    """What a server answers to a ``Sec-WebSocket-Key`` (§4.2.2)."""
    return b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class WebSocketReader:
    """Read what a server sends. Where messages begin and end has no meaning in a stream, so bytes are given as they come.

    What is said in text, such as the codecs of fMP4, is for browsers, and passed over.
    """

    def __init__(self) -> None:
        """Wait for a frame."""
        self.closed = ""  #: why the server closed it; empty while it has not
        self._head = bytearray()
        self._left = 0  # bytes of a data frame that are still to come
        self._is_text = False  # of the message that has begun
        self._control: tuple[int, int, bytearray] | None = None  # opcode, size and what has come of a control frame
        self._answers = bytearray()

    def data_to_send(self) -> bytes:
        """The pongs that are owed; they are forgotten."""
        data = bytes(self._answers)
        self._answers.clear()
        return data

    def feed(self, data: bytes) -> bytes:
        """What of the stream is in `data`.

        Raises:
            RemoteProtocolError: a frame that there must not be here.
        """
        stream, at = [], 0
        while at < len(data) and not self.closed:
            if self._left:
                piece = data[at : at + self._left]
                if not self._is_text:
                    stream.append(piece)
                self._left -= len(piece)
                at += len(piece)
            elif self._control is not None:
                at += self._take_control(data[at : at + _MAX_CONTROL_BYTES])
            else:
                at += self._take_head(data, at)
        return b"".join(stream)

    def _take_head(self, data: bytes, at: int) -> int:
        """Read the head of a frame, which may come in pieces (§5.2); how much of `data` it took."""
        taken = 0
        while (wanted := _head_bytes(self._head)) > len(self._head) and at + taken < len(data):
            piece = data[at + taken : at + taken + wanted - len(self._head)]
            self._head += piece
            taken += len(piece)
        if _head_bytes(self._head) == len(self._head):
            self._begin()
        return taken

    def _begin(self) -> None:
        opcode, size = self._head[0] & 0x0F, self._head[1] & 0x7F
        if self._head[0] & 0x70 or self._head[1] & 0x80 or opcode not in _KNOWN:
            raise RemoteProtocolError(f"frame that begins with {bytes(self._head[:2]).hex()}", section="RFC 6455 §5.2")
        if len(self._head) > 2:
            size = int.from_bytes(self._head[2:], "big")
        self._head.clear()
        if opcode < _CLOSE:
            self._left = size
            self._is_text = opcode == _TEXT or (opcode == _CONTINUATION and self._is_text)
        elif size > _MAX_CONTROL_BYTES:
            raise RemoteProtocolError(f"control frame of {size} bytes", section="RFC 6455 §5.5")
        else:
            self._control = opcode, size, bytearray()
            self._take_control(b"")

    def _take_control(self, data: bytes) -> int:
        assert self._control is not None
        opcode, size, body = self._control
        piece = data[: size - len(body)]
        body += piece
        if len(body) == size:
            self._control = None
            if opcode == _PING:
                self._answers += bytes((0x80 | _PONG, 0x80 | size)) + bytes(4) + body
            elif opcode == _CLOSE:
                code = int.from_bytes(body[:2], "big") if size >= 2 else 1005
                self.closed = f"closed by the server: {code} {body[2:].decode('utf-8', 'replace')}".rstrip()
        return len(piece)


def _head_bytes(begun: bytearray) -> int:
    """How long a head is, as far as it tells."""
    if len(begun) < 2:
        return 2
    return 2 + {126: 2, 127: 8}.get(begun[1] & 0x7F, 0)
