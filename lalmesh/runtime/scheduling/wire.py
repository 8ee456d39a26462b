"""The messages of `lalmesh/v1/scheduler.proto`, to and from the dataclasses of `lalmesh.runtime.scheduling`.

Pairs of ``parse_x`` and ``serialize_x``; parsers raise `RemoteProtocolError` for what a peer must not send.
"""

from __future__ import annotations

from typing import assert_never

from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import TrackSet
from lalmesh.rpc.convert import (
    parse_epoch,
    parse_grant,
    parse_location,
    parse_node,
    parse_place,
    parse_publication,
    parse_stream,
    parse_track_set,
    serialize_epoch,
    serialize_grant,
    serialize_location,
    serialize_node,
    serialize_place,
    serialize_track_set,
)
from lalmesh.rpc.lalmesh.v1 import scheduler_pb2
from lalmesh.runtime.ownership import Grant, HlsOwner, Location
from lalmesh.runtime.scheduling.hls import HlsAssigned
from lalmesh.runtime.scheduling.hls_wire import (
    parse_hls_endpoint,
    parse_hls_owner,
    serialize_hls_endpoint,
    serialize_hls_owner,
)
from lalmesh.runtime.scheduling.model import (
    Capacity,
    Claim,
    Endpoint,
    Evicted,
    GroupMoved,
    HeldStream,
    Joined,
    Load,
    Move,
    NodeCommand,
    NodeReport,
    Refusal,
    Refused,
    Released,
    Role,
    StreamFenced,
    StreamState,
    Wanted,
)

MAX_ENDPOINTS = 64  #: listeners of one node: a dozen protocols, each on a few addresses
MAX_TEXT_BYTES = 253  #: zone, machine, version: a DNS name at the longest
MAX_LEFT_OUT = 64  #: tracks that outputs of one stream leave out: a few formats, each with a few
MAX_AVOID = 256  #: origins that one move leaves out: more than a cluster has tried before the edge gives up

_ROLES = {Role.EDGE: scheduler_pb2.ROLE_EDGE, Role.ORIGIN: scheduler_pb2.ROLE_ORIGIN, Role.HLS: scheduler_pb2.ROLE_HLS}
_STATES = {
    StreamState.WAITING: scheduler_pb2.STREAM_STATE_WAITING,
    StreamState.LIVE: scheduler_pb2.STREAM_STATE_LIVE,
    StreamState.GRACE: scheduler_pb2.STREAM_STATE_GRACE,
    StreamState.CLOSED: scheduler_pb2.STREAM_STATE_CLOSED,
}
_REFUSALS = {
    Refusal.EXISTS: scheduler_pb2.REFUSAL_EXISTS,
    Refusal.NOT_FOUND: scheduler_pb2.REFUSAL_NOT_FOUND,
    Refusal.NO_ORIGIN: scheduler_pb2.REFUSAL_NO_ORIGIN,
    Refusal.UNAVAILABLE: scheduler_pb2.REFUSAL_UNAVAILABLE,
    Refusal.FENCED: scheduler_pb2.REFUSAL_FENCED,
    Refusal.NOT_JOINED: scheduler_pb2.REFUSAL_NOT_JOINED,
    Refusal.INVALID: scheduler_pb2.REFUSAL_INVALID,
    Refusal.NO_WORKER: scheduler_pb2.REFUSAL_NO_WORKER,
}
_ROLES_BACK = {number: role for role, number in _ROLES.items()}
_STATES_BACK = {number: state for state, number in _STATES.items()}
_REFUSALS_BACK = {number: refusal for refusal, number in _REFUSALS.items()}


def _text(value: str, what: str) -> str:
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise LimitExceeded(f"{what} bytes", len(value.encode()), MAX_TEXT_BYTES)
    return value


# Questions ------------------------------------------------------------------------------------------------------------


