"""Nodes of a benchmark that are light, and real to the cluster: members over gRPC, edges that publish and read over real links."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from typing import Any

from lalmesh.codec import build_track
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, TracksChanged, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.follower import Follower, FollowSettings
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.link import LinkLimits, LinkPool
from lalmesh.runtime.ownership import NodeAddress, NodeId, new_incarnation
from lalmesh.runtime.reader import Reader
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import (
    GroupMoved,
    GrpcSchedulerClient,
    HeldStream,
    Membership,
    NodeCommand,
    NodeReport,
    ReclaimWanted,
    Role,
    StreamFenced,
)
from services.edge.publication import PublicationSettings
from services.edge.publisher import Publishers
from services.edge.publishing import Publishing

PUBLISHER_MACHINE = "machine-of-the-publisher"
UNIT_HZ = 10  #: units of a stream a second
UNIT_BYTES = 400
CLAIM_S = 20.0  #: for a claim and for a place
AT_ONCE = 100  #: claims of one edge that are under way together
TRACKS = TrackSet((build_track(1, Codec.PCMA),), 1)  #: what the track says does not matter to ownership


@cache
def runner() -> asyncio.Runner:
    """The one loop of this process: gRPC does not take to a second one."""
    made = asyncio.Runner()
    atexit.register(made.close)
    return made


class Joined:
    """A member that says what it is told to hold; subclasses say it of what they really hold. Run `run` as a task."""

    def __init__(self, name: str, role: Role, client: GrpcSchedulerClient, *, machine: str = "", address: str = "") -> None:
        """Prepare a node of a fresh incarnation; `address` is where it would listen."""
        self.address = NodeAddress(NodeId(name, new_incarnation()), address or f"{name}:50052")
        self.client = client
        self.held: Sequence[HeldStream] = ()
        self._role, self._machine = role, machine or f"machine-of-{name}"
        self.membership = Membership(client.join, self._report, self._command)

    async def run(self) -> None:
        """Be a member."""
        await self.membership.run()

    def _report(self) -> NodeReport:
        return NodeReport(
            node=self.address, role=self._role, machine=self._machine, streams=tuple(self._streams()), version="bench"
        )

    def _streams(self) -> Sequence[HeldStream]:
        return self.held

    def _command(self, command: NodeCommand) -> None:
        pass


class Watched:
    """One stream as its reader sees it."""

    def __init__(self, stream: StreamKey) -> None:
        self.stream = stream
        self.reader = Reader()
        self.lost_at = float("inf")  #: what is older than this does not count below
        self.again_at: float | None = None  #: when the first unit came that was made after `lost_at`
        self.units = 0
        self.missing = 0
        self.follower: Follower | None = None

    def deliver(self, run: Run) -> None:
        """Count, and note when it goes on."""
        self.units += len(run.units)
        self.missing += run.missing
        if self.again_at is None and run.units[-1].wall_us / 1e6 >= self.lost_at:
            self.again_at = time.time()


class LightEdge(Joined):
    """An edge without listeners: its publications, followers, links and membership are those of a real one."""

    def __init__(self, name: str, client: GrpcSchedulerClient, dial: Channels, *, machine: str = "") -> None:
        """Build it inside the running loop."""
        super().__init__(name, Role.EDGE, client, machine=machine)
        self.links = LinkPool(self.address.node, dial.dial, LinkLimits())
        self.publishers = Publishers(
            self.address, client, self.links, PublicationSettings(), take_over=False, claim_timeout_s=CLAIM_S
        )
        self.watched: dict[StreamKey, Watched] = {}
        self._locates = Gatherer(client.locate)

    async def publish(self, streams: Sequence[StreamKey]) -> list[Publishing]:
        """Claim all of them."""
        most = asyncio.Semaphore(AT_ONCE)

        async def one(stream: StreamKey) -> Publishing:
            async with most:
                return await self.publishers.start(stream, _ended)

        return await asyncio.gather(*map(one, streams))

    def watch(self, stream: StreamKey, spawn: Callable[[Coroutine[Any, Any, object]], None]) -> Watched:
        """Read a stream."""
        watched = self.watched[stream] = Watched(stream)
        watched.follower = Follower(
            stream, self._locates, self.links, FollowSettings(awaits_first=True), watched.reader, watched.deliver
        )
        spawn(watched.follower.run())
        return watched

    def _streams(self) -> Sequence[HeldStream]:
        published = [_published(each) for each in self.publishers]
        return [*published, *(_played(each) for each in self.watched.values())]

    def _command(self, command: NodeCommand) -> None:
        match command:
            case StreamFenced(stream, epoch):
                self.publishers.fenced(stream, epoch)
            case GroupMoved(location, grant):
                self.publishers.moved(location, grant)
                watched = self.watched.get(location.stream)
                if watched is not None and watched.follower is not None:
                    watched.follower.moved(location)
            case ReclaimWanted(streams):
                self.publishers.reclaim(streams)
            case _:
                pass


def _ended(reason: str) -> None:
    raise AssertionError(f"a publication was ended: {reason}")


def _published(publishing: Publishing) -> HeldStream:
    place = publishing.core.ring.place
    publication = publishing.core.publication
    return HeldStream(
        stream=publishing.stream, epoch=publishing.core.epoch, place=place, publication=publication, tracks=TRACKS, published=True
    )


def _played(watched: Watched) -> HeldStream:
    reader = watched.reader
    publication = reader.last.publication if reader.last is not None else b""
    return HeldStream(
        stream=watched.stream, epoch=reader.epoch, place=reader.place, publication=publication, tracks=TRACKS, players=1
    )


async def feed(publishings: Sequence[Publishing]) -> None:
    """Give each publication `UNIT_HZ` units a second, spread evenly over time, without end."""
    rng, loop, payload = random.Random(1), asyncio.get_running_loop(), bytes(UNIT_BYTES)
    phases = sorted(((rng.random() / UNIT_HZ, each) for each in publishings), key=lambda pair: pair[0])
    for _, each in phases:
        each.feed([TracksChanged(TRACKS)], time.time_ns() // 1000)
    turn = loop.time()
    while True:
        for phase, each in phases:
            if (wait_s := turn + phase - loop.time()) > 0.0005:
                await asyncio.sleep(wait_s)
            now_us = time.time_ns() // 1000
            each.feed([AccessUnit(1, now_us * TICKS_PER_SECOND // 1_000_000, 0, True, payload)], now_us)
        turn += 1 / UNIT_HZ
        await asyncio.sleep(max(0.0, turn - loop.time()))


async def ended(tasks: Sequence[asyncio.Task[object]]) -> None:
    """Cancel tasks and wait for them."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


__all__ = ["Joined", "LightEdge", "Watched", "ended", "feed", "runner"]
