"""Questions to the scheduler and its answers, as messages; membership is in `report_wire.py`, what is about HLS in `hls_wire.py`.

Pairs of ``parse_x`` and ``serialize_x``; parsers raise `RemoteProtocolError` for what a peer must not send.
"""

from __future__ import annotations

from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.rpc.convert import (
    parse_epoch,
    parse_grant,
    parse_location,
    parse_node,
    parse_place,
    parse_publication,
    parse_stream,
    serialize_epoch,
    serialize_grant,
    serialize_location,
    serialize_node,
    serialize_place,
)
from lalmesh.rpc.lalmesh.v1 import scheduler_pb2
from lalmesh.runtime.ownership import Grant, HlsOwner, Location, NodeAddress, NodeId
from lalmesh.runtime.scheduling.control import MAX_CLUSTER_CHARS, MAX_URL_BYTES, MAX_VIA
from lalmesh.runtime.scheduling.hls_wire import parse_hls_owner, serialize_hls_owner
from lalmesh.runtime.scheduling.model import AskedUrl, Claim, Held, Move, Refusal, Refused, Released, Wanted

MAX_AVOID = 256  #: origins that one move leaves out: more than a cluster has tried before the edge gives up

_REFUSALS = {
    Refusal.EXISTS: scheduler_pb2.REFUSAL_EXISTS,
    Refusal.NOT_FOUND: scheduler_pb2.REFUSAL_NOT_FOUND,
    Refusal.NO_ORIGIN: scheduler_pb2.REFUSAL_NO_ORIGIN,
    Refusal.UNAVAILABLE: scheduler_pb2.REFUSAL_UNAVAILABLE,
    Refusal.FENCED: scheduler_pb2.REFUSAL_FENCED,
    Refusal.NOT_JOINED: scheduler_pb2.REFUSAL_NOT_JOINED,
    Refusal.INVALID: scheduler_pb2.REFUSAL_INVALID,
    Refusal.NO_WORKER: scheduler_pb2.REFUSAL_NO_WORKER,
    Refusal.SETTLING: scheduler_pb2.REFUSAL_SETTLING,
    Refusal.FULL: scheduler_pb2.REFUSAL_FULL,
}
_REFUSALS_BACK = {number: refusal for refusal, number in _REFUSALS.items()}


# Questions ------------------------------------------------------------------------------------------------------------


def parse_claim(message: scheduler_pb2.Claim) -> Claim:
    """A claim."""
    return Claim(
        stream=parse_stream(message.app, message.name),
        publication=parse_publication(message.publication),
        take_over=message.take_over,
        repeat_only=message.repeat_only,
        held=_parse_held(message.held) if message.HasField("held") else None,
        asked=_parse_asked(message.asked_app, message.asked_query),
    )


def serialize_claim(claim: Claim) -> scheduler_pb2.Claim:
    """A claim as a message."""
    return scheduler_pb2.Claim(
        app=claim.stream.app,
        name=claim.stream.name,
        publication=claim.publication,
        take_over=claim.take_over,
        repeat_only=claim.repeat_only,
        held=None if claim.held is None else _serialize_held(claim.held),
        asked_app=claim.asked.app,
        asked_query=_within_bounds(claim.asked.query),
    )


def _parse_asked(app: str, query: str) -> AskedUrl:
    if len(query) > MAX_URL_BYTES or len(app) > MAX_URL_BYTES:
        raise RemoteProtocolError("a stream asked for by a URL that is too long")
    return AskedUrl(app, query)


def _within_bounds(query: str) -> str:
    """None of a query that no URL has room for: the stream is there for its client all the same."""
    return query if len(query) <= MAX_URL_BYTES else ""


def _parse_held(message: scheduler_pb2.HeldClaim) -> Held:
    return Held(
        epoch=parse_epoch(message.epoch),
        place=parse_place(message.place),
        origin=parse_node(message.origin),
        heir=parse_node(message.heir) if message.HasField("heir") else None,
    )


def _serialize_held(held: Held) -> scheduler_pb2.HeldClaim:
    return scheduler_pb2.HeldClaim(
        epoch=serialize_epoch(held.epoch),
        place=serialize_place(held.place),
        origin=serialize_node(held.origin),
        heir=None if held.heir is None else serialize_node(held.heir),
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
        at=parse_node(message.at).node if message.HasField("at") else None,
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
        at=None if move.at is None else serialize_node(_nowhere(move.at)),
    )


def parse_wanted(message: scheduler_pb2.Wanted) -> Wanted:
    """A wanted stream."""
    after = parse_place(message.after) if message.HasField("after") else None
    unreachable = parse_node(message.unreachable).node if message.HasField("unreachable") else None
    via = tuple(message.via[:MAX_VIA])
    if any(len(cluster) > MAX_CLUSTER_CHARS for cluster in via):
        raise RemoteProtocolError("a wanted stream with a cluster that is too long")
    stream = parse_stream(message.app, message.name)
    return Wanted(stream, after, unreachable, message.at_once, via, _parse_asked(message.asked_app, message.query))


def serialize_wanted(wanted: Wanted) -> scheduler_pb2.Wanted:
    """A wanted stream as a message."""
    after = None if wanted.after is None else serialize_place(wanted.after)
    unreachable = None if wanted.unreachable is None else serialize_node(_nowhere(wanted.unreachable))
    app, name = wanted.stream
    return scheduler_pb2.Wanted(
        app=app,
        name=name,
        after=after,
        unreachable=unreachable,
        at_once=wanted.at_once,
        via=wanted.via[:MAX_VIA],
        query=_within_bounds(wanted.asked.query),
        asked_app=wanted.asked.app,
    )


def _nowhere(node: NodeId) -> NodeAddress:
    """The node without an address: who it is says enough."""
    return NodeAddress(node, "")


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
