"""A player of HLS: playlists and media as a player asks for them, part by part with blocking reload where there are parts."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from lalmesh.client._errors import ConnectionFailed, TimedOut, http_refusal
from lalmesh.client.load._hls_reading import MAX_PLAYLIST_BYTES, MIN_PAUSE_S, Follower, Item, Playlist, parse_playlist
from lalmesh.client.load._http_answer import first_line
from lalmesh.client.load._http_asking import HttpAnswer, HttpAsking
from lalmesh.client.load._http_reading import HttpUrl
from lalmesh.client.load._player import LoadPlayer
from lalmesh.client.load._reckoning import Playback
from lalmesh.container.fmp4 import Fmp4Demuxer
from lalmesh.container.mpegts import TsDemuxer
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import MediaEvent

BEGAN_AGAIN: Final = "numbers of segments began again"
BLOCKING_TARGETS: Final = 3  #: target durations that a server may keep a playlist back for (rfc8216bis §6.2.5.2)
MAX_PIECE_BYTES: Final = 256 << 20  #: of media that is looked at: 10 s of 200 Mbit/s
MAX_PLAYLIST_FAILURES: Final = 3  #: in a row, after which it is over


class HlsPlayer(LoadPlayer):
    """Plays ``http(s)://.../*.m3u8``."""

    async def _play(self) -> None:
        self._asking = HttpAsking(self._crowd.dialler)
        self._follower = Follower()
        self._map_uri = ""  # of what was read before media
        self._reader: _MediaReader | None = None
        self._playback = Playback()
        self._asked_s = 0.0  # when a playlist was asked for
        self.asked_until_s = 0.0
        self._playlists_failed = 0
        options = self._crowd.options
        limit_s = options.handshake_timeout_s + options.first_media_timeout_s
        try:
            async with asyncio.timeout(limit_s) as self._joining:
                await self._follow(*await self._first())
        except TimeoutError:
            raise TimedOut("first media", limit_s) from None
        finally:
            self._asking.close()

    @property
    def stall_limit_s(self) -> float:
        """As long as there was something to play, when the last piece came."""
        return self._playback.left_s

    async def _first(self) -> tuple[HttpUrl, Playlist]:
        """The media playlist, and where it is."""
        url, playlist = await self._first_at(HttpUrl.parse(self.url))
        if playlist.variants:
            url, playlist = await self._first_at(url.joined_url(playlist.variants[0]))
            if playlist.variants:
                raise RemoteProtocolError("multivariant playlist that names another", section="RFC 8216 §4.3.4.2")
        return url, playlist

    async def _first_at(self, url: HttpUrl) -> tuple[HttpUrl, Playlist]:
        self._asked_s = time.monotonic()
        answer = await self._get(url, keep_bytes=MAX_PLAYLIST_BYTES)
        if answer.status != 200:
            raise http_refusal(answer.status, first_line(answer.body) or answer.reason)
        return answer.url, parse_playlist(answer.body.decode("utf-8", "replace"))

    async def _follow(self, url: HttpUrl, playlist: Playlist) -> None:
        base = url
        before: Playlist | None = None
        while True:
            items = self._take_new(playlist)
            for item in items:
                await self._fetch(base, item)
            self.asked_until_s = self._asked_s
            if self.joined_s is not None:
                self._playback.begin(max(playlist.hold_back_s, super().stall_limit_s))
            if playlist.is_over:
                raise ConnectionFailed("end of the playlist")
            await self._pause(playlist.wait_s(has_new=bool(items), has_changed=playlist != before))
            before, (base, playlist) = playlist, await self._next(url, playlist)

    def _take_new(self, playlist: Playlist) -> list[Item]:
        items = self._follower.take(playlist)
        if self._follower.fell_behind:
            self.faults["segments gone before they were fetched"] = self._follower.fell_behind
        if self._follower.began_again > self.faults.get(BEGAN_AGAIN, 0):
            self.faults[BEGAN_AGAIN] = self._follower.began_again
            self._map_uri = ""  # what goes before media may be another of that name
        return items

    async def _pause(self, wait_s: float) -> None:
        """Until so long after a playlist was asked for, and for long enough if it had to be waited for."""
        await asyncio.sleep(max(self._asked_s + wait_s - time.monotonic(), min(wait_s, MIN_PAUSE_S)))

    async def _next(self, url: HttpUrl, playlist: Playlist) -> tuple[HttpUrl, Playlist]:
        """The playlist behind `playlist`, and where it was answered, which is what its URIs are relative to (RFC 3986 §5.1.3)."""
        blocking = playlist.has_low_latency
        asked = url.with_query(self._follower.directives()) if blocking else url
        while True:
            limit_s = self._crowd.options.stall_timeout_s + BLOCKING_TARGETS * playlist.target_s
            self._asked_s = time.monotonic()
            answer = await self._get(asked, keep_bytes=MAX_PLAYLIST_BYTES, limit_s=limit_s)
            if answer.status == 200:
                self._playlists_failed = 0
                return answer.url, parse_playlist(answer.body.decode("utf-8", "replace"))
            asked = url  # where numbers have begun again, there is no such part
            self._fault(f"HTTP {answer.status} for a playlist")
            self._playlists_failed += 1
            if self._playlists_failed >= MAX_PLAYLIST_FAILURES:
                raise ConnectionFailed(f"HTTP {answer.status} for {self._playlists_failed} playlists in a row")
            await self._pause(playlist.wait_s(has_new=False, has_changed=False))

    async def _fetch(self, url: HttpUrl, item: Item) -> None:
        """One piece of media, and what has to be read before it."""
        looks = self.looked is not None
        keep_bytes = MAX_PIECE_BYTES if looks else 0
        if item.map_uri and item.map_uri != self._map_uri:
            head = await self._get(url.joined_url(item.map_uri), keep_bytes=keep_bytes)
            if head.status != 200:
                self._fault(f"HTTP {head.status} for what goes before media")
                return
            self._map_uri = item.map_uri
            if looks:
                self._take(self._read(head, is_fragmented=True), 0, time.monotonic())
        answer = await self._get(url.joined_url(item.uri), keep_bytes=keep_bytes)
        if answer.status != 200:
            self._fault(f"HTTP {answer.status} for media")
            return
        now_s = time.monotonic()
        if self.joined_s is None:
            self._join(now_s)
        else:
            counted_s = self._crowd.sweep.now()
            pause_s = counted_s - self.flow.last_s
            self.flow.came(counted_s, self.stall_limit_s)
            self._playback.came(pause_s, item.duration_s)
        if looks:
            self._take(self._read(answer, is_fragmented=bool(item.map_uri)), 0, now_s)

    def _join(self, now_s: float) -> None:
        self.joined_s = now_s
        self._joining.reschedule(None)
        self.flow.last_s = self._crowd.sweep.now()
        self.settled.set()

    def _read(self, answer: HttpAnswer, *, is_fragmented: bool) -> list[MediaEvent]:
        if self._reader is None:
            self._reader = _MediaReader(is_fragmented=is_fragmented)
        return self._reader.read(answer.body)

    async def _get(self, url: HttpUrl, *, keep_bytes: int, limit_s: float | None = None) -> HttpAnswer:
        options = self._crowd.options
        answer = await self._asking.get(url, keep_bytes=keep_bytes, limit_s=limit_s or options.handshake_timeout_s)
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
