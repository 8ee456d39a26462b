"""The shell of a recorder: its commands go to the disk in the executor, in order, and live is never made to wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from lalmesh.errors import LalmeshError
from lalmesh.runtime.ring import Run
from services.hls.recording._disk import Disk, Outcome, missing_in, units_in
from services.hls.recording._events import Append, BeginFile, BreakFile, Command, EndFile, EndReason, RecordingFinished
from services.hls.recording._recorder import Recorder
from services.hls.recording._spool import Spool

log = logging.getLogger(__name__)

WRITE_BYTES = 512 << 10  #: waiting for the disk at which they are written; a crash of the process costs what waits
WRITE_S = 1.0  #: or so long after the last write
MAX_WAITING_BYTES = 32 << 20  #: for a slow disk: 12 s of a 20 Mbit/s stream; over it the file ends
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  #: after a disk refused to write: it doubles


@dataclass(slots=True)
class RecordingCounters:
    """What the recordings of a node did. Only rises."""

    files: int = 0  #: completed
    written_bytes: int = 0
    lost_units: int = 0  #: not written because of the disk
    broken_files: int = 0  #: ended because of the disk


class StreamRecording:
    """One recorder and its files. `run` is its task; `receive` never waits and never fails."""

    def __init__(
        self,
        recorder: Recorder,
        spool: Spool,
        tell: Callable[[RecordingFinished], None],
        counters: RecordingCounters | None = None,
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """Write what `recorder` makes into `spool`, and `tell` of each file that is complete."""
        self.counters = counters or RecordingCounters()
        self._recorder = recorder
        self._disk = Disk(spool)
        self._tell = tell
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: list[Command] = []
        self._waiting_bytes = 0  # with what is being written
        self._urgent = asyncio.Event()
        self._closing = False
        self._slow = False
        self._pause_s = FIRST_PAUSE_S
        self._paused_until = 0.0

    @property
    def recording(self) -> bool:
        """Whether a file is open."""
        return self._recorder.recording

    def receive(self, run: Run) -> None:
        """Record the next units. Where the disk does not keep up they are counted, and the file ends."""
        if self._closing:
            return
        if self._refusing():
            self._lose(EndReason.DISK_ERROR, len(run.units))
            return
        try:
            commands = self._recorder.receive(run)
        except LalmeshError as error:
            self._cannot(run, error)
            return
        if self._waiting_bytes + _bytes_in(commands) > self._max_waiting_bytes:
            self._slow = True
            self._break(EndReason.DISK_SLOW, run)
            log.warning("recording broken off: %d bytes wait for the disk", self._waiting_bytes)
            return
        self._submit(commands)

    def _cannot(self, run: Run, error: LalmeshError) -> None:
        self._break(EndReason.MEDIA, run)
        self._pause(asyncio.get_running_loop().time())
        log.warning("recording broken off: %s", error)

    def _break(self, reason: EndReason, run: Run) -> None:
        """End the file that the disk has open, which need not be the one that the recorder is at."""
        self._submit(self._lose(reason, len(run.units)) or [BreakFile(reason, len(run.units))])

    def _pause(self, now: float) -> None:
        self._paused_until = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _refusing(self) -> bool:
        if self._slow:
            self._slow = self._waiting_bytes > 0
        return self._slow or asyncio.get_running_loop().time() < self._paused_until

    def _lose(self, reason: EndReason, units: int) -> list[Command]:
        self.counters.lost_units += units
        return self._recorder.break_off(reason, units)

    def _submit(self, commands: list[Command]) -> None:
        for command in commands:
            _add_to(self._waiting, command)
        self._waiting_bytes += _bytes_in(commands)
        if self._waiting_bytes >= WRITE_BYTES or any(isinstance(command, EndFile | BreakFile) for command in commands):
            self._urgent.set()

    async def run(self) -> None:
        """Write until `close`."""
        loop = asyncio.get_running_loop()
        while not self._closing or self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_S):
                    await self._urgent.wait()
            self._urgent.clear()
            if not self._waiting:
                continue
            batch, self._waiting = self._waiting, []
            size_bytes = _bytes_in(batch)
            outcome = await loop.run_in_executor(None, self._disk.perform, batch)
            self._waiting_bytes -= size_bytes
            self._take(outcome, loop.time())

    def _take(self, outcome: Outcome, now: float) -> None:
        self.counters.written_bytes += outcome.written_bytes
        if outcome.reason is not None:
            self._refused(outcome, now)
        elif outcome.written_bytes:
            self._pause_s = FIRST_PAUSE_S
        for finished in outcome.finished:
            self.counters.files += 1
            self._tell(finished)

    def _refused(self, outcome: Outcome, now: float) -> None:
        """The disk took no more: all that waits is lost with it, and after a pause the next random access point begins a file."""
        lost = outcome.lost_units + units_in(self._waiting)
        missing = outcome.missing + missing_in(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        reason = outcome.reason or EndReason.DISK_ERROR
        missing += missing_in(self._lose(reason, lost))
        if outcome.broken is None:
            self._recorder.break_off(reason, missing)  # there is no file that could tell: the next one does
        else:
            outcome.finished.append(replace(outcome.broken, missing=missing))
        self.counters.broken_files += 1
        log.warning("recording broken off (%s), %d units lost, again in %g s", outcome.error, lost, self._pause_s)
        self._pause(now)

    def close(self, reason: EndReason) -> None:
        """Take nothing more; `run` returns once all is written."""
        if not self._closing:
            self._closing = True
            self._submit(self._recorder.end(reason))
            self._urgent.set()


def _add_to(waiting: list[Command], command: Command) -> None:
    """Add a command; what is appended goes to what waits already, so that the disk is asked once."""
    last = waiting[-1] if waiting else None
    if isinstance(last, Append) and isinstance(command, Append):
        waiting[-1] = Append(last.parts + command.parts, last.size_bytes + command.size_bytes, last.units + command.units)
    else:
        waiting.append(command)


def _bytes_in(commands: list[Command]) -> int:
    return sum(_bytes_of(command) for command in commands)


def _bytes_of(command: Command) -> int:
    match command:
        case Append(_, size_bytes, _):
            return size_bytes
        case BeginFile(_, data):
            return len(data)
        case EndFile(completion, _, _):
            return len(completion.tail)
        case BreakFile():
            return 0
