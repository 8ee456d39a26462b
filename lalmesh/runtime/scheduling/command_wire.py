"""What the scheduler tells nodes, as messages. What they report is in `report_wire.py`.

Pairs of ``parse_x`` and ``serialize_x``; parsers raise `RemoteProtocolError` for what a peer must not send.
"""

from __future__ import annotations

from typing import assert_never

from lalmesh.rpc.convert import (
    parse_epoch,
    parse_grant,
    parse_location,
    parse_stream,
    serialize_epoch,
    serialize_grant,
    serialize_location,
)
from lalmesh.rpc.lalmesh.v1 import scheduler_pb2
from lalmesh.runtime.scheduling.control import AppUsage, Blacklist, KickSessions, LiveSettings, RelayJobs
from lalmesh.runtime.scheduling.control_wire import (
    parse_blacklist,
    parse_kick,
    parse_live_settings,
    parse_relay_jobs,
    serialize_blacklist,
    serialize_kick,
    serialize_live_settings,
    serialize_relay_jobs,
)
from lalmesh.runtime.scheduling.hls import HlsAssigned, RecordingRules
from lalmesh.runtime.scheduling.hls_wire import (
    parse_hls_endpoint,
    parse_hls_owner,
    parse_recording_rules,
    serialize_hls_endpoint,
    serialize_hls_owner,
    serialize_recording_rules,
)
from lalmesh.runtime.scheduling.model import Drain, Evicted, GroupMoved, Joined, NodeCommand, ReclaimWanted, StreamFenced
from lalmesh.runtime.scheduling.report_wire import parse_endpoint, serialize_endpoint
from lalmesh.runtime.scheduling.usage_wire import parse_app_usage, serialize_app_usage


def parse_command(message: scheduler_pb2.NodeCommand) -> NodeCommand | None:
    """What the scheduler tells a node; None for a command that this version does not know."""
    match message.WhichOneof("command"):
        case "joined":
            joined = message.joined
            hls, elsewhere = tuple(map(parse_hls_endpoint, joined.hls)), tuple(map(parse_endpoint, joined.elsewhere))
            return Joined(joined.term, hls, elsewhere, joined.lease)
        case "group_moved":
            moved = message.group_moved
            return GroupMoved(parse_location(moved.location), parse_grant(moved.grant) if moved.HasField("grant") else None)
        case "reclaim_wanted":
            return ReclaimWanted(tuple(parse_stream(each.app, each.name) for each in message.reclaim_wanted.streams))
        case "drain":
            return Drain(message.drain.deadline_ms / 1000, message.drain.all_workers)
        case "fenced":
            fenced = message.fenced
            return StreamFenced(parse_stream(fenced.app, fenced.name), parse_epoch(fenced.epoch))
        case "evicted":
            return Evicted(message.evicted.reason)
        case "hls_assigned":
            return HlsAssigned(parse_hls_owner(message.hls_assigned.owner))
        case "recording_rules":
            return parse_recording_rules(message.recording_rules)
        case _:
            return _parse_control(message)


def _parse_control(message: scheduler_pb2.NodeCommand) -> NodeCommand | None:
    match message.WhichOneof("command"):
        case "kick_sessions":
            return parse_kick(message.kick_sessions)
        case "blacklist":
            return parse_blacklist(message.blacklist)
        case "relay_jobs":
            return parse_relay_jobs(message.relay_jobs)
        case "live_settings":
            return parse_live_settings(message.live_settings)
        case "app_usage":
            return parse_app_usage(message.app_usage)
        case _:
            return None


def serialize_command(command: NodeCommand) -> scheduler_pb2.NodeCommand:
    """What the scheduler tells a node, as a message."""
    match command:
        case Joined(term, hls, elsewhere, lease):
            ends, nodes = map(serialize_endpoint, elsewhere), map(serialize_hls_endpoint, hls)
            return scheduler_pb2.NodeCommand(joined=scheduler_pb2.Joined(term=term, hls=nodes, elsewhere=ends, lease=lease))
        case GroupMoved(location, grant):
            signed = None if grant is None else serialize_grant(grant)
            moved = scheduler_pb2.GroupMoved(location=serialize_location(location), grant=signed)
            return scheduler_pb2.NodeCommand(group_moved=moved)
        case ReclaimWanted(streams):
            wanted = scheduler_pb2.ReclaimWanted(streams=[scheduler_pb2.Stream(app=app, name=name) for app, name in streams])
            return scheduler_pb2.NodeCommand(reclaim_wanted=wanted)
        case Drain(deadline_s, all_workers):
            drain = scheduler_pb2.Drain(deadline_ms=round(deadline_s * 1000), all_workers=all_workers)
            return scheduler_pb2.NodeCommand(drain=drain)
        case StreamFenced(stream, epoch):
            fenced = scheduler_pb2.Fenced(app=stream.app, name=stream.name, epoch=serialize_epoch(epoch))
            return scheduler_pb2.NodeCommand(fenced=fenced)
        case Evicted(reason):
            return scheduler_pb2.NodeCommand(evicted=scheduler_pb2.Evicted(reason=reason))
        case HlsAssigned(owner):
            assigned = scheduler_pb2.HlsAssigned(owner=serialize_hls_owner(owner))
            return scheduler_pb2.NodeCommand(hls_assigned=assigned)
        case RecordingRules():
            return scheduler_pb2.NodeCommand(recording_rules=serialize_recording_rules(command))
        case KickSessions():
            return scheduler_pb2.NodeCommand(kick_sessions=serialize_kick(command))
        case Blacklist():
            return scheduler_pb2.NodeCommand(blacklist=serialize_blacklist(command))
        case RelayJobs():
            return scheduler_pb2.NodeCommand(relay_jobs=serialize_relay_jobs(command))
        case LiveSettings():
            return scheduler_pb2.NodeCommand(live_settings=serialize_live_settings(command))
        case AppUsage():
            return scheduler_pb2.NodeCommand(app_usage=serialize_app_usage(command))
        case _:
            assert_never(command)
