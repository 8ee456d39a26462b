"""Players that note every access unit: when it came, what it was, its time. All run in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import takewhile
from urllib.parse import urljoin

import aiohttp

from lalmesh.client import ClientOptions, open_player
from lalmesh.container.flv import BodyDemuxer
from lalmesh.container.fmp4 import Fmp4Demuxer
from lalmesh.container.mpegts import TsDemuxer
from lalmesh.errors import LalmeshError
from lalmesh.media import AccessUnit, Kind, MediaEvent
from support.clip import Clip, Got, GotSegment, Verdict, digest, judge, longest_gap_s, longest_segment_gap_s

STALL_S = 45.0  #: of silence that no player here gives up for: what is waited for is told by the test
POLL_S = 0.1  #: between two questions for a playlist
ANSWER_S = 10.0  #: for one answer over HTTP
READ_BYTES = 64 << 10


class Recorder(ABC):
    """One player. A task runs it; see `recording`."""

    def __init__(self, name: str, url: str) -> None:
        """Play `url`; `name` says in reports who it is."""
        self.name = name
        self.url = url
        self.got: list[Got] = []
        self.ended = ""  #: why it is over; empty while it plays
        self.key_came = asyncio.Event()  #: a random access picture has come, or a sound where there are no pictures

    async def run(self) -> None:
        """Play until the server ends it."""
        try:
            await self._play()
            self.ended = self.ended or "closed by the server"
        except (LalmeshError, aiohttp.ClientError, OSError, TimeoutError) as error:
            self.ended = f"{type(error).__name__}: {error}"

    @abstractmethod
    async def _play(self) -> None:
        """Play until the end."""

    def _note(self, events: Iterable[MediaEvent], demuxer: BodyDemuxer | TsDemuxer | Fmp4Demuxer) -> None:
        now = time.monotonic()
        for event in events:  # each with the tracks of its place in the stream
            if not isinstance(event, AccessUnit) or (track := demuxer.tracks.get(event.track_id)) is None:
                continue
            if track.kind is Kind.DATA:
                continue
            self.got.append(Got(now, track.kind, digest(event, track.codec), self._time_of(event), event.random_access))
            if event.random_access and (track.kind is Kind.VIDEO or not demuxer.tracks.has_video):
                self.key_came.set()

    def _time_of(self, unit: AccessUnit) -> int:
        """By which its place in the stream is judged, ticks."""
        return unit.dts

    async def next_key(self) -> None:
        """Wait for a random access point."""
        self.key_came.clear()
        await self.key_came.wait()

    async def more(self, limit_s: float, *, units: int = 1) -> None:
        """Wait for so many more units.

        Raises:
            AssertionError: they do not come within `limit_s`.
        """
        wanted = len(self.got) + units
        end = time.monotonic() + limit_s
        while len(self.got) < wanted:
            assert not self.ended, f"{self.name}: {self.ended}"
            assert time.monotonic() < end, f"{self.name}: nothing for {limit_s} s"
            await asyncio.sleep(0.01)

    async def plays_on(self, since_s: float, limit_s: float) -> bool:
        """Whether a unit of each kind that it has had comes after `since_s` (monotonic), within `limit_s` from now."""
        kinds = {one.kind for one in self.got}
        end = time.monotonic() + limit_s
        while True:
            fresh = {one.kind for one in takewhile(lambda one: one.at_s > since_s, reversed(self.got))}
            if fresh and fresh >= kinds:
                return True
            if self.ended or time.monotonic() >= end:
                return False
            await asyncio.sleep(0.01)

    def judge(self, *clips: Clip, joints: int = 0) -> Verdict:
        """See `support.clip.judge`; that it was closed is a fault too."""
        verdict = judge(self.got, clips, joints=joints)
        if self.ended:
            verdict.faults.insert(0, f"closed: {self.ended}")
        if not self.got:
            verdict.faults.append("nothing came")
        verdict.faults = [f"{self.name}: {fault}" for fault in verdict.faults]
        return verdict

    def gap_s(self, since_s: float, until_s: float) -> float:
        """The longest that it stood still in that time, to the end of which it is counted."""
        return longest_gap_s(self.got, since_s, until_s)


class TagRecorder(Recorder):
    """RTMP, RTSP (interleaved), HTTP-FLV or WebSocket-FLV, by the scheme of the URL."""

    async def _play(self) -> None:
        options = ClientOptions(
            stall_timeout_s=STALL_S,
            first_media_timeout_s=STALL_S,
            rtsp_transport="tcp",
            verify=False,  # nobody has signed the certificates of tests
        )
        demuxer = BodyDemuxer()
        async with open_player(self.url, options) as player:
            async for tag in player:
                self._note(demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body), demuxer)
            self.ended = player.end_reason


class HttpRecorder(Recorder):
    """Media over HTTP without an end."""

    _demuxer: type[TsDemuxer | Fmp4Demuxer]

    async def _play(self) -> None:
        demuxer = self._demuxer()
        timeout = aiohttp.ClientTimeout(total=None, sock_read=STALL_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.url) as answer:
            answer.raise_for_status()
            async for data in answer.content.iter_any():
                self._note(demuxer.feed(data), demuxer)


class TsRecorder(HttpRecorder):
    """A transport stream."""

    _demuxer = TsDemuxer


class Mp4Recorder(HttpRecorder):
    """Fragmented MP4 without B-frames: a picture that comes late keeps its presentation time, and is decoded earlier."""

    _demuxer = Fmp4Demuxer

    def _time_of(self, unit: AccessUnit) -> int:
        return unit.pts


class HlsRecorder(Recorder):
    """HLS with segments that are transport streams: the numbers have no hole, and every unit is there."""

    def __init__(self, name: str, url: str, *, keeps_session: bool = False) -> None:
        """Play the media playlist at `url`; what `keeps_session` asks on where it was led to, else it is a new player each time."""
        super().__init__(name, url)
        self._keeps_session = keeps_session
        self.numbers: list[int] = []
        self.faults: list[str] = []
        self.segments: list[GotSegment] = []
        self._demuxer = TsDemuxer()

    async def _play(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:
            while not self.ended:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):  # it asks again: no player gives up for one answer
                    await self._reload(session)
                await asyncio.sleep(POLL_S)

    async def _reload(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self.url) as answer:
            if answer.status != 200:
                return
            text, base = await answer.text(), str(answer.url)
        if self._keeps_session:
            self.url = base
        lines = text.splitlines()
        number = next((int(line.partition(":")[2]) for line in lines if line.startswith("#EXT-X-MEDIA-SEQUENCE:")), 0)
        files = [line for line in lines if line and not line.startswith("#")]
        for index, file in enumerate(files, number):
            is_new = not self.numbers or index > self.numbers[-1]
            if is_new and not await self._take(session, index, urljoin(base, file)):
                return
        if "#EXT-X-ENDLIST" in lines:
            self.ended = "the playlist has ended"

    async def _take(self, session: aiohttp.ClientSession, number: int, url: str) -> bool:
        async with session.get(url) as answer:
            if answer.status != 200:
                return False
            data = await answer.read()
        if self.numbers and number != self.numbers[-1] + 1:
            self.faults.append(f"segment {number} after {self.numbers[-1]}")
        self.numbers.append(number)
        before = len(self.got)
        self._note(self._demuxer.feed(data), self._demuxer)
        if times := [one.dts for one in self.got[before:]]:
            self.segments.append(GotSegment(time.monotonic(), min(times), max(times)))
        return True

    def judge(self, *clips: Clip, joints: int = 0) -> Verdict:
        """The numbers of the segments too."""
        verdict = super().judge(*clips, joints=joints)
        verdict.faults += [f"{self.name}: {fault}" for fault in self.faults]
        return verdict

    def gap_s(self, since_s: float, until_s: float) -> float:
        """Between segments: the units of one come together."""
        return longest_segment_gap_s(self.segments, since_s, until_s)


def recorder(name: str, url: str) -> Recorder:
    """The one for the URL."""
    if url.endswith(".m3u8"):
        return HlsRecorder(name, url)
    by_ending = {".ts": TsRecorder, ".mp4": Mp4Recorder}
    return next((kind for ending, kind in by_ending.items() if url.endswith(ending)), TagRecorder)(name, url)


@asynccontextmanager
async def recording(*recorders: Recorder) -> AsyncIterator[None]:
    """All play until the block is left."""
    tasks = [asyncio.create_task(one.run()) for one in recorders]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
