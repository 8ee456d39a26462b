"""The RTMP chunk stream: messages cut into chunks, and put together again (RTMP 1.0 §5).

A chunk is a basic header (fmt and chunk stream id), a message header whose form fmt names, perhaps an extended timestamp, and a
slice of one message. What a shorter header leaves out is taken from the chunk before it on the same chunk stream:

| fmt | message header                              | timestamp                    |
|-----|---------------------------------------------|------------------------------|
| 0   | timestamp, length, type, message stream id  | absolute                     |
| 1   | delta, length, type                         | the last one plus delta      |
| 2   | delta                                       | the last one plus delta      |
| 3   | nothing                                     | the same message goes on, or a new one with the last delta |

The reader copies a payload once when its message came in one chunk and one read, else twice. The writer keeps no state per chunk
stream: the first chunk of a message is always fmt 0, so any message may be the first that a player sees.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError

DEFAULT_CHUNK_SIZE = 128  #: both ways, until Set Chunk Size says otherwise (§5.4.1)
MAX_CHUNK_SIZE = 0x7FFFFFFF  #: the first bit of Set Chunk Size is zero (§5.4.1)
MAX_MESSAGE_BYTES = 0xFFFFFF  #: the length field has 24 bits
MAX_CHUNK_STREAMS = 64  #: real encoders use under ten; the protocol's 65,597 would hold memory for nothing
MAX_INTERLEAVED_BYTES = 1 << 20  #: unfinished messages of one connection beside a largest one, and no more than that one has
MAX_OPENING_MESSAGE_BYTES = 64 << 10  #: of a message before any media: a command, which is bounded alike

SET_CHUNK_SIZE = 1
ABORT = 2

_EXTENDED = 0xFFFFFF  # in the 24-bit field: the 32-bit one follows (§5.3.1.3)
_MESSAGE_HEADER_BYTES = (11, 7, 3, 0)  # by fmt
# Both begin one byte early, with the last byte of the basic header, so that the 24-bit fields are the low bits of whole words.
_TIMESTAMP_LENGTH_TYPE = struct.Struct(">II")
_UINT32 = struct.Struct(">I")


@dataclass(slots=True)
class Message:
    """One RTMP message, reassembled from its chunks (RTMP 1.0 §6.1). Not frozen: one is built for each media message."""

    type_id: int  #: message type id (§7.1): 8 audio, 9 video, 18 AMF0 data, 20 AMF0 command
    stream_id: int  #: message stream id; 0 is the connection itself
    timestamp_ms: int  #: unsigned 32 bits, wraps
    payload: bytes


class _ChunkStream:
    """What one chunk stream remembers: the header fields that shorter forms leave out, and the message that is not complete."""

    __slots__ = ("delta", "extended", "length", "partial", "stream_id", "timestamp", "type_id")

    def __init__(self) -> None:
        self.timestamp = 0
        self.delta = 0  # the newest timestamp field: a delta, or after fmt 0 the timestamp itself
        self.extended = False  # whether that field was an extended one
        self.length = 0
        self.type_id = 0
        self.stream_id = 0
        self.partial = bytearray()


class ChunkReader:
    """Put messages together from the bytes of one direction of a connection."""

    def __init__(self, *, max_message_bytes: int = MAX_MESSAGE_BYTES, opens_media: Callable[[Message], bool] | None = None) -> None:
        """Begin after the handshake.

        Args:
            max_message_bytes: largest message accepted, at most `MAX_MESSAGE_BYTES`.
            opens_media: where given, no message may be over `MAX_OPENING_MESSAGE_BYTES` until this is true of one. Media may follow
                that one in the same bytes, so it is asked about each message while the bytes are read.
        """
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._opens_media = opens_media
        self._largest_bytes = max_message_bytes
        self._max_message_bytes = max_message_bytes if opens_media is None else min(max_message_bytes, MAX_OPENING_MESSAGE_BYTES)
        self._streams: dict[int, _ChunkStream] = {}
        self._current = _ChunkStream()  # the stream whose chunk is being read
        self._wanted = 0  # bytes that this chunk still lacks
        self._head = b""  # an incomplete header, under 18 bytes
        self._partial_bytes = 0  # over all chunk streams

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Message]:
        """Iterate over the messages that `data` completed. Set Chunk Size and Abort take effect here and are not given.

        All of `data` has been read when this returns, so it may be reused at once. After an error the reader is of no more use.

        Raises:
            RemoteProtocolError: while iterating, after the messages before it: a header without the one that it refers to, a
                chunk size of zero, a message that changes its length half-way.
            LimitExceeded: too long a message, too many chunk streams, too much that is not complete.
        Source: RTMP 1.0 §5.3, §5.4
        """
        messages: list[Message] = []
        try:
            self._read(memoryview(data), messages)
        except RemoteProtocolError as error:
            return _messages_then_error(messages, error)
        return iter(messages)

    def _read(self, view: memoryview, messages: list[Message]) -> None:
        if self._head:  # rare: a read ended inside a header
            view, self._head = memoryview(self._head + bytes(view)), b""
        at, end = 0, len(view)
        while True:
            wanted = self._wanted
            if wanted:
                if at >= end:
                    return
                at += self._read_payload(view, at, wanted if wanted <= end - at else end - at, messages)
            elif at >= end:
                return
            else:
                size = self._read_header(view, at, end)
                if not size:
                    self._head = bytes(view[at:])
                    return
                at += size
                if not self._wanted:
                    self._complete(b"", messages)

    def _read_header(self, view: memoryview, at: int, end: int) -> int:
        """Take a whole chunk header at `at` into the state; give its size, 0 if it is not all there."""
        fmt, csid = view[at] >> 6, view[at] & 0x3F
        basic = 1
        if csid < 2:  # 0 and 1 announce the two- and three-byte forms (§5.3.1.1)
            basic = 2 + csid
            if end - at < basic:
                return 0
            csid = 64 + int.from_bytes(view[at + 1 : at + basic], "little")
        size = basic + _MESSAGE_HEADER_BYTES[fmt]
        if end - at < size:
            return 0
        stream = self._streams.get(csid) or self._open(csid, fmt)
        if fmt == 3:
            size = self._continue(stream, view, at, size, end)
        else:
            size = self._begin(stream, fmt, view, at + basic - 1, size, end - at)
        if size:
            self._current = stream
            left = stream.length - len(stream.partial)
            self._wanted = left if left < self.chunk_size else self.chunk_size
        return size

    def _open(self, csid: int, fmt: int) -> _ChunkStream:
        if fmt >= 2:
            raise RemoteProtocolError(f"first chunk of chunk stream {csid} has fmt {fmt}", section="RTMP 1.0 §5.3.1.2")
        # Interop: librtmp opens chunk stream 2 with fmt 1, meaning message stream 0.
        if len(self._streams) >= MAX_CHUNK_STREAMS:
            raise LimitExceeded("chunk streams", len(self._streams) + 1, MAX_CHUNK_STREAMS)
        stream = self._streams[csid] = _ChunkStream()
        return stream

    def _begin(self, stream: _ChunkStream, fmt: int, view: memoryview, at: int, size: int, available: int) -> int:
        """Take a message header of fmt 0, 1 or 2; `at` is the byte before it. Give the size of the chunk header, 0 to wait."""
        if fmt == 2:
            field, length, type_id = _UINT32.unpack_from(view, at)[0] & 0xFFFFFF, stream.length, stream.type_id
        else:
            word, length_type = _TIMESTAMP_LENGTH_TYPE.unpack_from(view, at)
            field, length, type_id = word & 0xFFFFFF, length_type >> 8, length_type & 0xFF
        extended = field == _EXTENDED
        if extended:
            if available < size + 4:
                return 0
            (field,) = _UINT32.unpack_from(view, at + 1 + _MESSAGE_HEADER_BYTES[fmt])
            size += 4
        if stream.partial:
            # Interop: some encoders repeat the header on later chunks; the message keeps the times of its first one.
            if (length, type_id) != (stream.length, stream.type_id):
                raise RemoteProtocolError(
                    f"message of {length} bytes begins {stream.length - len(stream.partial)} bytes before the end of another",
                    section="RTMP 1.0 §5.3.1.2",
                )
            return size
        if length > self._max_message_bytes:
            raise LimitExceeded("message bytes", length, self._max_message_bytes)
        if fmt == 0:
            stream.timestamp = field
            stream.stream_id = int.from_bytes(view[at + 8 : at + 12], "little")
        else:
            stream.timestamp = (stream.timestamp + field) & 0xFFFFFFFF
        stream.delta, stream.extended = field, extended
        stream.length, stream.type_id = length, type_id
        return size

    def _continue(self, stream: _ChunkStream, view: memoryview, at: int, size: int, end: int) -> int:
        """Take a header of fmt 3: the next chunk of a message, or the first of a new one. Give its size, 0 to wait."""
        if stream.extended:
            # Interop: the standard repeats the extended timestamp here; some encoders leave it out. What follows tells: it is the
            # same number (or, from others, the absolute time of the message), or it is payload.
            seen = bytes(view[at + size : min(at + size + 4, end)])
            if any(_UINT32.pack(time).startswith(seen) for time in (stream.delta, stream.timestamp)):
                if len(seen) < 4:
                    return 0
                size += 4
        if not stream.partial:
            # After fmt 0 the delta is the timestamp itself, by the letter of §5.3.1.2.4, and encoders do reckon with it.
            stream.timestamp = (stream.timestamp + stream.delta) & 0xFFFFFFFF
        return size

    def _read_payload(self, view: memoryview, at: int, size: int, messages: list[Message]) -> int:
        """Take `size` bytes of the current chunk; give how many they are."""
        stream = self._current
        if size == stream.length:
            self._wanted = 0
            self._complete(bytes(view[at : at + size]), messages)
            return size
        stream.partial += view[at : at + size]
        self._wanted -= size
        self._partial_bytes += size
        if len(stream.partial) == stream.length:
            self._partial_bytes -= stream.length
            payload = bytes(stream.partial)
            stream.partial = bytearray()
            self._complete(payload, messages)
        elif self._partial_bytes > self._max_message_bytes:
            self._check_partial()
        return size

    def _check_partial(self) -> None:
        limit = self._max_message_bytes + min(self._max_message_bytes, MAX_INTERLEAVED_BYTES)
        if self._partial_bytes > limit:
            raise LimitExceeded("bytes of incomplete messages", self._partial_bytes, limit)

    def _complete(self, payload: bytes, messages: list[Message]) -> None:
        stream = self._current
        if stream.type_id > ABORT:
            message = Message(stream.type_id, stream.stream_id, stream.timestamp, payload)
            messages.append(message)
            if self._opens_media is not None and self._opens_media(message):
                self._opens_media = None
                self._max_message_bytes = self._largest_bytes
        elif stream.type_id == SET_CHUNK_SIZE:  # holds from the very next chunk (§5.4.1)
            self.chunk_size = parse_chunk_size(payload)
        elif stream.type_id == ABORT:
            self._abort(payload)

    def _abort(self, payload: bytes) -> None:
        """Forget the incomplete message of a chunk stream (§5.4.2)."""
        if len(payload) != 4:
            raise RemoteProtocolError(f"Abort of {len(payload)} bytes", section="RTMP 1.0 §5.4.2")
        stream = self._streams.get(int.from_bytes(payload, "big"))
        if stream is not None:
            self._partial_bytes -= len(stream.partial)
            stream.partial = bytearray()


def _messages_then_error(messages: list[Message], error: RemoteProtocolError) -> Iterator[Message]:
    yield from messages
    raise error


def parse_chunk_size(payload: bytes) -> int:
    """Give the chunk size in a Set Chunk Size message, 1 to `MAX_CHUNK_SIZE` bytes.

    Raises:
        RemoteProtocolError: it is not four bytes, zero, or has its first bit set.
    Source: RTMP 1.0 §5.4.1
    """
    size = int.from_bytes(payload, "big") if len(payload) == 4 else 0
    if not 0 < size <= MAX_CHUNK_SIZE:
        raise RemoteProtocolError(f"Set Chunk Size of {payload[:8].hex() or 'no bytes'}", section="RTMP 1.0 §5.4.1")
    return size


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
    fields = _UINT32.pack(min(time, _EXTENDED))[1:] + _UINT32.pack(body_size << 8 | type_id) + stream_id.to_bytes(4, "little")
    return _basic_header(0, csid) + fields + (_UINT32.pack(time) if time >= _EXTENDED else b"")


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
    between = _basic_header(3, csid) + (_UINT32.pack(time) if time >= _EXTENDED else b"")
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
        announcement = self.send(2, Message(SET_CHUNK_SIZE, 0, 0, _UINT32.pack(chunk_size)))
        self.chunk_size = chunk_size
        return announcement