def parse_claim(message: scheduler_pb2.Claim) -> Claim:
    """A claim."""
    return Claim(
        stream=parse_stream(message.app, message.name),
        publication=parse_publication(message.publication),
        take_over=message.take_over,
    )


def serialize_claim(claim: Claim) -> scheduler_pb2.Claim:
    """A claim as a message."""
    return scheduler_pb2.Claim(
        app=claim.stream.app, name=claim.stream.name, publication=claim.publication, take_over=claim.take_over
    )


def parse_move(message: scheduler_pb2.Move) -> Move:
    """A move."""
    if len(message.avoid_nodes) > MAX_AVOID:
        raise LimitExceeded("origins to avoid", len(message.avoid_nodes), MAX_AVOID)
    return Move(
        stream=parse_stream(message.app, message.name),
        epoch=parse_epoch(message.epoch),
        place=parse_place(message.place),
        publication=parse_publication(message.publication),
        avoid=tuple(message.avoid_nodes),
    )


def serialize_move(move: Move) -> scheduler_pb2.Move:
    """A move as a message."""
    return scheduler_pb2.Move(
        app=move.stream.app,
        name=move.stream.name,
        epoch=serialize_epoch(move.epoch),
        place=serialize_place(move.place),
        publication=move.publication,
        avoid_nodes=move.avoid[:MAX_AVOID],
    )


def parse_wanted(message: scheduler_pb2.Wanted) -> Wanted:
    """A wanted stream."""
    after = parse_place(message.after) if message.HasField("after") else None
    return Wanted(parse_stream(message.app, message.name), after)


def serialize_wanted(wanted: Wanted) -> scheduler_pb2.Wanted:
    """A wanted stream as a message."""
    after = None if wanted.after is None else serialize_place(wanted.after)
    return scheduler_pb2.Wanted(app=wanted.stream.app, name=wanted.stream.name, after=after)


def parse_released(message: scheduler_pb2.Released) -> Released:
    """What a node gives back."""
    return Released(
        stream=parse_stream(message.app, message.name),
        epoch=parse_epoch(message.epoch),
        publication=parse_publication(message.publication) if message.publication else b"",
        place=parse_place(message.place),
    )


def serialize_released(released: Released) -> scheduler_pb2.Released:
    """What a node gives back, as a message."""
    return scheduler_pb2.Released(
        app=released.stream.app,
        name=released.stream.name,
        epoch=serialize_epoch(released.epoch),
        publication=released.publication,
        place=serialize_place(released.place),
    )


# Answers --------------------------------------------------------------------------------------------------------------


def parse_refused(message: scheduler_pb2.Refused) -> Refused:
    """A refusal; one of a kind that this version does not know counts as unavailable."""
    refusal = _REFUSALS_BACK.get(message.refusal, Refusal.UNAVAILABLE)
    return Refused(refusal, message.detail, message.retry_after_ms / 1000)


def serialize_refused(refused: Refused) -> scheduler_pb2.Refused:
    """A refusal as a message."""
    return scheduler_pb2.Refused(
        refusal=_REFUSALS[refused.refusal], detail=refused.detail, retry_after_ms=round(refused.retry_after_s * 1000)
    )


def parse_claim_result(message: scheduler_pb2.ClaimResult) -> Grant | Refused:
    """The answer to a claim or a move."""
    match message.WhichOneof("result"):
        case "grant":
            return parse_grant(message.grant)
        case "refused":
            return parse_refused(message.refused)
        case _:
            raise RemoteProtocolError("result of a claim without grant or refusal")


def serialize_claim_result(result: Grant | Refused) -> scheduler_pb2.ClaimResult:
    """The answer to a claim or a move as a message."""
    if isinstance(result, Grant):
        return scheduler_pb2.ClaimResult(grant=serialize_grant(result))
    return scheduler_pb2.ClaimResult(refused=serialize_refused(result))


