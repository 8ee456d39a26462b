"""The disk's side of a recording: one open file, and what becomes of commands. Everything here may block."""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.hls.recording._events import Append, BeginFile, BreakFile, Command, EndFile, EndReason, RecordingFinished
from services.hls.recording._names import RecordingName
from services.hls.recording._recovery import restore
from services.hls.recording._spool import GrowingFile, Spool

log = logging.getLogger(__name__)

_REASONS = {errno.ENOSPC: EndReason.DISK_FULL, errno.EDQUOT: EndReason.DISK_FULL, errno.EFBIG: EndReason.DISK_FULL}


@dataclass(slots=True)
class Outcome:
    """What became of commands."""

    finished: list[RecordingFinished] = field(default_factory=list)
    written_bytes: int = 0
    reason: EndReason | None = None  #: the disk refused: all that follows was not carried out
    error: str = ""  #: what the disk said
    lost_units: int = 0  #: that were not written
    missing: int = 0  #: units that were lost before, of which a command not carried out was to tell
    broken: RecordingFinished | None = None  #: what could be made of the file that the disk refused to go on with


class Disk:
    """The open file, in the executor."""

    def __init__(self, spool: Spool) -> None:
        """Make files in `spool`."""
        self._spool = spool
        self._file: GrowingFile | None = None
        self._name: RecordingName | None = None

    def perform(self, commands: list[Command]) -> Outcome:
        """Carry `commands` out until the disk refuses one; the file is then made whole as far as it goes."""
        outcome = Outcome()
        for index, command in enumerate(commands):
            try:
                self._perform(command, outcome)
            except Exception as error:
                outcome.reason, outcome.error = _reason(error), str(error)
                outcome.lost_units, outcome.missing = units_in(commands[index:]), missing_in(commands[index:])
                outcome.broken = self._break(BreakFile(outcome.reason))
                break
        return outcome

    def _perform(self, command: Command, outcome: Outcome) -> None:
        match command:
            case BeginFile(name, data):
                self._file, self._name = self._spool.begin(name.path, data), name
                outcome.written_bytes += len(data)
            case Append(parts, size_bytes, _):
                if self._file is not None:
                    self._file.append(parts)
                    outcome.written_bytes += size_bytes
            case EndFile(completion, finished, _):
                if self._file is not None:
                    self._file.complete(completion)
                    self._file = None
                    outcome.finished.append(finished)
            case BreakFile():
                broken = self._break(command)
                outcome.finished += [broken] if broken else []

    def _break(self, command: BreakFile) -> RecordingFinished | None:
        """Make of the open file what can be made; None where there is none, or nothing in it can be played."""
        file, name, self._file = self._file, self._name, None
        if file is None or name is None:
            return None
        try:
            file.close()
            finished = restore(file.growing, name, command.reason)
        except Exception as error:  # what cannot be done now is done at the next start
            log.warning("recording %s stays as it is until the next start (%s): %s", name.path, _reason(error).value, error)
            return None
        if finished is None:
            self._spool.forget(name.path)
            return None
        return replace(finished, missing=command.missing, left_out=command.left_out)


def _reason(error: Exception) -> EndReason:
    """Why the file cannot go on; a bug of ours costs the file too, and no other."""
    if not isinstance(error, OSError):
        log.error("a recording failed", exc_info=error)
        return EndReason.DISK_ERROR
    return _REASONS.get(error.errno or 0, EndReason.DISK_ERROR)


def units_in(commands: Sequence[Command]) -> int:
    """How many units `commands` would write."""
    return sum(command.units for command in commands if isinstance(command, Append | EndFile))


def missing_in(commands: Sequence[Command]) -> int:
    """How many units `commands` would tell as missing for having broken a file off."""
    return sum(command.missing for command in commands if isinstance(command, BreakFile))
