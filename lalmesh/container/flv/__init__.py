"""FLV: files and HTTP-FLV streams, and the bodies that their tags share with RTMP messages, enhanced RTMP v1 and v2 included."""

from __future__ import annotations

from lalmesh.container.flv._constants import (
    AUDIO_TRACK_ID,
    ON_METADATA,
    SCRIPT_TRACK_ID,
    SET_DATA_FRAME,
    TAG_AUDIO,
    TAG_SCRIPT,
    TAG_SCRIPT_AMF3,
    TAG_VIDEO,
    VIDEO_TRACK_ID,
    HevcForm,
    OpusForm,
)
from lalmesh.container.flv._demux import BodyDemuxer
from lalmesh.container.flv._events import MAX_CONFIGURATION_BYTES
from lalmesh.container.flv._keyframes import MAX_INDEX_ENTRIES
from lalmesh.container.flv._mux import BodyMuxer, BodyPrefix, carries
from lalmesh.container.flv._recording import FlvRecording
from lalmesh.container.flv._restore import RestoredFlv, restore_flv
from lalmesh.container.flv._script import MAX_METADATA_BYTES
from lalmesh.container.flv._tags import (
    HEADER_BYTES,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    PREVIOUS_TAG_SIZE_BYTES,
    TAG_HEADER_BYTES,
    Tag,
    TagReader,
    flv_header,
    previous_tag_size,
    tag_header,
)
from lalmesh.container.flv._video_metadata import MAX_VIDEO_METADATA_BYTES

__all__ = [
    "AUDIO_TRACK_ID",
    "HEADER_BYTES",
    "MAX_BODY_BYTES",
    "MAX_CONFIGURATION_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_INDEX_ENTRIES",
    "MAX_METADATA_BYTES",
    "MAX_VIDEO_METADATA_BYTES",
    "ON_METADATA",
    "PREVIOUS_TAG_SIZE_BYTES",
    "SCRIPT_TRACK_ID",
    "SET_DATA_FRAME",
    "TAG_AUDIO",
    "TAG_HEADER_BYTES",
    "TAG_SCRIPT",
    "TAG_SCRIPT_AMF3",
    "TAG_VIDEO",
    "VIDEO_TRACK_ID",
    "BodyDemuxer",
    "BodyMuxer",
    "BodyPrefix",
    "FlvRecording",
    "HevcForm",
    "OpusForm",
    "RestoredFlv",
    "Tag",
    "TagReader",
    "carries",
    "flv_header",
    "previous_tag_size",
    "restore_flv",
    "tag_header",
]
