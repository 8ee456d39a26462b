"""Figures of nodes as replicas show them to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.media import Codec, Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.rpc.lalmesh.v1 import peers_pb2 as pb
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.registry import KeyValue
from lalmesh.runtime.scheduling.model import HeldStream, Load, Role, StreamState
from services.scheduler import SchedulerService
from services.scheduler.cluster_records import scheduler_key, serialize_scheduler
from services.scheduler.peers import HeldAt, NodeFigures, Peers, StreamFigures
from services.scheduler.peers._figures import MAX_HELD
from services.scheduler.peers._peers import READS_S
from services.scheduler.peers._wire import (
    parse_node_figures,
    parse_stream_figures,
    serialize_node_figures,
    serialize_stream_figures,
)
from services.scheduler.registry import MemoryRegistry

CAM = StreamKey.of("live", "cam")
TRACKS = TrackSet((Track(track_id=1, codec=Codec.H264, width=640, height=360),), 1)
texts = st.frozensets(st.text(min_size=1, max_size=5), max_size=3)


def address(name: str) -> NodeAddress:
    return NodeAddress(NodeId(name, b"12345678"), f"{name}:1")


def held_at(name: str, role: Role = Role.ORIGIN, players: int = 0) -> HeldAt:
    return HeldAt(address(name), role, HeldStream(stream=CAM, tracks=TRACKS, players=players))


def test_figures_of_a_node_survive_the_wire() -> None:
    load = Load(egress_bps=5, sessions=2, cpu_fraction=0.5)
    figures = NodeFigures(node=address("o1"), load=load, standings={CAM: StreamState.GRACE}, reads={"o2": 3})
    assert parse_node_figures(serialize_node_figures(figures)) == figures


@given(st.none() | st.integers(0, 2**40), texts)
def test_figures_of_a_stream_survive_the_wire(players: int | None, left_out: frozenset[str]) -> None:
    held, played = (held_at("o1", players=3), held_at("e1", Role.EDGE)), (held_at("e2", Role.EDGE, players=1),)
    figures = StreamFigures(held=held, players=players, left_out=left_out, played=played)
    assert parse_stream_figures(serialize_stream_figures(figures)) == figures


def test_all_that_an_edge_says_of_what_it_publishes_survives_the_wire() -> None:
    of_late = HeldStream(
        stream=CAM, frames_end_s=9, frames=(25, 24), payload_bytes=(9, 8), gops_end_us=7, gop_frames=(5,), gop_ms=(4,)
    )
    for held in (of_late, HeldStream(stream=CAM, delay_us=0), HeldStream(stream=CAM, delay_us=-5_000)):
        figures = StreamFigures(held=(HeldAt(address("e1"), Role.EDGE, held),))
        assert parse_stream_figures(serialize_stream_figures(figures)) == figures


def test_what_several_replicas_know_adds_up() -> None:
    one = StreamFigures(held=(held_at("o1"),), players=None, left_out=frozenset({"ts: pcma"}))
    two = StreamFigures(held=(held_at("e1", Role.EDGE),), players=3)
    both = one | two | StreamFigures(players=4)
    assert (both.players, both.left_out, [each.node.node.name for each in both.held]) == (7, one.left_out, ["o1", "e1"])
    assert (one | StreamFigures()).players is None
    assert both.at(address("e1")) == held_at("e1", Role.EDGE).held
    assert both.at(NodeAddress(NodeId("e1", b"another0"), "e1:1")) is None
    assert both.at(None) is None


def test_of_many_nodes_some_are_shown() -> None:
    many = StreamFigures(held=tuple(held_at(f"o{number}") for number in range(MAX_HELD)))
    assert len((many | many).held) == MAX_HELD


class ClosedChannel:
    """One that is closed while it is asked."""

    def unary_unary(self, *_: object) -> Callable[..., Awaitable[Any]]:
        async def ended(*_: object, **__: object) -> Any:
            raise asyncio.CancelledError  # as grpc has it

        return ended

    async def close(self, _grace: float | None) -> None:
        pass


class AnsweringChannel:
    """One to a replica that has a node, and says what this reads where it is asked for that; one of before always does."""

    def __init__(self, *, is_of_before: bool = False) -> None:
        self.asked: list[bool] = []  #: for what nodes read, too
        self.is_away = False
        self._is_of_before = is_of_before

    def unary_unary(self, *_: object) -> Callable[..., Awaitable[Any]]:
        async def answer(request: pb.ShowNodesRequest, **_: object) -> pb.ShowNodesResponse:
            self.asked.append(request.reads_too)
            if self.is_away:
                raise asyncio.CancelledError
            reads = {"o2": 3} if request.reads_too or self._is_of_before else {}
            return pb.ShowNodesResponse(nodes=[serialize_node_figures(NodeFigures(node=address("e1"), load=Load(), reads=reads))])

        return answer

    async def close(self, _grace: float | None) -> None:
        pass


@pytest.mark.parametrize("is_of_before", [False, True])
async def test_what_nodes_of_others_read_is_asked_for_when_somebody_looks_and_once_for_many(*, is_of_before: bool) -> None:
    now, channel, edge = [0.0], AnsweringChannel(is_of_before=is_of_before), address("e1").node
    service = SchedulerService(MemoryRegistry(lambda: 0.0), [b"key"], clock=lambda: now[0])
    peers = Peers(service, lambda _: cast(grpc.aio.Channel, channel))
    service.view.learn(KeyValue(scheduler_key("s2", b"12345678"), serialize_scheduler("s2", "s2:1"), 1, 1))
    running = asyncio.create_task(peers.run())
    while peers.load(edge) is None:  # noqa: ASYNC110 -- a step of the loop each
        await asyncio.sleep(0)
    assert channel.asked == [False]
    for _ in range(3):
        assert dict(await peers.reads([edge, address("e2").node])) == {edge: {"o2": 3}}
    assert channel.asked == [False, True]
    assert dict(await peers.reads([address("e2").node])) == {}
    now[0] = READS_S
    channel.is_away = True
    assert dict(await peers.reads([edge])) == {}
    assert channel.asked == [False, True, True]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_replica_that_goes_while_it_is_asked_says_nothing_and_ends_nobody_who_asks() -> None:
    service = SchedulerService(MemoryRegistry(lambda: 0.0), [b"key"])
    peers = Peers(service, lambda _: cast(grpc.aio.Channel, ClosedChannel()))
    key = scheduler_key("s2", b"12345678")
    service.view.learn(KeyValue(key, serialize_scheduler("s2", "s2:1"), 1, 1))
    running = asyncio.create_task(peers.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running.done()
    [peer] = peers._peers.values()
    peer.nodes = {address("o1").node: NodeFigures(node=address("o1"), load=Load())}
    assert await peers.of([CAM]) == [StreamFigures()]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
