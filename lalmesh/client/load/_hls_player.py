"""A player of HLS: playlists and media as a player asks for them, part by part with blocking reload where there are parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from lalmesh.client._errors import ConnectionFailed, http_refusal
from lalmesh.client.load._hls_reading import Follower, Item, Playlist, parse_playlist
from lalmesh.client.load._http_asking import HttpAnswer, HttpAsking
from lalmesh.client.load._http_reading import HttpUrl
from lalmesh.client.load._player import LoadPlayer
from lalmesh.client.load._talks import first_line
from lalmesh.container.fmp4 import Fmp4Demuxer
from lalmesh.container.mpegts import TsDemuxer
from lalmesh.media import MediaEvent

BLOCKING_TARGETS: Final = 3  #: target durations that a server may keep a playlist back for (rfc8216bis §6.2.5.2)
MAX_PLAYLIST_FAILURES: Final = 3  #: in a row, after which it is over
MIN_PAUSE_S: Final = 0.1  #: between two playlists where nothing says how long


class HlsPlayer(LoadPlayer):
    """Plays ``http(s)://.../*.m3u8``."""

    async def _play(self, joined: Callable[[], None]) -> None:
        self._asking = HttpAsking(self._crowd.dialler)
        self._follower = Follower()
        self._maps: set[str] = set()
        self._reader: _MediaReader | None = None
        self._chunk_s = 0.0
        self._playlists_failed = 0
        self._on_joined = joined
        try:
            await self._follow(await self._first())
        finally:
            self._asking.close()

    @property
    def stall_limit_s(self) -> float:
        """A piece comes when it is whole."""
        return max(super().stall_limit_s, 1.5 * self._chunk_s)

    async def _first(self) -> tuple[HttpUrl, Playlist]:
        """The media playlist, and where it is."""
        url = HttpUrl.parse(self.url)
        while True:
            answer = await self._get(url, keep=True)
            if answer.status != 200:
                raise http_refusal(answer.status, first_line(answer.body) or answer.reason)
            playlist = parse_playlist(answer.body.decode("utf-8", "replace"))
            if not playlist.variants:
                return answer.url, playlist
            url = answer.url.joined_url(playlist.variants[0])

    async def _follow(self, first: tuple[HttpUrl, Playlist]) -> None:
        url, playlist = first
        while True:
            self._chunk_s = playlist.chunk_s
            items = self._follower.take(playlist)
            for item in items:
                await self._fetch(url, item)
            if self._follower.fell_behind:
                self.faults["segments gone before they were fetched"] = self._follower.fell_behind
            if playlist.is_over:
                self.lost = "end of the playlist"
                return
            if not playlist.has_low_latency:  # RFC 8216 §6.3.4
                await asyncio.sleep(max(playlist.target_s if items else playlist.target_s / 2, MIN_PAUSE_S))
            playlist = await self._next(url, playlist)

    async def _next(self, url: HttpUrl, playlist: Playlist) -> Playlist:
        blocking = playlist.has_low_latency
        asked = url.with_query(self._follower.directives()) if blocking else url
        while True:
            limit_s = self._crowd.options.stall_timeout_s + BLOCKING_TARGETS * playlist.target_s
            answer = await self._get(asked, keep=True, limit_s=limit_s)
            if answer.status == 200:
                self._playlists_failed = 0
                return parse_playlist(answer.body.decode("utf-8", "replace"))
            self._fault(f"HTTP {answer.status} for a playlist")
            self._playlists_failed += 1
            if self._playlists_failed >= MAX_PLAYLIST_FAILURES:
                raise ConnectionFailed(f"HTTP {answer.status} for {self._playlists_failed} playlists in a row")
            await asyncio.sleep(max(playlist.chunk_s / 2, MIN_PAUSE_S))

    async def _fetch(self, url: HttpUrl, item: Item) -> None:
        """One piece of media, and what has to be read before it."""
        looks = self.looked is not None
        if item.map_uri and item.map_uri not in self._maps:
            self._maps.add(item.map_uri)
            head = await self._get(url.joined_url(item.map_uri), keep=looks)
            if looks:
                self._take(self._read(head, is_fragmented=True), 0, time.monotonic())
        answer = await self._get(url.joined_url(item.uri), keep=looks)
        if answer.status != 200:
            self._fault(f"HTTP {answer.status} for media")
            return
        now_s = time.monotonic()
        if self.joined_s is None:
            self._join(now_s)
        else:
            self.flow.came(self._crowd.sweep.now(), self.stall_limit_s)
        if looks:
            self._take(self._read(answer, is_fragmented=bool(item.map_uri)), 0, now_s)

    def _join(self, now_s: float) -> None:
        self.joined_s = now_s
        self.flow.last_s = self._crowd.sweep.now()
        self._on_joined()

    def _read(self, answer: HttpAnswer, *, is_fragmented: bool) -> list[MediaEvent]:
        if self._reader is None:
            self._reader = _MediaReader(is_fragmented=is_fragmented)
        return self._reader.read(answer.body)

    async def _get(self, url: HttpUrl, *, keep: bool, limit_s: float | None = None) -> HttpAnswer:
        options = self._crowd.options
        answer = await self._asking.get(url, keep=keep, limit_s=limit_s or options.handshake_timeout_s)
        self.received_bytes += answer.size_bytes
        return answer

    def _fault(self, reason: str) -> None:
        self.faults[reason] = self.faults.get(reason, 0) + 1


class _MediaReader:
    """The units of pieces one behind the other."""

    def __init__(self, *, is_fragmented: bool) -> None:
        self._demuxer: Fmp4Demuxer | TsDemuxer = Fmp4Demuxer() if is_fragmented else TsDemuxer()

    def read(self, data: bytes) -> list[MediaEvent]:
        """What is in a piece: pictures do not go on in the next."""
        events = list(self._demuxer.feed(data))
        if isinstance(self._demuxer, TsDemuxer):
            events += self._demuxer.flush()
        return events
