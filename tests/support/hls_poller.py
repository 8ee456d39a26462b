"""Players of one HLS media playlist behind a load balancer: each question goes to the next replica, whoever of them lives.

Everything that is answered goes to the checker. Every segment that is listed is got from every replica, and when it first came is
kept: from that it can be told whether a player with so many segments of buffer would have stood still.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp

from support.hls_checker import HlsChecker
from support.hls_text import ListedSegment, ReadPlaylist, merge, read_playlist

REQUEST_S = 30.0  #: for one answer: a blocking one waits three target durations at most
PAUSE_S = 0.2  #: between two questions that are answered at once
FILE_S = 5.0  #: for a replica to have a file that is listed


class Replicas:
    """The servers that a load balancer knows."""

    def __init__(self, servers: Sequence[str]) -> None:
        """``http://host:port`` of each."""
        self.servers = list(servers)
        self._asked = 0

    def next(self) -> str:
        """Whose turn it is."""
        self._asked += 1
        return self.servers[self._asked % len(self.servers)]

    def drop(self, server: str) -> None:
        """It is about to die."""
        self.servers.remove(server)

    def add(self, server: str) -> None:
        """It is ready."""
        self.servers.append(server)


@dataclass(frozen=True)
class Arrival:
    """A segment that has come."""

    at_s: float  #: whole at the player, monotonic
    data: bytes


