"""What goes on at one time: parts that begin anew until they are told to end, what they have done, and what went wrong."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from itertools import count

from e2e.soak.encoders import Film
from e2e.soak.world import World

FAULTS_KEPT = 200  #: in words; the rest is counted
STILL_S = 5.0  #: the longest that a player may stand still: an origin that is killed meanwhile takes a part of that
END_S = 60.0  #: for a part to come to its end once it is told to

Part = Callable[["Run"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Films:
    """What is published."""

    main: Film  #: H.264 and AAC
    other: Film  #: the same codecs, another picture size
    opus: Film  #: another codec of sound, another size
    hevc: Film  #: another codec of pictures
    sound: Film  #: no pictures

    @property
    def changing(self) -> dict[str, Film]:
        """What an encoder changes to in mid-stream, by what is another then."""
        return {"picture size": self.other, "codec of sound": self.opus, "codec of pictures": self.hevc, "no pictures": self.sound}


@dataclass(frozen=True, slots=True)
class Pace:
    """How much goes on: seconds between two beginnings of a part, on the average."""

    rename_s: float = 0.4
    change_s: float = 10.0
    program_s: float = 90.0  #: how long one lasts
    programs: int = 2  #: of each site at a time
    visit_s: float = 2.0
    stay_s: float = 40.0  #: the longest that a visitor of a program stays
    slow_s: float = 15.0
    wrong_s: float = 3.0
    kick_s: float = 20.0
    block_s: float = 20.0
    relay_s: float = 20.0
    record_s: float = 30.0
    parts_s: float = 20.0
    kill_encoder_s: float = 30.0
    kill_origin_s: float = 150.0
    compact_s: float = 60.0
    hooks_s: float = 40.0  #: how long a receiver is well
    hooks_fail_s: float = 8.0  #: and fails

    def slower(self, times: float) -> Pace:
        """The same with so many times as much time between two beginnings."""
        waits = {each.name: getattr(self, each.name) * times for each in fields(self) if each.name not in _LASTING}
        return replace(self, **waits)


#: what says how long something lasts, or how much there is of it
_LASTING = ("program_s", "programs", "stay_s", "hooks_s", "hooks_fail_s")


@dataclass
class Run:
    """One of them."""

    world: World
    films: Films
    pace: Pace
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    expected: set[str] = field(default_factory=set)  #: of what is done: what has to happen
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    units: int = 0  #: that well-behaved players got, each looked at
    longest_still_s: float = 0.0  #: that one of them stood still
    compacted: int = 0  #: revision of etcd below which it has forgotten what was
    over: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: count[int] = field(default_factory=lambda: count(1))
    begun_s: float = field(default_factory=time.monotonic)

    def fault(self, text: str) -> None:
        """Something is wrong."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(f"after {time.monotonic() - self.begun_s:.0f} s: {text}")
            print(f"FAULT {self.faults[-1]}", flush=True)

    def new(self, application: str) -> str:
        """A stream that nobody has ever published."""
        self.done["names"] += 1
        return f"{application}/{next(self.numbers)}"

    async def pause(self, seconds: float) -> bool:
        """Wait for so long; False as soon as it is over."""
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            return True
        return False

    async def every(self, seconds: float, what: str, work: Callable[[], Awaitable[None]], *, most: int) -> None:
        """Begin `work` again and again, `most` at a time, until it is over; what a piece of work raises is a fault."""
        going: set[asyncio.Task[None]] = set()
        self.expected.add(what)

        async def one() -> None:
            try:
                await work()
                self.done[what] += 1
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                self.fault(f"{what}: {type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})")

        while await self.pause(self.chance.uniform(0.5, 1.5) * seconds):
            if len(going) < most:
                task = asyncio.create_task(one(), name=what)
                going.add(task)
                task.add_done_callback(going.discard)
            else:
                self.done[f"{what}, left out"] += 1
        if going:
            await asyncio.wait(going, timeout=END_S)
        for task in going:
            self.fault(f"{what}: has no end")
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)


@asynccontextmanager
async def going_on(run: Run, parts: list[Part]) -> AsyncIterator[None]:
    """All parts go on inside the block; they come to their end when it is left."""
    run.over.clear()
    tasks = [asyncio.create_task(_whole(part(run))) for part in parts]
    try:
        yield
    finally:
        run.over.set()
        await asyncio.gather(*tasks)


async def _whole(part: Awaitable[None]) -> None:
    await part
