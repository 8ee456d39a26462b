"""``/v1/streams/{app}/{name}/path`` and ``.../history``: the way of a stream through the cluster, and what came of late.

Both are of what its nodes report each second, and nothing of it is kept here.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from itertools import accumulate
from typing import Literal

from pydantic import Field

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling.model import HeldStream, Role
from services.scheduler.api import Answer, ApiModel, ApiRole, Asked, Operation, ProblemError
from services.scheduler.api.streams import PATH, StreamParts, named
from services.scheduler.directory import Directory
from services.scheduler.peers import MAX_PLAYED, Peers, StreamFigures
from services.scheduler.service import SchedulerService

BITS = 8


class PathNodeModel(ApiModel):
    """A node that a stream comes to."""

    node: str = Field(description="Its name.")
    role: Role = Field(description="What it does.")
    part: Literal["publishes", "owns", "heir", "plays", "segments"] = Field(
        description="What it has to do with the stream; heir: it takes over where the origin dies."
    )
    reads_from: str | None = Field(description="Node that it has it from; null: from the publisher, or nothing comes to it yet.")
    delay_ms: float | None = Field(
        description="From the arrival at the publishing edge to that here, of the oldest unit of what came last, by the clocks of "
        "both nodes: it is wrong by what they differ. Null: not known, or it is where the stream is published."
    )
    players: int | None = Field(description="Players with a connection, of an edge; null: it is none, or has not said.")
    units: int = Field(description="Access units that came.")
    missing: int = Field(description="Access units that did not.")


class PathModel(ApiModel):
    """The way of a stream."""

    nodes: list[PathNodeModel] = Field(
        description=f"The edge that it is published at, its origin, the heir of that, who segments it, and up to {MAX_PLAYED} "
        "edges that play it, by name."
    )
    more: bool = Field(description=f"Whether more edges may play it: {MAX_PLAYED} are shown.")


class GopModel(ApiModel):
    """A group of pictures, from one key frame to the next."""

    ended_us: int = Field(description="When it ended, Unix microseconds.")
    frames: int = Field(description="Its pictures.")
    duration_ms: int = Field(description="How long it lasts.")


class HistoryModel(ApiModel):
    """What a publisher sent of late. All of it newest first; empty where its edge has not said."""

    end_s: int = Field(description="Unix seconds, end of the last whole second that is told of.")
    frames: list[int] = Field(description="Pictures, of a stream without video audio frames, that came in each second before that.")
    bitrate_bps: list[int] = Field(description="Bits of all tracks that came in each of those seconds.")
    gops: list[GopModel] = Field(description="The last groups of pictures of the first video track.")


def operations(service: SchedulerService, peers: Peers) -> list[Operation]:
    """What can be asked of `service`, with what nodes report to its `peers` as well."""

    def found(asked: Asked) -> StreamKey:
        stream = named(asked)
        if not service.directory.is_published(stream):
            raise ProblemError(HTTPStatus.NOT_FOUND, f"nobody publishes {str(stream)[:100]!r}")
        return stream

    async def show_path(asked: Asked) -> Answer:
        stream = found(asked)
        figures = (await peers.of([stream], edges_too=True))[0]
        nodes = list(path_nodes(service.directory, stream, figures))
        return Answer(body=PathModel(nodes=nodes, more=len(figures.played) >= MAX_PLAYED))

    async def show_history(asked: Asked) -> Answer:
        stream = found(asked)
        claim = service.directory.claim(stream)
        held = (await peers.of([stream]))[0].at(claim.edge if claim else None)
        return Answer(body=history_of(held or HeldStream(stream=stream)))

    rows = (
        ("path", "Show the way of a stream through the cluster.", show_path, PathModel),
        ("history", "Show what its publisher sent in the last half minute.", show_history, HistoryModel),
    )
    return [
        Operation(
            method="GET",
            path=f"{PATH}/{{app}}/{{name}}/{word}",
            tag="streams",
            summary=summary,
            handler=handler,
            role=ApiRole.VIEWER,
            parts=StreamParts,
            answers={HTTPStatus.OK: model},
            problems=frozenset({HTTPStatus.NOT_FOUND}),
        )
        for word, summary, handler, model in rows
    ]


def history_of(held: HeldStream) -> HistoryModel:
    """What the edge of a publisher says of it."""
    ended_ms_before = accumulate(held.gop_ms, initial=0)
    gops = [
        GopModel(ended_us=held.gops_end_us - before_ms * 1000, frames=frames, duration_ms=lasted_ms)
        for before_ms, frames, lasted_ms in zip(ended_ms_before, held.gop_frames, held.gop_ms, strict=False)
    ]
    rates = [size_bytes * BITS for size_bytes in held.payload_bytes]
    return HistoryModel(end_s=held.frames_end_s, frames=list(held.frames), bitrate_bps=rates, gops=gops)


def path_nodes(directory: Directory, stream: StreamKey, figures: StreamFigures) -> Iterator[PathNodeModel]:
    """The nodes that a stream comes to, in its order."""
    claim, group, hls = directory.claim(stream), directory.group(stream), directory.hls.record(stream)
    edge, origin = claim.edge if claim else None, group.origin if group else None
    if edge is not None:
        yield _node(edge, Role.EDGE, "publishes", None, figures.at(edge))
    if origin is not None:
        yield _node(origin, Role.ORIGIN, "owns", edge, figures.at(origin))
    if group is not None and group.heir is not None:
        yield _node(group.heir, Role.ORIGIN, "heir", None, None)
    if hls is not None and hls.owner is not None:
        yield _node(hls.owner, Role.HLS, "segments", origin, figures.at(hls.owner))
    for each in sorted(figures.played, key=lambda played: played.node.node.name):
        yield _node(each.node, Role.EDGE, "plays", origin, each.held)


def _node(
    node: NodeAddress,
    role: Role,
    part: Literal["publishes", "owns", "heir", "plays", "segments"],
    source: NodeAddress | None,
    held: HeldStream | None,
) -> PathNodeModel:
    delay_us = held.delay_us if held is not None else None
    return PathNodeModel(
        node=node.node.name,
        role=role,
        part=part,
        reads_from=source.node.name if source is not None else None,
        delay_ms=delay_us / 1000 if delay_us is not None else None,
        players=held.players if held is not None and role is Role.EDGE else None,
        units=held.units if held is not None else 0,
        missing=held.missing if held is not None else 0,
    )
