"""``/v1/sessions``: publishers, players, relays and players of HLS; and kicks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from http import HTTPStatus
from typing import Self

from pydantic import Field, field_validator, model_validator

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.addresses import plain
from lalmesh.runtime.scheduling.control import MAX_KICKED
from lalmesh.runtime.sessions import MAX_ID_BYTES, MAX_PAGE, Session, SessionDirectory, SessionFilter, SessionRole
from services.scheduler.api import MAX_STREAM_CHARS, PART, Answer, ApiModel, ApiRole, Asked, Operation, ProblemError
from services.scheduler.kicks import Kicks
from services.scheduler.records import NodeRecord
from services.scheduler.route_urls import PROTOCOLS
from services.scheduler.wholes import names_of

PATH = "/v1/sessions"
ONE = f"{PATH}/{{id}}"
DEFAULT_ITEMS = 100
MAX_CURSOR_CHARS = 16_384  #: a name of a stream, quoted, and an id
MAX_REASON_CHARS = 250  #: 1,000 bytes of UTF-8
KICKED = "kicked"  #: the reason that is told where none is given
#: what sessions are called: those of low-latency HLS as all of HLS
SessionProtocol = Enum(  # type: ignore[misc]  # made of the one table
    "SessionProtocol", {name: name for name in PROTOCOLS if not name.endswith("ll-hls")}
)


class SessionModel(ApiModel):
    """A session: one client that publishes or plays one stream."""

    id: str = Field(description="Its id.")
    stream: str = Field(description="Application and name, with a slash between them.")
    app: str = Field(description="The application, which may hold slashes.")
    name: str = Field(description="The name of the stream.")
    protocol: str = Field(description="rtmp, rtmps, rtsp, ws-rtsp, http-flv, wss-ts, hls and so on.")
    role: SessionRole = Field(description="What it does.")
    node: str = Field(description="The edge that has it; of a player of HLS, the edge or hls node that saw it last.")
    peer: str = Field(description="Address of the client, with its port where that is known.")
    url: str = Field(description="What was asked for, without query.")
    query: str = Field(description="Of the URL; secrets in it are replaced by ***.")
    user_agent: str = Field(description="What the client calls itself; empty: nothing.")
    codecs: tuple[str, ...] = Field(description="Of the media, as far as known.")
    opened_us: int = Field(description="When it began, Unix microseconds.")
    seen_us: int = Field(description="When its node told of it last, Unix microseconds.")
    received_bytes: int = Field(description="Payload of media that came from it, in all.")
    sent_bytes: int = Field(description="Bytes that were sent to it, in all.")
    received_bps: int = Field(description="Bits a second of that, of late.")
    sent_bps: int = Field(description="Bits a second of that, of late.")
    queued_bytes: int = Field(description="That wait for a player.")
    skips: int = Field(description="Times that a slow player skipped to a random access point.")
    first_media_ms: int = Field(description="From the request to the first media; 0: none yet.")


class SessionPageModel(ApiModel):
    """Some sessions."""

    items: list[SessionModel] = Field(description="In the order of stream and id.")
    cursor: str = Field(description="What the next page goes on from; empty: there is none. With one, a page may be short.")


class Wanted(ApiModel):
    """Which sessions are meant: those of which all of it is true that is said."""

    stream: str | None = Field(
        default=None, min_length=3, max_length=MAX_STREAM_CHARS, description="app/name.", examples=["live/cam"]
    )
    node: str | None = Field(
        default=None, min_length=1, max_length=253, description="At this edge, any of its workers, or this hls node."
    )
    protocol: SessionProtocol | None = Field(default=None, description="Over this protocol.")
    role: SessionRole | None = Field(default=None, description="That do this.")
    address: str | None = Field(default=None, min_length=2, max_length=64, description="Of a client at this address, without port.")

    @field_validator("stream")
    @classmethod
    def _check_stream(cls, stream: str | None) -> str | None:
        if stream is not None:
            try:
                StreamKey.parse(stream)
            except InvalidName as exc:
                raise ValueError(str(exc)) from exc
        return stream

    def filter(self, nodes: Iterable[NodeRecord] = ()) -> SessionFilter:
        """As the directory takes it, where those are the nodes of the cluster."""
        return SessionFilter(
            stream=StreamKey.parse(self.stream) if self.stream is not None else None,
            nodes=names_of(self.node, nodes) if self.node is not None else frozenset(),
            protocol=self.protocol.value if self.protocol is not None else "",
            role=self.role,
            address=plain(self.address) if self.address is not None else "",
        )


class SessionQuery(Wanted):
    """Which sessions are to be listed."""

    cursor: str = Field(default="", max_length=MAX_CURSOR_CHARS, description="Of the page before; empty: the first one.")
    limit: int = Field(default=DEFAULT_ITEMS, ge=1, le=MAX_PAGE, description="Most items of the page.")


class SessionParts(ApiModel):
    """Which session is meant."""

    id: str = Field(min_length=1, max_length=MAX_ID_BYTES, description="Its id.")


class KickQuery(ApiModel):
    """Why a session is ended."""

    reason: str = Field(
        default=KICKED, min_length=1, max_length=MAX_REASON_CHARS, description="What the client is told, and logs say."
    )


class KickBody(Wanted):
    """Which sessions are to be ended."""

    reason: str = Field(
        default=KICKED, min_length=1, max_length=MAX_REASON_CHARS, description="What clients are told, and logs say."
    )
    limit: int = Field(default=MAX_KICKED, ge=1, le=MAX_KICKED, description="Most sessions to end.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.filter() == SessionFilter():
            raise ValueError("say which: at least one of stream, node, protocol, role, address")
        return self


class KickedModel(ApiModel):
    """What is ended."""

    ids: list[str] = Field(description="Of the sessions that their nodes are told to end.")
    more: bool = Field(description="Whether others may be left: ask again.")
    is_known: bool = Field(description="Whether the session directory answered; where it did not, every node is told of the id.")


def operations(directory: SessionDirectory, kicks: Kicks, nodes: Callable[[], Iterable[NodeRecord]]) -> list[Operation]:
    """What can be asked of `directory` and `kicks`; `nodes` gives the nodes of the cluster."""
    face = _Face(directory, kicks, nodes)
    not_found = frozenset({HTTPStatus.NOT_FOUND})
    return [
        Operation(
            method="GET",
            path=PATH,
            tag="sessions",
            summary="List sessions.",
            description="Of the whole cluster. 503 while the session directory is away.",
            handler=face.list_sessions,
            role=ApiRole.VIEWER,
            query=SessionQuery,
            answers={HTTPStatus.OK: SessionPageModel},
        ),
        Operation(
            method="POST",
            path=f"{PATH}/kick",
            tag="sessions",
            summary="End sessions of a stream, an address, a node.",
            description="Whom it meets may come back at once: see the blacklist.",
            handler=face.kick_some,
            role=ApiRole.OPERATOR,
            body=KickBody,
            answers={HTTPStatus.ACCEPTED: KickedModel},
        ),
        Operation(
            method="GET",
            path=ONE,
            tag="sessions",
            summary="Show one session.",
            handler=face.show_session,
            role=ApiRole.VIEWER,
            parts=SessionParts,
            answers={HTTPStatus.OK: SessionModel},
            problems=not_found,
        ),
        Operation(
            method="DELETE",
            path=ONE,
            tag="sessions",
            summary="End one session, wherever it is.",
            description="Within a second. Players of HLS are answered 410 from then on. Clients may come back as another session.",
            handler=face.kick_one,
            role=ApiRole.OPERATOR,
            parts=SessionParts,
            query=KickQuery,
            answers={HTTPStatus.ACCEPTED: KickedModel},
            problems=not_found,
        ),
    ]


class _Face:
    """The handlers."""

    def __init__(self, directory: SessionDirectory, kicks: Kicks, nodes: Callable[[], Iterable[NodeRecord]]) -> None:
        self._directory = directory
        self._kicks = kicks
        self._nodes = nodes

    async def list_sessions(self, asked: Asked) -> Answer:
        query: SessionQuery = asked.query
        wanted, cursor, items = query.filter(self._nodes()), query.cursor, list[SessionModel]()
        for limit in (min(PART, query.limit - start) for start in range(0, query.limit, PART)):
            await asked.turn(limit)
            page = await self._directory.page(wanted, cursor=cursor, limit=limit)
            items += map(describe_session, page.sessions)
            cursor = page.cursor
            if not cursor:
                break
        return Answer(body=SessionPageModel.model_construct(items=items, cursor=cursor))

    async def show_session(self, asked: Asked) -> Answer:
        found = await self._directory.find(asked.path["id"])
        if not found:
            raise _unknown(asked)
        return Answer(body=describe_session(found[0]))

    async def kick_one(self, asked: Asked) -> Answer:
        session_id = asked.path["id"]
        found = await self._kicks.kick(session_id, asked.query.reason)
        if found is not None and not found:
            raise _unknown(asked)
        return Answer(body=KickedModel(ids=[session_id], more=False, is_known=found is not None), status=HTTPStatus.ACCEPTED)

    async def kick_some(self, asked: Asked) -> Answer:
        body: KickBody = asked.body
        found, more = await self._kicks.kick_all(body.filter(self._nodes()), body.reason, body.limit)
        kicked = KickedModel(ids=[session.id for session in found], more=more, is_known=True)
        return Answer(body=kicked, status=HTTPStatus.ACCEPTED)


def describe_session(session: Session) -> SessionModel:
    """A session as the API shows it."""
    return SessionModel.model_construct(
        id=session.id,
        stream=str(session.stream),
        app=session.stream.app,
        name=session.stream.name,
        protocol=session.protocol,
        role=session.role,
        node=session.node,
        peer=session.peer,
        url=session.url,
        query=session.query,
        user_agent=session.user_agent,
        codecs=session.codecs,
        opened_us=session.opened_us,
        seen_us=session.seen_us,
        received_bytes=session.received_bytes,
        sent_bytes=session.sent_bytes,
        received_bps=session.received_bps,
        sent_bps=session.sent_bps,
        queued_bytes=session.queued_bytes,
        skips=session.skips,
        first_media_ms=session.first_media_ms,
    )


def _unknown(asked: Asked) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"no session {asked.path['id'][:50]!r}")
