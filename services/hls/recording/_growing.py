"""Growing files on shared storage, so that the loss of a whole machine costs no more than what came since the last upload.

No store lets an object grow, so a file goes up in pieces: each time what is new since the last. They lie in a folder of their own,
and nobody plays them. Once the whole file is stored they are removed. Pieces that get no company any more are those of a lost
machine: any node puts them together, recovers what they make, and uploads it under its name.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from lalmesh.errors import InvalidName
from lalmesh.runtime.storage import Storage, StorageUnavailable, StoredObject, list_all
from services.hls.recording._events import RecordingFinished
from services.hls.recording._names import RecordingName, stored_path
from services.hls.recording._recovery import restore
from services.hls.recording._spool import GrowingFile, Spool

log = logging.getLogger(__name__)

GROWING_FOLDER = "record-growing"  #: in shared storage: ``APP/NAME/FILE/<offset>`` below it
PIECE_BYTES = 8 << 20  #: of one piece at most: it is in memory once
OFFSET_DIGITS = 15  #: so that pieces are in order by name; no file is that long
DELETED_AT_ONCE = 100  #: pieces of one call


class GrowingUploads:
    """Uploads what the growing files of a spool have got."""

    def __init__(self, storage: Storage, spool: Spool) -> None:
        """Upload from `spool` to `storage`."""
        self._storage = storage
        self._spool = spool
        self._uploaded: dict[str, int] = {}  # bytes, by path of the recording

    async def upload(self) -> int:
        """Upload what is new in each growing file. Gives how many bytes.

        Raises:
            StorageUnavailable: the rest goes up the next time.
        """
        loop = asyncio.get_running_loop()
        total = 0
        for file in await loop.run_in_executor(None, list, self._spool.files()):
            if file.growing:
                total += await self._upload(file.name.path, file.path, file.size_bytes)
        return total

    async def _upload(self, path: str, local: Path, size_bytes: int) -> int:
        loop = asyncio.get_running_loop()
        begin = self._uploaded.get(path, 0)
        while self._uploaded.get(path, 0) < size_bytes:
            at = self._uploaded.get(path, 0)
            piece = await loop.run_in_executor(None, _read, local, at, min(PIECE_BYTES, size_bytes - at))
            if not piece:  # it is complete meanwhile
                break
            await self._storage.put(f"{GROWING_FOLDER}/{path}/{at:0{OFFSET_DIGITS}}", piece)
            self._uploaded[path] = at + len(piece)
        return self._uploaded.get(path, 0) - begin

    async def forget(self, path: str) -> None:
        """The whole recording `path` is stored: remove its pieces.

        Raises:
            StorageUnavailable: they are removed by whoever looks for lost ones.
        """
        if self._uploaded.pop(path, None) is not None:
            await remove_pieces(self._storage, path)

    def release(self, path: str) -> None:
        """The recording `path` is gone and never was stored: its pieces are all that is left, and somebody will rescue them."""
        self._uploaded.pop(path, None)

    async def rescue(self, before_us: int) -> list[RecordingFinished]:
        """Put files together whose last piece was stored before `before_us` (Unix time in microseconds), to be uploaded.

        The pieces stay until the whole is stored (`forget`); those of files that are stored already are removed. Several nodes may
        do it at a time: they upload the same. A node that lives and is only slow to upload stores the longer file over it.

        Raises:
            StorageUnavailable: the rest waits for the next time.
            OSError: the spool cannot be written.
        """
        rescued: list[RecordingFinished] = []
        for lost in await _lost(self._storage, before_us):
            path = lost.name.path
            if await _is_stored(self._storage, lost):
                await remove_pieces(self._storage, path)
            elif not _in_spool(self._spool, path):
                self._uploaded[path] = lost.size_bytes
                finished = await _put_together(self._storage, self._spool, lost)
                rescued += [finished] if finished else []
        return rescued

    async def run(self, upload_s: float) -> None:
        """Upload each `upload_s` until cancelled."""
        while True:
            await asyncio.sleep(upload_s)
            try:
                await self.upload()
            except (StorageUnavailable, OSError) as error:
                log.warning("growing recordings not stored, again in %g s: %s", upload_s, error)


def _append(file: GrowingFile, data: bytes) -> None:
    file.append([data])


def _read(path: Path, offset: int, count: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), count, offset)
    except FileNotFoundError:
        return b""


async def remove_pieces(storage: Storage, path: str) -> None:
    """Remove all pieces of the recording `path`.

    Raises:
        StorageUnavailable: some may be left.
    """
    pieces = [found.path async for found in list_all(storage, f"{GROWING_FOLDER}/{path}")]
    for at in range(0, len(pieces), DELETED_AT_ONCE):
        await storage.delete(pieces[at : at + DELETED_AT_ONCE])


@dataclass(slots=True)
class _Lost:
    """The pieces of one file."""

    name: RecordingName
    pieces: list[StoredObject] = field(default_factory=list)

    @property
    def newest_us(self) -> int:
        return max(piece.modified_us for piece in self.pieces)

    @property
    def size_bytes(self) -> int:
        return sum(piece.size_bytes for piece in self.pieces)


async def _lost(storage: Storage, before_us: int) -> list[_Lost]:
    files: dict[str, _Lost] = {}
    async for piece in list_all(storage, GROWING_FOLDER):
        path = piece.path.removeprefix(f"{GROWING_FOLDER}/").rpartition("/")[0]
        try:
            files.setdefault(path, _Lost(RecordingName.parse(path))).pieces.append(piece)
        except InvalidName:
            continue
    return [lost for lost in files.values() if lost.newest_us < before_us]


async def _is_stored(storage: Storage, lost: _Lost) -> bool:
    return (await storage.size(stored_path(lost.name.path)) or 0) >= lost.size_bytes


def _in_spool(spool: Spool, path: str) -> bool:
    return spool.path(path).exists() or spool.path(path, growing=True).exists()


async def _put_together(storage: Storage, spool: Spool, lost: _Lost) -> RecordingFinished | None:
    """Make a file in the spool of the pieces, up to the first that is missing, and recover it."""
    loop = asyncio.get_running_loop()
    path, name = lost.name.path, lost.name
    file = await loop.run_in_executor(None, spool.begin, path, b"")
    try:
        for piece in lost.pieces:
            data = await storage.get(piece.path)
            if data is None or int(piece.path.rpartition("/")[2]) != file.size_bytes:
                break
            await loop.run_in_executor(None, _append, file, data)
    except (StorageUnavailable, OSError):
        file.growing.unlink(missing_ok=True)
        raise
    finally:
        file.close()
    finished = await loop.run_in_executor(None, restore, file.growing, name)
    log.warning("recording %s was left by a lost machine; %s", path, "rescued" if finished else "nothing in it can be played")
    if finished is None:
        await remove_pieces(storage, path)
    return finished
