"""The spool: the folder in which recordings grow, and wait for their upload. Everything here may block.

A growing file has a suffix to its name and is locked by its process, so that whoever looks for files that nobody finishes any
more, at start, takes none that somebody writes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from lalmesh.errors import InvalidName
from lalmesh.runtime.threads import Threads
from services.hls.recording._events import Completion, Parts
from services.hls.recording._names import RecordingName

GROWING = ".growing"  #: suffix of a file that is not complete

MAKE_TRIES = 3  #: of a file in a folder that somebody may remove meanwhile
THREADS = 8  #: of a spool

Opener: TypeAlias = Callable[[Path], BinaryIO]


def open_new(path: Path) -> BinaryIO:
    """A new file to be written without a buffer."""
    return path.open("xb", buffering=0)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write `data` where `file` is: one call of an unbuffered file may write less.

    Raises:
        OSError: some of it may have been written.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


@dataclass(slots=True, frozen=True)
class SpooledFile:
    """One file of the spool."""

    name: RecordingName
    path: Path
    growing: bool
    size_bytes: int


class Spool:
    """A spool folder of one process."""

    def __init__(self, folder: Path, *, opener: Opener = open_new) -> None:
        """Keep files below `folder`, which is made when the first comes; `opener` makes a file."""
        self.folder = folder
        self.threads = Threads(THREADS, "spool")  #: for all that is asked of it on a loop
        self._opener = opener
        self._begun: set[str] = set()

    def has_begun(self, path: str) -> bool:
        """Whether this process has begun the recording `path`, which it has not removed yet."""
        return path in self._begun

    def holds(self, path: str) -> bool:
        """Whether the recording `path` is here, or about to be."""
        return self.has_begun(path) or self.path(path, growing=True).exists() or self.path(path).exists()

    def path(self, path: str, *, growing: bool = False) -> Path:
        """Where the recording `path`, ``APP/NAME/FILE``, is."""
        return self.folder / (path + GROWING if growing else path)

    def begin(self, path: str, data: bytes) -> GrowingFile:
        """Make the recording `path` with `data` in it.

        Raises:
            OSError: it cannot be made; there is no file then.
        """
        self._begun.add(path)  # before anybody can find it
        try:
            return self._begin(path, data)
        except OSError:
            self.forget(path)
            raise

    def _begin(self, path: str, data: bytes) -> GrowingFile:
        growing = self.path(path, growing=True)
        file = self._make(growing)
        try:
            begun = GrowingFile(file, growing, self.path(path))
            begun.append([data])
        except OSError:
            file.close()
            growing.unlink(missing_ok=True)
            raise
        return begun

    def _make(self, growing: Path) -> BinaryIO:
        for _ in range(MAKE_TRIES - 1):
            growing.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # `remove` has taken the empty folder away again
                return self._opener(growing)
        growing.parent.mkdir(parents=True, exist_ok=True)
        return self._opener(growing)

    def files(self, *, complete: bool = True) -> Iterator[SpooledFile]:
        """What is there, oldest start first of each stream; without those that are `complete`, of which many may wait, if asked so.

        Files of other names are passed over.
        """
        for app in _entries(self.folder):
            for stream in _entries(self.folder / app):
                for file in _entries(self.folder / app / stream):
                    growing = file.endswith(GROWING)
                    if growing or complete:
                        with suppress(InvalidName, FileNotFoundError):
                            name = RecordingName.parse(f"{app}/{stream}/{file.removesuffix(GROWING)}")
                            path = self.folder / app / stream / file
                            yield SpooledFile(name, path, growing, path.stat().st_size)

    def used_bytes(self) -> int:
        """Of all that is in the folder, whatever its name: it is asked often, and many files may wait."""
        return sum(_size(os.path.join(folder, name)) for folder, _, names in os.walk(self.folder) for name in names)

    def remove(self, path: str) -> None:
        """Remove the complete recording `path`, and the folders that hold nothing more; no error where it is not there.

        Raises:
            OSError: it cannot be removed.
        """
        self.path(path).unlink(missing_ok=True)
        self.forget(path)

    def forget(self, path: str) -> None:
        """The recording `path` is gone, or was never made: remove the folders that hold nothing more."""
        self._begun.discard(path)
        stream = self.path(path).parent
        for folder in (stream, stream.parent):
            with suppress(OSError):  # something else is in it
                folder.rmdir()

    def abandon(self, path: str) -> None:
        """Remove the growing recording `path`, as `remove` does a complete one.

        Raises:
            OSError: it cannot be removed.
        """
        self.path(path, growing=True).unlink(missing_ok=True)
        self.remove(path)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:  # meanwhile
        return 0


def _entries(folder: Path) -> list[str]:
    """The names in a folder, in order; nothing where it is gone or none."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


class GrowingFile:
    """A recording that is being written. What was appended is there, or (after an error) was cut off again."""

    def __init__(self, file: BinaryIO, growing: Path, complete: Path) -> None:
        """Write `file`, which is at `growing`; once complete it is at `complete`."""
        self._file = file
        self.growing = growing
        self._complete = complete
        self.size_bytes = 0
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, parts: Parts) -> None:
        """Add `parts` at the end.

        Raises:
            OSError: nothing was added.
        """
        data = b"".join(parts)
        try:
            write_all(self._file, data)
        except OSError:
            self._file.truncate(self.size_bytes)
            self._file.seek(self.size_bytes)
            raise
        self.size_bytes += len(data)

    def complete(self, completion: Completion) -> None:
        """Add what completes it, see that the disk has it, and let it have its name.

        Raises:
            OSError: it is still growing, and whole up to its last unit.
        """
        if completion.tail:
            self.append([completion.tail])
        if completion.patch is not None:
            position, data = completion.patch
            self._file.seek(position)
            write_all(self._file, data)
        os.fsync(self._file.fileno())
        self.growing.rename(self._complete)
        self.close()

    def close(self) -> None:
        """Let go of it as it is."""
        self._file.close()