def parse_locate_result(message: scheduler_pb2.LocateResult) -> Location | Refused:
    """The answer to a wanted stream."""
    match message.WhichOneof("result"):
        case "location":
            return parse_location(message.location)
        case "refused":
            return parse_refused(message.refused)
        case _:
            raise RemoteProtocolError("result of a locate without location or refusal")


def serialize_locate_result(result: Location | Refused) -> scheduler_pb2.LocateResult:
    """The answer to a wanted stream as a message."""
    if isinstance(result, Location):
        return scheduler_pb2.LocateResult(location=serialize_location(result))
    return scheduler_pb2.LocateResult(refused=serialize_refused(result))


def parse_locate_hls_result(message: scheduler_pb2.LocateHlsResult) -> HlsOwner | Refused:
    """The answer to a stream whose owner is wanted."""
    match message.WhichOneof("result"):
        case "owner":
            return parse_hls_owner(message.owner)
        case "refused":
            return parse_refused(message.refused)
        case _:
            raise RemoteProtocolError("result of a locate without owner or refusal")


def serialize_locate_hls_result(result: HlsOwner | Refused) -> scheduler_pb2.LocateHlsResult:
    """The answer to a stream whose owner is wanted, as a message."""
    if isinstance(result, HlsOwner):
        return scheduler_pb2.LocateHlsResult(owner=serialize_hls_owner(result))
    return scheduler_pb2.LocateHlsResult(refused=serialize_refused(result))


# Membership -----------------------------------------------------------------------------------------------------------


def _parse_held(message: scheduler_pb2.HeldStream) -> HeldStream:
    try:
        tracks = parse_track_set(message.tracks)
    except UnsupportedError:  # a newer node: its report still counts
        tracks = TrackSet(version=message.tracks.version)
    return HeldStream(
        stream=parse_stream(message.app, message.name),
        epoch=parse_epoch(message.epoch),
        place=parse_place(message.place),
        publication=parse_publication(message.publication) if message.publication else b"",
        state=_STATES_BACK.get(message.state, StreamState.LIVE),
        tracks=tracks,
        players=message.players,
        bitrate_bps=message.bitrate_bps,
        units=message.units,
        missing=message.missing,
        left_out=tuple(_text(text, "left out") for text in message.left_out[:MAX_LEFT_OUT]),
    )


def _serialize_held(held: HeldStream) -> scheduler_pb2.HeldStream:
    return scheduler_pb2.HeldStream(
        app=held.stream.app,
        name=held.stream.name,
        epoch=serialize_epoch(held.epoch),
        place=serialize_place(held.place),
        publication=held.publication,
        state=_STATES[held.state],
        tracks=serialize_track_set(held.tracks),
        players=held.players,
        bitrate_bps=held.bitrate_bps,
        units=held.units,
        missing=held.missing,
        left_out=held.left_out[:MAX_LEFT_OUT],
    )


def _parse_endpoints(message: scheduler_pb2.NodeReport) -> tuple[Endpoint, ...]:
    if len(message.endpoints) > MAX_ENDPOINTS:
        raise LimitExceeded("endpoints of a node", len(message.endpoints), MAX_ENDPOINTS)
    return tuple(
        Endpoint(_text(endpoint.protocol, "protocol"), _text(endpoint.host, "host"), endpoint.port)
        for endpoint in message.endpoints
    )


def _parse_capacity(message: scheduler_pb2.Capacity) -> Capacity:
    return Capacity(
        egress_bps=message.egress_bps, sessions=message.sessions, streams=message.streams, memory_bytes=message.memory_bytes
    )


def _serialize_capacity(capacity: Capacity) -> scheduler_pb2.Capacity:
    return scheduler_pb2.Capacity(
        egress_bps=capacity.egress_bps,
        sessions=capacity.sessions,
        streams=capacity.streams,
        memory_bytes=capacity.memory_bytes,
    )


