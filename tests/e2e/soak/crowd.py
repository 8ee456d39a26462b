"""Players that only take, as many as it needs for the machine to be as busy as it is to be, and one that looks at all of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from e2e.soak.comers import judge, judge_so_far, player_of
from e2e.soak.encoders import Film, encoding
from e2e.soak.run import STILL_S, Run
from e2e.soak.world import Site
from support.process import Child
from support.recorder import Recorder, recording

from bench import _load

STREAM = "always/on"
KIND = "flv"  #: how it is played, by each of them
JUDGED_S = 60.0  #: for which what a player has got is kept until it is looked at: two hours of it would be 100 MB
STEP = 50  #: players that come at a time, at each site
MOST = 2000  #: of a site
LOOK_S = 6.0  #: for which it is measured how busy the machine is
LEAVE_S = 10.0  #: for players to end that are asked to
LEAST_SHARE = 0.95  #: of its stream that each of them gets


class Crowd:
    """They stay until the end."""

    def __init__(self, run: Run, seconds: float) -> None:
        """Nobody is there yet; who comes stays for so long at most."""
        self.players = 0
        self.busy_percent = 0.0
        self._run = run
        self._seconds = seconds
        self._children: list[Child] = []

    async def grow(self, load_percent: float) -> None:
        """Have players come until the machine is that busy."""
        while True:
            self.busy_percent = await busy_percent(LOOK_S)
            if self.busy_percent >= load_percent or self.players >= MOST * len(self._run.world.sites):
                return
            for site in self._run.world.sites:
                await self.come(site, STEP)

    async def come(self, site: Site, players: int) -> None:
        """So many more at the last edge of a site."""
        log = self._run.world.folder / f"crowd-{len(self._children)}.log"
        url = ("http", str(site.edges[-1].ports["http"]), f"/{STREAM}.{KIND}")
        self._children.append(await asyncio.to_thread(_load.play, url, players, self._seconds, 1.0, log))
        self.players += players

    def check(self) -> None:
        """Who has left by itself is a fault."""
        for child in self._children:
            if not child.running:
                self._run.fault(f"players that only take have ended: {child.describe()[-500:]}")

    async def end(self, kbps: float) -> None:
        """All leave; who was closed, stood still, or got less than a stream of `kbps`, is a fault."""
        self.check()
        for child in self._children:
            child.terminate()
        for child in self._children:
            got = await asyncio.to_thread(_load.played, child, LEAVE_S)
            self._run.longest_still_s = max(self._run.longest_still_s, got.longest_gap_ms / 1000)
            if got.closed or got.longest_gap_ms > STILL_S * 1000 or got.lowest_kbps < LEAST_SHARE * kbps:
                told = f"{got.closed} were closed, the slowest got {got.lowest_kbps:.0f} kbit/s of {kbps:.0f}"
                self._run.fault(f"of {got.players} players that only take {told}, one stood still for {got.longest_gap_ms:.0f} ms")
        self._children.clear()

    async def vanish(self) -> None:
        """Whoever is still there."""
        for child in self._children:
            await asyncio.to_thread(child.kill)
        self._children.clear()


@asynccontextmanager
async def crowd(run: Run, seconds: float) -> AsyncIterator[Crowd]:
    """Streams that are on all the time, at each site, for a crowd that comes as it is asked to; it leaves at the end.

    Where it is to come there is one player from the beginning that looks at each unit, and gets the same as all of them.
    """
    here = Crowd(run, seconds)
    film = run.films.main
    tasks = list[asyncio.Task[None]]()
    watchers = [player_of(site.edges[-1], KIND, STREAM) for site in run.world.sites]

    async def show(site: Site, begun: asyncio.Event) -> None:
        async with encoding(site.edges[0].rtmp_url(STREAM), film.tracks) as encoder:
            begun.set()
            await encoder.show(film, seconds)

    try:
        for site in run.world.sites:
            begun = asyncio.Event()
            tasks.append(asyncio.create_task(show(site, begun)))
            waiting = asyncio.create_task(begun.wait())
            await asyncio.wait([tasks[-1], waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        async with AsyncExitStack() as watching:
            for player in watchers:
                await watching.enter_async_context(watched(run, player, film))
            yield here
            await here.end(film.kbps)
        for task in tasks:
            if task.done():
                run.fault(f"{STREAM} has ended: {task.exception()}")
    finally:
        await here.vanish()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def watched(run: Run, player: Recorder, film: Film) -> AsyncIterator[None]:
    """A player takes part inside the block, and what it gets is looked at every `JUDGED_S`, and at the end."""

    async def look() -> None:
        while not player.ended:
            await asyncio.sleep(JUDGED_S)
            judge_so_far(run, player, film)

    async with recording(player):
        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            (ended,) = await asyncio.gather(looking, return_exceptions=True)
            left_s = time.monotonic()
    if isinstance(ended, Exception):
        raise ended
    judge(run, player, [film], left_s=left_s)


async def busy_percent(seconds: float) -> float:
    """How much of all processor time of the machine is used in the next seconds."""
    before = _times()
    await asyncio.sleep(seconds)
    after = _times()
    total, idle = (now - then for now, then in zip(after, before, strict=True))
    return 100 * (1 - idle / total) if total else 0.0


def _times() -> tuple[int, int]:
    """All, and idle, in ticks (proc(5), /proc/stat)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]
