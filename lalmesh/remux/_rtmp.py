"""The packager of RTMP players."""

from __future__ import annotations

from lalmesh.container.flv import BodyMuxer
from lalmesh.protocol.rtmp import MEDIA_CSID, chunk_message
from lalmesh.remux._flv_messages import MessagePackager
from lalmesh.remux._packager import Parts


class RtmpPackager(MessagePackager):
    """RTMP messages in chunks that any player of the same chunk size and message stream id can share."""

    def __init__(self, muxer: BodyMuxer, *, chunk_size: int, stream_id: int = 1) -> None:
        """Write chunks of `chunk_size` payload bytes on message stream `stream_id`."""
        super().__init__(muxer)
        self._chunk_size = chunk_size
        self._stream_id = stream_id

    def _message(self, type_id: int, timestamp_ms: int, prefix: bytes, payload: bytes, parts: Parts) -> int:
        csid = MEDIA_CSID[type_id]
        pieces = chunk_message(csid, type_id, timestamp_ms, prefix, payload, chunk_size=self._chunk_size, stream_id=self._stream_id)
        parts += pieces
        return sum(map(len, pieces))
