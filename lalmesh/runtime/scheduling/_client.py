"""`SchedulerClient` over gRPC: asks one scheduler replica, and another where that cannot be reached."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from lalmesh.errors import LocalProtocolError, RemoteProtocolError, Unavailable
from lalmesh.rpc.convert import serialize_node
from lalmesh.rpc.lalmesh.v1 import scheduler_pb2
from lalmesh.runtime.channels import ended_calls_raise
from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import Grant, HlsOwner, Location, NodeAddress
from lalmesh.runtime.scheduling._parts import RETRY_AFTER_S, all_in_parts, in_parts
from lalmesh.runtime.scheduling.command_wire import parse_command
from lalmesh.runtime.scheduling.control_wire import serialize_event, serialize_session_touch
from lalmesh.runtime.scheduling.hls import HlsLimit, HlsReleased, HlsWanted, NamedStreams
from lalmesh.runtime.scheduling.hls_wire import (
    parse_named_streams,
    serialize_hls_limit,
    serialize_hls_released,
    serialize_hls_wanted,
)
from lalmesh.runtime.scheduling.model import (
    MAX_ITEMS,
    MAX_LOCATE_S,
    Claim,
    Move,
    NodeCommand,
    NodeReport,
    Refused,
    Released,
    Wanted,
)
from lalmesh.runtime.scheduling.report_wire import serialize_report
from lalmesh.runtime.scheduling.wire import (
    parse_claim_result,
    parse_locate_hls_result,
    parse_locate_result,
    serialize_claim,
    serialize_move,
    serialize_released,
    serialize_wanted,
)
from lalmesh.runtime.sessions import SessionTouch

log = logging.getLogger(__name__)

SERVICE = "lalmesh.v1.Scheduler"

Dial = Callable[[str], grpc.aio.Channel]

_Answer = TypeVar("_Answer", bound=Message)

_UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class _InvalidError(Unavailable):
    """A replica says that what was asked is wrong: none of them will answer it."""


class _Replica:
    """The calls of one scheduler replica."""

    def __init__(self, address: str, dial: Dial) -> None:
        self.address = address
        self.channel = dial(address)

    def call(self, method: str, answer: type[_Answer], request: Message, timeout_s: float) -> Awaitable[_Answer]:
        """Start a unary call."""
        stub = self.channel.unary_unary(f"/{SERVICE}/{method}", type(request).SerializeToString, answer.FromString)
        call: Awaitable[_Answer] = stub(request, timeout=timeout_s)
        return call

    def join(self, reports: AsyncIterator[scheduler_pb2.NodeReport]) -> Any:
        """Start the stream of a member."""
        return self.channel.stream_stream(
            f"/{SERVICE}/Join", scheduler_pb2.NodeReport.SerializeToString, scheduler_pb2.NodeCommand.FromString
        )(reports)


class GrpcSchedulerClient:
    """Any replica of the scheduler, over gRPC. It sticks to one that answers and turns to the next where it does not."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        dial: Dial,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare channels; nothing is dialled yet. Build it inside the running loop.

        Args:
            addresses: ``host:port`` of every replica, at least one.
            dial: makes the channel to an address; the client closes it.
            rng: chooses the replica to begin with, so that nodes spread; a fresh one by default.
        """
        if not addresses:
            raise ValueError("a scheduler client needs at least one address")
        self._replicas = [_Replica(address, dial) for address in addresses]
        self._current = (rng or random.Random()).randrange(len(self._replicas))
        self._unread: set[str | None] = set()  # kinds of commands of which the last one could not be read

    async def close(self) -> None:
        """Close all channels; calls under way end as unreachable."""
        for replica in self._replicas:
            await replica.channel.close(None)

    async def claim(self, edge: NodeAddress, claims: Sequence[Claim], deadline_s: float) -> list[Grant | Refused]:
        """See `SchedulerClient.claim`."""

        async def ask(part: Sequence[Claim]) -> list[Grant | Refused]:
            request = scheduler_pb2.ClaimPublishRequest(edge=serialize_node(edge), claims=map(serialize_claim, part))
            answer = await self._call("ClaimPublish", scheduler_pb2.ClaimPublishResponse, request, deadline_s)
            return [parse_claim_result(result) for result in answer.results]

        return await in_parts(claims, ask)

    async def move(self, edge: NodeAddress, moves: Sequence[Move], deadline_s: float) -> list[Grant | Refused]:
        """See `SchedulerClient.move`."""

        async def ask(part: Sequence[Move]) -> list[Grant | Refused]:
            request = scheduler_pb2.MoveGroupRequest(edge=serialize_node(edge), moves=map(serialize_move, part))
            answer = await self._call("MoveGroup", scheduler_pb2.MoveGroupResponse, request, deadline_s)
            return [parse_claim_result(result) for result in answer.results]

        return await in_parts(moves, ask)

    async def locate(self, wanted: Sequence[Wanted], deadline_s: float) -> list[Location | Refused]:
        """See `SchedulerClient.locate`."""

        async def ask(part: Sequence[Wanted]) -> list[Location | Refused]:
            request = scheduler_pb2.LocateRequest(wanted=map(serialize_wanted, part))
            timeout_s = min(deadline_s, MAX_LOCATE_S + 1.0)
            answer = await self._call("Locate", scheduler_pb2.LocateResponse, request, timeout_s, patient=True)
            return [parse_locate_result(result) for result in answer.results]

        return await in_parts(wanted, ask)

    async def release(
        self, node: NodeAddress, *, claims: Sequence[Released] = (), groups: Sequence[Released] = (), deadline_s: float
    ) -> list[bool]:
        """See `SchedulerClient.release`."""

        async def ask(part: Sequence[Released], *, of_groups: bool) -> list[bool]:
            messages = [serialize_released(released) for released in part]
            request = scheduler_pb2.ReleaseRequest(node=serialize_node(node), **{"groups" if of_groups else "claims": messages})
            answer = await self._call("Release", scheduler_pb2.ReleaseResponse, request, deadline_s)
            return [result.released for result in answer.results]

        released = await all_in_parts(claims, partial(ask, of_groups=False))
        return released + await all_in_parts(groups, partial(ask, of_groups=True))

    async def locate_hls(self, node: NodeAddress, wanted: Sequence[HlsWanted], deadline_s: float) -> list[HlsOwner | Refused]:
        """See `HlsSchedulerClient.locate_hls`."""

        async def ask(part: Sequence[HlsWanted]) -> list[HlsOwner | Refused]:
            request = scheduler_pb2.LocateHlsRequest(node=serialize_node(node), wanted=map(serialize_hls_wanted, part))
            answer = await self._call("LocateHls", scheduler_pb2.LocateHlsResponse, request, deadline_s)
            return [parse_locate_hls_result(result) for result in answer.results]

        return await in_parts(wanted, ask)

    async def raise_hls_limit(self, node: NodeAddress, limits: Sequence[HlsLimit], deadline_s: float) -> list[bool]:
        """See `HlsSchedulerClient.raise_hls_limit`."""

        async def ask(part: Sequence[HlsLimit]) -> Sequence[bool]:
            request = scheduler_pb2.RaiseHlsLimitRequest(node=serialize_node(node), limits=map(serialize_hls_limit, part))
            return (await self._call("RaiseHlsLimit", scheduler_pb2.RaiseHlsLimitResponse, request, deadline_s)).raised

        return await all_in_parts(limits, ask)

    async def release_hls(self, node: NodeAddress, released: Sequence[HlsReleased], deadline_s: float) -> list[bool]:
        """See `HlsSchedulerClient.release_hls`."""

        async def ask(part: Sequence[HlsReleased]) -> Sequence[bool]:
            request = scheduler_pb2.ReleaseHlsRequest(node=serialize_node(node), released=map(serialize_hls_released, part))
            return (await self._call("ReleaseHls", scheduler_pb2.ReleaseHlsResponse, request, deadline_s)).released

        return await all_in_parts(released, ask)

    async def tell_events(self, node: NodeAddress, events: Sequence[Event], deadline_s: float) -> None:
        """See `SchedulerClient.tell_events`."""
        for start in range(0, len(events), MAX_ITEMS):
            part = events[start : start + MAX_ITEMS]
            request = scheduler_pb2.TellEventsRequest(node=serialize_node(node), events=map(serialize_event, part))
            try:
                await self._call("TellEvents", scheduler_pb2.TellEventsResponse, request, deadline_s)
            except _InvalidError as exc:
                raise LocalProtocolError(str(exc)) from exc

    async def touch_sessions(self, node: NodeAddress, sessions: Sequence[SessionTouch], deadline_s: float) -> None:
        """See `SchedulerClient.touch_sessions`."""
        for start in range(0, len(sessions), MAX_ITEMS):
            part = sessions[start : start + MAX_ITEMS]
            request = scheduler_pb2.TouchSessionsRequest(node=serialize_node(node), sessions=map(serialize_session_touch, part))
            await self._call("TouchSessions", scheduler_pb2.TouchSessionsResponse, request, deadline_s)

    async def find_streams(self, names: Sequence[str], deadline_s: float) -> list[NamedStreams]:
        """See `HlsSchedulerClient.find_streams`."""

        async def ask(part: Sequence[str]) -> Sequence[NamedStreams]:
            request = scheduler_pb2.FindStreamsRequest(names=part)
            answer = await self._call("FindStreams", scheduler_pb2.FindStreamsResponse, request, deadline_s)
            return [parse_named_streams(name, found) for name, found in zip(part, answer.found, strict=False)]

        try:
            return await all_in_parts(names, ask)
        except RemoteProtocolError as exc:
            raise Unavailable(str(exc), retry_after_s=RETRY_AFTER_S) from exc

    async def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        """See `SchedulerClient.join`; each call goes to the replica after the one that the last call could not use."""

        async def messages() -> AsyncIterator[scheduler_pb2.NodeReport]:
            message: scheduler_pb2.NodeReport | None = None
            async for report in reports:
                try:
                    message = serialize_report(report)
                except Exception:  # a node must not vanish over a figure: it says again what it said last
                    if message is None:
                        raise
                    log.exception("a report cannot be told; the last one is repeated")
                yield message

        replica = self._replicas[self._current]
        call = replica.join(messages())
        try:
            with ended_calls_raise():
                async for message in call:
                    if (command := self._read(message)) is not None:
                        yield command
        except grpc.aio.AioRpcError as exc:
            raise Unavailable(_describe(replica, exc), retry_after_s=RETRY_AFTER_S) from exc
        finally:
            call.cancel()
            self._leave(replica)

    def _read(self, message: scheduler_pb2.NodeCommand) -> NodeCommand | None:
        """What a replica says; None for what is not known here, or is wrong: what else it says holds, and the node stays.

        It would be told the same again as soon as it joined again, as every other node would be.
        """
        kind = message.WhichOneof("command")
        try:
            command = parse_command(message)
        except RemoteProtocolError as exc:
            if kind not in self._unread:  # once, not with each that comes
                self._unread.add(kind)
                log.error("%s of the scheduler is passed over: %s", kind, exc)
            return None
        self._unread.discard(kind)
        return command

    async def _call(
        self, method: str, answer: type[_Answer], request: Message, deadline_s: float, *, patient: bool = False
    ) -> _Answer:
        """Ask one replica after the other until one answers.

        Each gets its share of the time that is left, so that a replica which swallows packets leaves time for the next; a `patient`
        call is expected to last and gives each replica all of it.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s
        reason = "no time left"
        for remaining in range(len(self._replicas), 0, -1):
            replica, left_s = self._replicas[self._current], end - loop.time()
            if left_s <= 0:
                break
            try:
                with ended_calls_raise():
                    return await replica.call(method, answer, request, left_s if patient else left_s / remaining)
            except grpc.aio.AioRpcError as exc:
                reason = _describe(replica, exc)
                if exc.code() is grpc.StatusCode.INVALID_ARGUMENT:
                    raise _InvalidError(reason, retry_after_s=RETRY_AFTER_S) from exc
                if exc.code() not in _UNREACHABLE:
                    raise Unavailable(reason, retry_after_s=RETRY_AFTER_S) from exc
                self._leave(replica)
        raise Unavailable(reason, retry_after_s=RETRY_AFTER_S)

    def _leave(self, replica: _Replica) -> None:
        """Turn to the next replica, unless another call has done so already."""
        if self._replicas[self._current] is replica:
            self._current = (self._current + 1) % len(self._replicas)


def _describe(replica: _Replica, exc: grpc.aio.AioRpcError) -> str:
    return f"scheduler {replica.address}: {exc.code().name}: {exc.details()}"
