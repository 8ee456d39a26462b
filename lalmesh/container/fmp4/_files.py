"""Fragmented files: written fragment by fragment, and finished with an index and their duration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lalmesh.container.fmp4._carried import TrackCompleter, carried_tracks
from lalmesh.container.fmp4._fragments import Sample, fragment
from lalmesh.container.fmp4._index import RandomAccessEntry, mfra
from lalmesh.container.fmp4._init import init_segment
from lalmesh.media import Kind, TrackSet

MAX_INDEX_ENTRIES = (
    1 << 15
)  #: of one file: nine hours of a key frame each second; beyond, every other one is dropped, again and again


@dataclass(slots=True, frozen=True, kw_only=True)
class FileEnd:
    """What finishes a file."""

    keep_bytes: int  #: what follows in the file is to be cut off
    head: bytes  #: to be written over the start of the file: the init segment, which now knows the duration
    tail: bytes  #: to be added behind `keep_bytes`: the index; empty where there is nothing to index
    duration_ticks: int


class FileContents:
    """What a file holds so far: its random access points, bounded, and how long it lasts."""

    def __init__(self) -> None:
        """Start empty."""
        self.entries: list[RandomAccessEntry] = []  #: at most `MAX_INDEX_ENTRIES`, evenly thinned beyond
        self._step = 1  # of how many points one is kept
        self._points = 0
        self._span: tuple[int, int] | None = None
        self._moof_start = 0
        self._traf = self._number = 0
        self._next: tuple[int, int] | None = None  # track and time that the present `traf` would go on with
        self._indexed: set[int] = set()  # tracks with a point in this fragment

    @property
    def duration_ticks(self) -> int:
        """From the first decode time to the end of the last sample, over all tracks."""
        return self._span[1] - self._span[0] if self._span else 0

    def begin_fragment(self, moof_start: int) -> None:
        """The samples that follow are those of the `moof` at offset `moof_start`."""
        self._moof_start = moof_start
        self._traf = self._number = 0
        self._next = None
        self._indexed.clear()

    def add(self, track_id: int, dts: int, pts: int, duration: int, *, is_point: bool) -> None:
        """Take note of a sample, in the order in which the fragment lists them; `is_point`: players may seek to it."""
        self._span = (min(self._span[0], dts), max(self._span[1], dts + duration)) if self._span else (dts, dts + duration)
        if self._next == (track_id, dts):
            self._number += 1
        else:
            self._traf, self._number = self._traf + 1, 1
        self._next = (track_id, dts + duration)
        if is_point and track_id not in self._indexed:  # the first of its track in a fragment is enough
            self._indexed.add(track_id)
            self._index(RandomAccessEntry(track_id, pts, self._moof_start, self._traf, self._number))

    def _index(self, entry: RandomAccessEntry) -> None:
        if self._points % self._step == 0:
            self.entries.append(entry)
            if len(self.entries) > MAX_INDEX_ENTRIES:
                del self.entries[1::2]
                self._step *= 2
        self._points += 1


class FragmentedFile:
    """The bytes of one recording, of one `TrackSet`: what each fragment adds, and what finishes the file."""

    def __init__(self, tracks: TrackSet, *, time_offset: int | None = None) -> None:
        """Start an empty file.

        Args:
            tracks: of the stream.
            time_offset: ticks that are added to all times; None lets the file begin at 0 with the earliest of its first samples.
        """
        self.tracks = tracks
        self.size_bytes = 0  #: of all that was given so far
        self.left_out = 0  #: samples that came later and are from before the time 0 of the file
        self._time_offset = time_offset
        self._contents = FileContents()
        self._sequence_number = 0

    @property
    def duration_ticks(self) -> int:
        """From the first decode time to the end of the last sample, over all tracks."""
        return self._contents.duration_ticks

    def append(self, samples: Sequence[Sample]) -> list[bytes | memoryview]:
        """What one fragment adds to the file: before the first the init segment, which its samples complete.

        Raises:
            LocalProtocolError: the payloads are over `MAX_FRAGMENT_BYTES`.
        """
        if not self.size_bytes:
            self._complete(samples)
        offset = self._offset_from(samples)
        from_start = [sample for sample in samples if sample.unit.dts + offset >= 0]
        self.left_out += len(samples) - len(from_start)
        parts = fragment(self._sequence_number + 1, from_start, self.tracks, time_offset=offset)
        if not parts:
            return parts
        head = [] if self.size_bytes else [init_segment(self.tracks, duration_ticks=0)]
        self._note(from_start, self.size_bytes + sum(map(len, head)), offset)
        self._sequence_number += 1
        parts = [*head, *parts]
        self.size_bytes += sum(map(len, parts))
        return parts

    def finish(self) -> FileEnd:
        """What finishes the file as it is now."""
        return FileEnd(
            keep_bytes=self.size_bytes,
            head=init_segment(self.tracks, duration_ticks=self.duration_ticks),
            tail=mfra(self._contents.entries),
            duration_ticks=self.duration_ticks,
        )

    def _offset_from(self, samples: Sequence[Sample]) -> int:
        """What is added to times, which the first samples decide."""
        if self._time_offset is None and samples:
            self._time_offset = -min(sample.unit.dts for sample in samples)
        return self._time_offset or 0

    def _complete(self, samples: Sequence[Sample]) -> None:
        completer = TrackCompleter()
        for sample in samples:
            completer.see(sample.unit, self.tracks)
        self.tracks = completer.complete(self.tracks)

    def _note(self, samples: Sequence[Sample], moof_start: int, offset: int) -> None:
        contents = self._contents
        contents.begin_fragment(moof_start)
        for track in carried_tracks(self.tracks):
            is_video = track.kind is Kind.VIDEO
            for sample in samples:
                unit = sample.unit
                if unit.track_id == track.track_id:
                    is_point = is_video and unit.random_access
                    contents.add(unit.track_id, unit.dts + offset, unit.pts + offset, sample.duration, is_point=is_point)
