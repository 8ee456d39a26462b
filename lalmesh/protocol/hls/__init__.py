"""HLS: playlists, the names and URLs around them, and blocking reload, without input or output.

Source: RFC 8216 and its second edition, draft-pantos-hls-rfc8216bis (rfc8216bis in what follows).
"""

from __future__ import annotations

from lalmesh.protocol.hls._model import (
    HOLD_BACK_TARGETS,
    PART_HOLD_BACK_TARGETS,
    PARTS_LISTED_TARGETS,
    SKIP_BOUNDARY_TARGETS,
    MediaPlaylist,
    OpenSegment,
    Part,
    PlaylistKind,
    Segment,
    rounded_seconds,
)
from lalmesh.protocol.hls._multivariant import Variant, render_multivariant, with_query
from lalmesh.protocol.hls._names import (
    MAX_EPOCH_NUMBER,
    MAX_INIT_INDEX,
    MAX_MEDIA_SEQUENCE,
    MAX_PART_INDEX,
    FileName,
    InitName,
    PartName,
    SegmentName,
    parse_file_name,
)
from lalmesh.protocol.hls._paths import PLAYLIST_SUFFIX, HlsPath, PlaylistName, parse_path
from lalmesh.protocol.hls._query import kept_query
from lalmesh.protocol.hls._reload import Answer, Ready, Refused, ReloadRequest, Wait, answer_to, parse_reload
from lalmesh.protocol.hls._render import render_media
from lalmesh.protocol.hls._state import State
from lalmesh.protocol.hls._window import MAX_LISTED, PlaylistWindow

__all__ = [
    "HOLD_BACK_TARGETS",
    "MAX_EPOCH_NUMBER",
    "MAX_INIT_INDEX",
    "MAX_LISTED",
    "MAX_MEDIA_SEQUENCE",
    "MAX_PART_INDEX",
    "PARTS_LISTED_TARGETS",
    "PART_HOLD_BACK_TARGETS",
    "PLAYLIST_SUFFIX",
    "SKIP_BOUNDARY_TARGETS",
    "Answer",
    "FileName",
    "HlsPath",
    "InitName",
    "MediaPlaylist",
    "OpenSegment",
    "Part",
    "PartName",
    "PlaylistKind",
    "PlaylistName",
    "PlaylistWindow",
    "Ready",
    "Refused",
    "ReloadRequest",
    "Segment",
    "SegmentName",
    "State",
    "Variant",
    "Wait",
    "answer_to",
    "kept_query",
    "parse_file_name",
    "parse_path",
    "parse_reload",
    "render_media",
    "render_multivariant",
    "rounded_seconds",
    "with_query",
]
