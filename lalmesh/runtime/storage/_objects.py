"""Storage over obstore: its calls, with deadlines, its errors made ours."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from lalmesh.runtime.storage._interface import MAX_LISTED, Objects, StorageUnavailable, StoredObject

if TYPE_CHECKING:
    from obstore import ObjectMeta

RETRY_AFTER_S = 1.0
PART_BYTES = 8 << 20  #: of a file that is stored in several; S3 takes 5 MiB and more
MAX_PARTS = 9_000  #: S3 takes 10,000: larger files get larger parts
PARTS_AT_ONCE = 4  #: so many of `PART_BYTES` are in memory for one file
LIST_CHUNK = 1000  #: objects that cross from obstore at once, and that a listing gets one deadline for

Store = LocalStore | MemoryStore | S3Store


class ObjectStorage:
    """A storage in an obstore store (see `lalmesh.runtime.storage.Storage`).

    obstore does its work in threads of its own: a call costs the loop only what hands it over.
    """

    def __init__(self, store: Store, deadline_s: float, slowest_bytes_per_s: int, *, lists_in_order: bool = False) -> None:
        """Keep objects in `store`; `lists_in_order`: it lists by path, so that a page needs no look at the rest."""
        self._store = store
        self._deadline_s = deadline_s
        self._slowest_bytes_per_s = slowest_bytes_per_s
        self._lists_in_order = lists_in_order

    async def put(self, path: str, data: bytes) -> None:
        """See `Storage.put`."""
        async with self._call("store", path, len(data)):
            await obstore.put_async(self._store, path, data, use_multipart=False)

    async def put_file(self, path: str, local_file: Path) -> None:
        """See `Storage.put_file`."""
        async with self._call("store", path):
            size = (await asyncio.to_thread(local_file.stat)).st_size
        part_bytes = max(PART_BYTES, size // MAX_PARTS)
        async with self._call("store", path, size):
            await obstore.put_async(self._store, path, local_file, chunk_size=part_bytes, max_concurrency=PARTS_AT_ONCE)

    async def get(self, path: str) -> bytes | None:
        """See `Storage.get`."""
        async with self._call("read", path):
            try:
                found = await obstore.get_async(self._store, path)
                return (await found.bytes_async()).to_bytes()
            except FileNotFoundError as error:
                _check_bucket(error)
                return None

    async def get_range(self, path: str, start: int, end: int) -> bytes | None:
        """See `Storage.get_range`."""
        if end <= start:
            return None if await self.size(path) is None else b""
        async with self._call("read", path, end - start):
            try:
                return (await obstore.get_range_async(self._store, path, start=start, end=end)).to_bytes()
            except FileNotFoundError as error:
                _check_bucket(error)
                return None
            except BaseError:
                if not await self._ends_before(path, start):
                    raise
                return b""

    async def _ends_before(self, path: str, start: int) -> bool:
        """Whether a range that was refused begins behind the end: stores tell that in words only."""
        return (await obstore.head_async(self._store, path))["size"] <= start

    async def size(self, path: str) -> int | None:
        """See `Storage.size`."""
        found = await self.stat(path)
        return found.size_bytes if found else None

    async def stat(self, path: str) -> StoredObject | None:
        """See `Storage.stat`."""
        async with self._call("look for", path):
            try:
                return _object(await obstore.head_async(self._store, path))
            except FileNotFoundError:
                return None

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> Objects:
        """See `Storage.list`. Of a store that lists in no order, all is looked at and `limit` is kept."""
        async with self._call("list", prefix, requests=max(1, limit // LIST_CHUNK)):
            if self._lists_in_order:
                return await _first(self._listed(prefix, after, min(limit, LIST_CHUNK)), limit)
            return await _smallest(self._listed(prefix, after, LIST_CHUNK), limit)

    async def _listed(self, prefix: str, after: str, chunk: int) -> AsyncIterator[Objects]:
        found = obstore.list(self._store, prefix or None, offset=after or None, chunk_size=max(1, chunk))
        async for metas in found:
            yield [_object(meta) for meta in metas]

    async def delete(self, paths: Sequence[str]) -> None:
        """See `Storage.delete`."""
        if not paths:
            return
        async with self._call("delete", paths[0]):
            if isinstance(self._store, S3Store):
                await obstore.delete_async(self._store, list(paths))
                return
            for path in paths:  # the others stop at the first that is not there
                try:
                    await obstore.delete_async(self._store, path)
                except FileNotFoundError:
                    continue

    @asynccontextmanager
    async def _call(self, what: str, path: str, size_bytes: int = 0, *, requests: int = 1) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline_s * requests + size_bytes / self._slowest_bytes_per_s):
                yield
        except (BaseError, OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise _unavailable(what, path, error) from error


async def _first(chunks: AsyncIterator[Objects], limit: int) -> Objects:
    taken: Objects = []
    async for chunk in chunks:
        taken += chunk[: limit - len(taken)]
        if len(taken) >= limit:
            break
    return taken


async def _smallest(chunks: AsyncIterator[Objects], limit: int) -> Objects:
    kept: Objects = []
    async for chunk in chunks:
        kept = heapq.nsmallest(limit, kept + chunk, key=_path_of)
    return kept


def _check_bucket(error: FileNotFoundError) -> None:
    """Raise `error` where it is the bucket that is not there, and not the object: a caller may not build on that."""
    if "NoSuchBucket" in str(error):
        raise error


def _path_of(found: StoredObject) -> str:
    return found.path


def _object(meta: ObjectMeta) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], int(meta["last_modified"].timestamp() * 1_000_000))


def _unavailable(what: str, path: str, error: BaseException) -> StorageUnavailable:
    reason = "not done in time" if isinstance(error, TimeoutError) else str(error).partition("\n")[0]
    return StorageUnavailable(f"cannot {what} {path}: {reason or type(error).__name__}", retry_after_s=RETRY_AFTER_S)
