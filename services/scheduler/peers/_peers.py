"""The other replicas, asked each second for the load of their nodes, and for what costs more when somebody looks at it.

So every replica shows the same, some second late, at a cost that does not grow with the streams: of a cluster with 10,000 of them
the figures of all change each second, and nobody looks at more than a page; what nodes read is counted stream by stream. Who does
not answer is left out; what its nodes said is forgotten after `STALE_S`. Nothing that decides ownership depends on it: placement
takes the load of nodes that joined elsewhere from here where it is known, and from the registry where it is not.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio

from lalmesh.errors import LalmeshError
from lalmesh.names import StreamKey
from lalmesh.rpc.lalmesh.v1 import peers_pb2 as pb
from lalmesh.rpc.lalmesh.v1 import scheduler_pb2
from lalmesh.runtime.channels import ended_calls_raise
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.model import MAX_ITEMS, Load, StreamState
from services.scheduler.changes import Change
from services.scheduler.members import Session
from services.scheduler.peers._figures import NodeFigures, OwnFigures, StreamFigures, state_of_keys
from services.scheduler.peers._rpc import SERVICE
from services.scheduler.peers._wire import parse_node_figures, parse_stream_figures
from services.scheduler.service import SchedulerService

log = logging.getLogger(__name__)

INTERVAL_S = 1.0  #: as often as nodes report
STALE_S = 3.0  #: what a replica said of its nodes is forgotten where it says nothing more
ANSWER_S = 0.5  #: for an answer while somebody waits for a page
READS_S = 1.0  #: that what a replica said its nodes read is shown, until it is asked again

Dial = Callable[[str], grpc.aio.Channel]


class Peers:
    """Figures of the whole cluster. A `ControlPart`."""

    def __init__(self, service: SchedulerService, dial: Dial | None = None) -> None:
        """Add to what this replica knows what the others do.

        Args:
            service: this replica.
            dial: makes the channel to an address; None: there are no others.
        """
        self.own = OwnFigures(service.members, service.directory)
        self._service = service
        self._directory = service.directory
        self._clock = service.view.clock
        self._dial = dial
        self._peers: dict[str, _Peer] = {}

    # What is known ---------------------------------------------------------------------------------------------------

    def load(self, node: NodeId) -> Load | None:
        """What a node carries; None where it is not known."""
        if (load := self.own.load(node)) is not None:
            return load
        return next((peer.nodes[node].load for peer in self._peers.values() if node in peer.nodes), None)

    def state(self, stream: StreamKey) -> StreamState:
        """How far a stream is."""
        claim, group = self._directory.claim(stream), self._directory.group(stream)
        standing = None
        if group is not None:
            standing = self.own.state(stream, group)
            for peer in self._peers.values():
                if group.origin.node in peer.nodes:
                    standing = peer.nodes[group.origin.node].standings.get(stream)
        return standing or state_of_keys(claim, group)

    async def of(self, streams: Sequence[StreamKey], *, edges_too: bool = False) -> list[StreamFigures]:
        """What all nodes report of some streams, at most `MAX_ITEMS`; those of replicas that do not answer are missing.

        With `edges_too` also each edge that only plays them is shown.
        """
        known = [self.own.of(stream, edges_too=edges_too) for stream in streams]
        asked = [peer for peer in self._peers.values() if peer.nodes] if streams else []
        for figures in await asyncio.gather(*(self._ask(peer, streams, edges_too) for peer in asked)):
            known = [one | other for one, other in zip(known, figures, strict=True)] if figures else known
        return known

    async def reads(self, nodes: Collection[NodeId]) -> Mapping[NodeId, Mapping[str, int]]:
        """How many streams some nodes have from each origin, by name; those of replicas that do not answer are missing."""
        own = {node: reads for node in nodes if (reads := self.own.reads(node)) is not None}
        asked = [peer for peer in self._peers.values() if any(node in peer.nodes and node not in own for node in nodes)]
        return ChainMap(own, *await asyncio.gather(*map(self._ask_reads, asked)))

    # How it is kept --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """See `ControlPart.run`."""
        try:
            while self._dial is not None:
                self._meet(self._dial)
                await asyncio.gather(*(self._look(peer) for peer in self._peers.values()))
                self._forget_stale()
                await asyncio.sleep(INTERVAL_S)
        finally:
            for peer in self._peers.values():
                await peer.channel.close(None)

    def handle(self, change: Change) -> None:
        """See `ControlPart.handle`."""

    def joined(self, session: Session) -> None:
        """See `ControlPart.joined`."""

    def reported(self, session: Session) -> None:
        """See `ControlPart.reported`."""

    def _meet(self, dial: Dial) -> None:
        """Know those that stand now."""
        records = self._directory.cluster.schedulers.values()
        standing = {record.key: record.address for record in records if record.address and record.key != self._service.presence.key}
        for key in self._peers.keys() - standing.keys():
            self._forget(self._peers.pop(key))
        for key in standing.keys() - self._peers.keys():
            self._peers[key] = _Peer(standing[key], dial(standing[key]), self._clock())

    async def _look(self, peer: _Peer) -> None:
        try:
            with ended_calls_raise():
                found = await peer.show_nodes(INTERVAL_S)
        except (grpc.aio.AioRpcError, LalmeshError) as exc:
            self._note_failure(peer, exc)
            return
        peer.is_away, peer.told_at = False, self._clock()
        gone = peer.nodes.keys() - found.keys()
        peer.nodes = found
        self._forget_loads(gone)
        for node, figures in found.items():
            if self._service.members.of(node) is None:
                self._directory.report(node, figures.load, peer.told_at)

    async def _ask(self, peer: _Peer, streams: Sequence[StreamKey], edges_too: bool) -> Sequence[StreamFigures]:
        try:
            with ended_calls_raise():  # a replica that goes may do so while it is asked
                return await peer.show_streams(streams[:MAX_ITEMS], ANSWER_S, edges_too)
        except (grpc.aio.AioRpcError, LalmeshError) as exc:
            self._note_failure(peer, exc)
            return ()

    async def _ask_reads(self, peer: _Peer) -> dict[NodeId, Mapping[str, int]]:
        if self._clock() - peer.read_at < READS_S:
            return peer.reads
        try:
            with ended_calls_raise():
                found = await peer.show_nodes(ANSWER_S, reads_too=True)
        except (grpc.aio.AioRpcError, LalmeshError) as exc:
            self._note_failure(peer, exc)
            return {}
        peer.reads, peer.read_at = {node: figures.reads for node, figures in found.items()}, self._clock()
        return peer.reads

    def _note_failure(self, peer: _Peer, exc: Exception) -> None:
        self._service.metrics.peer_failures.inc()
        if not peer.is_away:  # once, not with every look
            log.warning("scheduler %s does not say what its nodes report: %s", peer.address, _in_words(exc))
        peer.is_away = True

    def _forget_stale(self) -> None:
        for peer in self._peers.values():
            if peer.nodes and self._clock() - peer.told_at > STALE_S:
                nodes, peer.nodes = peer.nodes, {}
                self._forget_loads(nodes)

    def _forget(self, peer: _Peer) -> None:
        nodes, peer.nodes = peer.nodes, {}
        self._forget_loads(nodes)
        peer.closing = asyncio.ensure_future(peer.channel.close(None))

    def _forget_loads(self, nodes: Mapping[NodeId, NodeFigures] | set[NodeId]) -> None:
        for node in nodes:
            if self.load(node) is None:
                self._directory.offers.loads.forget(node)


class _Peer:
    """Another replica."""

    def __init__(self, address: str, channel: grpc.aio.Channel, now: float) -> None:
        self.address = address
        self.channel = channel
        self.nodes: Mapping[NodeId, NodeFigures] = {}
        self.told_at = now
        self.reads: dict[NodeId, Mapping[str, int]] = {}
        self.read_at = -math.inf
        self.is_away = False
        self.closing: asyncio.Future[Any] | None = None
        self._show_nodes = channel.unary_unary(
            f"/{SERVICE}/ShowNodes", pb.ShowNodesRequest.SerializeToString, pb.ShowNodesResponse.FromString
        )
        self._show_streams = channel.unary_unary(
            f"/{SERVICE}/ShowStreams", pb.ShowStreamsRequest.SerializeToString, pb.ShowStreamsResponse.FromString
        )

    async def show_nodes(self, timeout_s: float, *, reads_too: bool = False) -> Mapping[NodeId, NodeFigures]:
        """Its nodes; replicas of before say what these read unasked."""
        answer: pb.ShowNodesResponse = await self._show_nodes(pb.ShowNodesRequest(reads_too=reads_too), timeout=timeout_s)
        return {figures.node.node: figures for figures in map(parse_node_figures, answer.nodes)}

    async def show_streams(self, streams: Sequence[StreamKey], timeout_s: float, edges_too: bool) -> Sequence[StreamFigures]:
        """What its nodes report of some streams; nothing where it answers another question."""
        named = [scheduler_pb2.Stream(app=stream.app, name=stream.name) for stream in streams]
        request = pb.ShowStreamsRequest(streams=named, edges_too=edges_too)
        answer: pb.ShowStreamsResponse = await self._show_streams(request, timeout=timeout_s)
        return [*map(parse_stream_figures, answer.streams)] if len(answer.streams) == len(streams) else ()


def _in_words(exc: Exception) -> str:
    return f"{exc.code().name}: {exc.details()}" if isinstance(exc, grpc.aio.AioRpcError) else str(exc)
