"""``record.m3u8`` and the segments in it. It may have 30,000 lines, so it is made in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from lalmesh.names import StreamKey
from lalmesh.protocol.hls import HlsPath, MediaPlaylist, kept_query, render_media
from lalmesh.runtime.asked_once import AskedOnce
from lalmesh.runtime.storage import Storage, StorageUnavailable, StoredObject, list_pages
from lalmesh.runtime.threads import Threads
from services.hls.answer import TS_TYPE, Answer, playlist_answer, refusal
from services.hls.bytes_cache import BytesCache
from services.hls.kept._names import KeptName, kept_folder, kept_path
from services.hls.kept._place import read_places
from services.hls.kept._playlist import RecordedListing
from services.hls.recording import StoredFile
from services.hls.store import read_state

FRESH_S = 1.0  #: that a playlist is taken for the present one: all its players cost one listing a second
LISTING_SHARE = 0.2  #: of the time that listings of one stream may take: that of a long one holds longer
LONGEST_FRESH_S = 5.0  #: and no longer than that: some segments, of which the newest are missing
MAX_KNOWN = 20  #: streams whose playlist is remembered meanwhile: of the longest, 200 MB
MAX_TRIES = 3  #: at a listing during which segments are removed: a sweep comes every five minutes
THREADS = 2  #: that make playlists: more would only take turns
MAX_QUERY_BYTES = 1000  #: a token and more; it stands on every line, so of the longest playlist it makes 30 MB
MAX_TEXTS_BYTES = 64 << 20  #: of playlists as text that are remembered: a dozen of the longest


@dataclass(slots=True, frozen=True, eq=False)
class _Listed:
    """What was found of a stream."""

    at_s: float  #: by the loop's clock
    took_s: float  #: to find it
    playlist: MediaPlaylist | None

    def is_fresh(self, now_s: float) -> bool:
        """Whether it is taken for what there is at `now_s`."""
        return now_s - self.at_s <= min(LONGEST_FRESH_S, max(FRESH_S, self.took_s / LISTING_SHARE))


_Wanted: TypeAlias = tuple[_Listed, str, str]  # a playlist as text, with a query and a base


class KeptSegments:
    """What was kept, as it is in storage: any node answers for it."""

    def __init__(self, storage: Storage) -> None:
        """Look into `storage`."""
        self._storage = storage
        self._threads = Threads(THREADS, "kept")
        self._listing = AskedOnce(self._list)
        self._rendering = AskedOnce(self._render)
        self._known: dict[StreamKey, _Listed] = {}
        self._texts: BytesCache[_Wanted] = BytesCache(MAX_TEXTS_BYTES)  # of those that are known

    async def answer(self, found: HlsPath, stream: StreamKey, query: str) -> Answer:
        """The playlist ``record.m3u8`` of `stream`.

        Raises:
            StorageUnavailable: it cannot be told.
        """
        query = kept_query(query)
        if len(query) > MAX_QUERY_BYTES:
            return refusal(414, f"a query of over {MAX_QUERY_BYTES} bytes, which would be on every line of a long playlist")
        listed = self._known.get(stream)
        if listed is None or not listed.is_fresh(asyncio.get_running_loop().time()):
            listed = await self._listing.get(stream)
        if listed.playlist is None:
            return refusal(404, f"{stream}: no segments are kept")
        base = "../" * (found.depth + 1) + f"record/{'/'.join(_url_parts(stream))}/"
        wanted = listed, query, base
        text = self._texts.get(wanted) or await self._rendering.get(wanted)
        return replace(playlist_answer("", listed.playlist.target_duration_s), body=text)

    async def _list(self, stream: StreamKey) -> _Listed:
        began_s = asyncio.get_running_loop().time()
        playlist = await self._playlist(stream)
        now_s = asyncio.get_running_loop().time()
        listed = _Listed(now_s, now_s - began_s, playlist)
        self._known.pop(stream, None)
        self._known[stream] = listed
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._texts.forget(lambda wanted: not self._is_known(wanted[0]))
        return listed

    def _is_known(self, listed: _Listed) -> bool:
        return any(known is listed for known in self._known.values())

    async def _playlist(self, stream: StreamKey) -> MediaPlaylist | None:
        """The playlist as it is in storage; looked for again where it has got another beginning meanwhile."""
        for _ in range(MAX_TRIES):
            places = await read_places(self._storage, stream)
            listing = RecordedListing(places[-1] if places else None)
            async for page in list_pages(self._storage, kept_folder(stream)):
                await self._threads.call(_add, listing, page)
            state = await read_state(self._storage, stream)
            if await read_places(self._storage, stream) == places:
                return await self._threads.call(listing.playlist, time.time(), over=state is not None and state.ended)
        raise StorageUnavailable(f"{stream}: kept segments are being removed", retry_after_s=FRESH_S)

    async def _render(self, wanted: _Wanted) -> bytes:
        listed, query, base = wanted
        assert listed.playlist is not None  # nobody asks for nothing
        text = await self._threads.call(_text, listed.playlist, query, base)
        if self._is_known(listed):
            self._texts.put(wanted, text)
        return text


async def find_kept(storage: Storage, stream: StreamKey, file: str) -> StoredFile | None:
    """The kept segment of that name.

    Raises:
        StorageUnavailable: it cannot be told.
    """
    if KeptName.parse(file) is None:
        return None
    found = await storage.stat(kept_path(stream, file))
    return StoredFile(found.path, found.size_bytes, found.modified_us, TS_TYPE) if found else None


def _text(playlist: MediaPlaylist, query: str, base: str) -> bytes:
    return render_media(playlist, query=query, base=base).encode()


def _add(listing: RecordedListing, page: Sequence[StoredObject]) -> None:
    names = (KeptName.parse(stored.path.rpartition("/")[2]) for stored in page)
    listing.add(name for name in names if name is not None)


def _url_parts(stream: StreamKey) -> list[str]:
    app, _, name = stream.quoted().partition("/")
    return [*app.split("%2F"), name]
