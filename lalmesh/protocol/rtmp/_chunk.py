"""The RTMP chunk stream: messages cut into chunks, and put together again (RTMP 1.0 §5).

A chunk is a basic header (fmt and chunk stream id), a message header whose form fmt names, perhaps an extended timestamp, and a
slice of one message. What a shorter header leaves out is taken from the chunk before it on the same chunk stream:

| fmt | message header                              | timestamp                    |
|-----|---------------------------------------------|------------------------------|
| 0   | timestamp, length, type, message stream id  | absolute                     |
| 1   | delta, length, type                         | the last one plus delta      |
| 2   | delta                                       | the last one plus delta      |
| 3   | nothing                                     | the same message goes on, or a new one with the last delta |

`_chunk_reader.py` reads them, `_chunk_writer.py` writes them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lalmesh.errors import RemoteProtocolError

DEFAULT_CHUNK_SIZE = 128  #: both ways, until Set Chunk Size says otherwise (§5.4.1)
MAX_CHUNK_SIZE = 0x7FFFFFFF  #: the first bit of Set Chunk Size is zero (§5.4.1)
MAX_MESSAGE_BYTES = 0xFFFFFF  #: the length field has 24 bits

SET_CHUNK_SIZE = 1
ABORT = 2

EXTENDED = 0xFFFFFF  #: in the 24-bit field: the 32-bit one follows (§5.3.1.3)
UINT32 = struct.Struct(">I")


@dataclass(slots=True)
class Message:
    """One RTMP message, reassembled from its chunks (RTMP 1.0 §6.1). Not frozen: one is built for each media message."""

    type_id: int  #: message type id (§7.1): 8 audio, 9 video, 18 AMF0 data, 20 AMF0 command
    stream_id: int  #: message stream id; 0 is the connection itself
    timestamp_ms: int  #: unsigned 32 bits, wraps
    payload: bytes


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
