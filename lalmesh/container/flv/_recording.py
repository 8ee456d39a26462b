"""FLV files that can be sought in: duration and keyframe index in an onMetaData that is completed at the end.

The onMetaData at the start has room for what is known only at the end. The rest of its body is AMF 0 nulls: readers take the name
and the first value, and pass over what follows in the tag.
"""

from __future__ import annotations

from lalmesh.amf import AmfValue, EcmaArray, parse_amf0, serialize_amf0
from lalmesh.container.flv._constants import ON_METADATA, TAG_SCRIPT
from lalmesh.container.flv._keyframes import ENTRY_BYTES, MAX_INDEX_ENTRIES, KeyframeIndex
from lalmesh.container.flv._mux import BodyMuxer
from lalmesh.container.flv._tags import (
    HEADER_BYTES,
    MAX_BODY_BYTES,
    PREVIOUS_TAG_SIZE_BYTES,
    TAG_HEADER_BYTES,
    flv_header,
    previous_tag_size,
    tag_header,
)
from lalmesh.errors import UnsupportedError
from lalmesh.media import AccessUnit, Kind, Track, TrackSet, ticks_to_ms

METADATA_AT = HEADER_BYTES + PREVIOUS_TAG_SIZE_BYTES  #: where the tag of the onMetaData begins
MEMBERS_BYTES = 256  #: duration, filesize and the frame of the index with its first entry: under 140 bytes
_PADDING = b"\x05"  # AMF 0 null


class FlvRecording:
    """One FLV file of fixed tracks: `open`, `add` each unit, `finish`. It holds no file, only the bytes that go into one."""

    def __init__(self, tracks: TrackSet, *, index_entries: int = MAX_INDEX_ENTRIES) -> None:
        """Write `tracks`, all of which FLV carries, with room for `index_entries` places to seek to."""
        self._tracks = tracks
        self._muxer = BodyMuxer()
        self._index = KeyframeIndex(index_entries)
        lead = tracks.first(Kind.VIDEO) or tracks.first(Kind.AUDIO)
        self._lead_id = lead.track_id if lead else 0
        self._members = metadata_members(self._muxer.metadata(tracks))
        self._room = len(serialize_amf0(ON_METADATA, self._members)) + MEMBERS_BYTES + ENTRY_BYTES * index_entries
        self.size_bytes = 0  #: of the file so far

    def open(self) -> bytes:
        """What the file begins with: header, onMetaData without its end, configurations."""
        tracks = self._tracks
        header = flv_header(has_audio=tracks.first(Kind.AUDIO) is not None, has_video=tracks.has_video)
        body = metadata_body(self._members, KeyframeIndex(0), 0, 0, self._room)
        data = b"".join((header, _tag(TAG_SCRIPT, body), *map(self._configuration, tracks.tracks)))
        self.size_bytes = len(data)
        return data

    def _configuration(self, track: Track) -> bytes:
        messages = (self._muxer.sequence_header(track), self._muxer.video_metadata(track))
        return b"".join(_tag(*message) for message in messages if message is not None)

    def add(self, unit: AccessUnit, parts: list[bytes | memoryview]) -> int:
        """Add the tag of a unit, at a time from 0 on, to `parts`. Gives the bytes added, 0 where it is of none of the tracks.

        Raises:
            UnsupportedError: it is over `MAX_BODY_BYTES`.
        """
        track = self._tracks.get(unit.track_id)
        if track is None:
            return 0
        time_ms = ticks_to_ms(unit.dts)
        prefix = self._muxer.body_prefix(track, unit)
        body_size = len(prefix) + len(unit.payload)
        if body_size > MAX_BODY_BYTES:
            raise UnsupportedError(f"FLV tag of {body_size} bytes")
        if unit.random_access and unit.track_id == self._lead_id:
            self._index.add(time_ms, self.size_bytes)
        head = tag_header(self._muxer.type_id(track), time_ms, body_size) + prefix
        tail = previous_tag_size(body_size)
        parts += (head, unit.payload, tail)
        size = len(head) + len(unit.payload) + len(tail)
        self.size_bytes += size
        return size

    def finish(self, duration_ms: int) -> tuple[int, bytes]:
        """Where bytes have to be replaced so that the file is complete, and by which."""
        body = metadata_body(self._members, self._index, duration_ms, self.size_bytes, self._room)
        return METADATA_AT, tag_header(TAG_SCRIPT, 0, len(body)) + body


def metadata_members(body: bytes) -> EcmaArray:
    """The members of an onMetaData body without those that depend on the length of the file; none where it is not one.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    values = parse_amf0(body.rstrip(_PADDING))  # which would take longer than all the rest
    members = EcmaArray(values[1]) if len(values) > 1 and isinstance(values[1], dict) else EcmaArray()
    for name in ("duration", "filesize", "keyframes", "lasttimestamp", "lastkeyframetimestamp"):
        members.pop(name, None)
    return members


def metadata_body(members: EcmaArray, index: KeyframeIndex, duration_ms: int, size_bytes: int, room: int) -> bytes:
    """The body of an onMetaData, filled up to `room` bytes. The index is left out where it does not fit."""
    known: dict[str, AmfValue] = {"duration": duration_ms / 1000, "filesize": float(size_bytes)}
    keyframes = index.value(METADATA_AT + TAG_HEADER_BYTES + room + PREVIOUS_TAG_SIZE_BYTES)
    body = serialize_amf0(ON_METADATA, EcmaArray({**members, **known, "keyframes": keyframes}))
    if len(body) > room or not len(index):
        body = serialize_amf0(ON_METADATA, EcmaArray({**members, **known}))
    return body + _PADDING * (room - len(body))


def _tag(type_id: int, body: bytes) -> bytes:
    return tag_header(type_id, 0, len(body)) + body + previous_tag_size(len(body))