class HlsPoller:
    """Asks for one playlist and what it lists until it ends or is cancelled. `polling` makes and runs them."""

    def __init__(self, session: aiohttp.ClientSession, replicas: Replicas, path: str) -> None:
        """Ask `replicas` for `path`; with blocking reload, full and delta playlists in turn, where it offers that."""
        self.checker = HlsChecker()
        self.listed: dict[int, ListedSegment] = {}  #: whole ones by number, as they were first
        self.arrived: dict[int, Arrival] = {}
        self.maps: dict[str, bytes] = {}  #: initialization sections by path
        self.refusals: list[tuple[int, str]] = []  #: status (0: not reached) and text of answers that held no playlist
        self.missed: list[str] = []  #: files that were listed and that a living replica did not have, with its last status
        self.playlist: ReadPlaylist | None = None
        self.texts: list[tuple[float, str, str]] = []  #: every playlist, for a look at what the checker found
        self._session = session
        self._replicas = replicas
        self._path = path
        self._polls = 0
        self._fetching: set[str] = set()

    @property
    def next_number(self) -> int:
        """The number of the segment that is not whole yet."""
        return self.playlist.next_number if self.playlist is not None else 0

    @property
    def open_parts(self) -> int:
        """How many parts of that one are listed."""
        opened = self.playlist.open_segment if self.playlist is not None else None
        return len(opened.parts) if opened is not None else 0

    def violations(self, *, but: Sequence[str] = ()) -> list[str]:
        """What the checker found, without the rules `but`."""
        return [str(violation) for violation in self.checker.violations if violation.rule not in but]

    def least_buffer_s(self, segments: int = 3) -> float:
        """How much was left at the worst moment to a player that began with so many segments; below 0 it stood still."""
        numbers = sorted(self.arrived)
        due_s = self.arrived[numbers[segments - 1]].at_s + sum(self._duration_s(number) for number in numbers[:segments])
        left_s = float("inf")
        for number in numbers[segments:]:
            left_s = min(left_s, due_s - self.arrived[number].at_s)
            due_s += self._duration_s(number)
        return left_s

    def _duration_s(self, number: int) -> float:
        return float(self.listed[number].duration)

    async def run(self) -> None:
        """Poll; returns at the end of the playlist."""
        async with asyncio.TaskGroup() as group:
            while self.playlist is None or not self.playlist.ended:
                await self._poll(group)

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        target = self._next_target()
        status, body, url = await self._get(self._replicas.next(), target)
        if status != 200:
            if self.playlist is not None:  # before, there may be no stream
                self.refusals.append((status, body.decode(errors="replace").strip()))
            await asyncio.sleep(PAUSE_S)
            return
        at_s, text = time.monotonic(), body.decode()
        self.texts.append((at_s, url, text))
        self.checker.see(at_s, url, text)
        read = read_playlist(url, text)
        self.playlist = merge(read, self.listed) if read.skipped else read
        self._take(self.playlist, group)
        if "_HLS_msn" not in target:
            await asyncio.sleep(PAUSE_S)

    def _next_target(self) -> str:
        playlist = self.playlist
        if playlist is None or playlist.part_target is None:
            return self._path
        self._polls += 1
        skip = "&_HLS_skip=YES" if self._polls % 2 else ""
        return f"{self._path}?_HLS_msn={playlist.next_number}&_HLS_part={self.open_parts}{skip}"

    def _take(self, playlist: ReadPlaylist, group: asyncio.TaskGroup) -> None:
        for segment in playlist.segments:
            self.listed.setdefault(segment.number, segment)
            if segment.map_uri and not segment.gap:
                self._start(segment.map_uri, None, group)
            if not segment.gap and segment.number not in self.arrived:
                self._start(segment.uri, segment.number, group)

    def _start(self, path: str, number: int | None, group: asyncio.TaskGroup) -> None:
        if path not in self._fetching:
            self._fetching.add(path)
            group.create_task(self._from_all(path, number))

    async def _from_all(self, path: str, number: int | None) -> None:
        """One file from every replica; whichever is next gives the one that is played."""
        first = self._replicas.next()
        for server in (first, *(other for other in self._replicas.servers if other != first)):
            data = await self._file(server, path)
            if data is None:
                continue
            if number is None:
                self.maps.setdefault(path, data)
            else:
                self.arrived.setdefault(number, Arrival(time.monotonic(), data))

    async def _file(self, server: str, path: str) -> bytes | None:
        """A file that a playlist lists; asked for again where it does not come at once. None: `missed`, or the replica died."""
        end = time.monotonic() + FILE_S
        while True:
            status, body, url = await self._get(server, path)
            if status == 200:
                self.checker.see_file(time.monotonic(), url, body)
                return body
            if server not in self._replicas.servers:
                return None
            if time.monotonic() > end:
                self.missed.append(f"{path} of {urlsplit(url).netloc}: {status} {body.decode(errors='replace').strip()}")
                return None
            await asyncio.sleep(PAUSE_S)

    async def _get(self, server: str, target: str) -> tuple[int, bytes, str]:
        """Status, body and URL of one answer; status 0 where the server could not be reached."""
        url = urljoin(server, target)
        try:
            async with self._session.get(url) as answer:
                return answer.status, await answer.read(), str(answer.url)
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, repr(error).encode(), url

    def files(self, folder: Path, suffix: str) -> list[Path]:
        """What was played, one segment behind the other: a file for each initialization section, of TS one for all."""
        paths: list[Path] = []
        written: str | None = None
        for number, arrival in sorted(self.arrived.items()):
            map_uri = self.listed[number].map_uri
            if map_uri != written:
                written = map_uri
                paths.append(folder / f"played-{len(paths)}.{suffix}")
                paths[-1].write_bytes(self.maps.get(map_uri, b""))
            with paths[-1].open("ab") as out:
                out.write(arrival.data)
        return paths


@asynccontextmanager
async def polling(replicas: Replicas, *paths: str) -> AsyncIterator[list[HlsPoller]]:
    """A poller of each path, all running until the block is left."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S)) as session, asyncio.TaskGroup() as group:
        pollers = [HlsPoller(session, replicas, path) for path in paths]
        tasks = [group.create_task(poller.run()) for poller in pollers]
        yield pollers
        for task in tasks:
            task.cancel()


async def until(what: str, holds: Callable[[], bool], limit_s: float) -> None:
    """Wait until `holds()`, which may ask a server: it runs in a thread, so that pollers go on.

    Raises:
        AssertionError: it does not within `limit_s`.
    """
    end = time.monotonic() + limit_s
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < end, f"no {what} within {limit_s} s"
        await asyncio.sleep(0.02)
