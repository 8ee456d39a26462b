"""A player of one HLS media playlist: everything that it is answered goes to the checker, every segment is kept."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp

from support.hls_checker import HlsChecker
from support.hls_text import ListedSegment, ReadPlaylist, merge, read_playlist

REQUEST_S = 30.0  #: for one answer: a blocking one waits three target durations at most
PAUSE_S = 0.3  #: between two questions that are answered at once
#: ... of several servers, at least: each may keep a playlist for half a target, and so be that much behind another; a player waits
#: as long before it asks anew (RFC 8216 §6.3.4)
CACHED_S = 1.0

_Key = TypeVar("_Key")


class HlsPlayer:
    """Plays through any of several servers in turn, which answer the same paths. A context manager."""

    def __init__(self, servers: Sequence[str], path: str, *, low_latency: bool = False) -> None:
        """Play `path` of `servers` (``http://host:port``); with `low_latency` by parts and blocking reload."""
        self.checker = HlsChecker()
        self.segments: dict[int, bytes] = {}  #: whole ones, by number
        self.listed: dict[int, ListedSegment] = {}  #: by number, as they were first
        self.parts: dict[tuple[int, int], bytes] = {}  #: by number of the segment and index
        self.maps: dict[str, bytes] = {}  #: initialization sections by path
        self.answers: list[tuple[float, int]] = []  #: to questions for the playlist: monotonic seconds, status
        self.slow: list[str] = []  #: files that were listed and did not come at the first try
        self.playlist: ReadPlaylist | None = None
        self._read_at = 0.0  # monotonic seconds
        self._servers = itertools.cycle(servers)
        self._has_choice = len(servers) > 1
        self._path = path
        self._low_latency = low_latency
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, target: str) -> tuple[int, bytes, str]:
        """Status, body and URL of one answer; status 0 where no server could be reached."""
        assert self._session is not None
        url = urljoin(next(self._servers), target)
        try:
            async with self._session.get(url) as answer:
                return answer.status, await answer.read(), str(answer.url)
        except (aiohttp.ClientError, TimeoutError):
            return 0, b"", url

    async def play(self, until: Callable[[HlsPlayer], bool], limit_s: float) -> None:
        """Play until `until` holds, or the playlist has ended.

        Raises:
            AssertionError: it does not within `limit_s`.
        """
        end = time.monotonic() + limit_s
        while not until(self):
            assert time.monotonic() < end, (
                f"{self._path} not reached in {limit_s} s; {len(self.segments)} segments, answers: {self._answered(end - limit_s)}"
            )
            await self.reload()
            if self.playlist is not None and self.playlist.ended:
                return

    def _answered(self, since: float) -> str:
        """When and how often each status came in a row."""
        rows = [(status, list(group)) for status, group in itertools.groupby(self.answers, itemgetter(1))]
        return ", ".join(f"{status} {len(group)} times from {group[0][0] - since:.1f} s" for status, group in rows)

    async def reload(self) -> None:
        """One more playlist, and what is new in it."""
        target = self._next_target()
        status, body, url = await self.get(target)
        self.answers.append((time.monotonic(), status))
        if status == 200:
            self._read_at = time.monotonic()
            self.checker.see(self._read_at, url, body.decode())
            read = read_playlist(url, body.decode())
            self.playlist = merge(read, self.listed) if read.skipped else read
            await self._take(self.playlist)
        if status != 200 or "_HLS_msn" not in target:
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        if not self._has_choice or self.playlist is None:
            return PAUSE_S
        return max(CACHED_S, float(self.playlist.target_s or 0) / 2)

    def _next_target(self) -> str:
        playlist = self.playlist
        if not self._low_latency or playlist is None:
            return self._path
        parts = len(playlist.open_segment.parts) if playlist.open_segment is not None else 0
        skip = "&_HLS_skip=YES" if self._is_fresh(playlist) else ""
        return f"{self._path}?_HLS_msn={playlist.next_number}&_HLS_part={parts}{skip}"

    def _is_fresh(self, playlist: ReadPlaylist) -> bool:
        """Whether a delta playlist will do: not where that is older than half the skip boundary (RFC 8216bis §6.3.7)."""
        return time.monotonic() - self._read_at <= float(playlist.control.get("CAN-SKIP-UNTIL", 0)) / 2

    async def _take(self, playlist: ReadPlaylist) -> None:
        """All that is new, at once: one after the other, on a busy machine, the last would not be there any more."""
        opened = [playlist.open_segment] if playlist.open_segment is not None and self._low_latency else []
        async with asyncio.TaskGroup() as group:
            for segment in [*playlist.segments, *opened]:
                if segment.uri and segment.number not in self.listed:
                    self.listed[segment.number] = segment
                if segment.map_uri and segment.map_uri not in self.maps:
                    self.maps[segment.map_uri] = b""  # others have the same
                    group.create_task(self._keep(self.maps, segment.map_uri, segment.map_uri))
                for index, part in enumerate(segment.parts if self._low_latency else ()):
                    if (segment.number, index) not in self.parts and not part.gap:
                        group.create_task(self._keep(self.parts, (segment.number, index), part.uri))
                if segment.uri and not segment.gap and segment.number not in self.segments:
                    group.create_task(self._keep(self.segments, segment.number, segment.uri))

    async def _keep(self, kept: dict[_Key, bytes], key: _Key, path: str) -> None:
        kept[key] = await self._file(path)

    async def _file(self, path: str) -> bytes:
        """A file that a playlist lists; asked for again where it does not come at once."""
        for attempt in range(20):
            status, body, url = await self.get(path)
            if status == 200:
                self.checker.see_file(time.monotonic(), url, body)
                return body
            if not attempt:
                self.slow.append(f"{urlsplit(url).path}: {status}")
            await asyncio.sleep(PAUSE_S)
        return b""

    def file(self, folder: Path, name: str) -> Path:
        """All segments one behind the other, each map where it begins to hold, as a file."""
        path = folder / name
        written = ""
        with path.open("wb") as out:
            for number, data in sorted(self.segments.items()):
                map_uri = self.listed[number].map_uri
                if map_uri and map_uri != written:
                    written = map_uri
                    out.write(self.maps[map_uri])
                out.write(data)
        return path
