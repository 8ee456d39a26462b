"""Streams and nodes as the HTTP API shows them.

Ownership comes from the registry and is cluster-wide. Live details come from the reports of the nodes, which each replica has of
those that joined it; where it has none they are null. Players of HLS come from the session directory, null where that is away.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lalmesh.media import Track
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling.model import HeldStream, Role
from services.scheduler.records import ClaimRecord, GroupRecord, NodeRecord
from services.scheduler.service import SchedulerService


def describe_stream(service: SchedulerService, stream: StreamKey, hls_players: int | None) -> dict[str, Any]:
    """One stream as JSON."""
    hls = service.directory.hls.record(stream)
    claim, group = service.directory.claim(stream), service.directory.group(stream)
    at_edge = _held(service, stream, claim.edge if claim else None)
    at_origin = _held(service, stream, group.origin if group else None)
    source = at_edge or at_origin
    record = claim or group
    return {
        "stream": str(stream),
        "app": stream.app,
        "name": stream.name,
        "state": at_origin.state.value if at_origin else _state(claim, group),
        "epoch": record.epoch._asdict() if record else None,
        "place": group.place._asdict() if group else None,
        "publication": record.publication.hex() if record else None,
        "edge": claim.edge.node.name if claim else None,
        "origin": group.origin.node.name if group else None,
        "heir": group.heir.node.name if group and group.heir else None,
        "hls": hls.owner.node.name if hls and hls.owner else None,
        "tracks": [_describe_track(track) for track in source.tracks.tracks] if source else None,
        "left_out": _left_out(service, stream),
        "players": _players(service, stream),
        "hls_players": hls_players,
        "subscriptions": at_origin.players if at_origin else None,
        "bitrate_bps": source.bitrate_bps if source else None,
        "units": source.units if source else None,
        "missing": source.missing if source else None,
    }


def describe_node(service: SchedulerService, record: NodeRecord) -> dict[str, Any]:
    """One node as JSON."""
    session = service.members.of(record.node)
    return {
        "name": record.node.name,
        "incarnation": record.node.incarnation.hex(),
        "role": record.role.value,
        "state": service.directory.state_of(record),
        "zone": record.zone,
        "machine": record.machine,
        "address": record.address.address,
        "endpoints": [asdict(endpoint) for endpoint in record.endpoints],
        "version": record.version,
        "capacity": asdict(record.capacity),
        "groups": service.directory.groups_of(record.node),
        "load": asdict(session.report.load) if session else None,
        "unreachable_reports": service.unreachable.count(record.node),
    }


def _held(service: SchedulerService, stream: StreamKey, holder: NodeAddress | None) -> HeldStream | None:
    session = service.members.of(holder.node) if holder else None
    return session.held.get(stream) if session else None


def _players(service: SchedulerService, stream: StreamKey) -> int | None:
    """Players at all edges that report the stream here; None where none does."""
    sessions = [session for session in service.members.holders(stream) if session.report.role is Role.EDGE]
    return sum(session.held[stream].players for session in sessions) if sessions else None


def _left_out(service: SchedulerService, stream: StreamKey) -> list[str] | None:
    """What outputs cannot carry at any node that reports the stream here; None where none does."""
    held = [session.held[stream] for session in service.members.holders(stream)]
    return sorted({text for each in held for text in each.left_out}) if held else None


def _state(claim: ClaimRecord | None, group: GroupRecord | None) -> str:
    """What the keys alone say: a claim without a group waits for one, a group without a claim for a publisher."""
    if claim is None:
        return "grace"
    return "live" if group else "waiting"


def _describe_track(track: Track) -> dict[str, Any]:
    return {
        "track_id": track.track_id,
        "kind": track.kind.value,
        "codec": track.codec.value,
        "profile": track.profile,
        "width": track.width,
        "height": track.height,
        "frame_rate": float(track.frame_rate) if track.frame_rate else None,
        "sample_rate_hz": track.sample_rate_hz,
        "channels": track.channels,
    }
