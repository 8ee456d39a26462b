"""One hls node asks another for what is not stored yet: `lalmesh.v1.Hls/Fetch`, both sides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio

from lalmesh.errors import LalmeshError, NotAuthorized, RemoteProtocolError
from lalmesh.rpc.lalmesh.v1 import hls_pb2
from lalmesh.runtime.ownership import HlsOwner
from lalmesh.runtime.scheduling.hls_wire import parse_hls_owner, serialize_hls_owner
from services.hls.answer import Answer
from services.hls.service import HlsService, OwnerLost

log = logging.getLogger(__name__)

SERVICE = "lalmesh.v1.Hls"
METHOD = f"/{SERVICE}/Fetch"
CHUNK_BYTES = 512 << 10
MAX_BODY_BYTES = 512 << 20  #: a segment of a minute at 60 Mbit/s
MAX_PEERS = 1000  #: nodes whose channels are kept


class HlsFace:
    """The service that other nodes call."""

    def __init__(self, service: HlsService) -> None:
        """Answer with `service`."""
        self._service = service

    def handlers(self) -> grpc.GenericRpcHandler[hls_pb2.FetchRequest, hls_pb2.FetchChunk]:
        """What a server is to be given."""
        fetch = grpc.unary_stream_rpc_method_handler(
            self._fetch,
            request_deserializer=hls_pb2.FetchRequest.FromString,
            response_serializer=hls_pb2.FetchChunk.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Fetch": fetch})

    async def _fetch(
        self, request: hls_pb2.FetchRequest, context: grpc.aio.ServicerContext[hls_pb2.FetchRequest, hls_pb2.FetchChunk]
    ) -> AsyncIterator[hls_pb2.FetchChunk]:
        try:
            answer = await self._service.answer_as_owner(parse_hls_owner(request.assignment), request.path, request.query)
        except NotAuthorized as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        except LalmeshError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if answer is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not the owner any more")
        assert answer is not None
        yield hls_pb2.FetchChunk(head=hls_pb2.FetchHead(status=answer.status, headers=answer.headers))
        for start in range(0, len(answer.body), CHUNK_BYTES):
            yield hls_pb2.FetchChunk(data=answer.body[start : start + CHUNK_BYTES])


class GrpcPeers:
    """The other nodes, over gRPC."""

    def __init__(self, dial: Callable[[str], grpc.aio.Channel]) -> None:
        """`dial` makes the channel to an address; it is kept until `close`."""
        self._dial = dial
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def fetch(self, owner: HlsOwner, path: str, query: str, deadline_s: float) -> Answer:
        """See `services.hls.service.Peers.fetch`."""
        request = hls_pb2.FetchRequest(assignment=serialize_hls_owner(owner), path=path, query=query)
        try:
            return await self._fetched(owner.worker.address, request, deadline_s)
        except grpc.aio.AioRpcError as error:
            raise OwnerLost(f"{owner.worker.node.name}: {error.code().name}: {error.details()}", retry_after_s=1.0) from error
        except RemoteProtocolError as error:
            raise OwnerLost(f"{owner.worker.node.name}: {error}", retry_after_s=1.0) from error

    async def _fetched(self, address: str, request: hls_pb2.FetchRequest, deadline_s: float) -> Answer:
        method = self._channel(address).unary_stream(
            METHOD,
            request_serializer=hls_pb2.FetchRequest.SerializeToString,
            response_deserializer=hls_pb2.FetchChunk.FromString,
        )
        call = method(request, timeout=deadline_s)
        head: hls_pb2.FetchHead | None = None
        body = bytearray()
        try:
            async for chunk in call:
                if chunk.WhichOneof("chunk") == "head":
                    head = chunk.head
                else:
                    body += chunk.data
                if len(body) > MAX_BODY_BYTES:
                    raise RemoteProtocolError(f"answer of more than {MAX_BODY_BYTES} bytes")
        finally:
            call.cancel()
        if head is None:
            raise RemoteProtocolError("answer without a head")
        return Answer(head.status, bytes(body), dict(head.headers))

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._dial(address)
            if len(self._channels) > MAX_PEERS:
                oldest = next(iter(self._channels))
                asyncio.ensure_future(self._channels.pop(oldest).close(None))  # noqa: RUF006 -- ends by itself
        return channel

    async def close(self) -> None:
        """Close all channels."""
        channels, self._channels = list(self._channels.values()), {}
        await asyncio.gather(*(channel.close(None) for channel in channels))


class NoPeers:
    """A node that is alone: every stream is its own."""

    async def fetch(self, owner: HlsOwner, path: str, query: str, deadline_s: float) -> Answer:
        """See `services.hls.service.Peers.fetch`."""
        raise OwnerLost(f"no way to {owner.worker.node.name}", retry_after_s=1.0)
