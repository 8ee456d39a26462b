"""What an hls worker has around it, as fakes that tests drive: storage that can fail, the scheduler's word, a stream to segment."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from lalmesh.errors import Unavailable
from lalmesh.media import AccessUnit, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.events import Event
from lalmesh.runtime.follower import FollowSettings
from lalmesh.runtime.ownership import Epoch, HlsOwner, NodeAddress, NodeId
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import HlsLimit, HlsReleased, HlsWanted, NamedStreams, Refusal, Refused
from lalmesh.runtime.sessions import SessionTouch
from lalmesh.runtime.storage import MAX_LISTED, StorageUnavailable, StoredObject
from services.hls.cuts import CutSettings
from services.hls.hosting import Cleanup, WorkerSettings
from services.hls.shelf import Budget
from services.hls.workers import Workers
from support.edge_fakes import FIRST, FakeLinks, FakeScheduler, FakeSubscription, epoch, location, place
from support.ts_units import BOTH, picture, sound

Objects: TypeAlias = list[StoredObject]
Names: TypeAlias = list[str]

STREAM = StreamKey("live", "a")
NODE = NodeAddress(NodeId("hls-1", b"h" * 8), "hls-1:50054")
OTHER = NodeAddress(NodeId("hls-2", b"i" * 8), "hls-2:50054")
SECOND_TICKS = 90_000
SETTINGS = WorkerSettings(
    cuts=CutSettings(segment=2 * SECOND_TICKS, part=SECOND_TICKS // 2, max_target_s=6),
    list_size=4,
    delete_threshold=2,
    cleanup=Cleanup.ROLLING,
    idle_s=60,
    wait_s=10,
    follow=FollowSettings(lost_s=30, keep_s=30),
)


def owner(revision: int = 1, *, limit: int = 0, exact: bool = False, at: NodeAddress = NODE) -> HlsOwner:
    return HlsOwner(stream=STREAM, epoch=Epoch(1000, revision), worker=at, limit=limit, exact=exact)


def second(number: int, *, wall_us: int = 1_700_000_000_000_000) -> list[AccessUnit]:
    """One second of pictures and sound, a key picture first; units are numbered over all seconds."""
    begin = number * SECOND_TICKS
    units = [picture(begin + n * 3600, key=n == 0) for n in range(25)] + [sound(begin + n * 1800) for n in range(50)]
    units.sort(key=lambda unit: unit.dts)
    for seq, unit in enumerate(units, number * len(units)):
        unit.seq, unit.wall_us = seq, wall_us + unit.dts * 100 // 9
    return units


def run(
    units: list[AccessUnit], *, tracks: TrackSet = BOTH, publication: bytes = FIRST, revision: int = 1, missing: int = 0
) -> Run:
    return Run(epoch(revision), publication, tracks, units, place(revision), missing)


class FakeStorage:
    """Objects in a dictionary; while `away` is set every call fails."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written_us: dict[str, int] = {}
        self.away = False
        self.now_us = 0

    def _call(self) -> None:
        if self.away:
            raise StorageUnavailable("disk full", retry_after_s=1.0)

    async def put(self, path: str, data: bytes) -> None:
        self._call()
        self.objects[path] = data
        self.written_us[path] = self.now_us

    async def put_file(self, path: str, local_file: Path) -> None:
        await self.put(path, local_file.read_bytes())  # noqa: ASYNC240 -- a test's

    async def get(self, path: str) -> bytes | None:
        self._call()
        return self.objects.get(path)

    async def get_range(self, path: str, start: int, end: int) -> bytes | None:
        data = await self.get(path)
        return None if data is None else data[start:end]

    async def size(self, path: str) -> int | None:
        data = await self.get(path)
        return None if data is None else len(data)

    async def stat(self, path: str) -> StoredObject | None:
        data = await self.get(path)
        return None if data is None else StoredObject(path, len(data), self.written_us[path])

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> Objects:
        self._call()
        paths = sorted(path for path in self.objects if path.startswith(f"{prefix}/") and path > after)
        found = (StoredObject(path, len(self.objects[path]), self.written_us.get(path, 0)) for path in paths)
        return [*itertools.islice(found, limit)]

    async def delete(self, paths: Sequence[str]) -> None:
        self._call()
        for path in paths:
            self.objects.pop(path, None)

    def names(self, suffix: str = "") -> Names:
        """The last parts of all paths that end with `suffix`."""
        return [path.rpartition("/")[2] for path in sorted(self.objects) if path.endswith(suffix)]


