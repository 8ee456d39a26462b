"""What this node records: the streams that it segments, as the rules say, out of the units that the segmenter gets.

Rules that come or go while a stream is live begin and end its files at the next random access point: where one rule takes over from
another, the next file goes on where the last has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import assert_never

from lalmesh.media import Kind, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.recording import RecordFormat, RecordRule, RecordRules
from lalmesh.runtime.ring import Run, join_track
from lalmesh.runtime.storage import Storage
from services.hls.kept import sweep_kept
from services.hls.layout import REMEMBER_S
from services.hls.recording import (
    EndReason,
    FileLimits,
    RecordedStream,
    RecordingDropped,
    RecordingEvent,
    RecordingFinished,
    Recordings,
    RecordingSettings,
    RecordingStored,
    Spool,
    carries,
)

log = logging.getLogger(__name__)

RESTART_S = 5.0  #: pause after what goes on beside the recording has failed
CLOSE_S = 12.0  #: for files to become whole when the node stops; a little more than a disk gets for one
DRAIN_S = 10.0  #: and for uploads after that; what is left is uploaded after the next start


@dataclass(slots=True)
class RecordedCounters:
    """What became of files. Only rises."""

    finished_files: int = 0
    finished_bytes: int = 0
    missing_units: int = 0  #: that finished files lack


@dataclass(slots=True)
class _Written:
    """One format of a stream that is being written."""

    format: RecordFormat
    limits: FileLimits
    files: RecordedStream


class WorkerRecording:
    """What is recorded of one worker's stream."""

    def __init__(self, node: NodeRecordings, stream: StreamKey, epoch: Epoch) -> None:
        """Record `stream` under the worker's `epoch`, as the rules of `node` say."""
        self._node = node
        self._stream = stream
        self._epoch = epoch
        self._wanted: dict[RecordFormat, RecordRule] = {}
        self._written: dict[RecordFormat, _Written] = {}
        self._leaving: list[_Written] = []  # not wanted any more, and open until the next random access point
        self._tracks: dict[RecordFormat, TrackSet] = {}
        self._over = False

    @property
    def is_wanted(self) -> bool:
        """Whether any rule wants the stream recorded: it is segmented then though nobody asks for it."""
        return bool(self._wanted)

    @property
    def keeps_segments(self) -> bool:
        """Whether the segments are to be kept."""
        return RecordFormat.HLS in self._wanted

    @property
    def is_written(self) -> bool:
        """Whether there are files of it."""
        return bool(self._written or self._leaving)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Tracks that a format cannot carry, such as ``record-ts: pcma``."""
        return tuple(
            f"record-{made.value}: {track.codec.value}"
            for made in self._written
            for track in self._tracks.get(made, TrackSet()).tracks
            if track.kind in (Kind.VIDEO, Kind.AUDIO) and not carries(made, track)
        )

    def follow(self, rules: RecordRules) -> None:
        """Begin what the rules want, and end what they do not want any more."""
        if self._over:
            return
        self._wanted = rules.by_format(self._stream)
        for made, written in list(self._written.items()):
            if made not in self._wanted or FileLimits.of(self._wanted[made]) != written.limits:
                self._leaving.append(self._written.pop(made))
        for made, rule in self._wanted.items():
            if made is not RecordFormat.HLS and made not in self._written:
                files = self._node.recordings.record(self._stream, _only(rule, made), self._epoch)
                self._written[made] = _Written(made, FileLimits.of(rule), files)

    def receive(self, run: Run, converted: Run | None) -> None:
        """The next units of the stream.

        Args:
            run: as they came: what FLV takes.
            converted: as the other formats take them, None where there are none yet.
        """
        if self._leaving:
            self._leaving = [written for written in self._leaving if not self._leave(written, _fit(written.format, run, converted))]
        for made, written in self._written.items():
            fitting = _fit(made, run, converted)
            if fitting is not None:
                self._tracks[made] = fitting.tracks
                written.files.receive(fitting)

    def finish(self, reason: EndReason) -> None:
        """Take nothing more; the files become whole meanwhile."""
        self._over = True
        for written in (*self._leaving, *self._written.values()):
            self._node.close(written.files, reason)
        self._leaving.clear()
        self._written.clear()
        self._wanted = {}
        self._node.forget(self)

    def _leave(self, written: _Written, run: Run | None) -> bool:
        """End what is not wanted any more at the next random access point; False where that is not in `run`."""
        if run is None:
            return False
        at = _random_access(run)
        before = Run(run.epoch, run.publication, run.tracks, run.units[:at], run.place, run.missing)
        if before.units:
            written.files.receive(before)
        if at is not None:
            self._node.close(written.files, EndReason.STOPPED)
        return at is not None


def _fit(made: RecordFormat, run: Run, converted: Run | None) -> Run | None:
    """The units as files of a format take them: FLV has them as they came, G.711 too."""
    return run if made is RecordFormat.FLV else converted


def _random_access(run: Run) -> int | None:
    """Which unit of the run is the first that a file may begin with, None where none is."""
    lead = join_track(run.tracks)
    return next((index for index, unit in enumerate(run.units) if unit.random_access and unit.track_id == lead), None)


def _only(rule: RecordRule, made: RecordFormat) -> RecordRule:
    """The rule for one of its formats."""
    return RecordRule(
        pattern=rule.pattern,
        formats=(made,),
        segment_s=rule.segment_s,
        segment_bytes=rule.segment_bytes,
        keep_s=rule.keep_s,
        keep_bytes=rule.keep_bytes,
    )


class NodeRecordings:
    """The recordings of a node, whose rules the scheduler tells."""

    def __init__(
        self,
        storage: Storage,
        spool_dir: Path,
        settings: RecordingSettings,
        has_joined: Callable[[], bool] = lambda: True,
        *,
        remember_s: float = REMEMBER_S,
    ) -> None:
        """Write into `spool_dir`, upload to `storage`; nothing of both is touched before there is something to record.

        Args:
            storage: shared storage.
            spool_dir: of this process alone.
            settings: the rest.
            has_joined: whether the scheduler answers, so that the rules are those that hold.
            remember_s: for how long it stays in storage how far a recorded playlist without segments has come.
        """
        self.counters = RecordedCounters()
        self.stored: Callable[[RecordingFinished], None] = _nobody  #: hears of files that are in shared storage
        self.recordings = Recordings(
            storage,
            Spool(spool_dir),
            RecordRules(()),
            self._tell,
            settings,
            are_rules_fresh=has_joined,
            sweep_too=partial(sweep_kept, storage, remember_s),
        )
        self._live: set[WorkerRecording] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def live_streams(self) -> int:
        """How many streams are being written to files."""
        return sum(recording.is_written for recording in self._live)

    def start(self) -> None:
        """Finish and upload what a crash left, and go on uploading."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="hls-recordings")

    async def stop(self) -> None:
        """End every file, and upload what can be uploaded in time."""
        for recording in list(self._live):
            recording.finish(EndReason.STOPPED)
        await self._close_all()
        if self._task is None:
            return
        left = await self.recordings.drain(DRAIN_S)
        if left:
            log.warning("%d recordings are uploaded after the next start", left)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _close_all(self) -> None:
        """Wait until the files are whole, or the disk has had its time."""
        if not self._closing:
            return
        _, late = await asyncio.wait(self._closing, timeout=CLOSE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def follow(self, rules: RecordRules) -> None:
        """These are the rules now."""
        self.recordings.rules = rules
        for recording in self._live:
            recording.follow(rules)

    def begin(self, stream: StreamKey, epoch: Epoch) -> WorkerRecording:
        """A worker of `stream` begins under `epoch`."""
        recording = WorkerRecording(self, stream, epoch)
        self._live.add(recording)
        recording.follow(self.recordings.rules)
        return recording

    def forget(self, recording: WorkerRecording) -> None:
        """Its worker has ended."""
        self._live.discard(recording)

    def close(self, files: RecordedStream, reason: EndReason) -> None:
        """Have `files` become whole, without anybody waiting for it."""
        task = asyncio.get_running_loop().create_task(files.close(reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _run(self) -> None:
        while True:
            try:
                await self.recordings.run()
            except Exception:  # a bug of ours: what is recorded stays in the spool meanwhile
                log.exception("recordings are not uploaded, again in %g s", RESTART_S)
                await asyncio.sleep(RESTART_S)

    def _tell(self, event: RecordingEvent) -> None:
        match event:
            case RecordingFinished():
                self.counters.finished_files += 1
                self.counters.finished_bytes += event.size_bytes
                self.counters.missing_units += event.missing
            case RecordingStored(finished):
                self.stored(finished)
            case RecordingDropped():
                pass  # the uploader counts them
            case _:
                assert_never(event)


def _nobody(finished: RecordingFinished) -> None:
    """Nobody hears of it."""
