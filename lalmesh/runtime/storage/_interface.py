"""What every storage offers.

Paths are relative, their parts joined with ``/``; a stream's name goes into them as `lalmesh.names.StreamKey.quoted` writes it. An
object is there as a whole or not at all: who reads while it is replaced gets the old one or the new one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from lalmesh.errors import Unavailable

MAX_LISTED = 1000  #: objects of one page: what S3 gives at once
MAX_LISTED_OF_ALL = 10_000  #: of one page of `list_pages`, 3 MB: memory is looked through as a whole for every page
DELETED_AT_ONCE = 100  #: paths of one call of `delete_all`: a folder removes them one by one, within one deadline


class StorageUnavailable(Unavailable):
    """The storage did not do it, or not in time: disk full, no permission, an error of the store, no network.

    Whether a write was carried out is not known.
    """


@dataclass(slots=True, frozen=True)
class StoredObject:
    """What a listing tells of an object."""

    path: str
    size_bytes: int
    modified_us: int  #: Unix time in microseconds, by the storage's clock


Objects: TypeAlias = list[StoredObject]


class Storage(Protocol):
    """Objects by path. Every call has a deadline; none is repeated here, that is the caller's to do."""

    async def put(self, path: str, data: bytes) -> None:
        """Store `data`, in place of what was there.

        Raises:
            StorageUnavailable: it was not, or not in time.
        """
        ...

    async def put_file(self, path: str, local_file: Path) -> None:
        """Store what `local_file` holds, a large one in several parts at a time. What is stored a loss of power does not cost.

        Nobody may change `local_file` any more: the store may share its bytes. It may be removed.

        Raises:
            StorageUnavailable: as `put`; also where `local_file` cannot be read.
        """
        ...

    async def get(self, path: str) -> bytes | None:
        """The whole object, None where there is none. For small ones; read others with `get_range`.

        Raises:
            StorageUnavailable: it cannot be told, or not in time.
        """
        ...

    async def get_range(self, path: str, start: int, end: int) -> bytes | None:
        """Bytes `start` up to but not including `end`, as far as there are any; None where there is no object.

        Raises:
            StorageUnavailable: as `get`.
        """
        ...

    async def size(self, path: str) -> int | None:
        """How many bytes the object has, None where there is none.

        Raises:
            StorageUnavailable: as `get`.
        """
        ...

    async def stat(self, path: str) -> StoredObject | None:
        """What a listing would tell of the object, None where there is none.

        Raises:
            StorageUnavailable: as `get`.
        """
        ...

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> Objects:
        """The objects in the folder `prefix` and below, by path.

        Args:
            prefix: whole parts of a path: ``a/b`` holds ``a/b/c`` and not ``a/bc``.
            after: only those whose path comes after this one: the last of the page before.
            limit: at most so many; there may be more where as many are given.

        Raises:
            StorageUnavailable: as `get`.
        """
        ...

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove the objects; no error where one does not exist.

        Raises:
            StorageUnavailable: some may be there still.
        """
        ...


@runtime_checkable
class Walked(Protocol):
    """A storage that can go through all objects once, where `list` would begin anew for each page."""

    def pages(self, prefix: str, limit: int) -> AsyncIterator[Objects]:
        """See `list_pages`."""
        ...


async def list_pages(storage: Storage, prefix: str, *, limit: int = MAX_LISTED_OF_ALL) -> AsyncIterator[Objects]:
    """Every object in the folder `prefix` and below, by path, `limit` at a time: for who looks at them in a thread.

    What is stored or removed meanwhile is in them or not.

    Raises:
        StorageUnavailable: as `Storage.list`, after the pages that were told before.
    """
    if isinstance(storage, Walked):
        async for page in storage.pages(prefix, limit):
            yield page
        return
    after = ""
    while True:
        page = await storage.list(prefix, after=after, limit=limit)
        yield page
        if len(page) < limit:
            return
        after = page[-1].path


async def list_all(storage: Storage, prefix: str, *, limit: int = MAX_LISTED_OF_ALL) -> AsyncIterator[StoredObject]:
    """Every object in the folder `prefix` and below, by path, asking for `limit` at a time.

    Raises:
        StorageUnavailable: as `Storage.list`, after those that were told before.
    """
    async for page in list_pages(storage, prefix, limit=limit):
        for found in page:
            yield found


async def delete_all(storage: Storage, paths: Sequence[str]) -> None:
    """Remove the objects, however many; no error where one does not exist.

    Raises:
        StorageUnavailable: as `Storage.delete`; some are gone.
    """
    for at in range(0, len(paths), DELETED_AT_ONCE):
        await storage.delete(paths[at : at + DELETED_AT_ONCE])
