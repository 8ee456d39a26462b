"""The table of methods: what is wrong is refused, alone or as a whole, and every method of the protocol is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import Message

from lalmesh.errors import Unavailable
from lalmesh.rpc.convert import serialize_node
from lalmesh.rpc.lalmesh.v1 import scheduler_pb2 as pb
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling import MAX_ITEMS, MAX_LOCATE_S, SERVICE, Claim, Refusal, Refused, Released, Wanted
from services.scheduler import SchedulerService
from services.scheduler.rpc import DEFAULT_DEADLINE_S, MARGIN_S, SchedulerFace

EDGE = NodeAddress(NodeId("e1", b"edge...1"), "e1:1")
NODE = serialize_node(EDGE)
GOOD, BAD = pb.Claim(app="live", name="a", publication=b"p" * 16), pb.Claim(app="live", name="a", publication=b"short")
MINE, OTHER = pb.Released(app="live", name="mine"), pb.Released(app="live", name="other")


class Aborted(Exception):
    """What a call that is aborted ends with."""


class FakeContext:
    """A call with so many seconds left."""

    def __init__(self, remaining_s: float | None) -> None:
        self._remaining_s = remaining_s

    def time_remaining(self) -> float | None:
        return self._remaining_s

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Aborted(code.name, details)


class FakeService:
    """Refuses every claim, finds nothing, and gives back what is called mine."""

    def __init__(self) -> None:
        self.deadlines_s: list[float] = []
        self.is_away = False

    async def claim(self, edge: NodeAddress, claims: Sequence[Claim], deadline_s: float) -> list[Refused]:
        assert edge == EDGE
        self.deadlines_s.append(deadline_s)
        return [Refused(Refusal.EXISTS, str(claim.stream)) for claim in claims]

    async def locate(self, wanted: Sequence[Wanted], deadline_s: float) -> list[Refused]:
        self.deadlines_s.append(deadline_s)
        return [Refused(Refusal.NOT_FOUND) for _ in wanted]

    async def release(
        self, node: NodeAddress, *, claims: Sequence[Released], groups: Sequence[Released], deadline_s: float
    ) -> list[bool]:
        if self.is_away:
            raise Unavailable("the registry is away", retry_after_s=1.0)
        return [*(each.stream.name == "mine" for each in claims), *(each.stream.name == "other" for each in groups)]


def method(service: FakeService, name: str) -> Callable[[Message, FakeContext], Awaitable[Any]]:
    details = cast(grpc.HandlerCallDetails, SimpleNamespace(method=f"/{SERVICE}/{name}", invocation_metadata=()))
    found = SchedulerFace(cast(SchedulerService, service)).handler().service(details)
    assert found is not None, f"{name} is not served"
    return cast(Callable[[Message, FakeContext], Awaitable[Any]], found.unary_unary or found.stream_stream)


async def ask(service: FakeService, name: str, request: Message, remaining_s: float | None = None) -> Any:
    return await method(service, name)(request, FakeContext(remaining_s))


def test_every_method_of_the_protocol_is_served() -> None:
    for name in pb.DESCRIPTOR.services_by_name["Scheduler"].methods_by_name:
        method(FakeService(), name)


async def test_a_claim_that_is_wrong_is_refused_alone_and_in_its_place() -> None:
    answer = await ask(FakeService(), "ClaimPublish", pb.ClaimPublishRequest(edge=NODE, claims=[GOOD, BAD, GOOD]))
    refusals = [result.refused.refusal for result in answer.results]
    assert refusals == [pb.REFUSAL_EXISTS, pb.REFUSAL_INVALID, pb.REFUSAL_EXISTS]


async def test_claims_and_groups_are_given_back_in_their_order() -> None:
    request = pb.ReleaseRequest(node=NODE, claims=[MINE, OTHER], groups=[MINE])
    assert [result.released for result in (await ask(FakeService(), "Release", request)).results] == [True, False, False]


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("ClaimPublish", pb.ClaimPublishRequest(claims=[GOOD])),  # from nobody
        ("ClaimPublish", pb.ClaimPublishRequest(edge=NODE, claims=[GOOD] * (MAX_ITEMS + 1))),
        ("Release", pb.ReleaseRequest(node=NODE, claims=[MINE] * MAX_ITEMS, groups=[MINE])),
        ("Release", pb.ReleaseRequest(node=NODE, claims=[MINE, pb.Released()])),
    ],
)
async def test_a_request_that_is_wrong_as_a_whole_ends_the_call(name: str, request_: Message) -> None:
    with pytest.raises(Aborted, match="INVALID_ARGUMENT"):
        await ask(FakeService(), name, request_)


async def test_who_cannot_be_answered_is_told_to_come_again() -> None:
    service = FakeService()
    service.is_away = True
    with pytest.raises(Aborted, match="UNAVAILABLE"):
        await ask(service, "Release", pb.ReleaseRequest(node=NODE, claims=[MINE]))


async def test_an_answer_is_there_before_the_caller_gives_up() -> None:
    service = FakeService()
    claims = pb.ClaimPublishRequest(edge=NODE, claims=[GOOD])
    for remaining_s in (None, 10.0, 1.0):
        await ask(service, "ClaimPublish", claims, remaining_s)
    await ask(service, "Locate", pb.LocateRequest())
    assert service.deadlines_s == [DEFAULT_DEADLINE_S, 10.0 - MARGIN_S, 0.8, MAX_LOCATE_S]
