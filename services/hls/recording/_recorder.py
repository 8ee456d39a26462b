"""The recorder: a pure core that makes files of one format out of the units of one stream.

It takes runs in and gives commands: begin a file, add to it, end it. It knows no disk and no clock; times are those of the units.

A file begins at a random access point of its leading track, the video if there is one, and never holds two publications or two
configurations. Its times start at 0, so the first units are held until every track has shown one: the earliest is the start.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from lalmesh.media import TICKS_PER_SECOND, AccessUnit, ticks_to_ms
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.ring import Run
from services.hls.recording._events import Append, BeginFile, BreakFile, Command, EndFile, EndReason, Parts, RecordingFinished
from services.hls.recording._formats import FORMATS, FileMuxer
from services.hls.recording._names import RecordingName
from services.hls.recording._rules import MAX_FILE_S, RecordFormat, RecordRule
from services.hls.recording._source import MEDIA, Source

MAX_HELD_TICKS = TICKS_PER_SECOND  #: that a file waits for a track that has shown nothing yet
MAX_HELD_BYTES = 16 << 20  #: the same: two of the largest access units
MAX_LATE_TICKS = 600 * TICKS_PER_SECOND  #: a file goes on over its length until a random access point comes; 10 s is long
MAX_LATE_FACTOR = 2  #: and over its size: up to so many times that


@dataclass(slots=True, frozen=True)
class FileLimits:
    """When a file has to make way for the next."""

    ticks: int = MAX_FILE_S * TICKS_PER_SECOND
    size_bytes: int = 0  #: 0: no bound

    @classmethod
    def of(cls, rule: RecordRule) -> FileLimits:
        """The limits of `rule`."""
        seconds = min(rule.segment_s or MAX_FILE_S, MAX_FILE_S)
        return cls(seconds * TICKS_PER_SECOND, rule.segment_bytes)


@dataclass(slots=True)
class _Held:
    """The units of a file that is not begun yet."""

    units: list[AccessUnit] = field(default_factory=list)
    size_bytes: int = 0
    missing: int = 0


@dataclass(slots=True)
class _Track:
    """What tells how long a track lasts."""

    last_dts: int
    step: int = 0


@dataclass(slots=True)
class _File:
    """The file that is being written."""

    name: RecordingName
    muxer: FileMuxer
    base_dts: int
    size_bytes: int
    missing: int
    tracks: dict[int, _Track] = field(default_factory=dict)

    @property
    def duration_ticks(self) -> int:
        return max((track.last_dts + track.step for track in self.tracks.values()), default=0)


class Recorder:
    """Records one stream in one format."""

    def __init__(
        self, stream: StreamKey, record_format: RecordFormat, limits: FileLimits, epoch: Epoch, numbers: Iterator[int] | None = None
    ) -> None:
        """Wait for units of `stream`.

        Args:
            stream: what is recorded.
            record_format: any but HLS.
            limits: of one file.
            epoch: of whoever records: since the names carry it, a second recorder of the same units overwrites nothing.
            numbers: of the files to come, shared by all recorders under that epoch; from 0 where there is only this one.
        """
        self._stream = stream
        self._format = record_format
        self._limits = limits
        self._source: Source | None = None
        self._held: _Held | None = None
        self._file: _File | None = None
        self._epoch = epoch
        self._numbers = numbers or itertools.count()
        self._parts: Parts = []  # of the open file, not given out yet
        self._parts_bytes = 0
        self._parts_units = 0
        self._missing = 0  # before what comes next, and in no file so far

    @property
    def recording(self) -> bool:
        """Whether a file is open."""
        return self._file is not None

    @property
    def held_units(self) -> int:
        """Units that no command has given out yet: of a file that is not begun, or that its format holds back."""
        return self._parts_units + (len(self._held.units) if self._held is not None else 0)

    def receive(self, run: Run) -> list[Command]:
        """Take the next units in; `missing` of the run is counted into the file that goes on after the hole."""
        commands: list[Command] = []
        if self._source is None or not self._source.is_of(run):
            self._change_source(run, commands)
        self._note_missing(run.missing)
        for unit in run.units:
            self._take(unit, commands)
        self._flush(commands)
        return commands

    def end(self, reason: EndReason) -> list[Command]:
        """No more comes, or what comes next belongs to another file. What is held becomes a file."""
        commands: list[Command] = []
        if self._source is not None:
            self._end_of(self._source, reason, commands)
        return commands

    def break_off(self, reason: EndReason, missing: int) -> list[Command]:
        """The last commands given were not and will not be carried out, and `missing` units with them: end the file as it is.

        The next one begins at the next random access point.
        """
        file, held = self._file, self._held
        self._file = self._held = None
        self._parts, self._parts_bytes, self._parts_units = [], 0, 0
        if file is None:
            self._missing += missing + (held.missing if held is not None else 0)
            return []
        left_out = self._source.left_out if self._source else ()
        return [BreakFile(reason, file.missing + missing, left_out)]

    def _change_source(self, run: Run, commands: list[Command]) -> None:
        old, new = self._source, Source.of(run, FORMATS[self._format].carries)
        self._source = new
        if old is None:
            return
        if old.publication != new.publication:
            self._end_of(old, EndReason.PUBLICATION, commands)
        elif old.is_configured_as(new):
            new.settled = old.settled
            new.tracks = old.tracks if self._file is not None else new.tracks  # new script data is for the next file
        elif self._file is not None or not old.grows_into(new):
            self._end_of(old, EndReason.CONFIGURATION, commands)
        elif old.lead_id != new.lead_id:
            self._held = None  # the video came: a file begins with it

    def _note_missing(self, count: int) -> None:
        if self._file is not None:
            self._file.missing += count
        elif self._held is not None:
            self._held.missing += count
        elif self._source is not None and self._source.settled:
            self._missing += count

    def _take(self, unit: AccessUnit, commands: list[Command]) -> None:
        source = self._source
        assert source is not None
        begins = unit.random_access and unit.track_id == source.lead_id
        if self._file is not None:
            reason = self._full(self._file, unit, begins)
            if reason is not None:
                self._end_of(source, reason, commands)
        if self._file is not None:
            self._add(self._file, unit)
        elif self._held is not None or begins:
            self._hold(source, unit, commands)
        elif source.settled and source.is_media(unit):
            self._missing += 1

    def _full(self, file: _File, unit: AccessUnit, begins: bool) -> EndReason | None:
        """Why the file has to end before `unit`, None where it goes on."""
        limits, ticks = self._limits, unit.dts - file.base_dts
        by_size = bool(limits.size_bytes) and file.size_bytes >= limits.size_bytes
        if begins:
            return EndReason.TIME if ticks >= limits.ticks else EndReason.SIZE if by_size else None
        too_large = by_size and file.size_bytes >= limits.size_bytes * MAX_LATE_FACTOR
        return EndReason.NO_RANDOM_ACCESS if too_large or ticks >= limits.ticks + MAX_LATE_TICKS else None

    def _hold(self, source: Source, unit: AccessUnit, commands: list[Command]) -> None:
        if source.tracks.get(unit.track_id) is None:
            return
        held = self._held
        if held is None:
            held = self._held = _Held(missing=self._missing)
            self._missing = 0
        held.units.append(unit)
        held.size_bytes += len(unit.payload)
        if self._ready(source, held):
            self._begin(source, held, commands)

    def _ready(self, source: Source, held: _Held) -> bool:
        """Whether every track has shown a unit, or has been waited for long enough."""
        shown = {source.tracks.get(unit.track_id) for unit in held.units}
        kinds = {track.kind for track in shown if track is not None}
        if kinds.issuperset(source.kinds if source.settled else MEDIA):
            return True
        return held.units[-1].dts - held.units[0].dts >= MAX_HELD_TICKS or held.size_bytes >= MAX_HELD_BYTES

    def _begin(self, source: Source, held: _Held, commands: list[Command]) -> None:
        first = held.units[0]
        name = RecordingName(
            stream=self._stream, started_us=first.wall_us, epoch=self._epoch, number=next(self._numbers), format=self._format
        )
        muxer = FORMATS[self._format].make(source.tracks)
        data = muxer.open()
        base = min(unit.dts for unit in held.units)
        file = self._file = _File(name, muxer, base, len(data), held.missing)
        self._held = None
        source.settled = True
        commands.append(BeginFile(name, data))
        for unit in held.units:
            self._add(file, unit)

    def _add(self, file: _File, unit: AccessUnit) -> None:
        dts = unit.dts - file.base_dts
        if dts < 0:  # a track whose times went back: the file has no time for it
            file.missing += 1
            return
        moved = AccessUnit(unit.track_id, dts, unit.cts, unit.random_access, unit.payload, unit.seq, unit.wall_us)
        size = file.muxer.add(moved, self._parts)
        file.size_bytes += size
        self._parts_bytes += size
        self._parts_units += 1
        track = file.tracks.get(unit.track_id)
        if track is None:
            file.tracks[unit.track_id] = _Track(dts)
        else:
            track.step, track.last_dts = max(0, dts - track.last_dts), dts

    def _flush(self, commands: list[Command]) -> None:
        if self._parts:
            commands.append(Append(self._parts, self._parts_bytes, self._parts_units))
            self._parts, self._parts_bytes, self._parts_units = [], 0, 0

    def _end_of(self, source: Source, reason: EndReason, commands: list[Command]) -> None:
        if self._held is not None:
            self._begin(source, self._held, commands)
        file, self._file = self._file, None
        if file is None:
            return
        completion = file.muxer.finish(file.duration_ticks)
        self._flush(commands)
        finished = RecordingFinished(
            stream=self._stream,
            path=file.name.path,
            format=self._format,
            size_bytes=file.size_bytes + len(completion.tail),
            duration_ms=ticks_to_ms(file.duration_ticks),
            started_us=file.name.started_us,
            reason=reason,
            missing=file.missing,
            left_out=source.left_out,
        )
        commands.append(EndFile(completion, finished, self._parts_units))
        self._parts_units = 0
