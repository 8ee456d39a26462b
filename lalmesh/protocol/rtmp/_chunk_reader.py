"""The chunk stream on its way in: messages put together from the bytes of one direction of a connection (see `_chunk.py`).

A payload is copied once when its message came in one chunk and one read, else twice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from lalmesh.allowance import Allowance
from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.protocol.rtmp._chunk import (
    ABORT,
    DEFAULT_CHUNK_SIZE,
    EXTENDED,
    MAX_MESSAGE_BYTES,
    SET_CHUNK_SIZE,
    UINT32,
    Message,
    parse_chunk_size,
)

MAX_CHUNK_STREAMS = 64  #: real encoders use under ten; the protocol's 65,597 would hold memory for nothing
MAX_INTERLEAVED_BYTES = 1 << 20  #: unfinished messages of one connection beside a largest one, and no more than that one has
MAX_OPENING_MESSAGE_BYTES = 64 << 10  #: of a message before any media: a command, which is bounded alike
#: A message may take one byte, which costs as much as one of hundreds: over time each has to come with so many bytes, headers and
#: others' included. Frames of silence and acknowledgements have less, so a read may bring some for nothing, and a burst many.
MESSAGE_WEIGHT_BYTES = 16
LIGHT_BYTES_OF_A_READ = 16 * MESSAGE_WEIGHT_BYTES
LIGHT_BYTES_OF_A_BURST = 256 << 10

_MESSAGE_HEADER_BYTES = (11, 7, 3, 0)  # by fmt
# This and `UINT32` are read one byte early, with the last byte of the basic header: so 24-bit fields are the low bits of words.
_TIMESTAMP_LENGTH_TYPE = struct.Struct(">II")
_STREAM_ID = struct.Struct("<I")
_FMT_1, _FMT_2, _FMT_3 = 0x40, 0x80, 0xC0  # in the first byte of a chunk
_LONGEST_USUAL_HEADER_BYTES = 12  # of fmt 0 with a basic header of one byte and no extended timestamp


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
        self._allowance = Allowance("messages", of_a_read_bytes=LIGHT_BYTES_OF_A_READ, burst_bytes=LIGHT_BYTES_OF_A_BURST)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Message]:
        """Iterate over the messages that `data` completed. Set Chunk Size and Abort take effect here and are not given.

        All of `data` has been read when this returns, so it may be reused at once. After an error the reader is of no more use.

        Raises:
            RemoteProtocolError: while iterating, after the messages before it: a header without the one that it refers to, a
                chunk size of zero, a message that changes its length half-way.
            LimitExceeded: too long a message, too many chunk streams, too much that is not complete, messages of next to nothing
                without end.
        Source: RTMP 1.0 §5.3, §5.4
        """
        messages: list[Message] = []
        self._allowance.read(len(data))
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
            elif size := self._read_whole(view, at, end, messages):
                at += size
            else:
                size = self._read_header(view, at, end)
                if not size:
                    self._head = bytes(view[at:])
                    return
                at += size
                if not self._wanted:
                    self._complete(b"", messages)

    def _read_whole(self, view: memoryview, at: int, end: int, messages: list[Message]) -> int:
        """The hot path: take a message that is here with all of its chunks; give its size, 0 where any of it is unusual."""
        first = view[at]
        stream = self._streams.get(first & 0x3F)
        if stream is None or first >= _FMT_2 or stream.partial or end - at < _LONGEST_USUAL_HEADER_BYTES:
            return 0
        word: int
        length_type: int
        word, length_type = _TIMESTAMP_LENGTH_TYPE.unpack_from(view, at)
        field, length, type_id = word & 0xFFFFFF, length_type >> 8, length_type & 0xFF
        start = at + (8 if first & _FMT_1 else 12)
        chunk_size = self.chunk_size
        size = length + (length - 1) // chunk_size  # with the headers of fmt 3
        if not 0 < length <= self._max_message_bytes or field == EXTENDED or type_id <= ABORT or size > end - start:
            return 0
        if size == length:
            payload = bytes(view[start : start + length])
        else:
            step = chunk_size + 1
            headers = bytes(view[start + chunk_size : start + size : step])
            if headers != bytes((_FMT_3 | first & 0x3F,)) * (size - length):
                return 0
            pieces = [view[piece : piece + chunk_size] for piece in range(start, start + size, step)]
            pieces[-1] = pieces[-1][: length - (size - length) * chunk_size]
            payload = b"".join(pieces)
        if first & _FMT_1:
            stream.timestamp = (stream.timestamp + field) & 0xFFFFFFFF
        else:
            stream.timestamp = field
            (stream.stream_id,) = _STREAM_ID.unpack_from(view, at + 8)
        stream.delta, stream.extended, stream.length, stream.type_id = field, False, length, type_id
        message = Message(type_id, stream.stream_id, stream.timestamp, payload)
        messages.append(message)
        if self._opens_media is not None:
            self._look_for_opening(message)
        return start + size - at

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
            field, length, type_id = UINT32.unpack_from(view, at)[0] & 0xFFFFFF, stream.length, stream.type_id
        else:
            word, length_type = _TIMESTAMP_LENGTH_TYPE.unpack_from(view, at)
            field, length, type_id = word & 0xFFFFFF, length_type >> 8, length_type & 0xFF
        extended = field == EXTENDED
        if extended:
            if available < size + 4:
                return 0
            (field,) = UINT32.unpack_from(view, at + 1 + _MESSAGE_HEADER_BYTES[fmt])
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
            if any(UINT32.pack(time).startswith(seen) for time in (stream.delta, stream.timestamp)):
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
        self._allowance.take(MESSAGE_WEIGHT_BYTES)  # what the hot path takes has nine at least
        if stream.type_id > ABORT:
            message = Message(stream.type_id, stream.stream_id, stream.timestamp, payload)
            messages.append(message)
            self._look_for_opening(message)
        elif stream.type_id == SET_CHUNK_SIZE:  # holds from the very next chunk (§5.4.1)
            self.chunk_size = parse_chunk_size(payload)
        elif stream.type_id == ABORT:
            self._abort(payload)

    def _look_for_opening(self, message: Message) -> None:
        if self._opens_media is not None and self._opens_media(message):
            self._opens_media = None
            self._max_message_bytes = self._largest_bytes

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
