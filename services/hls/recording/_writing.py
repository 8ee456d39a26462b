"""The shell of a recorder: its commands go to the disk in the spool's threads, in order, and live is never made to wait."""

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
MAX_ALL_WAITING_BYTES = 256 << 20  #: the same, of all recordings of a node: live needs the memory
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  #: after a disk refused to write: it doubles


@dataclass(slots=True)
class RecordingCounters:
    """What the recordings of a node did. All but the last only rise."""

    files: int = 0  #: completed
    written_bytes: int = 0
    lost_units: int = 0  #: not written: the disk did not take them, or the format has no room for one
    broken_files: int = 0  #: ended because of the disk
    waiting_bytes: int = 0  #: for the disk now, of all recordings


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
        """Write what `recorder` makes into `spool`, and `tell` of each file that is complete.

        Args:
            recorder: makes the files.
            spool: holds them.
            tell: of each file that is complete.
            counters: of the node, which bound what all its recordings together have waiting.
            max_waiting_bytes: of this recording.
        """
        self.counters = counters or RecordingCounters()
        self._recorder = recorder
        self._spool = spool
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
        units = len(run.units)
        if self._refusing():
            self._lose(EndReason.DISK_ERROR, units)
            return
        units += self._recorder.held_units
        try:
            commands = self._recorder.receive(run)
        except Exception as error:
            self._break(EndReason.MEDIA, units, error)
            self._pause(asyncio.get_running_loop().time())
            return
        if self._is_too_much(_bytes_in(commands)):
            self._slow = True
            self._break(EndReason.DISK_SLOW, units, f"{self._waiting_bytes} bytes wait for the disk")
            return
        self._submit(commands)

    def _is_too_much(self, more_bytes: int) -> bool:
        """Whether the disk does not keep up; a run that is large by itself, as after a move of the stream, says nothing of it."""
        if not self._waiting_bytes:
            return False
        waiting, all_waiting = self._waiting_bytes + more_bytes, self.counters.waiting_bytes + more_bytes
        return waiting > self._max_waiting_bytes or all_waiting > MAX_ALL_WAITING_BYTES

    def _break(self, reason: EndReason, units: int, why: object) -> None:
        """End the file that the disk has open, which need not be the one that the recorder is at."""
        self._submit(self._lose(reason, units) or [BreakFile(reason, units)])
        bug = why if isinstance(why, Exception) and not isinstance(why, LalmeshError) else None  # live goes on even so
        log.log(logging.ERROR if bug else logging.WARNING, "recording broken off: %s", why, exc_info=bug)

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
        self._hold(_bytes_in(commands))
        if self._waiting_bytes >= WRITE_BYTES or any(isinstance(command, EndFile | BreakFile) for command in commands):
            self._urgent.set()

    def _hold(self, more_bytes: int) -> None:
        self._waiting_bytes += more_bytes
        self.counters.waiting_bytes += more_bytes

    async def run(self) -> None:
        """Write until `close`."""
        try:
            while not self._closing or self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(WRITE_S):
                        await self._urgent.wait()
                self._urgent.clear()
                if self._waiting:
                    await self._write()
        finally:
            self._hold(-self._waiting_bytes)

    async def _write(self) -> None:
        batch, self._waiting = self._waiting, []
        outcome = await self._spool.threads.call(self._disk.perform, batch)
        self._hold(-_bytes_in(batch))
        self._take(outcome, asyncio.get_running_loop().time())

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
        lost = outcome.lost_units + units_in(self._waiting) + self._recorder.held_units
        missing = outcome.missing + self._drop_waiting()
        reason = outcome.reason or EndReason.DISK_ERROR
        missing += missing_in(self._lose(reason, lost))
        if outcome.broken is None:
            self._recorder.break_off(reason, missing)  # there is no file that could tell: the next one does
        else:
            outcome.finished.append(replace(outcome.broken, missing=missing))
        self.counters.broken_files += 1
        log.warning("recording broken off (%s), %d units lost, again in %g s", outcome.error, lost, self._pause_s)
        self._pause(now)

    def _drop_waiting(self) -> int:
        """Forget what waits. Gives how many units, lost before, it was to tell of."""
        dropped, self._waiting = self._waiting, []
        self._hold(-_bytes_in(dropped))
        return missing_in(dropped)

    def close(self, reason: EndReason) -> None:
        """Take nothing more; `run` returns once all is written."""
        if self._closing:
            return
        self._closing = True
        units = self._recorder.held_units
        try:
            self._submit(self._recorder.end(reason))
        except Exception as error:
            self._break(EndReason.MEDIA, units, error)
        self._urgent.set()

    def give_up(self) -> None:
        """The disk hangs: forget what waits. What it has got is made whole once it goes on, and `run` returns."""
        if not self._waiting:
            return
        lost = units_in(self._waiting)
        missing = self._drop_waiting()
        self.counters.lost_units += lost
        self._waiting = [BreakFile(EndReason.DISK_SLOW, lost + missing)]
        log.warning("recording given up: %d units wait for a disk that hangs", lost)


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
