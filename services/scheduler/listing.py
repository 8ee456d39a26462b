"""Streams and nodes as the HTTP API shows them.

Ownership comes from the registry. Live details come from the reports of the nodes, which each replica has of those that joined it
and asks the others for; where none has any they are null. Players of HLS come from the session directory, null where that is away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import Field

from lalmesh.media import Codec, Kind, Track
from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling.model import Load, Role, StreamState
from services.scheduler.api import ApiModel
from services.scheduler.directory import Directory
from services.scheduler.peers import StreamFigures
from services.scheduler.records import NodeRecord
from services.scheduler.service import SchedulerService


class EpochModel(ApiModel):
    """When the right to write was granted; of two the later one is the greater, by term and then revision."""

    term: int = Field(description="Unix seconds at which the registry began, or had to begin anew.")
    revision: int = Field(description="Of the transaction in the registry.")


class PlaceModel(EpochModel):
    """Where a stream is read, and since when."""

    heir: bool = Field(description="Whether the second choice has taken over and that is not written down yet.")


class TrackModel(ApiModel):
    """One track of a stream."""

    track_id: int = Field(description="Unique in its stream, from 1.")
    kind: Kind = Field(description="What it holds.")
    codec: Codec = Field(description="How it is coded.")
    profile: str = Field(description="The codec's own word, such as High or LC; empty: not known.")
    width: int = Field(description="Pixels; 0: not known, or no video.")
    height: int = Field(description="Pixels; 0: not known, or no video.")
    frame_rate: float | None = Field(description="Pictures a second; null: not known.")
    sample_rate_hz: int = Field(description="Of audio; 0: not known, or none.")
    channels: int = Field(description="Of audio; 0: not known, or none.")


class StreamModel(ApiModel):
    """A stream. What only its nodes know is null where none of them has said it."""

    stream: str = Field(description="Application and name, with a slash between them.")
    app: str = Field(description="The application, which may hold slashes.")
    name: str = Field(description="The name.")
    state: StreamState = Field(
        description="waiting: for the first media; live; grace: the publisher has gone and may come back; closed."
    )
    epoch: EpochModel | None = Field(description="Of the publication.")
    place: PlaceModel | None = Field(description="Where it is read; null: no origin has it.")
    publication: str | None = Field(description="Id of the publication, hexadecimal.")
    edge: str | None = Field(description="Node that it is published at; null: the publisher has gone.")
    origin: str | None = Field(description="Node that owns it.")
    heir: str | None = Field(description="Node that takes over where the origin dies.")
    hls: str | None = Field(description="Node that segments it.")
    tracks: list[TrackModel] | None = Field(description="What it holds.")
    left_out: list[str] | None = Field(description="Tracks that an output cannot carry, such as ts: pcma.")
    players: int | None = Field(description="Players with a connection, at all edges.")
    hls_players: int | None = Field(description="Players of HLS, who ask for one segment after the other.")
    subscriptions: int | None = Field(description="Nodes that read it at the origin.")
    bitrate_bps: int | None = Field(description="Bits a second that come in, over the last second.")
    units: int | None = Field(description="Access units since the publication began.")
    missing: int | None = Field(description="Access units of those that did not arrive.")


class EndpointModel(ApiModel):
    """What the outside reaches a listener by."""

    protocol: str = Field(description="rtmp, rtmps, rtsp, http ...")
    host: str = Field(description="Name or address.")
    port: int = Field(description="TCP port.")


class CapacityModel(ApiModel):
    """What a node can carry; 0: not stated."""

    egress_bps: int = Field(description="Bits a second that go out.")
    sessions: int = Field(description="Publishers and players.")
    streams: int = Field(description="Streams.")
    memory_bytes: int = Field(description="Memory in bytes.")
    cpu_fraction: float = Field(description="Processor, as a fraction of all cores that it may use.")


class LoadModel(CapacityModel):
    """What a node carries now."""

    ingress_bps: int = Field(description="Bits a second that come in.")
    opened_sessions: int = Field(description="Sessions that have come since its start.")
    hls_egress_bps: int = Field(description="What of the bits that go out is HLS and recordings, of an edge.")


class ReadModel(ApiModel):
    """Where a node has streams from."""

    origin: str = Field(description="Node that owns them.")
    streams: int = Field(description="How many; of an edge without those that are published at it.")


class NodeModel(ApiModel):
    """A node."""

    name: str = Field(description="Its name.")
    incarnation: str = Field(description="Of this start of it, hexadecimal.")
    role: Role = Field(description="What it does.")
    state: str = Field(description="joined, draining, or away: it does not answer now.")
    zone: str = Field(description="Where it is; empty: not stated.")
    machine: str = Field(description="Nodes of the same machine die together.")
    worker_of: str = Field(description="Node that it is one process of, and shares ports with the others of; empty: a whole one.")
    address: str = Field(description="What other nodes reach it by.")
    endpoints: list[EndpointModel] = Field(description="What the outside reaches it by.")
    version: str = Field(description="Of lalmesh.")
    capacity: CapacityModel = Field(description="What it can carry.")
    groups: int = Field(description="Streams that it owns, of an origin.")
    load: LoadModel | None = Field(description="What it carries now; null: it has not said.")
    reads: list[ReadModel] = Field(
        description="Where an edge or an hls node has streams from; empty: from nowhere, or it has not said."
    )
    unreachable_reports: int = Field(description="Readers that could not reach it, of late, as told to this scheduler.")


def describe_stream(
    directory: Directory, stream: StreamKey, state: StreamState, figures: StreamFigures, hls_players: int | None
) -> StreamModel:
    """One stream. Of dictionaries, for the model to make what is inside of it: a third of the time that making each here takes."""
    hls = directory.hls.record(stream)
    claim, group = directory.claim(stream), directory.group(stream)
    at_edge = figures.at(claim.edge if claim else None)
    at_origin = figures.at(group.origin if group else None)
    source = at_edge or at_origin
    record = claim or group
    return StreamModel.model_validate(
        {
            "stream": str(stream),
            "app": stream.app,
            "name": stream.name,
            "state": state,
            "epoch": record.epoch._asdict() if record else None,
            "place": group.place._asdict() if group else None,
            "publication": record.publication.hex() if record else None,
            "edge": claim.edge.node.name if claim else None,
            "origin": group.origin.node.name if group else None,
            "heir": group.heir.node.name if group and group.heir else None,
            "hls": hls.owner.node.name if hls and hls.owner else None,
            "tracks": [_describe_track(track) for track in source.tracks.tracks] if source else None,
            "left_out": sorted(figures.left_out) if figures.held or figures.players is not None else None,
            "players": figures.players,
            "hls_players": hls_players,
            "subscriptions": at_origin.players if at_origin else None,
            "bitrate_bps": source.bitrate_bps if source else None,
            "units": source.units if source else None,
            "missing": source.missing if source else None,
        }
    )


def describe_node(service: SchedulerService, record: NodeRecord, load: Load | None, reads: Mapping[str, int]) -> NodeModel:
    """One node."""
    return NodeModel.model_construct(
        name=record.node.name,
        incarnation=record.node.incarnation.hex(),
        role=record.role,
        state=service.directory.state_of(record),
        zone=record.zone,
        machine=record.machine,
        worker_of=record.worker_of,
        address=record.address.address,
        endpoints=[EndpointModel.model_construct(**asdict(endpoint)) for endpoint in record.endpoints],
        version=record.version,
        capacity=CapacityModel.model_construct(**asdict(record.capacity)),
        groups=service.directory.groups_of(record.node),
        load=LoadModel.model_construct(**asdict(load)) if load is not None else None,
        reads=[ReadModel.model_construct(origin=origin, streams=streams) for origin, streams in sorted(reads.items())],
        unreachable_reports=service.unreachable.count(record.node),
    )


def _describe_track(track: Track) -> dict[str, Any]:
    return {
        "track_id": track.track_id,
        "kind": track.kind,
        "codec": track.codec,
        "profile": track.profile,
        "width": track.width,
        "height": track.height,
        "frame_rate": float(track.frame_rate) if track.frame_rate else None,
        "sample_rate_hz": track.sample_rate_hz,
        "channels": track.channels,
    }
