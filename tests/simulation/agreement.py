"""What must be true some time after all faults are over: everybody says the same, and every stream plays."""

from __future__ import annotations

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress
from services.edge.publishing import Publishing
from services.origin.events import GroupState
from services.origin.group import Group
from services.scheduler.hls_records import hls_key, parse_hls
from services.scheduler.records import ClaimRecord, GroupRecord, claim_key, group_key, parse_claim, parse_group
from simulation.cluster import Cluster
from simulation.encoders import UNIT_S
from simulation.hls import seen_of
from simulation.nodes import OriginNode

FRESH_S = 5 * UNIT_S  #: so old may the last unit be that a player of a live stream has


def disagreements(cluster: Cluster) -> list[str]:
    """Everything that is not as it must be."""
    found = [f"{node.name} does not run" for node in cluster.nodes if not node.is_running]
    for stream in cluster.streams:
        found += _of(cluster, stream)
    return found


def _of(cluster: Cluster, stream: StreamKey) -> list[str]:
    live = [each for edge in cluster.edges if edge.is_running for each in edge.app.publishers if each.stream == stream]
    if len(live) != 1:
        wanted = any(encoder.stream == stream and not encoder.stopped for encoder in cluster.encoders)
        return [f"{stream}: {len(live)} publications"] if live or wanted else []
    publishing = live[0]
    entries = cluster.etcd.store.entries
    claim, group = entries.get(claim_key(stream)), entries.get(group_key(stream))
    found = []
    if claim is None or group is None:
        found.append(f"{stream} is published, but its claim is {claim}, its group {group}")
    else:
        found += _registered(cluster, publishing, parse_claim(claim), parse_group(group))
    return found + _played(cluster, publishing) + (_segmented(cluster, stream) if cluster.segmenters else [])


def _registered(cluster: Cluster, publishing: Publishing, claim: ClaimRecord, group: GroupRecord) -> list[str]:
    stream, core = publishing.stream, publishing.core
    found = []
    if claim.publication != core.publication or claim.epoch != core.epoch:
        found.append(f"{stream} is written by {core.publication.hex()[:6]} at {core.epoch}, but the registry has {claim}")
    for scheduler in cluster.schedulers:
        directory = scheduler.service.directory
        if directory.claim(stream) != claim or directory.group(stream) != group:
            found.append(f"{stream}: {scheduler.name} sees {directory.claim(stream)} at {directory.group(stream)}")
    held = _live_groups(cluster, stream)
    if [name for name, _ in held] != [group.origin.node.name]:
        found.append(f"{stream} is taken in by {[name for name, _ in held]}, but the registry has {group.origin.node.name}")
    if group.heir is None or not any(origin.name == group.heir.node.name and _is(origin, group.heir) for origin in cluster.origins):
        found.append(f"{stream} has no heir that lives: {group.heir}")
    found += [f"{stream}: {name} takes in another publication" for name, each in held if each.publication != core.publication]
    return found


def _is(origin: OriginNode, address: NodeAddress) -> bool:
    return origin.is_running and origin.app.member.address.node == address.node


def _live_groups(cluster: Cluster, stream: StreamKey) -> list[tuple[str, Group]]:
    return [
        (origin.name, group)
        for origin in cluster.origins
        if origin.is_running
        for group in origin.app.groups
        if group.stream == stream and group.state is GroupState.LIVE
    ]


def _played(cluster: Cluster, publishing: Publishing) -> list[str]:
    stream, found = publishing.stream, []
    for edge in cluster.edges:
        if not edge.is_running or stream not in edge.played:
            continue
        recorder = edge.players.get(stream)
        if recorder is None or recorder.over.done():
            found.append(f"{stream} is not played at {edge.name}")
        elif cluster.world.now - recorder.seen.last_at > FRESH_S:
            found.append(f"{stream} has stood still at {edge.name} since {recorder.seen.last_at:.3f} s")
        elif recorder.seen.publication != publishing.core.publication:
            found.append(f"{stream}: {edge.name} plays another publication")
    return found


def _segmented(cluster: Cluster, stream: StreamKey) -> list[str]:
    """The registry's owner segments the stream, and nobody else."""
    entry = cluster.etcd.store.entries.get(hls_key(stream))
    record = parse_hls(entry) if entry is not None else None
    if record is None or record.owner is None:
        return [f"{stream} has no owner of its segments"]
    workers = [(node, worker) for node in cluster.segmenters if (worker := node.app.workers.get(stream)) is not None]
    if [(node.name, worker.epoch) for node, worker in workers] != [(record.owner.node.name, record.epoch)]:
        return [f"{stream} is segmented by {[(node.name, worker.epoch) for node, worker in workers]}, the registry has {record}"]
    if cluster.world.now - seen_of(workers[0][1]).last_at > FRESH_S:
        return [f"{stream} stands still at {workers[0][0].name} since {seen_of(workers[0][1]).last_at:.3f} s"]
    return []


def losses(cluster: Cluster) -> list[str]:
    """What players and segmenters missed: units, or their connection."""
    found = disturbances(cluster) + segment_losses(cluster)
    for edge in cluster.edges:
        for stream, recorder in edge.players.items():
            if recorder.seen.missing:
                found.append(f"{edge.name} misses {recorder.seen.missing} units of {stream}")
    return found


def segment_losses(cluster: Cluster) -> list[str]:
    """Units that no segmenter of their stream got."""
    segmented = cluster.watcher.segmented
    return [f"no segmenter got {whole.missing} units of {stream}" for stream, whole in segmented.items() if whole.missing]


def disturbances(cluster: Cluster) -> list[str]:
    """Publishers and players that were closed, other than by the drain of their own edge."""
    found = [closure for encoder in cluster.encoders for closure in encoder.closures]
    return found + [closure for edge in cluster.edges for closure in edge.closures]
