"""What an hls worker stores of a stream, and where (docs/design.md §5, Fencing).

```
hls/APP/NAME/owner/{term}.{revision}     marker of a worker, stored before its first segment; digits padded, so that they sort
hls/APP/NAME/state/{term}.{revision}     how far it has come, stored after each segment: all that a successor needs
hls/APP/NAME/{term}.{revision}-...       segments and initialization sections, by the names that playlists list
```
Everything carries the epoch of its writer in its name, so a worker that was outdated without hearing of it harms nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lalmesh.errors import RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import parse_file_name
from lalmesh.runtime.ownership import Epoch, UnitName
from lalmesh.runtime.reader import ReaderMemory
from services.hls.cuts import Targets

ROOT = "hls"
STATE_VERSION = 1  #: of the form of `StoredState`; where it is another, a worker begins anew above all numbers that may be used
EPOCH_DIGITS = 20  #: of a 64-bit number
REMEMBER_S = 86_400.0  #: for how long it stays in storage how far the numbers of a stream went; as the registry does


def folder(stream: StreamKey) -> str:
    """Where everything of `stream` is."""
    return f"{ROOT}/{stream.quoted()}"


def file_path(stream: StreamKey, name: str) -> str:
    """Where the file is that playlists call `name`."""
    return f"{folder(stream)}/{name}"


def owner_path(stream: StreamKey, epoch: Epoch) -> str:
    """The marker of the worker of `epoch`."""
    return f"{owner_folder(stream)}/{_padded(epoch)}"


def owner_folder(stream: StreamKey) -> str:
    """Where the markers are."""
    return f"{folder(stream)}/owner"


def state_path(stream: StreamKey, epoch: Epoch) -> str:
    """The state of the worker of `epoch`."""
    return f"{state_folder(stream)}/{_padded(epoch)}"


def state_folder(stream: StreamKey) -> str:
    """Where the states are."""
    return f"{folder(stream)}/state"


def epoch_in(path: str) -> Epoch | None:
    """The epoch that the last part of a marker's or state's path names, None where it names none."""
    term, _, revision = path.rpartition("/")[2].partition(".")
    return Epoch(int(term), int(revision)) if term.isdecimal() and revision.isdecimal() else None


def stream_of(path: str) -> StreamKey | None:
    """The stream whose folder `path` is in.

    Raises:
        InvalidName: a folder that is called like no stream.
    """
    parts = path.split("/")
    return StreamKey.from_quoted(f"{parts[1]}/{parts[2]}") if len(parts) > 3 and parts[0] == ROOT else None


def _padded(epoch: Epoch) -> str:
    return f"{epoch.term:0{EPOCH_DIGITS}d}.{epoch.revision:0{EPOCH_DIGITS}d}"


@dataclass(slots=True, frozen=True, kw_only=True)
class StoredState:
    """How far a worker has come: the segments before `next_number` are stored."""

    next_number: int
    targets: Targets
    end: int  #: where the last segment ended, ticks
    end_us: int  #: the same as program date-time, Unix microseconds
    stored_us: int  #: Unix time of this state, microseconds
    configuration: tuple[object, ...]  #: of the last segment (see `services.hls.cuts.configuration_of`)
    memory: ReaderMemory  #: of the reader, at the last unit stored
    ended: bool = False  #: the stream is over
    left: bool = False  #: the worker has left it, since nobody asked for it any more
    renditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  #: by name, what each needs to go on
    outdated: tuple[str, ...] = ()  #: names of files that have left the playlists and are still stored, the oldest first

    def serialize(self) -> bytes:
        """The state as it is stored."""
        memory = self.memory
        return json.dumps(
            {
                "version": STATE_VERSION,
                "next": self.next_number,
                "target_s": self.targets.duration_s,
                "part": self.targets.part,
                "end": self.end,
                "end_us": self.end_us,
                "stored_us": self.stored_us,
                "configuration": self.configuration,
                "epoch": list(memory.epoch),
                "last": [memory.last.publication.hex(), memory.last.seq],
                "offset": memory.offset,
                "shifted": memory.shifted,
                "last_dts": {str(track): dts for track, dts in memory.last_dts.items()},
                "ended": self.ended,
                "left": self.left,
                "renditions": self.renditions,
                "outdated": self.outdated,
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def parse(cls, data: bytes) -> StoredState:
        """The reverse of `serialize`.

        Raises:
            RemoteProtocolError: another version, or no state at all.
        """
        try:
            found = json.loads(data)
            if found["version"] != STATE_VERSION:
                raise RemoteProtocolError(f"hls state of version {found['version']}")
            return cls._from(found)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RemoteProtocolError(f"hls state that cannot be read: {error}") from error

    @classmethod
    def _from(cls, found: Mapping[str, Any]) -> StoredState:
        publication, seq = found["last"]
        memory = ReaderMemory(
            epoch=Epoch(*found["epoch"]),
            last=UnitName(bytes.fromhex(publication), seq),
            offset=found["offset"],
            shifted=found["shifted"],
            last_dts={int(track): dts for track, dts in found["last_dts"].items()},
        )
        return cls(
            next_number=int(found["next"]),
            targets=Targets(duration_s=int(found["target_s"]), part=int(found["part"])),
            end=int(found["end"]),
            end_us=int(found["end_us"]),
            stored_us=int(found["stored_us"]),
            configuration=tuple(tuple(track) for track in found["configuration"]),
            memory=memory,
            ended=found["ended"],
            left=found.get("left", False),  # versions before wrote none
            renditions=found["renditions"],
            outdated=tuple(str(parse_file_name(name)) for name in found.get("outdated", ())),  # nor this
        )
