"""What nodes report, as messages. What they are told is in `command_wire.py`, the questions and answers in `wire.py`.

Pairs of ``parse_x`` and ``serialize_x``; parsers raise `RemoteProtocolError` for what a peer must not send.
"""

from __future__ import annotations

from functools import lru_cache

from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import TrackSet
from lalmesh.rpc.convert import (
    parse_epoch,
    parse_node,
    parse_place,
    parse_publication,
    parse_stream,
    parse_track_set,
    serialize_epoch,
    serialize_node,
    serialize_place,
    serialize_track_set,
)
from lalmesh.rpc.lalmesh.v1 import media_pb2, scheduler_pb2
from lalmesh.runtime.scheduling.control import MAX_RELAY_JOBS, MAX_VIA
from lalmesh.runtime.scheduling.control_wire import (
    parse_relay_status,
    serialize_relay_status,
)
from lalmesh.runtime.scheduling.model import (
    MAX_FRAME_SECONDS,
    MAX_GOPS,
    Capacity,
    Endpoint,
    HeldStream,
    Load,
    NodeReport,
    Role,
    StreamState,
)

MAX_ENDPOINTS = 64  #: listeners of one node: a dozen protocols, each on a few addresses
MAX_TEXT_BYTES = 253  #: zone, machine, version: a DNS name at the longest
MAX_TRACK_SETS = 20_000  #: remembered as they were parsed, some 1 KB each: those of as many streams as one cluster has
MAX_LEFT_OUT = 64  #: tracks that outputs of one stream leave out: a few formats, each with a few

ROLES = {Role.EDGE: scheduler_pb2.ROLE_EDGE, Role.ORIGIN: scheduler_pb2.ROLE_ORIGIN, Role.HLS: scheduler_pb2.ROLE_HLS}
STATES = {
    StreamState.WAITING: scheduler_pb2.STREAM_STATE_WAITING,
    StreamState.LIVE: scheduler_pb2.STREAM_STATE_LIVE,
    StreamState.GRACE: scheduler_pb2.STREAM_STATE_GRACE,
    StreamState.CLOSED: scheduler_pb2.STREAM_STATE_CLOSED,
}
ROLES_BACK = {number: role for role, number in ROLES.items()}
STATES_BACK = {number: state for state, number in STATES.items()}


@lru_cache(MAX_TRACK_SETS)
def _parse_tracks(message: bytes) -> TrackSet:
    """The tracks of a stream, which are the same in each report of each node that has it; parsing them is most of the work."""
    tracks = media_pb2.TrackSet.FromString(message)
    try:
        return parse_track_set(tracks)
    except UnsupportedError:  # a newer node: its report still counts
        return TrackSet(version=tracks.version)


def parse_held(message: scheduler_pb2.HeldStream) -> HeldStream:
    """A stream that a node carries."""
    return HeldStream(
        stream=parse_stream(message.app, message.name),
        epoch=parse_epoch(message.epoch),
        place=parse_place(message.place),
        publication=parse_publication(message.publication) if message.publication else b"",
        state=STATES_BACK.get(message.state, StreamState.LIVE),
        tracks=_parse_tracks(message.tracks.SerializeToString()),
        players=message.players,
        bitrate_bps=message.bitrate_bps,
        units=message.units,
        missing=message.missing,
        left_out=tuple(_text(text, "left out") for text in message.left_out[:MAX_LEFT_OUT]),
        published=message.published,
        relayed_to=tuple(_text(each, "cluster") for each in message.relayed_to[:MAX_VIA]),
        frames_end_s=message.frames_end_s,
        frames=tuple(message.frames[:MAX_FRAME_SECONDS]),
        payload_bytes=tuple(message.payload_bytes[:MAX_FRAME_SECONDS]),
        gops_end_us=message.gops_end_us,
        gop_frames=tuple(message.gop_frames[:MAX_GOPS]),
        gop_ms=tuple(message.gop_ms[:MAX_GOPS]),
        delay_us=message.delay_us if message.HasField("delay_us") else None,
    )


def serialize_held(held: HeldStream) -> scheduler_pb2.HeldStream:
    """A stream that a node carries, as a message: of its tracks what they are, and not what decoders need."""
    return scheduler_pb2.HeldStream(
        app=held.stream.app,
        name=held.stream.name,
        epoch=serialize_epoch(held.epoch),
        place=serialize_place(held.place),
        publication=held.publication,
        state=STATES[held.state],
        tracks=serialize_track_set(held.tracks, is_whole=False),
        players=held.players,
        bitrate_bps=held.bitrate_bps,
        units=held.units,
        missing=held.missing,
        left_out=held.left_out[:MAX_LEFT_OUT],
        published=held.published,
        relayed_to=held.relayed_to[:MAX_VIA],
        frames_end_s=held.frames_end_s,
        frames=held.frames[:MAX_FRAME_SECONDS],
        payload_bytes=held.payload_bytes[:MAX_FRAME_SECONDS],
        gops_end_us=held.gops_end_us,
        gop_frames=held.gop_frames[:MAX_GOPS],
        gop_ms=held.gop_ms[:MAX_GOPS],
        delay_us=held.delay_us,
    )


