"""MP4 recordings: fragmented while they grow, with duration and index at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from lalmesh.container.fmp4 import FragmentBuilder, FragmentedFile, recover_file, whole_fragments_end
from lalmesh.errors import LalmeshError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Kind, TrackSet, ticks_to_ms
from services.hls.recording._events import Completion, Parts, Restored

ReadAt: TypeAlias = Callable[[int, int], bytes]  #: offset, count -> at most so many bytes

FRAGMENT_TICKS = 2 * TICKS_PER_SECOND  #: of a fragment at most: what a crash can cost; it also ends before a random access point
FRAGMENT_BYTES = 8 << 20  #: the same: 3 s of 20 Mbit/s


class Mp4File:
    """Fragmented MP4: a fragment from each random access point on, or sooner."""

    def __init__(self, tracks: TrackSet) -> None:
        """Write `tracks`, each of which fMP4 carries."""
        self._tracks = tracks
        self._lead = tracks.first(Kind.VIDEO)
        self._builder = FragmentBuilder()
        self._file = FragmentedFile(tracks, time_offset=0)

    def open(self) -> bytes:
        """See `FileMuxer.open`: the init segment comes with the first fragment, which completes it."""
        return b""

    def add(self, unit: AccessUnit, parts: Parts) -> int:
        """See `FileMuxer.add`."""
        size = self._take(unit, parts) if self._full(unit) else 0
        self._builder.add(unit, self._tracks)
        return size

    def _full(self, unit: AccessUnit) -> bool:
        builder = self._builder
        if not builder.pending_samples:
            return False
        begins = self._lead is not None and unit.random_access and unit.track_id == self._lead.track_id
        return begins or builder.pending_ticks >= FRAGMENT_TICKS or builder.pending_bytes >= FRAGMENT_BYTES

    def _take(self, following: AccessUnit | None, parts: Parts) -> int:
        added = self._file.append(self._builder.take(following))
        parts += added
        return sum(map(len, added))

    def finish(self, duration_ticks: int) -> Completion:
        """See `FileMuxer.finish`."""
        parts: Parts = []
        self._take(None, parts)
        end = self._file.finish()
        return Completion(tail=b"".join((*parts, end.tail)), patch=(0, end.head))


def restore_mp4(read: ReadAt, size: int) -> Restored:
    """Where the last whole fragment of a file of `size` bytes ends, and what completes it."""
    try:
        found = recover_file(read, size)
    except LalmeshError:  # of which no index can be made: kept as it is, for somebody to look at
        return Restored(whole_fragments_end(read, size), 0, Completion())
    if found is None:
        return Restored(0, 0, Completion())
    return Restored(found.keep_bytes, ticks_to_ms(found.duration_ticks), Completion(found.tail, (0, found.head)))
