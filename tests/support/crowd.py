"""A scheduler with many streams: edges and origins in its own process, which report them each second as real ones do.

``python -m support.crowd STREAMS FILE`` runs until it is ended, and writes its HTTP port to the file once all are published.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from lalmesh.media import Codec, Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Grant
from lalmesh.runtime.scheduling import HeldStream, Role
from services.scheduler import SchedulerApp
from services.scheduler.registry import MemoryRegistry
from support.members import Member

EDGES = 4
ORIGINS = 2
TRACKS = TrackSet(
    (
        Track(track_id=1, codec=Codec.H264, width=1920, height=1080, profile="High"),
        Track(track_id=2, codec=Codec.AAC, sample_rate_hz=48_000, channels=2),
    ),
    1,
)
CHANGE_S = 1.0  #: as often as nodes report


async def crowd(streams: int, said: Callable[[int], object]) -> None:
    """Run until cancelled; `said` hears of the HTTP port once all `streams` are published."""
    async with AsyncExitStack() as stack:
        app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"], http_port=0)
        stack.push_async_callback(app.stop)
        await app.start()
        await app.service.ready()

        async def join(name: str, role: Role) -> Member:
            return await stack.enter_async_context(Member(name, role, app.service, interval_s=CHANGE_S, streams=streams))

        for number in range(ORIGINS):
            await join(f"origin-{number}", Role.ORIGIN)
        edges = [await join(f"edge-{number}", Role.EDGE) for number in range(EDGES)]
        held: dict[str, list[Grant]] = {edge.name: [] for edge in edges}
        rng = random.Random(1)
        for number in range(streams):
            edge = edges[number % EDGES]
            grant = await edge.granted_in_time(StreamKey.of("live", f"cam-{number:04}"))
            held[edge.name].append(grant)
            edge.held.append(_held(grant, rng))  # what no report holds is taken back before a slow machine has all granted
        said(app.http_port or 0)
        while True:
            for edge in edges:
                edge.held[:] = [_held(grant, rng) for grant in held[edge.name]]
            await asyncio.sleep(CHANGE_S)


def _held(grant: Grant, rng: random.Random) -> HeldStream:
    return HeldStream(
        stream=grant.stream,
        epoch=grant.epoch,
        place=grant.place,
        publication=grant.publication,
        tracks=TRACKS,
        bitrate_bps=rng.randrange(1_000_000, 8_000_000),
        players=rng.randrange(50),
        published=True,
    )


if __name__ == "__main__":
    asyncio.run(crowd(int(sys.argv[1]), lambda port: Path(sys.argv[2]).write_text(str(port))))
