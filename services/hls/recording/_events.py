"""What a recorder asks for, and what is told of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from lalmesh.names import StreamKey
from services.hls.recording._names import RecordingName
from services.hls.recording._rules import RecordFormat

Parts: TypeAlias = list[bytes | memoryview]  #: pieces of a file, to be written one after the other


class EndReason(Enum):
    """Why a file ended."""

    TIME = "time"  #: as long as its rule allows
    SIZE = "size"  #: as large as its rule allows
    NO_RANDOM_ACCESS = "no random access point"  #: far over what its rule allows, and no picture came that a file can begin with
    CONFIGURATION = "configuration"  #: a codec or its configuration changed
    PUBLICATION = "publication"  #: another publisher, or the same one again
    ENDED = "ended"  #: the stream is over
    STOPPED = "stopped"  #: somebody asked for it, or the process was stopped
    DISK_FULL = "disk full"
    DISK_ERROR = "disk error"
    DISK_SLOW = "disk slow"  #: what waited for it passed its bound
    MEDIA = "media cannot be written"  #: the format has no room for a unit
    RECOVERED = "recovered"  #: found unfinished: its process had died


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordingFinished:
    """A file is complete in the spool."""

    stream: StreamKey
    path: str  #: ``APP/NAME/FILE``, in the spool as in the folder `RECORD_FOLDER` of shared storage
    format: RecordFormat
    size_bytes: int
    duration_ms: int
    started_us: int  #: Unix time in microseconds of its first unit at the publishing edge
    reason: EndReason
    missing: int = 0  #: units that the publication had and the file lacks: lost on the way, or before they were written
    left_out: tuple[str, ...] = ()  #: codecs of tracks that the format cannot carry


@dataclass(slots=True, frozen=True)
class RecordingStored:
    """A file is in shared storage, and no longer in the spool."""

    recording: RecordingFinished


@dataclass(slots=True, frozen=True)
class RecordingDropped:
    """A file was removed from the spool without having been stored: the spool was over its bound."""

    recording: RecordingFinished


@dataclass(slots=True, frozen=True)
class Completion:
    """What makes a file complete after its last unit."""

    tail: bytes = b""  #: to be added at its end
    patch: tuple[int, bytes] | None = None  #: where bytes within it are to be replaced, and by which


@dataclass(slots=True, frozen=True)
class Restored:
    """How to make a whole file of one that nobody finished."""

    end: int  #: bytes to keep; 0: nothing can be played
    duration_ms: int
    completion: Completion


@dataclass(slots=True, frozen=True)
class BeginFile:
    """Make a file, with `data` in it."""

    name: RecordingName
    data: bytes


@dataclass(slots=True, frozen=True)
class Append:
    """Add to the file."""

    parts: Parts
    size_bytes: int
    units: int  #: that are in `parts`, or were begun there


@dataclass(slots=True, frozen=True)
class EndFile:
    """Complete the file."""

    completion: Completion
    finished: RecordingFinished
    units: int = 0  #: that only `completion` holds


@dataclass(slots=True, frozen=True)
class BreakFile:
    """End the file where it is, and make of it what can be made: not all that was meant to be in it is."""

    reason: EndReason
    missing: int = 0
    left_out: tuple[str, ...] = ()


Command: TypeAlias = BeginFile | Append | EndFile | BreakFile
