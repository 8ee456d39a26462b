"""Publish a FLV file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from pathlib import Path

from lalmesh.client._flv_file import read_tags
from lalmesh.client._frames import Counts, TagKind, TagSorter
from lalmesh.client._link import ClientLink
from lalmesh.client._open import is_described, open_publisher
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._pacing import LoopClock, Pacer
from lalmesh.client._publisher import Publisher
from lalmesh.client._transmux import HevcChoice, HevcTransmuxer, transmuxer
from lalmesh.container.flv import Tag
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import Kind, TrackSet

LOOK_AHEAD_MS = 1000  #: of frames of one track that are read before there is taken to be no other
LOOK_AHEAD_BYTES = 16 << 20  #: the same: two of the largest messages of RTMP


async def push(
    source: Path | None,
    url: str,
    counts: Counts,
    *,
    options: ClientOptions = DEFAULT_OPTIONS,
    loops: int = 1,
    fast: bool = False,
    hevc: HevcChoice = "keep",
) -> None:
    """Publish a file from its start to its end, frames leaving when their decoding time is due.

    Args:
        source: the file; None for standard input, which can be read once.
        url: of any publisher that `open_publisher` knows.
        counts: raised as messages are sent, for whoever wants to know meanwhile.
        options: limits and trust.
        loops: how often; 0 for ever. Times go on from one run to the next.
        fast: send as fast as the server takes it.
        hevc: the form that HEVC is sent in.

    Raises:
        OSError: the file cannot be read.
        LalmeshError: the file is no FLV or has nothing in it, or one of what a `Publisher` raises.
    """
    async with aclosing(looped(source, loops)) as tags:
        # For what is no FLV nothing is dialled, and no stream taken.
        beginning, tracks = await _beginning(tags, whole=is_described(url))
        async with open_publisher(url, tracks, options) as out:
            pusher = _Pusher(out, counts, None if fast else Pacer(), transmuxer(hevc))
            for kind, tag in beginning:
                await pusher.push(kind, tag)
            async for kind, tag in tags:
                await pusher.push(kind, tag)


async def _beginning(tags: AsyncGenerator[tuple[TagKind, Tag], None], *, whole: bool) -> tuple[list[tuple[TagKind, Tag]], TrackSet]:
    """The first tag, or if `whole` as many as tell what tracks there are; and the tracks."""
    sorter, given, frames_ms, size_bytes = TagSorter(), list[tuple[TagKind, Tag]](), list[int](), 0
    async for kind, tag in tags:
        given.append((kind, tag))
        sorter.sort(tag)
        size_bytes += len(tag.body)
        frames_ms += [tag.timestamp_ms] if kind.is_frame else []
        if not whole or all(sorter.tracks.first(wanted) for wanted in (Kind.VIDEO, Kind.AUDIO)):
            break
        if size_bytes >= LOOK_AHEAD_BYTES or (frames_ms and frames_ms[-1] - frames_ms[0] >= LOOK_AHEAD_MS):
            break
    return given, sorter.tracks


class _Pusher:
    """Sends tags when they are due."""

    def __init__(self, out: Publisher[ClientLink], counts: Counts, pacer: Pacer | None, convert: HevcTransmuxer | None) -> None:
        self._out = out
        self._counts = counts
        self._pacer = pacer
        self._convert = convert
        self._now = asyncio.get_running_loop().time

    async def push(self, kind: TagKind, tag: Tag) -> None:
        """Send one tag, which is of `kind`."""
        if self._pacer is not None and kind.is_frame and (wait_s := self._pacer.wait_s(tag.timestamp_ms, self._now())) > 0:
            await self._out.sleep(wait_s)
        for message in (tag,) if self._convert is None else self._convert.convert(tag):
            self._out.send(message.type_id, message.timestamp_ms, message.body)
        self._counts.add(kind, tag)
        await self._out.drain()


async def looped(source: Path | None, loops: int) -> AsyncGenerator[tuple[TagKind, Tag], None]:
    """Give the tags of `loops` runs of a file, 0 for ever, in one stream of times; tracks end with the last run only.

    Raises:
        OSError: the file cannot be read.
        RemoteProtocolError: it is no FLV, or has no frame in it.
        UnsupportedError: it is encrypted.
    """
    clock, sorter = LoopClock(), TagSorter()
    for run in count(1):
        frames = 0
        async with aclosing(read_tags(source)) as tags:
            async for tag in tags:
                kind = sorter.sort(tag)
                frames += kind.is_frame
                if kind is not TagKind.END or run == loops:
                    yield kind, clock.move(tag, is_frame=kind.is_frame)
        if not frames:
            raise RemoteProtocolError("FLV file without a frame")
        if run == loops:
            return
        clock.begin_again()
