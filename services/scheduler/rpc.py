"""The gRPC face of the scheduler: messages to dataclasses, service errors to status codes. No decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass
from typing import Any, Generic, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from lalmesh.errors import LimitExceeded, RemoteProtocolError, Unavailable
from lalmesh.rpc.convert import parse_node
from lalmesh.rpc.lalmesh.v1 import scheduler_pb2 as pb
from lalmesh.runtime import telemetry
from lalmesh.runtime.scheduling import MAX_ITEMS, MAX_LOCATE_S, SERVICE, Refusal, Refused
from lalmesh.runtime.scheduling.command_wire import serialize_command
from lalmesh.runtime.scheduling.control_wire import parse_event, parse_session_touch
from lalmesh.runtime.scheduling.hls_wire import (
    parse_hls_limit,
    parse_hls_released,
    parse_hls_wanted,
    serialize_named_streams,
)
from lalmesh.runtime.scheduling.model import NodeCommand, NodeReport
from lalmesh.runtime.scheduling.report_wire import parse_report
from lalmesh.runtime.scheduling.wire import (
    parse_claim,
    parse_move,
    parse_released,
    parse_wanted,
    serialize_claim_result,
    serialize_locate_hls_result,
    serialize_locate_result,
)
from services.scheduler.service import SchedulerService

DEFAULT_DEADLINE_S = 5.0  #: of callers that state none
MARGIN_S = 0.25  #: kept from a caller's deadline, so that the answer is there before it
MARGIN_FRACTION = 0.2  #: at most this part of it

STATUS = {  #: what a caller is told where there is no answer
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    RemoteProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
}

Context = grpc.aio.ServicerContext[Any, Any]
_Request = TypeVar("_Request", bound=Message)
_Item = TypeVar("_Item")
_Parsed = TypeVar("_Parsed")


@dataclass(slots=True, frozen=True)
class _Method(Generic[_Request, _Item, _Parsed]):
    """A row of the table of methods: a list of things is asked, and answered as one."""

    request: type[_Request]
    items: Callable[[_Request], Sequence[_Item]]
    parse: Callable[[_Item], _Parsed]
    ask: Callable[[_Request, list[_Parsed], float], Awaitable[Any]]  #: the service, within so many seconds
    answer: Callable[[Any], Message]  #: to what the service gave
    _: KW_ONLY
    refuses_alone: bool = False  #: what is wrong is refused among the results; otherwise it ends the call
    deadline_s: float = DEFAULT_DEADLINE_S  #: of callers that state none

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """For a server."""
        return grpc.unary_unary_rpc_method_handler(self._handle, self.request.FromString, _serialize)

    async def _handle(self, request: _Request, context: Context) -> Message:
        messages = self.items(request)
        try:
            if len(messages) > MAX_ITEMS:
                raise LimitExceeded("items of a request", len(messages), MAX_ITEMS)
            asked, refusals = self._parse_each(messages)
            with telemetry.within(_trace_of(context)):
                given = await self.ask(request, asked, _deadline_s(context, self.deadline_s))
        except (Unavailable, RemoteProtocolError) as exc:
            await _abort(context, exc)
        return self.answer(_with_refusals(given, refusals) if self.refuses_alone else given)

    def _parse_each(self, messages: Sequence[_Item]) -> tuple[list[_Parsed], list[Refused | None]]:
        """What was parsed, and in the order of the messages the refusals of those that are wrong."""
        refusals: list[Refused | None] = []
        parsed: list[_Parsed] = []
        for message in messages:
            try:
                parsed.append(self.parse(message))
                refusals.append(None)
            except RemoteProtocolError as exc:
                if not self.refuses_alone:
                    raise
                refusals.append(Refused(Refusal.INVALID, str(exc)))
        return parsed, refusals


def _methods(service: SchedulerService) -> dict[str, _Method[Any, Any, Any]]:
    """The methods that are asked once and answered once."""
    return {
        "ClaimPublish": _Method(
            pb.ClaimPublishRequest,
            lambda asked: asked.claims,
            parse_claim,
            lambda asked, claims, deadline_s: service.claim(parse_node(asked.edge), claims, deadline_s),
            lambda results: pb.ClaimPublishResponse(results=map(serialize_claim_result, results)),
            refuses_alone=True,
        ),
        "MoveGroup": _Method(
            pb.MoveGroupRequest,
            lambda asked: asked.moves,
            parse_move,
            lambda asked, moves, deadline_s: service.move(parse_node(asked.edge), moves, deadline_s),
            lambda results: pb.MoveGroupResponse(results=map(serialize_claim_result, results)),
            refuses_alone=True,
        ),
        "Locate": _Method(
            pb.LocateRequest,
            lambda asked: asked.wanted,
            parse_wanted,
            lambda _, wanted, deadline_s: service.locate(wanted, deadline_s),
            lambda results: pb.LocateResponse(results=map(serialize_locate_result, results)),
            refuses_alone=True,
            deadline_s=MAX_LOCATE_S,
        ),
        "Release": _Method(
            pb.ReleaseRequest,
            lambda asked: [*asked.claims, *asked.groups],
            parse_released,
            lambda asked, given, deadline_s: service.release(
                parse_node(asked.node),
                claims=given[: len(asked.claims)],
                groups=given[len(asked.claims) :],
                deadline_s=deadline_s,
            ),
            lambda released: pb.ReleaseResponse(results=[pb.ReleaseResult(released=each) for each in released]),
        ),
        "LocateHls": _Method(
            pb.LocateHlsRequest,
            lambda asked: asked.wanted,
            parse_hls_wanted,
            lambda asked, wanted, deadline_s: service.locate_hls(parse_node(asked.node), wanted, deadline_s),
            lambda results: pb.LocateHlsResponse(results=map(serialize_locate_hls_result, results)),
            refuses_alone=True,
        ),
        "RaiseHlsLimit": _Method(
            pb.RaiseHlsLimitRequest,
            lambda asked: asked.limits,
            parse_hls_limit,
            lambda asked, limits, deadline_s: service.raise_hls_limit(parse_node(asked.node), limits, deadline_s),
            lambda raised: pb.RaiseHlsLimitResponse(raised=raised),
        ),
        "ReleaseHls": _Method(
            pb.ReleaseHlsRequest,
            lambda asked: asked.released,
            parse_hls_released,
            lambda asked, given, deadline_s: service.release_hls(parse_node(asked.node), given, deadline_s),
            lambda released: pb.ReleaseHlsResponse(released=released),
        ),
        "TouchSessions": _Method(
            pb.TouchSessionsRequest,
            lambda asked: asked.sessions,
            parse_session_touch,
            lambda asked, sessions, deadline_s: service.touch_sessions(parse_node(asked.node), sessions, deadline_s),
            lambda _: pb.TouchSessionsResponse(),
        ),
        "TellEvents": _Method(
            pb.TellEventsRequest,
            lambda asked: asked.events,
            parse_event,
            lambda asked, events, deadline_s: service.tell_events(parse_node(asked.node), events, deadline_s),
            lambda _: pb.TellEventsResponse(),
        ),
        "FindStreams": _Method(
            pb.FindStreamsRequest,
            lambda asked: asked.names,
            str,
            lambda _, names, deadline_s: service.find_streams(names, deadline_s),
            lambda found: pb.FindStreamsResponse(found=map(serialize_named_streams, found)),
        ),
    }


class SchedulerFace:
    """The methods of `lalmesh.v1.Scheduler`."""

    def __init__(self, service: SchedulerService) -> None:
        """Answer for `service`."""
        self._service = service
        self._last: tuple[NodeCommand, pb.NodeCommand] | None = None

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """All methods, for a server."""
        join = grpc.stream_stream_rpc_method_handler(self.join, pb.NodeReport.FromString, _serialize)
        once = {name: method.handler() for name, method in _methods(self._service).items()}
        return grpc.method_handlers_generic_handler(SERVICE, {"Join": join, **once})

    async def join(self, messages: AsyncIterator[pb.NodeReport], context: Context) -> AsyncIterator[pb.NodeCommand]:
        """Membership."""

        async def reports() -> AsyncIterator[NodeReport]:
            async for message in messages:
                yield parse_report(message)

        try:
            async with aclosing(self._service.join(reports())) as commands:
                async for command in commands:
                    yield self._serialized(command)
        except Unavailable as exc:
            await _abort(context, exc)

    def _serialized(self, command: NodeCommand) -> pb.NodeCommand:
        """As a message. What all nodes are told in turn, such as a long blacklist, is made into one once."""
        if self._last is None or self._last[0] is not command:
            self._last = command, serialize_command(command)
        return self._last[1]


def _deadline_s(context: Context, otherwise_s: float) -> float:
    """Seconds to decide in: the caller's, less what the answer needs to get there."""
    remaining = context.time_remaining()
    if remaining is None:
        return otherwise_s
    return float(max(0.0, remaining - min(MARGIN_S, remaining * MARGIN_FRACTION)))


def _trace_of(context: Context) -> telemetry.TraceContext | None:
    """The span that asks, if one does."""
    metadata = context.invocation_metadata() or ()
    shown = next((value for name, value in metadata if name == telemetry.HEADER), "")
    return telemetry.TraceContext.parse(str(shown)) if shown else None


def _with_refusals(results: Sequence[Any], refusals: Sequence[Refused | None]) -> list[Any]:
    """The results with the refusals among them, where there are any."""
    given = iter(results)
    return [next(given) if refused is None else refused for refused in refusals]


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


async def _abort(context: Context, exc: Unavailable | RemoteProtocolError) -> NoReturn:
    status = next(code for kind, code in STATUS.items() if isinstance(exc, kind))
    await context.abort(status, str(exc))
    raise exc  # not reached: abort raises
