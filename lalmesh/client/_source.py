"""Where a relay gets a stream from: tracks and access units of a URL, many at a time, as a publication takes them."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Self

from lalmesh.client._errors import TimedOut
from lalmesh.client._open import open_player
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._player import Player
from lalmesh.client._rtsp_dial import dial_rtsp
from lalmesh.client._rtsp_link import RtspLink
from lalmesh.client._rtsp_receiving import RtspReceiving
from lalmesh.container.flv import BodyDemuxer
from lalmesh.media import AccessUnit, MediaEvent, Track, TracksChanged, TrackSet
from lalmesh.protocol.rtp import ReceiverSettings, TrackEvent


class Source(ABC):
    """One stream from elsewhere: ``async with source: while events := await source.take(): ...``.

    Entering and `take` raise what a `lalmesh.client.Player` raises.
    """

    def __init__(self) -> None:
        """Dial nothing yet."""
        self.end_reason = ""  #: why the stream is over; empty while it is not
        self.received_bytes = 0  #: payload so far

    async def __aenter__(self) -> Self:
        """Connect, and be let in."""
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._close()

    async def take(self) -> list[MediaEvent]:
        """What has come, waiting for it if need be; nothing where the stream is over."""
        while not self.end_reason:
            events = await self._take()
            if events:
                self.received_bytes += sum(len(event.payload) for event in events if isinstance(event, AccessUnit))
                return events
        return []

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Messages that gave nothing, by reason."""
        return {}

    @abstractmethod
    async def _open(self) -> None:
        """Connect, within the limits."""

    @abstractmethod
    async def _take(self) -> list[MediaEvent]:
        """Wait for something; `end_reason` is set where it is over."""

    @abstractmethod
    async def _close(self) -> None:
        """Disconnect; does no harm where nothing is open."""


class _FlvSource(Source):
    """FLV messages, over whatever protocol `player` plays."""

    def __init__(self, player: Player) -> None:
        super().__init__()
        self._player = player
        self._demuxer = BodyDemuxer()

    @property
    def passed_over(self) -> Mapping[str, int]:
        counters = self._demuxer.counters
        reasons = Counter({why.value: count for why, count in counters.classes.items()})
        return reasons + Counter({"extra track": counters.ignored_tracks})

    async def _open(self) -> None:
        await self._player.__aenter__()

    async def _take(self) -> list[MediaEvent]:
        tags = await self._player.take()
        if not tags:
            self.end_reason = self._player.end_reason or "closed by the server"
        demux = self._demuxer.demux
        return [event for tag in tags for event in demux(tag.type_id, tag.timestamp_ms, tag.body)]

    async def _close(self) -> None:
        await self._player.__aexit__()


class _RtspSource(Source):
    """The first video and the first audio track of an RTSP stream, with the times that RTP has."""

    def __init__(self, url: str, options: ClientOptions) -> None:
        super().__init__()
        self._url = url
        self._options = options
        self._link: RtspLink | None = None
        self._events = EventQueue()
        self._limit_s, self._awaited = options.first_media_timeout_s, "first packet"

    async def _open(self) -> None:
        options = self._options
        settings = ReceiverSettings(reorder_ms=options.reorder_ms, drop_broken_gop=options.drop_broken_gop)

        def receiving() -> RtspReceiving:
            self._events = EventQueue()
            return RtspReceiving(settings, os.urandom, self._events)

        self._link, _ = await dial_rtsp(self._url, "play", options, receiving)

    async def _take(self) -> list[MediaEvent]:
        assert self._link is not None
        try:
            async with asyncio.timeout(self._limit_s):
                await self._link.wait_untaken()
        except TimeoutError:
            raise TimedOut(self._awaited, self._limit_s) from None
        self._limit_s, self._awaited = self._options.stall_timeout_s, "packet"
        events = self._events.take()
        if not events:
            self.end_reason = self._link.ended
        return events

    async def _close(self) -> None:
        if self._link is not None:
            await self._link.close()


class EventQueue:
    """Tracks and units that wait to be taken. A track is told before its first unit, and waits for that."""

    def __init__(self) -> None:
        """Start without tracks."""
        self.size_bytes = 0  #: of payloads
        self._events: list[MediaEvent] = []
        self._tracks = TrackSet()
        self._told = self._tracks

    def put(self, event: TrackEvent) -> None:
        """Add a track, or a unit of a track that was added."""
        if isinstance(event, Track):
            self._tracks = self._tracks.with_latest(event)
            return
        if self._told is not self._tracks:
            self._told = self._tracks
            self._events.append(TracksChanged(self._tracks))
        self._events.append(event)
        self.size_bytes += len(event.payload)

    def take(self) -> list[MediaEvent]:
        """Give all, and forget them."""
        events, self._events, self.size_bytes = self._events, [], 0
        return events


def open_source(url: str, options: ClientOptions = DEFAULT_OPTIONS) -> Source:
    """The source at `url`, by its scheme; it connects when entered.

    Raises:
        UnsupportedError: nothing is known for the scheme.
    """
    scheme = url.partition(":")[0].lower()
    return _RtspSource(url, options) if scheme in ("rtsp", "rtsps") else _FlvSource(open_player(url, options))
