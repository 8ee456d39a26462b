"""Figures as messages. Pairs of ``parse_x`` and ``serialize_x``; parsers raise `RemoteProtocolError`."""

from __future__ import annotations

from lalmesh.errors import LimitExceeded
from lalmesh.names import StreamKey
from lalmesh.rpc.convert import parse_node, parse_stream, serialize_node
from lalmesh.rpc.lalmesh.v1 import peers_pb2 as pb
from lalmesh.runtime.scheduling.model import Role, StreamState
from lalmesh.runtime.scheduling.report_wire import (
    ROLES,
    ROLES_BACK,
    STATES,
    STATES_BACK,
    parse_held,
    parse_load,
    serialize_held,
    serialize_load,
)
from services.scheduler.peers._figures import MAX_HELD, MAX_PLAYED, MAX_READ_FROM, HeldAt, NodeFigures, StreamFigures

MAX_LEFT_OUT = 256  #: of one stream, by all nodes of a replica


def serialize_node_figures(figures: NodeFigures) -> pb.NodeFigures:
    """What a node reports of itself, as a message."""
    standings = [
        pb.StreamStanding(app=stream.app, name=stream.name, state=STATES[state]) for stream, state in figures.standings.items()
    ]
    reads = [pb.ReadFrom(origin=origin, streams=streams) for origin, streams in figures.reads.items()]
    return pb.NodeFigures(node=serialize_node(figures.node), load=serialize_load(figures.load), standings=standings, reads=reads)


def parse_node_figures(message: pb.NodeFigures) -> NodeFigures:
    """What a node reports of itself."""
    standings = dict(map(_standing, message.standings))
    reads = {each.origin: each.streams for each in message.reads[:MAX_READ_FROM]}
    return NodeFigures(node=parse_node(message.node), load=parse_load(message.load), standings=standings, reads=reads)


def serialize_stream_figures(figures: StreamFigures) -> pb.StreamFigures:
    """What nodes report of a stream, as a message."""
    return pb.StreamFigures(
        held=map(_serialize_held_at, figures.held),
        is_played=figures.players is not None,
        players=figures.players or 0,
        left_out=sorted(figures.left_out)[:MAX_LEFT_OUT],
        played=map(_serialize_held_at, figures.played),
    )


def parse_stream_figures(message: pb.StreamFigures) -> StreamFigures:
    """What nodes report of a stream."""
    if len(message.held) > MAX_HELD:
        raise LimitExceeded("nodes of a stream", len(message.held), MAX_HELD)
    return StreamFigures(
        held=tuple(map(_held_at, message.held)),
        players=message.players if message.is_played else None,
        left_out=frozenset(message.left_out[:MAX_LEFT_OUT]),
        played=tuple(map(_held_at, message.played[:MAX_PLAYED])),
    )


def _standing(message: pb.StreamStanding) -> tuple[StreamKey, StreamState]:
    return parse_stream(message.app, message.name), STATES_BACK.get(message.state, StreamState.LIVE)


def _held_at(message: pb.HeldAt) -> HeldAt:
    return HeldAt(parse_node(message.node), ROLES_BACK.get(message.role, Role.EDGE), parse_held(message.held))


def _serialize_held_at(each: HeldAt) -> pb.HeldAt:
    return pb.HeldAt(node=serialize_node(each.node), role=ROLES[each.role], held=serialize_held(each.held))
