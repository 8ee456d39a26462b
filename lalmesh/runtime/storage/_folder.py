"""Storage in a folder: obstore's, with what it leaves to do.

- A listing is by path, and opens no more folders than its page needs. Each page reads and sorts its folders anew, whatever comes
  before it; so who wants all of it takes `pages`, one walk.
- A file is stored by a link where both are on one file system: nothing is copied, and no room is needed for it twice. It is on the
  disk before it has its name, so the caller may remove its own. What `put` stores is not waited for: a loss of power may cost it.
- A process that is killed leaves what it was writing, under a name with ``#`` and a number. Listings leave that out, and remove it
  when it is older than a day.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from obstore.store import LocalStore

from lalmesh.runtime.storage._interface import MAX_LISTED, Objects, StoredObject
from lalmesh.runtime.storage._objects import LIST_CHUNK, ObjectStorage
from lalmesh.runtime.threads import Threads

LEFT_S = 86_400.0  #: since the last byte, after which nobody is writing an unfinished object any more
THREADS = 8  #: of a storage
MAX_DEPTH = 16  #: of folders that are listed: our paths have five parts; links that lead in circles end here
LINK_TRIES = 3  #: into a folder that somebody may remove meanwhile, because it was empty

_UNFINISHED = re.compile(r".*#\d+", re.ASCII | re.DOTALL)
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP}


class FolderStorage(ObjectStorage):
    """A storage in a folder of a file system (see `lalmesh.runtime.storage.Storage`)."""

    def __init__(self, folder: Path, deadline_s: float, slowest_bytes_per_s: int) -> None:
        """Keep objects in `folder`, which exists."""
        super().__init__(LocalStore(folder, automatic_cleanup=True), deadline_s, slowest_bytes_per_s)
        self._folder = folder
        self._threads = Threads(THREADS, "storage")

    async def put_file(self, path: str, local_file: Path) -> None:
        """See `Storage.put_file`."""
        async with self._call("store", path):
            target = self._folder / _checked(path)
            size = (await self._threads.call(local_file.stat)).st_size
        async with self._call("store", path, size):
            if await self._threads.call(link_file, local_file, target):
                await self._threads.call(sync_names, target, self._folder)
                return
        await super().put_file(path, local_file)
        async with self._call("store", path, size):
            await self._threads.call(sync, target)
            await self._threads.call(sync_names, target, self._folder)

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> Objects:
        """See `Storage.list`."""
        async with self._call("list", prefix, requests=max(1, limit // LIST_CHUNK)):
            return await self._threads.call(list_folder, self._folder, _checked(prefix), after, limit)

    async def pages(self, prefix: str, limit: int) -> AsyncIterator[Objects]:
        """See `Walked.pages`."""
        async with self._call("list", prefix):
            found = walk_folder(self._folder, _checked(prefix))
        while True:
            async with self._call("list", prefix, requests=max(1, limit // LIST_CHUNK)):
                page = await self._threads.call(_take, found, limit)
            yield page
            if len(page) < limit:
                return


def _checked(path: str) -> str:
    """The path, which does not lead out of the folder; empty is the folder itself.

    Raises:
        ValueError: it may.
    """
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("path with an empty part or dots for one")
    return path


def link_file(local: Path, target: Path) -> bool:
    """Let `target` be `local` too, whole, its bytes on the disk; False where links do not lead from one to the other.

    Raises:
        OSError: neither is known.
    """
    staged = target.with_name(f"{target.name}#{secrets.randbits(63)}")
    try:
        if not _link(local, staged):
            return False
        os.utime(staged)  # it is as old as it is here, not as its last byte is
        sync(staged)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)
    return True


def _link(local: Path, staged: Path) -> bool:
    for tries_left in range(LINK_TRIES - 1, -1, -1):
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.hardlink_to(local)
        except FileNotFoundError:
            if not tries_left or not local.exists():
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
        else:
            return True
    return False


def sync_names(file: Path, root: Path) -> None:
    """Wait until the disk has the name of `file`, and those of the folders up to `root`, some of which may be new.

    Raises:
        OSError: the disk does not take it.
    """
    for folder in file.parents:
        sync(folder)
        if folder == root:
            return


def sync(path: Path) -> None:
    """Wait until the disk has the bytes of a file, or the names in a folder.

    Raises:
        OSError: the disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(found: Iterator[StoredObject], limit: int) -> Objects:
    return list(islice(found, limit))


def list_folder(folder: Path, prefix: str, after: str, limit: int) -> Objects:
    """The first `limit` objects by path in `prefix` of `folder`, of those that come after the path `after`.

    Raises:
        OSError: a folder cannot be read.
    """
    return _take(walk_folder(folder, prefix, after), limit)


def walk_folder(folder: Path, prefix: str, after: str = "") -> Iterator[StoredObject]:
    """All objects by path in `prefix` of `folder` that come after the path `after`.

    Each folder is read once, when its first object is asked for; what is gone by the time that it is its turn is left out.

    Raises:
        OSError: a folder cannot be read.
    """
    inside = f"{prefix}/" if prefix else ""
    return _walk(os.path.join(folder, prefix), inside, after, MAX_DEPTH)


def _walk(folder: str, inside: str, after: str, depth: int) -> Iterator[StoredObject]:
    """What is in `folder`, all of whose paths begin with `inside`; a folder counts with its slash, as its paths do."""
    for name in sorted(_names(folder)):
        path = inside + name
        if not name.endswith("/"):
            found = _object(f"{folder}/{name}", name, path) if path > after else None
            if found is not None:
                yield found
        elif depth and (path > after or after.startswith(path)):
            yield from _walk(f"{folder}/{name[:-1]}", path, after, depth - 1)


def _names(folder: str) -> list[str]:
    """All that is in a folder, folders with a slash; nothing where it is gone or none."""
    try:
        with os.scandir(folder) as found:
            return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in found]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _object(file: str, name: str, path: str) -> StoredObject | None:
    """The object at `path`, None where there is none, or an unfinished one."""
    try:
        found = os.stat(file)  # not of a `Path`: making those takes longer than all the rest
    except FileNotFoundError:  # gone meanwhile, or a link that leads nowhere
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    if "#" in name and _UNFINISHED.fullmatch(name):
        if time.time() - found.st_mtime > LEFT_S:
            with suppress(OSError):  # another node was faster, or it is not ours to remove
                os.unlink(file)
        return None
    return StoredObject(path, found.st_size, found.st_mtime_ns // 1000)
