"""What other replicas ask of this one, over gRPC."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from lalmesh.errors import RemoteProtocolError
from lalmesh.rpc.convert import parse_stream
from lalmesh.rpc.lalmesh.v1 import peers_pb2 as pb
from lalmesh.runtime.scheduling.model import MAX_ITEMS
from services.scheduler.peers._figures import OwnFigures
from services.scheduler.peers._wire import serialize_node_figures, serialize_stream_figures

SERVICE = "lalmesh.v1.SchedulerPeers"


class PeersFace:
    """The methods of `lalmesh.v1.SchedulerPeers`."""

    def __init__(self, figures: OwnFigures) -> None:
        """Show `figures`."""
        self._figures = figures

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """All methods, for a server."""
        unary = grpc.unary_unary_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "ShowNodes": unary(self.show_nodes, pb.ShowNodesRequest.FromString, pb.ShowNodesResponse.SerializeToString),
                "ShowStreams": unary(self.show_streams, pb.ShowStreamsRequest.FromString, pb.ShowStreamsResponse.SerializeToString),
            },
        )

    async def show_nodes(self, request: pb.ShowNodesRequest, context: object) -> pb.ShowNodesResponse:
        """The nodes that joined here."""
        return pb.ShowNodesResponse(nodes=map(serialize_node_figures, self._figures.nodes(reads_too=request.reads_too)))

    async def show_streams(
        self, request: pb.ShowStreamsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ShowStreamsResponse:
        """What those report of some streams."""
        if len(request.streams) > MAX_ITEMS:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{len(request.streams)} streams, limit {MAX_ITEMS}")
        try:
            streams = [parse_stream(each.app, each.name) for each in request.streams]
        except RemoteProtocolError as exc:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))
        found = (self._figures.of(stream, edges_too=request.edges_too) for stream in streams)
        return pb.ShowStreamsResponse(streams=map(serialize_stream_figures, found))
