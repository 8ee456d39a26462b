"""The gRPC face of the scheduler: messages to dataclasses, service errors to status codes. No decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio

from lalmesh.errors import LimitExceeded, RemoteProtocolError, Unavailable
from lalmesh.rpc.convert import parse_node
from lalmesh.rpc.lalmesh.v1 import origin_pb2, scheduler_pb2
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling import MAX_ITEMS, MAX_LOCATE_S, SERVICE, Refusal, Refused
from lalmesh.runtime.scheduling.hls_wire import (
    parse_hls_limit,
    parse_hls_released,
    parse_hls_wanted,
    parse_session_touch,
)
from lalmesh.runtime.scheduling.model import NodeReport
from lalmesh.runtime.scheduling.report_wire import parse_report, serialize_command
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
_Message = TypeVar("_Message")
_Parsed = TypeVar("_Parsed")
_Result = TypeVar("_Result")


class SchedulerFace:
    """The methods of `lalmesh.v1.Scheduler`."""

    def __init__(self, service: SchedulerService) -> None:
        """Answer for `service`."""
        self._service = service

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """All methods, for a server."""
        pb = scheduler_pb2
        unary, both = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        methods = {
            "Join": both(self.join, pb.NodeReport.FromString, pb.NodeCommand.SerializeToString),
            "ClaimPublish": unary(self.claim, pb.ClaimPublishRequest.FromString, pb.ClaimPublishResponse.SerializeToString),
            "MoveGroup": unary(self.move, pb.MoveGroupRequest.FromString, pb.MoveGroupResponse.SerializeToString),
            "Locate": unary(self.locate, pb.LocateRequest.FromString, pb.LocateResponse.SerializeToString),
            "Release": unary(self.release, pb.ReleaseRequest.FromString, pb.ReleaseResponse.SerializeToString),
            "LocateHls": unary(self.locate_hls, pb.LocateHlsRequest.FromString, pb.LocateHlsResponse.SerializeToString),
            "RaiseHlsLimit": unary(self.raise_hls, pb.RaiseHlsLimitRequest.FromString, pb.RaiseHlsLimitResponse.SerializeToString),
            "ReleaseHls": unary(self.release_hls, pb.ReleaseHlsRequest.FromString, pb.ReleaseHlsResponse.SerializeToString),
            "TouchSessions": unary(self.touch, pb.TouchSessionsRequest.FromString, pb.TouchSessionsResponse.SerializeToString),
            "FindStreams": unary(self.find, pb.FindStreamsRequest.FromString, pb.FindStreamsResponse.SerializeToString),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def join(
        self, messages: AsyncIterator[scheduler_pb2.NodeReport], context: Context
    ) -> AsyncIterator[scheduler_pb2.NodeCommand]:
        """Membership."""

        async def reports() -> AsyncIterator[NodeReport]:
            async for message in messages:
                yield parse_report(message)

        try:
            async with aclosing(self._service.join(reports())) as commands:
                async for command in commands:
                    yield serialize_command(command)
        except Unavailable as exc:
            await _abort(context, exc)

    async def claim(self, request: scheduler_pb2.ClaimPublishRequest, context: Context) -> scheduler_pb2.ClaimPublishResponse:
        """Claims of an edge."""
        edge = await _node(request.edge, len(request.claims), context)
        claims, fill = _parse_each(request.claims, parse_claim)
        results = fill(await self._service.claim(edge, claims, _deadline_s(context)))
        return scheduler_pb2.ClaimPublishResponse(results=map(serialize_claim_result, results))

    async def move(self, request: scheduler_pb2.MoveGroupRequest, context: Context) -> scheduler_pb2.MoveGroupResponse:
        """Moves of an edge."""
        edge = await _node(request.edge, len(request.moves), context)
        moves, fill = _parse_each(request.moves, parse_move)
        results = fill(await self._service.move(edge, moves, _deadline_s(context)))
        return scheduler_pb2.MoveGroupResponse(results=map(serialize_claim_result, results))

    async def locate(self, request: scheduler_pb2.LocateRequest, context: Context) -> scheduler_pb2.LocateResponse:
        """Streams that somebody wants to read."""
        await _check_count(len(request.wanted), context)
        wanted, fill = _parse_each(request.wanted, parse_wanted)
        results = fill(await self._service.locate(wanted, _deadline_s(context, MAX_LOCATE_S)))
        return scheduler_pb2.LocateResponse(results=map(serialize_locate_result, results))

    async def release(self, request: scheduler_pb2.ReleaseRequest, context: Context) -> scheduler_pb2.ReleaseResponse:
        """What a node gives back."""
        node = await _node(request.node, len(request.claims) + len(request.groups), context)
        try:
            claims = [parse_released(message) for message in request.claims]
            groups = [parse_released(message) for message in request.groups]
            released = await self._service.release(node, claims=claims, groups=groups, deadline_s=_deadline_s(context))
        except (Unavailable, RemoteProtocolError) as exc:
            await _abort(context, exc)
        return scheduler_pb2.ReleaseResponse(results=[scheduler_pb2.ReleaseResult(released=each) for each in released])

    async def locate_hls(self, request: scheduler_pb2.LocateHlsRequest, context: Context) -> scheduler_pb2.LocateHlsResponse:
        """Streams whose owner an hls node wants to know."""
        node = await _node(request.node, len(request.wanted), context)
        wanted, fill = _parse_each(request.wanted, parse_hls_wanted)
        results = fill(await self._service.locate_hls(node, wanted, _deadline_s(context)))
        return scheduler_pb2.LocateHlsResponse(results=map(serialize_locate_hls_result, results))

    async def raise_hls(self, request: scheduler_pb2.RaiseHlsLimitRequest, context: Context) -> scheduler_pb2.RaiseHlsLimitResponse:
        """Limits of an hls node."""
        node = await _node(request.node, len(request.limits), context)
        try:
            limits = [parse_hls_limit(message) for message in request.limits]
            raised = await self._service.raise_hls_limit(node, limits, _deadline_s(context))
        except (Unavailable, RemoteProtocolError) as exc:
            await _abort(context, exc)
        return scheduler_pb2.RaiseHlsLimitResponse(raised=raised)

    async def release_hls(self, request: scheduler_pb2.ReleaseHlsRequest, context: Context) -> scheduler_pb2.ReleaseHlsResponse:
        """What an hls node hands over."""
        node = await _node(request.node, len(request.released), context)
        try:
            given = [parse_hls_released(message) for message in request.released]
            released = await self._service.release_hls(node, given, _deadline_s(context))
        except (Unavailable, RemoteProtocolError) as exc:
            await _abort(context, exc)
        return scheduler_pb2.ReleaseHlsResponse(released=released)

    async def touch(self, request: scheduler_pb2.TouchSessionsRequest, context: Context) -> scheduler_pb2.TouchSessionsResponse:
        """Players that a node has seen."""
        node = await _node(request.node, len(request.sessions), context)
        try:
            sessions = [parse_session_touch(message) for message in request.sessions]
            await self._service.touch_sessions(node, sessions, _deadline_s(context))
        except (Unavailable, RemoteProtocolError) as exc:
            await _abort(context, exc)
        return scheduler_pb2.TouchSessionsResponse()

    async def find(self, request: scheduler_pb2.FindStreamsRequest, context: Context) -> scheduler_pb2.FindStreamsResponse:
        """Streams of which only the name is known."""
        await _check_count(len(request.names), context)
        try:
            found = await self._service.find_streams(request.names, _deadline_s(context))
        except Unavailable as exc:
            await _abort(context, exc)
        answers = [scheduler_pb2.FoundStreams(apps=[stream.app for stream in streams]) for streams in found]
        return scheduler_pb2.FindStreamsResponse(found=answers)


def _deadline_s(context: Context, otherwise_s: float = DEFAULT_DEADLINE_S) -> float:
    """Seconds to decide in: the caller's, less what the answer needs to get there."""
    remaining = context.time_remaining()
    if remaining is None:
        return otherwise_s
    return float(max(0.0, remaining - min(MARGIN_S, remaining * MARGIN_FRACTION)))