def _parse_endpoints(message: scheduler_pb2.NodeReport) -> tuple[Endpoint, ...]:
    if len(message.endpoints) > MAX_ENDPOINTS:
        raise LimitExceeded("endpoints of a node", len(message.endpoints), MAX_ENDPOINTS)
    return tuple(map(parse_endpoint, message.endpoints))


def parse_endpoint(message: scheduler_pb2.Endpoint) -> Endpoint:
    """What the outside reaches a listener by."""
    return Endpoint(_text(message.protocol, "protocol"), _text(message.host, "host"), message.port)


def serialize_endpoint(endpoint: Endpoint) -> scheduler_pb2.Endpoint:
    """What the outside reaches a listener by, as a message."""
    return scheduler_pb2.Endpoint(protocol=endpoint.protocol, host=endpoint.host, port=endpoint.port)


def _parse_capacity(message: scheduler_pb2.Capacity) -> Capacity:
    return Capacity(
        egress_bps=message.egress_bps,
        sessions=message.sessions,
        streams=message.streams,
        memory_bytes=message.memory_bytes,
        cpu_fraction=message.cpu_fraction,
    )


def _serialize_capacity(capacity: Capacity) -> scheduler_pb2.Capacity:
    return scheduler_pb2.Capacity(
        egress_bps=capacity.egress_bps,
        sessions=capacity.sessions,
        streams=capacity.streams,
        memory_bytes=capacity.memory_bytes,
        cpu_fraction=capacity.cpu_fraction,
    )


def parse_load(message: scheduler_pb2.Load) -> Load:
    """What a node carries now."""
    return Load(
        ingress_bps=message.ingress_bps,
        egress_bps=message.egress_bps,
        sessions=message.sessions,
        streams=message.streams,
        cpu_fraction=message.cpu_fraction,
        memory_bytes=message.memory_bytes,
        opened_sessions=message.opened_sessions,
        hls_egress_bps=message.hls_egress_bps,
    )


def serialize_load(load: Load) -> scheduler_pb2.Load:
    """What a node carries now, as a message."""
    return scheduler_pb2.Load(
        ingress_bps=load.ingress_bps,
        egress_bps=load.egress_bps,
        sessions=load.sessions,
        streams=load.streams,
        cpu_fraction=load.cpu_fraction,
        memory_bytes=load.memory_bytes,
        opened_sessions=load.opened_sessions,
        hls_egress_bps=load.hls_egress_bps,
    )


def parse_report(message: scheduler_pb2.NodeReport) -> NodeReport:
    """What a node says of itself."""
    role = ROLES_BACK.get(message.role)
    if role is None:
        raise RemoteProtocolError(f"node of role {message.role}")
    return NodeReport(
        node=parse_node(message.node),
        role=role,
        zone=_text(message.zone, "zone"),
        machine=_text(message.machine, "machine"),
        endpoints=_parse_endpoints(message),
        capacity=_parse_capacity(message.capacity),
        load=parse_load(message.load),
        draining=message.draining,
        leaving=message.leaving,
        streams=tuple(parse_held(held) for held in message.streams),
        version=_text(message.version, "version"),
        relays=tuple(map(parse_relay_status, message.relays[:MAX_RELAY_JOBS])),
        worker_of=_text(message.worker_of, "worker of"),
    )


def serialize_report(report: NodeReport) -> scheduler_pb2.NodeReport:
    """What a node says of itself, as a message."""
    return scheduler_pb2.NodeReport(
        node=serialize_node(report.node),
        role=ROLES[report.role],
        zone=report.zone,
        machine=report.machine,
        endpoints=map(serialize_endpoint, report.endpoints),
        capacity=_serialize_capacity(report.capacity),
        load=serialize_load(report.load),
        draining=report.draining,
        leaving=report.leaving,
        streams=[serialize_held(held) for held in report.streams],
        version=report.version,
        relays=map(serialize_relay_status, report.relays[:MAX_RELAY_JOBS]),
        worker_of=report.worker_of,
    )


def _text(value: str, what: str) -> str:
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise LimitExceeded(f"{what} bytes", len(value.encode()), MAX_TEXT_BYTES)
    return value
