"""What the client pulls, and what is in FLV, as units that can be compared."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lalmesh.client import ClientOptions, Counts, FlvWriter, open_player, pull, push
from lalmesh.container.flv import TAG_AUDIO, BodyDemuxer, Tag, TagReader
from lalmesh.media import TICKS_PER_MS, AccessUnit, Kind, TrackSet

SOUND = Path(__file__).parents[1] / "captures" / "flv" / "pcm-alaw.flv"
LIMIT_S = 30.0  #: for a client to do what it does, on a slow machine


def units_of(tags: Sequence[Tag]) -> tuple[TrackSet, list[AccessUnit]]:
    """The tracks of a stream, and the units of its pictures and sound."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in tags:
        units += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    tracks = {track.track_id for track in demuxer.tracks.tracks if track.kind is not Kind.DATA}
    return demuxer.tracks, [unit for unit in units if unit.track_id in tracks]


def tags_of(path: Path) -> list[Tag]:
    """All tags of a FLV file."""
    return list(TagReader().feed(path.read_bytes()))


def assert_same(sent: Sequence[Tag], got: Sequence[Tag], *, moved: int = 0) -> None:
    """Check that both have the same units, but for a constant at the same presentation times, at decoding times that rise.

    Args:
        sent: what was published.
        got: what came.
        moved: so many sounds at the beginning may be at other times.
    """
    (sent_tracks, before), (got_tracks, after) = units_of(sent), units_of(got)
    shifts: list[int] = []
    for kind in (Kind.VIDEO, Kind.AUDIO):
        ours, theirs = sent_tracks.first(kind), got_tracks.first(kind)
        if ours is None:
            continue
        assert theirs is not None
        assert theirs.codec is ours.codec
        mine, its = [[one for one in units if one.track_id == track.track_id] for units, track in ((before, ours), (after, theirs))]
        assert len(mine) == len(its)
        settled = moved if kind is Kind.AUDIO else 0
        shift = its[settled].pts - mine[settled].pts
        shifts.append(shift)
        assert all(abs(one.pts + shift - two.pts) <= TICKS_PER_MS for one, two in zip(mine[settled:], its[settled:], strict=True))
        assert all(one.dts < two.dts for one, two in pairwise(its))
    assert max(shifts) - min(shifts) <= 2 * TICKS_PER_MS


async def pulled(url: str, path: Path, options: ClientOptions, *, duration_s: float | None = None) -> tuple[list[Tag], str]:
    """What a pull writes to `path`, and why it is over."""
    with path.open("wb", buffering=0) as file:
        writer = FlvWriter(file, seekable=True)
        try:
            reason = await pull(url, writer, Counts(), options=options, duration_s=duration_s)
        finally:
            writer.close()
    return tags_of(path), reason


async def first_sounds(url: str, options: ClientOptions, wanted: int = 10) -> list[Tag]:
    """The first sounds of a stream."""
    sounds: list[Tag] = []
    async with asyncio.timeout(LIMIT_S), open_player(url, options) as player:
        async for tag in player:
            sounds += [tag] if tag.type_id == TAG_AUDIO else []
            if len(sounds) >= wanted:
                break
    return sounds


async def push_sound(url: str, options: ClientOptions) -> None:
    """Push a few seconds of G.711, as fast as they are taken."""
    async with asyncio.timeout(LIMIT_S):
        await push(SOUND, url, Counts(), options=options, fast=True)