class SlowStorage(FakeStorage):
    """Takes a while to give objects, and holds calls of a kind up until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.slowness_s = 0.0  #: of reading one object
        self._held: dict[str, asyncio.Event] = {}

    def hold(self, end: str) -> None:
        """Hold up what is put at, or listed of, paths with this end."""
        self._held[end] = asyncio.Event()

    def let_go(self, end: str) -> None:
        """Let it happen, what waits and what comes."""
        self._held.pop(end).set()

    async def put(self, path: str, data: bytes) -> None:
        await self._wait(path)
        await super().put(path, data)

    async def get(self, path: str) -> bytes | None:
        await asyncio.sleep(self.slowness_s)
        return await super().get(path)

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> Objects:
        await self._wait(prefix)
        return await super().list(prefix, after=after, limit=limit)

    async def _wait(self, path: str) -> None:
        for end, event in list(self._held.items()):
            if path.endswith(end):
                await event.wait()


class FakeHlsScheduler(FakeScheduler):
    """Answers for hls nodes what it was told to."""

    def __init__(self) -> None:
        super().__init__()
        self.owner: HlsOwner | None = None
        self.hls_wanted: list[HlsWanted] = []
        self.limits: list[HlsLimit] = []
        self.hls_released: list[HlsReleased] = []
        self.touches: list[SessionTouch] = []
        self.is_away = False  #: whether it takes nothing back
        self.hls_refusals: list[Refused] = []  #: given before the owner

    async def locate_hls(self, node: NodeAddress, wanted: Sequence[HlsWanted], deadline_s: float) -> list[HlsOwner | Refused]:
        self.hls_wanted += wanted
        if self.hls_refusals:
            return [self.hls_refusals.pop(0)]
        return [self.owner or Refused(Refusal.NOT_FOUND)]

    async def raise_hls_limit(self, node: NodeAddress, limits: Sequence[HlsLimit], deadline_s: float) -> list[bool]:
        self.limits += limits
        return [True for _ in limits]

    async def release_hls(self, node: NodeAddress, released: Sequence[HlsReleased], deadline_s: float) -> list[bool]:
        if self.is_away:
            raise Unavailable("away", retry_after_s=1.0)
        self.hls_released += released
        return [True for _ in released]

    async def tell_events(self, node: NodeAddress, events: Sequence[Event], deadline_s: float) -> None:
        """Nobody hears of them here."""

    async def touch_sessions(self, node: NodeAddress, sessions: Sequence[SessionTouch], deadline_s: float) -> None:
        self.touches += sessions

    async def find_streams(self, names: Sequence[str], deadline_s: float) -> list[NamedStreams]:
        return [NamedStreams((STREAM,) if name == STREAM.name and self.owner is not None else ()) for name in names]


class HlsNode:
    """The workers of a node, with storage that others share."""

    def __init__(
        self, storage: FakeStorage | None = None, settings: WorkerSettings = SETTINGS, memory_bytes: int = 1 << 30
    ) -> None:
        self.storage = storage or FakeStorage()
        self.scheduler = FakeHlsScheduler()
        self.scheduler.put(location(1))
        self.links = FakeLinks()
        self.workers = Workers(NODE, settings, self.scheduler, self.links, self.storage, Budget(memory_bytes))

    async def origin(self, number: int = 1) -> FakeSubscription:
        """The origin's side of the subscription of that number, opened."""
        subscription = await self.links.opened(number)
        subscription.events.subscription_opened(epoch(1), place(1))
        return subscription
