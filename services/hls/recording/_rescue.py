"""Files of lost machines: their pieces on shared storage, put together again (see `services.hls.recording._growing`).

Pieces that get no company for long enough, while storage was there to take some, are those of a lost machine. A node puts them
together in its own spool, recovers what they make, and uploads it under its name.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lalmesh.errors import InvalidName
from lalmesh.runtime.storage import Storage, StorageUnavailable, list_all
from services.hls.recording._events import RecordingFinished
from services.hls.recording._growing import GROWING_FOLDER, OFFSET_DIGITS, GrowingUploads, remove_pieces
from services.hls.recording._names import RecordingName, stored_path
from services.hls.recording._recovery import restore
from services.hls.recording._spool import GrowingFile, Spool

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lost:
    """The pieces of one file."""

    name: RecordingName
    size_bytes: int = 0  #: of all
    newest_us: int = 0  #: when the last was stored


class Rescue:
    """Looks for files of lost machines from time to time."""

    def __init__(self, storage: Storage, spool: Spool, growing: GrowingUploads) -> None:
        """Look in `storage`, and put together in `spool`; `growing` removes the pieces once the whole is stored."""
        self._storage = storage
        self._spool = spool
        self._growing = growing
        self._suspects: dict[str, int] = {}  # paths that were quiet the last time, and when their last piece was stored

    async def look(self, before_us: int) -> AsyncIterator[RecordingFinished]:
        """Put the files together whose last piece was stored before `before_us` (Unix microseconds): each is to be uploaded.

        Only those that were so the last time too: where storage was away, their nodes get until now to go on. The pieces stay
        until the whole is stored; those of files that are stored already are removed. Several nodes may do it at a time: they
        upload the same. A node that lives and is only slow to upload stores the longer file over it.

        Raises:
            StorageUnavailable: the rest waits for the next time.
            OSError: the spool cannot be written.
        """
        before, self._suspects = self._suspects, {}
        async for lost in _lost(self._storage):
            path = lost.name.path
            if lost.newest_us >= before_us or await self._spool.threads.call(self._spool.holds, path):
                continue
            if before.get(path) != lost.newest_us:
                self._suspects[path] = lost.newest_us
                continue
            finished = await self._rescue(lost)
            if finished is not None:
                yield finished

    async def _rescue(self, lost: _Lost) -> RecordingFinished | None:
        path = lost.name.path
        stored_bytes = await self._storage.size(stored_path(path))
        if stored_bytes is not None and stored_bytes >= lost.size_bytes:
            await remove_pieces(self._storage, path)
            return None
        try:
            finished = await self._put_together(lost)
        except (StorageUnavailable, OSError):
            self._growing.release(path)
            raise
        log.warning("recording %s was left by a lost machine; %s", path, "rescued" if finished else "nothing in it can be played")
        if finished is None:
            await self._growing.forget(path)
        return finished

    async def _put_together(self, lost: _Lost) -> RecordingFinished | None:
        """Make a file in the spool of the pieces, up to the first that is missing, and recover it."""
        spool, path = self._spool, lost.name.path
        file = await spool.threads.call(spool.begin, path, b"")
        self._growing.adopt(path, lost.size_bytes)  # while it holds nothing that could go up
        try:
            await self._fetch(path, file)
            await spool.threads.call(file.close)
            finished = await spool.threads.call(restore, file.growing, lost.name)
        except (StorageUnavailable, OSError):
            await spool.threads.call(spool.abandon, path)
            raise
        if finished is None:
            await spool.threads.call(spool.abandon, path)
        return finished

    async def _fetch(self, path: str, file: GrowingFile) -> None:
        async for piece in list_all(self._storage, f"{GROWING_FOLDER}/{path}"):
            if piece.path.rpartition("/")[2] != f"{file.size_bytes:0{OFFSET_DIGITS}}":
                return
            data = await self._storage.get(piece.path)
            if data is None:
                return
            await self._spool.threads.call(file.append, [data])


async def _lost(storage: Storage) -> AsyncIterator[_Lost]:
    """What lies in pieces, file by file: a listing is by path, so those of a file stand together."""
    present: _Lost | None = None
    async for piece in list_all(storage, GROWING_FOLDER):
        path = piece.path.removeprefix(f"{GROWING_FOLDER}/").rpartition("/")[0]
        if present is None or present.name.path != path:
            if present is not None:
                yield present
            present = _named(path)
        if present is not None:
            present.size_bytes += piece.size_bytes
            present.newest_us = max(present.newest_us, piece.modified_us)
    if present is not None:
        yield present


def _named(path: str) -> _Lost | None:
    try:
        return _Lost(RecordingName.parse(path))
    except InvalidName:
        return None
