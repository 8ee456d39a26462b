"""A recording that was not finished: where its last whole tag ends, and what completes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from lalmesh.amf import EcmaArray
from lalmesh.container.flv._constants import (
    COMMAND_FRAME,
    EX_HEADER,
    FORMAT_AAC,
    FORMAT_EX,
    KEY_FRAME,
    LEGACY_HEADER,
    SEQUENCE_START,
    TAG_AUDIO,
    TAG_SCRIPT,
    TAG_VIDEO,
)
from lalmesh.container.flv._keyframes import KeyframeIndex
from lalmesh.container.flv._recording import METADATA_AT, metadata_body, metadata_members
from lalmesh.container.flv._tags import PREVIOUS_TAG_SIZE_BYTES, SIGNATURE, TAG_HEADER_BYTES, tag_header
from lalmesh.errors import LalmeshError

ReadAt: TypeAlias = Callable[[int, int], bytes]  #: offset, count -> at most so many bytes

_LOOKED_AT = TAG_HEADER_BYTES + 2  # of a tag: its header, and of the body what tells a keyframe


@dataclass(slots=True, frozen=True)
class RestoredFlv:
    """How to make a whole file of what is there."""

    end: int  #: bytes to keep; 0: there is no picture or sound in it
    duration_ms: int
    patch: tuple[int, bytes] | None  #: where bytes are to be replaced, and by which; None where the file has no room for them


class _TagHead(NamedTuple):
    type_id: int
    time_ms: int
    end: int  # behind its PreviousTagSize
    flags: bytes  # the first two bytes of the body


def restore_flv(read: ReadAt, size: int) -> RestoredFlv:
    """Look through a file that `FlvRecording` began and nobody finished, whatever was cut off or never reached the disk.

    Args:
        read: reads of the file.
        size: of the file, bytes.
    """
    scan = _Scan()
    metadata_end = 0
    if read(0, len(SIGNATURE)) == SIGNATURE:
        position = METADATA_AT
        while (head := _next(read, position, size)) is not None:
            if position == METADATA_AT and head.type_id == TAG_SCRIPT:
                metadata_end = head.end
            scan.add(head, position)
            position = head.end
        scan.end = position
    if not scan.has_media:
        return RestoredFlv(0, 0, None)
    return RestoredFlv(scan.end, scan.duration_ms, _completed(read, metadata_end, scan) if metadata_end else None)


def _next(read: ReadAt, position: int, size: int) -> _TagHead | None:
    """The whole tag at `position`, None where there is none: the size after it has to be true, so zeros are no tag."""
    head = read(position, _LOOKED_AT)
    if len(head) < TAG_HEADER_BYTES:
        return None
    body_size = int.from_bytes(head[1:4], "big")
    end = position + TAG_HEADER_BYTES + body_size + PREVIOUS_TAG_SIZE_BYTES
    if head[0] not in (TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT) or end > size:
        return None
    said = read(end - PREVIOUS_TAG_SIZE_BYTES, PREVIOUS_TAG_SIZE_BYTES)
    if int.from_bytes(said, "big") != TAG_HEADER_BYTES + body_size:
        return None
    flags = head[TAG_HEADER_BYTES:][:body_size]
    return _TagHead(head[0], head[7] << 24 | int.from_bytes(head[4:7], "big"), end, flags)


@dataclass(slots=True)
class _Scan:
    """What was found so far."""

    end: int = 0
    index: KeyframeIndex = field(default_factory=KeyframeIndex)
    audio: KeyframeIndex = field(default_factory=KeyframeIndex)  # for a file without video
    has_video: bool = False
    last_ms: dict[int, int] = field(default_factory=dict)
    step_ms: dict[int, int] = field(default_factory=dict)

    @property
    def has_media(self) -> bool:
        return bool(self.last_ms)

    @property
    def duration_ms(self) -> int:
        return max(self.last_ms[type_id] + self.step_ms.get(type_id, 0) for type_id in self.last_ms)

    def add(self, head: _TagHead, position: int) -> None:
        if head.type_id == TAG_SCRIPT or not _is_frame(head):
            return
        if head.type_id in self.last_ms:
            self.step_ms[head.type_id] = max(0, head.time_ms - self.last_ms[head.type_id])
        self.last_ms[head.type_id] = head.time_ms
        if head.type_id == TAG_AUDIO:
            self.audio.add(head.time_ms, position)
            return
        self.has_video = True
        if head.flags[0] >> 4 & 0x07 == KEY_FRAME:
            self.index.add(head.time_ms, position)


def _is_frame(head: _TagHead) -> bool:
    """Whether the tag carries a picture or a sound, and no configuration."""
    if not head.flags:
        return False
    first = head.flags[0]
    if head.type_id == TAG_AUDIO:
        sound_format = first >> 4
        if sound_format == FORMAT_EX:
            return first & 0x0F != SEQUENCE_START
        return sound_format != FORMAT_AAC or head.flags[1:2] != bytes((LEGACY_HEADER,))
    if first & EX_HEADER:
        return first >> 4 & 0x07 != COMMAND_FRAME and first & 0x0F != SEQUENCE_START
    return head.flags[1:2] != bytes((LEGACY_HEADER,))


def _completed(read: ReadAt, metadata_end: int, scan: _Scan) -> tuple[int, bytes] | None:
    room = metadata_end - METADATA_AT - TAG_HEADER_BYTES - PREVIOUS_TAG_SIZE_BYTES
    try:
        members = metadata_members(read(METADATA_AT + TAG_HEADER_BYTES, room))
    except LalmeshError:  # the end of the process came while it was being written
        members = EcmaArray()
    index = scan.index if scan.has_video else scan.audio
    body = metadata_body(members, index, scan.duration_ms, scan.end, room)
    if len(body) != room:  # another writer's, which left no room
        return None
    return METADATA_AT, tag_header(TAG_SCRIPT, 0, len(body)) + body
