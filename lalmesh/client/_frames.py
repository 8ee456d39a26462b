"""What each tag of a stream is: a frame, or something about frames."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, BodyDemuxer, Tag
from lalmesh.errors import LalmeshError
from lalmesh.media import AccessUnit, Kind, MediaEvent, TrackEnded, TrackSet

_KINDS = {TAG_AUDIO: Kind.AUDIO, TAG_VIDEO: Kind.VIDEO}


class TagKind(Enum):
    """What a tag is."""

    VIDEO = auto()  #: a coded picture
    AUDIO = auto()  #: a coded audio frame
    CONFIGURATION = auto()  #: of a decoder
    END = auto()  #: of a track
    OTHER = auto()  #: script data, and what has no meaning in FLV

    @property
    def is_frame(self) -> bool:
        """Whether its time says when it is due."""
        return self in (TagKind.VIDEO, TagKind.AUDIO)


class TagSorter:
    """Tell what the tags of one stream are. What cannot be read counts as a frame of its type: it is passed on all the same."""

    def __init__(self) -> None:
        """Start without tracks."""
        self._demuxer = BodyDemuxer()

    @property
    def tracks(self) -> TrackSet:
        """The tracks so far."""
        return self._demuxer.tracks

    def sort(self, tag: Tag) -> TagKind:
        """What `tag`, the next one of the stream, is."""
        kind = _KINDS.get(tag.type_id)
        try:
            events = self._demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
        except LalmeshError:
            events = []
        if kind is None:
            return TagKind.OTHER
        if events:
            return _kind_of(events, kind)
        # Nothing new about a track that is known: its configuration again.
        return TagKind.CONFIGURATION if self.tracks.first(kind) is not None else _frame_of(kind)


def _kind_of(events: list[MediaEvent], kind: Kind) -> TagKind:
    if any(isinstance(event, AccessUnit) for event in events):
        return _frame_of(kind)
    return TagKind.END if isinstance(events[-1], TrackEnded) else TagKind.CONFIGURATION


def _frame_of(kind: Kind) -> TagKind:
    return TagKind.VIDEO if kind is Kind.VIDEO else TagKind.AUDIO


@dataclass(slots=True)
class Counts:
    """What has been moved so far."""

    tags: int = 0
    size_bytes: int = 0  #: of bodies
    video_frames: int = 0
    audio_frames: int = 0

    def add(self, kind: TagKind, tag: Tag) -> None:
        """Count `tag`, which is of `kind`."""
        self.tags += 1
        self.size_bytes += len(tag.body)
        self.video_frames += kind is TagKind.VIDEO
        self.audio_frames += kind is TagKind.AUDIO

    def __str__(self) -> str:
        """For people."""
        return f"{self.tags} messages, {self.size_bytes} bytes, {self.video_frames} pictures, {self.audio_frames} audio frames"
