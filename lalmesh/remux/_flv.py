"""Packagers of HTTP-FLV and WebSocket-FLV."""

from __future__ import annotations

from lalmesh.container.flv import flv_header, previous_tag_size, tag_header
from lalmesh.media import Kind, TrackSet
from lalmesh.remux._flv_messages import MessagePackager
from lalmesh.remux._packager import Parts
from lalmesh.remux._websocket import binary_frame_header, binary_message

TAG_OVERHEAD_BYTES = 15  #: tag header and PreviousTagSize


class FlvPackager(MessagePackager):
    """FLV as it goes over HTTP: the file header, then one tag a unit."""

    def _opening(self, tracks: TrackSet) -> bytes:
        return flv_header(has_audio=tracks.first(Kind.AUDIO) is not None, has_video=tracks.has_video)

    def _message(self, type_id: int, timestamp_ms: int, prefix: bytes, payload: bytes, parts: Parts) -> int:
        size = len(prefix) + len(payload)
        parts += (tag_header(type_id, timestamp_ms, size) + prefix, payload, previous_tag_size(size))
        return size + TAG_OVERHEAD_BYTES


class WebSocketFlvPackager(FlvPackager):
    """The same in WebSocket messages: the file header in the first, then one tag a message."""

    def _opening(self, tracks: TrackSet) -> bytes:
        return binary_message(super()._opening(tracks))

    def _message(self, type_id: int, timestamp_ms: int, prefix: bytes, payload: bytes, parts: Parts) -> int:
        size = len(prefix) + len(payload)
        frame = binary_frame_header(size + TAG_OVERHEAD_BYTES)
        parts += (frame + tag_header(type_id, timestamp_ms, size) + prefix, payload, previous_tag_size(size))
        return len(frame) + size + TAG_OVERHEAD_BYTES
