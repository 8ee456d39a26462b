"""Two streams that are published and played by every protocol while things go wrong, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TypeAlias

from e2e.chaos.cluster import ChaosCluster
from support.clip import Clip
from support.cluster import Node
from support.ffmpeg import Publisher
from support.media import media
from support.process import Child
from support.recorder import POLL_S, HlsRecorder, Recorder, recorder, recording

AV, SOUND = "unique_av", "unique_sound"  #: H.264 at 30 pictures a second with AAC, and AAC alone
RIVAL = "unique_av_rival"  #: what a second publisher of the first sends
ACCEPTED_S = 15.0  #: for a publisher to be let in: a new registry settles first
PLAYING_S = 30.0  #: for all players to play: HLS has to have segments
PUBLISHING_S = 1800.0  #: no publisher is needed for longer
PLAYS_ON_S = 10.0  #: for the next unit of each player when a look at it ends; HLS has to have another segment
CALM_S = 1.0  #: that a player may stand still to which nothing should happen
HLS_MORE_S = 2 * POLL_S  #: that a segment may be later than its units: one poll that just misses it, and what it takes to fetch

Players: TypeAlias = Mapping[str, Sequence[Recorder]]  #: by stream


@dataclass
class Report:
    """What one scenario has to say."""

    title: str
    times: int = 0  #: how often it was done
    gaps_s: list[float] = field(default_factory=list)  #: of each player that it is done to, each time
    calm_gaps_s: list[float] = field(default_factory=list)  #: of the others
    hls_gaps_s: list[float] = field(default_factory=list)  #: of players of HLS, whichever they are
    bound_s: float = 1.0  #: of `gaps_s`; 0: none are taken
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    units: int = 0  #: that players have got and that were looked at
    players: int = 0

    @property
    def worst_s(self) -> float:
        """The longest that a player stood still."""
        return max([*self.gaps_s, *self.calm_gaps_s], default=0.0)

    def line(self) -> str:
        """For people."""
        p50 = f"p50 {median(self.gaps_s):.3f} s, " if self.gaps_s else ""
        gaps = f"gap {p50}worst {self.worst_s:.3f} s" if self.gaps_s or self.calm_gaps_s else "no gap measured"
        hls = f", HLS worst {max(self.hls_gaps_s):.2f} s" if self.hls_gaps_s else ""
        what = f"{self.times} times, {self.players} players, {self.units} units"
        return f"{self.title}: {what}; {gaps}{hls}; {len(self.faults)} faults" + "".join(f"\n    {note}" for note in self.notes)

    async def take_gaps(self, players: Iterable[Recorder], since_s: float, *, calm: Iterable[Recorder] = ()) -> None:
        """Add how long each player has stood still since then, once all play on; a gap over the bound is a fault.

        Args:
            players: those that it was done to.
            since_s: when it was done (monotonic).
            calm: those to which nothing should have happened; they may stand still for `CALM_S`.
        """
        looked_at = [*((one, False) for one in players), *((one, True) for one in calm)]
        await self.check_playing([one for one, _ in looked_at])
        until_s = time.monotonic()
        for player, is_calm in looked_at:
            gap_s = player.gap_s(since_s, until_s)
            bound_s = CALM_S if is_calm else self.bound_s
            if isinstance(player, HlsRecorder):
                self.hls_gaps_s.append(gap_s)
                bound_s += HLS_MORE_S if bound_s else 0.0
            else:
                (self.calm_gaps_s if is_calm else self.gaps_s).append(gap_s)
            if bound_s and gap_s >= bound_s:
                self.faults.append(f"{player.name} stood still for {gap_s:.3f} s, bound {bound_s:g} s")

    async def check_playing(self, players: Iterable[Recorder], limit_s: float = PLAYS_ON_S) -> None:
        """Wait until each has got more from now on; a fault where one does not within `limit_s`."""
        now = time.monotonic()
        waited_for = list(players)
        plays_on = await asyncio.gather(*(player.plays_on(now, limit_s) for player in waited_for))
        for player, plays in zip(waited_for, plays_on, strict=True):
            if not plays:
                self.faults.append(f"{player.name} plays no more: {player.ended or f'not all kinds of units in {limit_s:g} s'}")


class Stage:
    """The cluster, its publishers and its players."""

    def __init__(self, cluster: ChaosCluster) -> None:
        """Nothing is published yet."""
        self.cluster = cluster
        self.av_clip, self.sound_clip, self.rival_clip = Clip(media(AV)), Clip(media(SOUND)), Clip(media(RIVAL))
        self.publishers: list[Child] = []
        self.av = self.sound = ""
        self._shows = 0
        self.begin()

    def begin(self) -> None:
        """Give the streams new names: an earlier one may be in its grace."""
        self._shows += 1
        self.av, self.sound = f"live/av-{self._shows}", f"live/sound-{self._shows}"

    @property
    def streams(self) -> tuple[str, str]:
        """With pictures, and without."""
        return self.av, self.sound

    def clip_of(self, stream: str) -> Clip:
        """What is published under that name."""
        return self.av_clip if stream == self.av else self.sound_clip

    async def publish(self, stream: str, edge: Node, *, clip: Clip | None = None, limit_s: float = ACCEPTED_S) -> Publisher:
        """An encoder that is let in: it asks again until it is, as encoders do.

        Raises:
            AssertionError: it is not let in within `limit_s`.
        """
        file = (clip or self.clip_of(stream)).file
        end = time.monotonic() + limit_s
        while True:
            log = self.cluster.folder / f"publisher-{len(self.publishers)}.log"
            publisher = Publisher(file, edge.rtmp_url(stream), log=log, loops=-1, limit_s=PUBLISHING_S)
            self.publishers.append(publisher)
            while publisher.running and time.monotonic() < end:
                claim = (await self.cluster.registry("claims/")).get(stream)
                if claim is not None and claim["edge"]["name"] == edge.name and publisher.running:
                    return publisher
                await asyncio.sleep(0.05)
            assert time.monotonic() < end, f"no publisher of {stream} was let in at {edge.name}: {publisher.describe()}"

    def players(self, stream: str, edges: Sequence[Node]) -> list[Recorder]:
        """One of each protocol, at `edges` in turn."""

        def at(number: int) -> Node:
            return edges[number % len(edges)]

        urls = [
            ("rtmp", at(0), at(0).rtmp_url(stream)),
            ("flv", at(1), at(1).flv_url(stream)),
            ("ts", at(0), at(0).http_url(f"{stream}.ts")),
            ("rtsp", at(1), at(1).rtsp_url(stream)),
            ("hls", at(2), at(2).http_url(f"hls/{stream}.m3u8")),
        ]
        return [recorder(f"{stream} by {kind} at {edge.name}", url) for kind, edge, url in urls]

    def joined(self, stream: str, edge: Node) -> list[Recorder]:
        """Players that join late, at an edge that carries the stream."""
        return [recorder(f"late {stream} at {edge.name}", url) for url in (edge.rtmp_url(stream), edge.flv_url(stream))]

    @asynccontextmanager
    async def playing(self, *players: Recorder) -> AsyncIterator[None]:
        """All of them play inside the block."""
        async with recording(*players):
            await asyncio.gather(*(player.more(PLAYING_S, units=40) for player in players))
            yield

    @asynccontextmanager
    async def show(self, edge: Node, players_at: Sequence[Node]) -> AsyncIterator[dict[str, list[Recorder]]]:
        """Both streams published at `edge` and played at `players_at`; publishers end with the block."""
        self.begin()
        publishers = await asyncio.gather(*(self.publish(stream, edge) for stream in self.streams))
        try:
            players = {stream: self.players(stream, players_at) for stream in self.streams}
            async with self.playing(*(player for of_stream in players.values() for player in of_stream)):
                yield players
        finally:
            for publisher in publishers:
                await asyncio.to_thread(publisher.stop)

    async def by_owner(self, players: Players, owner: Node) -> tuple[list[Recorder], list[Recorder]]:
        """The players of the streams that `owner` has, and the others."""
        owned = [stream for stream in players if await self.cluster.owner(stream) is owner]
        lost = {stream: of_stream for stream, of_stream in players.items() if stream in owned}
        return flat(lost), flat({stream: of_stream for stream, of_stream in players.items() if stream not in owned})

    async def judge(self, report: Report, players: Players, *, joints: int = 0) -> None:
        """Wait until the players of each stream have got more, and add what is wrong with all that they got."""
        await report.check_playing(flat(players))
        for stream, of_stream in players.items():
            for player in of_stream:
                verdict = player.judge(self.clip_of(stream), joints=joints)
                report.faults += verdict.faults
                report.units += verdict.units
                report.players += 1

    def close(self) -> None:
        """End all publishers."""
        for publisher in self.publishers:
            publisher.stop()


def flat(players: Players) -> list[Recorder]:
    """All of them."""
    return [player for of_stream in players.values() for player in of_stream]