def _parse_each(
    messages: Iterable[_Message], parse: Callable[[_Message], _Parsed]
) -> tuple[list[_Parsed], Callable[[Sequence[_Result | Refused]], list[_Result | Refused]]]:
    """Parse every message; those that are wrong are refused alone.

    Returns:
        What was parsed, and what puts the refusals back among its results, in the order of the messages.
    """
    refusals: list[Refused | None] = []
    parsed: list[_Parsed] = []
    for message in messages:
        try:
            parsed.append(parse(message))
            refusals.append(None)
        except RemoteProtocolError as exc:
            refusals.append(Refused(Refusal.INVALID, str(exc)))

    def fill(results: Sequence[_Result | Refused]) -> list[_Result | Refused]:
        given = iter(results)
        return [next(given) if refused is None else refused for refused in refusals]

    return parsed, fill


async def _node(message: origin_pb2.NodeRef, count: int, context: Context) -> NodeAddress:
    await _check_count(count, context)
    try:
        return parse_node(message)
    except RemoteProtocolError as exc:
        await _abort(context, exc)


async def _check_count(count: int, context: Context) -> None:
    if count > MAX_ITEMS:
        await _abort(context, LimitExceeded("items of a request", count, MAX_ITEMS))


async def _abort(context: Context, exc: Unavailable | RemoteProtocolError) -> NoReturn:
    status = next(code for kind, code in STATUS.items() if isinstance(exc, kind))
    await context.abort(status, str(exc))
    raise exc  # not reached: abort raises