def _parse_load(message: scheduler_pb2.Load) -> Load:
    return Load(
        ingress_bps=message.ingress_bps,
        egress_bps=message.egress_bps,
        sessions=message.sessions,
        streams=message.streams,
        cpu_fraction=message.cpu_fraction,
        memory_bytes=message.memory_bytes,
    )


def _serialize_load(load: Load) -> scheduler_pb2.Load:
    return scheduler_pb2.Load(
        ingress_bps=load.ingress_bps,
        egress_bps=load.egress_bps,
        sessions=load.sessions,
        streams=load.streams,
        cpu_fraction=load.cpu_fraction,
        memory_bytes=load.memory_bytes,
    )


def parse_report(message: scheduler_pb2.NodeReport) -> NodeReport:
    """What a node says of itself."""
    role = _ROLES_BACK.get(message.role)
    if role is None:
        raise RemoteProtocolError(f"node of role {message.role}")
    return NodeReport(
        node=parse_node(message.node),
        role=role,
        zone=_text(message.zone, "zone"),
        machine=_text(message.machine, "machine"),
        endpoints=_parse_endpoints(message),
        capacity=_parse_capacity(message.capacity),
        load=_parse_load(message.load),
        draining=message.draining,
        leaving=message.leaving,
        streams=tuple(_parse_held(held) for held in message.streams),
        version=_text(message.version, "version"),
    )


def serialize_report(report: NodeReport) -> scheduler_pb2.NodeReport:
    """What a node says of itself, as a message."""
    return scheduler_pb2.NodeReport(
        node=serialize_node(report.node),
        role=_ROLES[report.role],
        zone=report.zone,
        machine=report.machine,
        endpoints=[
            scheduler_pb2.Endpoint(protocol=endpoint.protocol, host=endpoint.host, port=endpoint.port)
            for endpoint in report.endpoints
        ],
        capacity=_serialize_capacity(report.capacity),
        load=_serialize_load(report.load),
        draining=report.draining,
        leaving=report.leaving,
        streams=[_serialize_held(held) for held in report.streams],
        version=report.version,
    )


def parse_command(message: scheduler_pb2.NodeCommand) -> NodeCommand | None:
    """What the scheduler tells a node; None for a command that this version does not know."""
    match message.WhichOneof("command"):
        case "joined":
            return Joined(message.joined.term, tuple(map(parse_hls_endpoint, message.joined.hls)))
        case "group_moved":
            return GroupMoved(parse_location(message.group_moved.location))
        case "fenced":
            fenced = message.fenced
            return StreamFenced(parse_stream(fenced.app, fenced.name), parse_epoch(fenced.epoch))
        case "evicted":
            return Evicted(message.evicted.reason)
        case "hls_assigned":
            return HlsAssigned(parse_hls_owner(message.hls_assigned.owner))
        case _:
            return None


def serialize_command(command: NodeCommand) -> scheduler_pb2.NodeCommand:
    """What the scheduler tells a node, as a message."""
    match command:
        case Joined(term, hls):
            joined = scheduler_pb2.Joined(term=term, hls=map(serialize_hls_endpoint, hls))
            return scheduler_pb2.NodeCommand(joined=joined)
        case GroupMoved(location):
            moved = scheduler_pb2.GroupMoved(location=serialize_location(location))
            return scheduler_pb2.NodeCommand(group_moved=moved)
        case StreamFenced(stream, epoch):
            fenced = scheduler_pb2.Fenced(app=stream.app, name=stream.name, epoch=serialize_epoch(epoch))
            return scheduler_pb2.NodeCommand(fenced=fenced)
        case Evicted(reason):
            return scheduler_pb2.NodeCommand(evicted=scheduler_pb2.Evicted(reason=reason))
        case HlsAssigned(owner):
            assigned = scheduler_pb2.HlsAssigned(owner=serialize_hls_owner(owner))
            return scheduler_pb2.NodeCommand(hls_assigned=assigned)
        case _:
            assert_never(command)
