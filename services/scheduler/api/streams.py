"""``/v1/streams``: what is published, by whom, and where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from itertools import chain

from pydantic import Field

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling.model import StreamState
from services.scheduler.api import (
    Answer,
    ApiModel,
    ApiRole,
    Asked,
    Operation,
    Page,
    PageModel,
    PageQuery,
    ProblemError,
    parts,
)
from services.scheduler.directory import Directory
from services.scheduler.listing import StreamModel, describe_stream
from services.scheduler.parallel import for_each
from services.scheduler.peers import Peers
from services.scheduler.service import SchedulerService
from services.scheduler.wholes import names_of

PATH = "/v1/streams"
StreamPage = PageModel[StreamModel]


class StreamQuery(PageQuery):
    """Which streams are wanted."""

    app: str | None = Field(default=None, min_length=1, max_length=2048, description="Of this application only.")
    name: str | None = Field(default=None, min_length=1, max_length=255, description="Whose name begins so.")
    state: StreamState | None = Field(default=None, description="In this state only.")
    node: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="That this node, or one of its workers, publishes, owns, would inherit or segments.",
    )


class StreamParts(ApiModel):
    """Which stream is meant."""

    app: str = Field(description="The application; slashes in it are written %2F.", examples=["live"])
    name: str = Field(description="The name.", examples=["cam"])


def operations(service: SchedulerService, peers: Peers) -> list[Operation]:
    """What can be asked of `service`, with what nodes report to its `peers` as well."""

    async def list_streams(asked: Asked) -> Answer:
        streams = service.directory.streams()
        is_wanted = wanted(service.directory, peers, asked.query)
        page = Page.of(await asked.those(streams, is_wanted) if is_wanted is not None else streams, asked.query)
        return Answer(body=page.answer(StreamPage, await _described(asked, service, peers, page.shown)))

    async def show_stream(asked: Asked) -> Answer:
        stream = named(asked)
        if not service.directory.is_published(stream):
            raise ProblemError(HTTPStatus.NOT_FOUND, f"nobody publishes {str(stream)[:100]!r}")
        return Answer(body=(await _described(asked, service, peers, [stream]))[0])

    return [
        Operation(
            method="GET",
            path=PATH,
            tag="streams",
            summary="List the streams of the cluster.",
            description="In the order of application and name.",
            handler=list_streams,
            role=ApiRole.VIEWER,
            query=StreamQuery,
            answers={HTTPStatus.OK: StreamPage},
        ),
        Operation(
            method="GET",
            path=f"{PATH}/{{app}}/{{name}}",
            tag="streams",
            summary="Show one stream.",
            handler=show_stream,
            role=ApiRole.VIEWER,
            parts=StreamParts,
            answers={HTTPStatus.OK: StreamModel},
            problems=frozenset({HTTPStatus.NOT_FOUND}),
        ),
    ]


def named(asked: Asked) -> StreamKey:
    """The stream of a path.

    Raises:
        ProblemError: it can be none.
    """
    try:
        return StreamKey.of(asked.path["app"], asked.path["name"])
    except InvalidName as exc:
        raise ProblemError(HTTPStatus.NOT_FOUND, str(exc)) from exc


def wanted(directory: Directory, peers: Peers, query: StreamQuery) -> Callable[[StreamKey], bool] | None:
    """Tells whether a query is for a stream; None where it is for all."""
    if query.app is None and query.name is None and query.node is None and query.state is None:
        return None
    names = names_of(query.node, directory.nodes()) if query.node is not None else None

    def is_wanted(stream: StreamKey) -> bool:
        return (
            query.app in (None, stream.app)
            and (query.name is None or stream.name.startswith(query.name))
            and (names is None or not names.isdisjoint(_nodes_of(directory, stream)))
            and (query.state is None or peers.state(stream) is query.state)
        )

    return is_wanted


def _nodes_of(directory: Directory, stream: StreamKey) -> set[str]:
    """Names of the nodes that have something to do with a stream."""
    claim, group, hls = directory.claim(stream), directory.group(stream), directory.hls.record(stream)
    found = [claim.edge if claim else None, hls.owner if hls else None, *((group.origin, group.heir) if group else ())]
    return {address.node.name for address in found if address is not None}


async def _described(asked: Asked, service: SchedulerService, peers: Peers, streams: Sequence[StreamKey]) -> list[StreamModel]:
    """Streams as they are shown. Each part of many has a turn to ask for what is known of it, and one to say it."""

    async def describe(part: Sequence[StreamKey]) -> list[StreamModel]:
        await asked.turn(len(part))
        players, figures = await asyncio.gather(service.count_sessions(part), peers.of(part))
        await asked.turn(len(part))
        return [
            describe_stream(service.directory, stream, peers.state(stream), known, count)
            for stream, known, count in zip(part, figures, players, strict=True)
        ]

    return [*chain.from_iterable(await for_each([*parts(streams)], describe))]
