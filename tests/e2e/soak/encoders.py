"""Encoders in this process: they publish clips one after the other, and end in order or in mid-sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from support.clip import Clip
from support.media import media
from support.recorder import Recorder, TsRecorder
from support.wire import tags_of_file

from lalmesh.client import ClientOptions, Publisher, open_publisher
from lalmesh.container.flv import BodyDemuxer, Tag
from lalmesh.media import AccessUnit, Kind, TrackSet

STEP_S = 0.02  #: what is due so soon is sent with what is due now: every second picture wakes nobody
NEXT_MS = 40  #: from the last frame of a clip to the first of the next
OPTIONS = ClientOptions(
    connect_timeout_s=10.0,
    handshake_timeout_s=20.0,
    stall_timeout_s=20.0,
    rtsp_transport="tcp",  # by UDP nobody could tell what was lost before it came in
)
CAUGHT_UP_S = 8.0  #: for a player to have the last unit, an origin that dies just then included
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Shown:
    """One frame of a clip."""

    tag: Tag
    kind: Kind
    number: int  #: within its kind


class Film:
    """A clip, ready to be sent."""

    def __init__(self, name: str) -> None:
        """One of `support.media.RECIPES` in which no unit comes twice, and none is shown in another order than it is decoded in.

        So all times are the same however it is published: RTP tells of times of presentation only.
        """
        self.clip = Clip(media(name))
        self.heads: list[Tag] = []
        self.frames: list[Shown] = []
        demuxer = BodyDemuxer()
        counts = {Kind.VIDEO: 0, Kind.AUDIO: 0}
        for tag in tags_of_file(self.clip.file):
            units = [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
            assert not any(unit.cts for unit in units), f"{name}: pictures are shown in another order than they are decoded in"
            kind = _kind(demuxer.tracks, units)
            if kind is None:
                self.heads.append(tag)
            else:
                self.frames.append(Shown(tag, kind, counts[kind]))
                counts[kind] += 1
        self.tracks = demuxer.tracks
        self.length_ms = self.frames[-1].tag.timestamp_ms + NEXT_MS
        self.kbps = sum(len(shown.tag.body) for shown in self.frames) * 8 / self.length_ms


def _kind(tracks: TrackSet, units: Sequence[AccessUnit]) -> Kind | None:
    track = tracks.get(units[0].track_id) if units else None
    return track.kind if track is not None and track.kind in (Kind.VIDEO, Kind.AUDIO) else None


class Encoder:
    """Sends films by a publisher that has been let in. `encoding` makes it."""

    def __init__(self, out: Publisher) -> None:  # type: ignore[type-arg]  # of whichever protocol
        """Nothing is sent yet."""
        self.last: dict[Kind, int] = {}  #: number of the last frame of each kind
        self.film: Film | None = None
        self._out = out
        self._time_ms = 0

    async def show(self, film: Film, seconds: float) -> None:
        """Send a film from its beginning, over and over, for so long.

        Raises:
            LalmeshError: the connection has ended.
        """
        loop = asyncio.get_running_loop()
        begun_s, begun_ms, offset_ms = loop.time(), self._time_ms, self._time_ms
        self.film, self.last = film, {}
        for tag in film.heads:
            self._out.send(tag.type_id, begun_ms, tag.body)
        while True:
            for shown in film.frames:
                time_ms = offset_ms + shown.tag.timestamp_ms
                due_s = (time_ms - begun_ms) / 1000
                if due_s >= seconds:
                    return
                if (wait_s := begun_s + due_s - loop.time()) > STEP_S:
                    await self._out.drain()
                    await self._out.sleep(wait_s)
                self._out.send(shown.tag.type_id, time_ms, shown.tag.body)
                self.last[shown.kind] = shown.number
                self._time_ms = max(self._time_ms, time_ms + NEXT_MS)
            offset_ms += film.length_ms

    async def reached(self, player: Recorder) -> bool:
        """Whether a player gets the last frame of each kind, within `CAUGHT_UP_S`."""
        end_s = asyncio.get_running_loop().time() + CAUGHT_UP_S
        while not self._has_last(player):
            if player.ended or asyncio.get_running_loop().time() >= end_s:
                return self._has_last(player)
            await asyncio.sleep(LOOK_S)
        return True

    def _has_last(self, player: Recorder) -> bool:
        if self.film is None:
            return True
        for kind, number in self.last.items():
            got = next((one for one in reversed(player.got) if one.kind is kind), None)
            has = -1 if got is None else self.film.clip.numbers.get(got.name, -1)
            least = number - 1 if isinstance(player, TsRecorder) and kind is Kind.VIDEO else number
            if has < least:  # a transport stream says where a picture ends by the next one
                return False
        return True


@asynccontextmanager
async def encoding(url: str, tracks: TrackSet, *, abrupt: bool = False) -> AsyncIterator[Encoder]:
    """An encoder that has been let in; at the end it says so, or, if `abrupt`, its connection breaks.

    Raises:
        LalmeshError: it is not let in.
    """
    publisher = open_publisher(url, tracks, OPTIONS)
    await publisher.__aenter__()
    try:
        yield Encoder(publisher)
    finally:
        if abrupt:
            _break(publisher)
        await publisher.__aexit__(None, None, None)


def _break(publisher: Publisher) -> None:  # type: ignore[type-arg]
    """Its connection is gone without a goodbye, as where an encoder is killed."""
    publisher._link.abort()
