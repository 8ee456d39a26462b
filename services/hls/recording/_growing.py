"""Growing files on shared storage, so that the loss of a whole machine costs no more than what came since the last upload.

No store lets an object grow, so a file goes up in pieces: each time what is new since the last. They lie in a folder of their own,
and nobody plays them. Once the whole file is stored they are removed. Pieces that get no company any more are those of a lost
machine: see `services.hls.recording._rescue`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lalmesh.runtime.storage import Storage, StorageUnavailable, delete_all, list_all
from services.hls.recording._spool import Spool, SpooledFile

log = logging.getLogger(__name__)

GROWING_FOLDER = "record-growing"  #: in shared storage: ``APP/NAME/FILE/<offset>`` below it
PIECE_BYTES = 8 << 20  #: of one piece at most: it is in memory once
OFFSET_DIGITS = 15  #: so that pieces are in order by name; no file is that long


@dataclass(slots=True)
class GrowingCounters:
    """What went up in pieces. Only rises."""

    pieces: int = 0
    piece_bytes: int = 0
    failures: int = 0  #: pieces that were not taken; they are tried again the next time


class GrowingUploads:
    """Uploads what the growing files of a spool have got."""

    def __init__(self, storage: Storage, spool: Spool) -> None:
        """Upload from `spool` to `storage`."""
        self.counters = GrowingCounters()
        self._storage = storage
        self._spool = spool
        self._uploaded: dict[str, int] = {}  # bytes, by path of the recording
        self._refused: list[str] = []  # recordings of which a piece was not taken since all went up, in the order of that
        self._uploading = ""  # the recording of which a piece may be on its way
        self._is_released = False  # that one meanwhile
        self._turn = asyncio.Lock()  # held for as long

    async def upload(self) -> int:
        """Upload what is new in each growing file, last in those that were refused. Gives how many bytes.

        Raises:
            StorageUnavailable: the rest goes up the next time, before the one that was refused.
            OSError: the spool cannot be listed.
        """
        total = 0
        files, gone = await self._spool.threads.call(self._look, [*self._uploaded])
        for path in gone:
            self.release(path)
        by_path = {file.name.path: file for file in files}
        refused = [path for path in self._refused if path in by_path]
        for path in [*(path for path in by_path if path not in self._refused), *refused]:
            file = by_path[path]
            try:
                total += await self._upload(path, file.path, file.size_bytes)
            except StorageUnavailable:  # it is away for all of them, or it takes this one never
                self._refused = [*(each for each in refused if each != path), path]
                raise
            except OSError as error:  # the others go up even so
                self.counters.failures += 1
                log.warning("recording %s cannot be read: %s", path, error)
        self._refused = []
        return total

    def _look(self, uploaded: Sequence[str]) -> tuple[list[SpooledFile], list[str]]:
        """The growing files, and which of `uploaded` are gone: the disk broke them, and nothing could be made of them."""
        return list(self._spool.files(complete=False)), [path for path in uploaded if not self._spool.holds(path)]

    async def _upload(self, path: str, local: Path, size_bytes: int) -> int:
        begin = at = self._uploaded.get(path, 0)
        async with self._turn:
            self._uploading, self._is_released = path, False
            try:
                while at < size_bytes and not self._is_released:
                    piece = await self._spool.threads.call(_read, local, at, min(PIECE_BYTES, size_bytes - at))
                    if not piece:  # it is complete meanwhile
                        break
                    await self._put(f"{GROWING_FOLDER}/{path}/{at:0{OFFSET_DIGITS}}", piece)
                    at += len(piece)
                    if not self._is_released:
                        self._uploaded[path] = at
            finally:
                self._uploading = ""
        return at - begin

    async def _put(self, path: str, piece: bytes) -> None:
        try:
            await self._storage.put(path, piece)
        except StorageUnavailable:
            self.counters.failures += 1
            raise
        self.counters.pieces += 1
        self.counters.piece_bytes += len(piece)

    def adopt(self, path: str, size_bytes: int) -> None:
        """The recording `path` is put together here of pieces of `size_bytes`: they are this node's to remove, and do not go up."""
        self._uploaded[path] = size_bytes

    async def forget(self, path: str) -> None:
        """The whole recording `path` is stored: remove its pieces.

        Raises:
            StorageUnavailable: they are removed by whoever looks for lost ones.
        """
        if self.release(path):
            await self.remove(path)

    def release(self, path: str) -> bool:
        """The recording `path` is gone from the spool. Gives whether it has pieces: left alone, they are rescued by somebody."""
        has_pieces = self._uploaded.pop(path, None) is not None
        if path != self._uploading:
            return has_pieces
        self._is_released = True
        return True

    async def remove(self, path: str) -> None:
        """Remove the pieces of a recording that was released, with one that is on its way still.

        Raises:
            StorageUnavailable: they are removed by whoever looks for lost ones.
        """
        if path == self._uploading:
            async with self._turn:
                pass
        await remove_pieces(self._storage, path)

    async def run(self, upload_s: float) -> None:
        """Upload each `upload_s` until cancelled."""
        while True:
            await asyncio.sleep(upload_s)
            try:
                await self.upload()
            except (StorageUnavailable, OSError) as error:
                log.warning("growing recordings not stored, again in %g s: %s", upload_s, error)


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
    await delete_all(storage, pieces)
