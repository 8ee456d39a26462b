"""How far a recorded playlist has come: what was removed before its first segment still counts (RFC 8216 §6.2.2).

The numbers of kept segments have holes: while no rule wanted them, and where storage or memory failed. Those of a playlist have
none, so a segment is listed under its own number less all that are missing before it; and each hole is a discontinuity. Both are
counted from the first segment on. Before that may be removed, storage is told how far the count has come: by the name of an empty
object, the newest of which holds. Playlists list what comes after it, whether the rest is gone or not yet. Where a
stream has had no kept segment for long, nobody has a playlist that would go on, and the object goes too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lalmesh.names import StreamKey
from lalmesh.protocol.hls import rounded_seconds
from lalmesh.runtime.storage import Storage
from services.hls.kept._names import KeptName

PLACE_ROOT = "record-hls-begin"  #: in shared storage: ``APP/NAME/PLACE`` below it; the newest holds
_PLACE = re.compile(r"(\d{16})-(\d{1,16})-(\d{1,16})-(\d{1,5})", re.ASCII)


@dataclass(slots=True, frozen=True, order=True)
class Place:
    """A recorded playlist right after one of its segments."""

    number: int  #: in the name of the segment
    missing: int  #: numbers before it that no segment has, so that its media sequence number is lower by so much
    discontinuities: int  #: up to it, its own included
    target_s: int  #: the longest target duration so far: that of a playlist must not shrink (§6.2.1)

    def __str__(self) -> str:
        """The last part of its path; in text places are ordered by number."""
        return f"{self.number:016d}-{self.missing}-{self.discontinuities}-{self.target_s}"

    @classmethod
    def parse(cls, file: str) -> Place | None:
        """The place that is written as `file`, None where it is not one."""
        found = _PLACE.fullmatch(file)
        return cls(*map(int, found.groups())) if found is not None else None

    @property
    def sequence(self) -> int:
        """The media sequence number of the segment."""
        return self.number - self.missing


def place_after(before: Place | None, name: KeptName) -> Place:
    """The place after the segment `name`, the next one after `before`; None: it is the first that ever was."""
    target_s = max(name.target_s, rounded_seconds(name.duration))
    if before is None:
        return Place(name.number, 0, int(name.discontinuity), target_s)
    hole = name.number - before.number - 1
    return Place(
        name.number,
        before.missing + hole,
        before.discontinuities + (name.discontinuity or hole > 0),
        max(before.target_s, target_s),
    )


def place_path(stream: StreamKey, place: Place) -> str:
    """Where in storage it is said that playlists of `stream` begin after `place`."""
    return f"{_folder(stream)}/{place}"


def _folder(stream: StreamKey) -> str:
    return f"{PLACE_ROOT}/{stream.quoted()}"


def stream_at(path: str) -> StreamKey:
    """The stream of which it is said there how far its playlist has come.

    Raises:
        InvalidName: nothing of ours is there.
    """
    return StreamKey.from_quoted(path.removeprefix(f"{PLACE_ROOT}/").rpartition("/")[0])


async def read_places(storage: Storage, stream: StreamKey) -> list[Place]:
    """The places after which playlists of `stream` begin, the one that holds last; none where nothing was removed yet.

    Raises:
        StorageUnavailable: it cannot be told.
    """
    found = [Place.parse(stored.path.rpartition("/")[2]) for stored in await storage.list(_folder(stream))]
    return sorted(place for place in found if place is not None)
