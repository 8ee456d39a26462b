"""The chunk stream on its way out: messages cut into chunks (see `_chunk.py`).

The writer keeps no state per chunk stream: the first chunk of a message is always fmt 0, so any message may be the first that a
player sees.
"""

from __future__ import annotations

from lalmesh.errors import LocalProtocolError
from lalmesh.protocol.rtmp._chunk import DEFAULT_CHUNK_SIZE, EXTENDED, MAX_MESSAGE_BYTES, SET_CHUNK_SIZE, UINT32, Message


def message_header(csid: int, type_id: int, timestamp_ms: int, body_size: int, *, stream_id: int = 1) -> bytes:
    """Give the fmt 0 chunk header that begins a message, with its extended timestamp where one is needed.

    Args:
        csid: chunk stream id, 2 to 65,599.
        type_id: message type id, 8 bits.
        timestamp_ms: any integer; its low 32 bits are written.
        body_size: bytes of the whole message, 0 to `MAX_MESSAGE_BYTES`.
        stream_id: message stream id, 32 bits.

    Raises:
        LocalProtocolError: `body_size` does not fit its field.
    Source: RTMP 1.0 §5.3.1
    """
    if body_size > MAX_MESSAGE_BYTES:
        raise LocalProtocolError(f"message of {body_size} bytes, limit {MAX_MESSAGE_BYTES}", section="RTMP 1.0 §6.1.1")
    time = timestamp_ms & 0xFFFFFFFF
    fields = UINT32.pack(min(time, EXTENDED))[1:] + UINT32.pack(body_size << 8 | type_id) + stream_id.to_bytes(4, "little")
    return _basic_header(0, csid) + fields + (UINT32.pack(time) if time >= EXTENDED else b"")


def _basic_header(fmt: int, csid: int) -> bytes:
    """The 1, 2 or 3 bytes that name fmt and chunk stream (§5.3.1.1)."""
    if csid < 64:
        return bytes((fmt << 6 | csid,))
    if csid < 320:
        return bytes((fmt << 6, csid - 64))
    return bytes((fmt << 6 | 1,)) + (csid - 64).to_bytes(2, "little")


def chunk_message(
    csid: int, type_id: int, timestamp_ms: int, prefix: bytes, payload: bytes, *, chunk_size: int, stream_id: int = 1
) -> list[bytes | memoryview]:
    """Give the wire bytes of one message, as pieces to be joined once with those of other messages.

    The message is `prefix` followed by `payload`; nothing of the payload is copied. A message of one chunk is two pieces: the
    header with the prefix, and the payload. The first chunk is fmt 0, later ones fmt 3, the extended timestamp repeated on each.

    Args:
        csid: chunk stream id, 2 to 65,599.
        type_id: message type id, 8 bits.
        timestamp_ms: any integer; its low 32 bits are written.
        prefix: the first bytes of the message, such as a FLV tag body's header; may be empty.
        payload: the rest of it; the pieces refer to it, so it must not change.
        chunk_size: payload bytes of a chunk, as announced to the peer.
        stream_id: message stream id, 32 bits.

    Raises:
        LocalProtocolError: the message is longer than `MAX_MESSAGE_BYTES`.
    Source: RTMP 1.0 §5.3.1
    """
    size = len(prefix) + len(payload)
    header = message_header(csid, type_id, timestamp_ms, size, stream_id=stream_id)
    if size <= chunk_size:
        return [header + prefix, payload]
    time = timestamp_ms & 0xFFFFFFFF
    between = _basic_header(3, csid) + (UINT32.pack(time) if time >= EXTENDED else b"")
    if len(prefix) > chunk_size:  # only with the tiny chunks that a peer may ask for
        prefix, payload = b"", prefix + payload
    view = memoryview(payload)
    first = chunk_size - len(prefix)
    pieces: list[bytes | memoryview] = [header + prefix, view[:first]]
    for start in range(first, len(view), chunk_size):
        pieces += (between, view[start : start + chunk_size])
    return pieces


class ChunkWriter:
    """Cut messages into chunks of one direction of a connection."""

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE

    def send(self, csid: int, message: Message) -> bytes:
        """Give the wire bytes of `message` on chunk stream `csid`."""
        return b"".join(
            chunk_message(
                csid,
                message.type_id,
                message.timestamp_ms,
                b"",
                message.payload,
                chunk_size=self.chunk_size,
                stream_id=message.stream_id,
            )
        )

    def set_chunk_size(self, chunk_size: int) -> bytes:
        """Give the bytes that announce `chunk_size`, 1 to `MAX_CHUNK_SIZE`; what is sent after them uses it."""
        announcement = self.send(2, Message(SET_CHUNK_SIZE, 0, 0, UINT32.pack(chunk_size)))
        self.chunk_size = chunk_size
        return announcement
