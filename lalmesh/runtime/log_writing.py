"""Lines of a log on their way out: a thread writes them. A disk that hangs, or a pipe that nobody reads, holds up no media."""

from __future__ import annotations

import contextlib
import io
import logging
import logging.handlers
import os
import queue
import threading
from typing import TextIO

MAX_WAITING = 10_000  #: lines, some 4 MB: beyond them lines are dropped, and counted
FLUSH_S = 1.0  #: for what waits to be written as a process ends


class Unbuffered(io.TextIOBase):
    """Text into a descriptor, at once. Who flushes or closes it waits for no write that hangs, as a buffer's lock has him do."""

    def __init__(self, descriptor: int, *, is_ours: bool) -> None:
        """Write to `descriptor`, which is closed with this where it `is_ours`."""
        self._descriptor = descriptor
        self._is_ours = is_ours

    def write(self, text: str) -> int:
        """Write all of it."""
        left = memoryview(text.encode(errors="backslashreplace"))
        while left:
            left = left[os.write(self._descriptor, left) :]
        return len(text)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close the descriptor, if it is ours."""
        if self._is_ours and not self.closed:
            os.close(self._descriptor)
        super().close()


class UnbufferedFile(logging.handlers.WatchedFileHandler):
    """A file that is opened anew where it was moved away."""

    def _open(self) -> Unbuffered:  # type: ignore[override]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return Unbuffered(os.open(self.baseFilename, flags, 0o666), is_ours=True)


def unbuffered(stream: TextIO) -> TextIO | Unbuffered:
    """What writes where `stream` does; `stream` itself where that is no file."""
    try:
        return Unbuffered(stream.fileno(), is_ours=False)
    except OSError:  # io.UnsupportedOperation too
        return stream


class LogWriter(logging.Handler):
    """Formats records where they are logged, and has a thread of its own hand the lines to the handler that writes."""

    def __init__(self, target: logging.Handler) -> None:
        """Write by `target`, which gets lines that are ready, and is closed by this one."""
        super().__init__()
        target.lock = None  # one thread writes; where that hangs, logging would wait for the lock as the process ends
        self.dropped = 0  #: lines, since the process began
        self._untold = 0  # of them, that no line has told of
        self._target = target
        self._waiting: queue.Queue[str | threading.Event | None] = queue.Queue(MAX_WAITING)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, or drop it where `MAX_WAITING` wait; before the next that is taken one says how many were dropped."""
        try:
            if self._untold:
                self._waiting.put_nowait(self.format(_told(self._untold)))
                self._untold = 0
            self._waiting.put_nowait(self.format(record))
        except queue.Full:
            self.dropped += 1
            self._untold += 1
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Wait until what has been logged is written: `FLUSH_S` to find room, and as long again. What is not then, may be lost."""
        written = threading.Event()
        try:
            self._waiting.put(written, timeout=FLUSH_S)
        except queue.Full:
            return
        written.wait(FLUSH_S)

    def close(self) -> None:
        """Write what waits, then no more. Does not wait for it; `flush` does."""
        with contextlib.suppress(queue.Full):  # then the thread ends with the process
            self._waiting.put_nowait(None)
        super().close()

    def _write(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._target.handle(logging.makeLogRecord({"msg": item}))
        self._target.close()


def _told(dropped: int) -> logging.LogRecord:
    text = "dropped %d lines: what the log is written to does not take them"
    return logging.LogRecord(__name__, logging.WARNING, "", 0, text, (dropped,), None)
