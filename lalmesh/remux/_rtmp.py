"""The packager of RTMP players."""

from __future__ import annotations

from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, BodyMuxer
from lalmesh.protocol.rtmp import chunk_message
from lalmesh.remux._flv_messages import MessagePackager
from lalmesh.remux._packager import Parts

DATA_CSID = 5
CSIDS = {TAG_AUDIO: 6, TAG_VIDEO: 7}  #: chunk streams of shared messages: the same for every player


class RtmpPackager(MessagePackager):
    """RTMP messages in chunks that any player of the same chunk size and message stream id can share."""

    def __init__(self, muxer: BodyMuxer, *, chunk_size: int, stream_id: int = 1) -> None:
        """Write chunks of `chunk_size` payload bytes on message stream `stream_id`."""
        super().__init__(muxer)
        self._chunk_size = chunk_size
        self._stream_id = stream_id

    def _message(self, type_id: int, timestamp_ms: int, prefix: bytes, payload: bytes, parts: Parts) -> int:
        csid = CSIDS.get(type_id, DATA_CSID)
        pieces = chunk_message(csid, type_id, timestamp_ms, prefix, payload, chunk_size=self._chunk_size, stream_id=self._stream_id)
        parts += pieces
        return sum(map(len, pieces))
