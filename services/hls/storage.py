"""The storage of a node, opened when it is first needed: a server that nobody asks for HLS makes no folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from lalmesh.runtime.storage import MAX_LISTED, Storage, StorageOptions, StoredObject, list_pages, open_storage


class LateStorage:
    """A `Storage` that `open_storage` makes at the first call that needs it."""

    def __init__(self, url: str, options: StorageOptions | None = None) -> None:
        """Of what is at `url`."""
        self._url = url
        self._options = options
        self._opened: Storage | None = None

    def _storage(self) -> Storage:
        """The storage.

        Raises:
            StorageUnavailable: the folder cannot be made.
            UnsupportedError: no storage has such a URL.
        """
        if self._opened is None:
            self._opened = open_storage(self._url, self._options)
        return self._opened

    @property
    def _is_absent(self) -> bool:
        """Whether it is a folder that nobody has made yet."""
        return self._opened is None and "://" not in self._url and not Path(self._url).exists()

    async def put(self, path: str, data: bytes) -> None:
        """See `Storage.put`."""
        await self._storage().put(path, data)

    async def put_file(self, path: str, local_file: Path) -> None:
        """See `Storage.put_file`."""
        await self._storage().put_file(path, local_file)

    async def get(self, path: str) -> bytes | None:
        """See `Storage.get`."""
        return None if self._is_absent else await self._storage().get(path)

    async def get_range(self, path: str, start: int, end: int) -> bytes | None:
        """See `Storage.get_range`."""
        return None if self._is_absent else await self._storage().get_range(path, start, end)

    async def size(self, path: str) -> int | None:
        """See `Storage.size`."""
        return None if self._is_absent else await self._storage().size(path)

    async def stat(self, path: str) -> StoredObject | None:
        """See `Storage.stat`."""
        return None if self._is_absent else await self._storage().stat(path)

    async def pages(self, prefix: str, limit: int) -> AsyncIterator[list[StoredObject]]:
        """See `list_pages`."""
        if not self._is_absent:
            async for page in list_pages(self._storage(), prefix, limit=limit):
                yield page

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> list[StoredObject]:
        """See `Storage.list`."""
        return [] if self._is_absent else await self._storage().list(prefix, after=after, limit=limit)

    async def delete(self, paths: Sequence[str]) -> None:
        """See `Storage.delete`."""
        if not self._is_absent:
            await self._storage().delete(paths)
