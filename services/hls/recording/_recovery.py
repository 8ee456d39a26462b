"""Files that nobody finished: after a crash, or because the disk took no more. Everything here may block."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeAlias

from services.hls.recording._events import EndReason, RecordingFinished, Restored
from services.hls.recording._formats import FORMATS
from services.hls.recording._names import RecordingName
from services.hls.recording._spool import GROWING, Spool, write_all

log = logging.getLogger(__name__)

ReadAt: TypeAlias = Callable[[int, int], bytes]  #: offset, count -> at most so many bytes


def recover(spool: Spool) -> list[RecordingFinished]:
    """Finish every file of the spool that is locked by nobody, remove what holds nothing, and tell of all that wait for an upload.

    What this process has begun is not looked at. A file that cannot be read or finished is left for the next start.
    """
    recordings: list[RecordingFinished] = []
    for file in list(spool.files()):
        if spool.has_begun(file.name.path):
            continue
        try:
            found = restore(file.path, file.name) if file.growing else _measure(file.path, file.name)
        except OSError as error:
            log.warning("recording %s not recovered: %s", file.name.path, error)
            continue
        except Exception:  # a bug of ours, which costs this file and no other
            log.exception("recording %s not recovered", file.name.path)
            continue
        if found is not None:
            recordings.append(found)
    return recordings


def restore(growing: Path, name: RecordingName, reason: EndReason = EndReason.RECOVERED) -> RecordingFinished | None:
    """Cut the file at `growing` behind what is whole, complete it, and let it have its name.

    None where it is locked or gone, or nothing in it can be played: it is removed then.

    Raises:
        OSError: the disk does not let it.
    """
    try:
        file = growing.open("r+b", buffering=0)
    except FileNotFoundError:
        return None
    with file:
        if not _lock(file, growing):
            return None
        restored = FORMATS[name.format].restore(_reader(file), os.fstat(file.fileno()).st_size)
        if not restored.end:
            growing.unlink()
            return None
        _finish(file, restored)
        growing.rename(growing.with_name(growing.name.removesuffix(GROWING)))
        return _finished(name, os.fstat(file.fileno()).st_size, restored.duration_ms, reason)


def _lock(file: BinaryIO, path: Path) -> bool:
    """Whether the file is nobody's, and still the one at `path`."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _reader(file: BinaryIO) -> ReadAt:
    return lambda offset, count: os.pread(file.fileno(), count, offset)


def _finish(file: BinaryIO, restored: Restored) -> None:
    file.truncate(restored.end)
    if restored.completion.patch is not None:
        position, data = restored.completion.patch
        file.seek(position)
        write_all(file, data)
    file.seek(restored.end)
    try:
        write_all(file, restored.completion.tail)
    except OSError:  # a full disk: it plays without its tail
        file.truncate(restored.end)
    os.fsync(file.fileno())


def _measure(path: Path, name: RecordingName) -> RecordingFinished | None:
    """Tell of a complete file that waits for its upload."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        restored = FORMATS[name.format].restore(_reader(file), size)
    return _finished(name, size, restored.duration_ms, EndReason.RECOVERED)


def _finished(name: RecordingName, size_bytes: int, duration_ms: int, reason: EndReason) -> RecordingFinished:
    return RecordingFinished(
        stream=name.stream,
        path=name.path,
        format=name.format,
        size_bytes=size_bytes,
        duration_ms=duration_ms,
        started_us=name.started_us,
        reason=reason,
    )
