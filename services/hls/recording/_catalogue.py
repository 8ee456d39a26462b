"""Finished recordings as ``/record/`` shows them: lists in pages, and bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.asked_once import AskedOnce
from lalmesh.runtime.storage import Storage, StoredObject
from services.hls.recording._names import RECORD_FOLDER, RecordingName, stored_path
from services.hls.recording._retention import StoredRecording, stored_recording
from services.hls.recording._rules import RecordFormat

MAX_PAGE = 1000  #: recordings of one page: 200 KB of JSON
FRESH_S = 1.0  #: that a page is taken for the present one: in a folder each costs a look at all names, 1 µs each
MAX_KNOWN = 20  #: pages that are remembered meanwhile: of the longest, 8 MB
MAX_PATH_CHARS = 1024  #: what S3 has room for
READ_BYTES = 1 << 20  #: of one call to the storage: what a slow client has in memory

CONTENT_TYPES = {RecordFormat.FLV: "video/x-flv", RecordFormat.TS: "video/mp2t", RecordFormat.MP4: "video/mp4"}


@dataclass(slots=True, frozen=True)
class RecordingPage:
    """Some recordings, by path: of a stream that is by time."""

    recordings: tuple[StoredRecording, ...]
    after: str  #: what to ask for the next page with; empty: there is none


@dataclass(slots=True, frozen=True)
class StoredFile:
    """One recording that can be read."""

    path: str  #: in shared storage
    size_bytes: int
    modified_us: int  #: Unix time in microseconds
    content_type: str

    @property
    def entity_tag(self) -> str:
        """Strong: a recording is stored once, and again only with the same bytes or more."""
        return f'"{self.size_bytes:x}-{self.modified_us:x}"'


_Wanted: TypeAlias = tuple[str, str, int]  # a page: folder, path that it comes after, limit


class Catalogue:
    """The recordings on shared storage."""

    def __init__(self, storage: Storage) -> None:
        """Read `storage`."""
        self._storage = storage
        self._listing = AskedOnce(self._list)
        self._known: dict[_Wanted, tuple[float, RecordingPage]] = {}  # with the time of the loop until which each is fresh

    async def page(self, stream: StreamKey | None = None, *, after: str = "", limit: int = MAX_PAGE) -> RecordingPage:
        """At most `limit` recordings, of `stream` or of all, that come after the path `after`, as they were up to `FRESH_S` ago.

        Raises:
            InvalidName: `after` is no path.
            StorageUnavailable: ask again.
        """
        folder = stored_path(stream.quoted()) if stream else RECORD_FOLDER
        wanted = folder, stored_path(_checked(after)) if after else "", max(1, min(limit, MAX_PAGE))
        until_s, page = self._known.get(wanted, (0.0, None))
        if page is not None and asyncio.get_running_loop().time() < until_s:
            return page
        return await self._listing.get(wanted)

    async def _list(self, wanted: _Wanted) -> RecordingPage:
        folder, after, limit = wanted
        found = await self._storage.list(folder, after=after, limit=limit)
        recordings = await asyncio.to_thread(_recordings_in, found)
        more = len(found) == limit
        page = RecordingPage(recordings, found[-1].path.removeprefix(f"{RECORD_FOLDER}/") if more else "")
        self._known.pop(wanted, None)
        self._known[wanted] = asyncio.get_running_loop().time() + FRESH_S, page
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return page

    async def find(self, path: str) -> StoredFile | None:
        """The recording ``APP/NAME/FILE``; None where there is none, or `path` is not the name of one.

        Raises:
            StorageUnavailable: ask again.
        """
        try:
            name = RecordingName.parse(path)
        except InvalidName:
            return None
        found = await self._storage.stat(stored_path(name.path))
        if found is None:
            return None
        return StoredFile(found.path, found.size_bytes, found.modified_us, CONTENT_TYPES[name.format])

    async def read(self, file: StoredFile, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes `start` up to but not including `end`, piece by piece; fewer where the file has been removed meanwhile.

        Raises:
            StorageUnavailable: the rest cannot be read now.
        """
        while start < end:
            piece = await self._storage.get_range(file.path, start, min(end, start + READ_BYTES))
            if not piece:
                return
            yield piece
            start += len(piece)


def _recordings_in(found: Sequence[StoredObject]) -> tuple[StoredRecording, ...]:
    return tuple(recording for recording in map(stored_recording, found) if recording is not None)


def _checked(path: str) -> str:
    """What somebody says is the path of a recording: storage is asked with it.

    Raises:
        InvalidName: nothing has such a path.
    """
    if len(path) > MAX_PATH_CHARS or not path.isprintable() or any(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidName("a page cannot begin there")
    return path
