"""gRPC between nodes: channels and servers with the cluster key and, where it is set up, mutual TLS (docs/design.md §10).

Each call carries a token made from the cluster key, never the key itself; while the key is being replaced two are accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio

from lalmesh.errors import Unavailable
from lalmesh.runtime import telemetry
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.grpc_wakeups import all_wakeups_taken

TOKEN_HEADER = "lalmesh-token"
TOKEN_CONTEXT = b"lalmesh node to node, version 1"
MAX_MESSAGE_BYTES = 16 << 20  #: unless said otherwise: the largest batch of a link, and the longest list of a request
STOP_GRACE_S = 0.5  #: for calls under way when a server stops
RETRY_AFTER_S = 0.5  #: pause that is hinted where a call was ended on this side: there is another way, or soon will be

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_reconnect_backoff_ms", 1000),  # the default, 120 s, would keep nodes apart long after both are back
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # the time one attempt may take: a busy node, a far one and TLS need some
    ("grpc.keepalive_time_ms", 2000),  # a machine that vanished says nothing: calls to it must not wait for TCP to notice
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 4000),  # so long an answer to a ping is waited for; without it a minute, whatever is above
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a dial is an attempt at once, whatever became of another channel to that address
    ("grpc.so_reuseport", 0),  # two servers on one port would share its connections unseen
)


_Handler: TypeAlias = Any  # grpc's stubs know handlers by their message types, which an interceptor does not


@contextlib.contextmanager
def ended_calls_raise() -> Iterator[None]:
    """Within it a call that is ended on this side raises `Unavailable` in the task that waits for it.

    gRPC raises CancelledError where a channel is closed under a call, and where what it was to send could not be made. To the task
    that says that it is itself to end, and nobody has asked it to.
    """
    try:
        yield
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable("the call was ended on this side", retry_after_s=RETRY_AFTER_S) from exc


def token_of(key: bytes) -> str:
    """The token that a holder of `key` shows."""
    return hmac.new(key, TOKEN_CONTEXT, hashlib.sha256).hexdigest()


class Channels:
    """Makes channels to other nodes, and servers for them."""

    def __init__(
        self,
        keys: tuple[bytes, ...],
        *,
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """Use the cluster `keys` (the first is shown, all are accepted) and, with all three files, mutual TLS.

        No message is larger than `max_message_bytes`; the limits of links must not be above it.

        Raises:
            OSError: a file cannot be read.
        """
        self._token = token_of(keys[0])
        self._accepted = tuple(token_of(key) for key in keys)
        sizes = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
        self._options = (*OPTIONS, *((size, max_message_bytes) for size in sizes))
        self._tls = None
        if cert_file:
            self._tls = (Path(ca_file).read_bytes(), Path(key_file).read_bytes(), Path(cert_file).read_bytes())

    def dial(self, address: str) -> grpc.aio.Channel:
        """A channel to the node at ``host:port``."""
        interceptors: Sequence[Any] = [show(self._token) for show in (_ShowTokenUnary, _ShowTokenAnswers, _ShowTokenStream)]
        with all_wakeups_taken():
            if self._tls is None:
                return grpc.aio.insecure_channel(address, options=self._options, interceptors=interceptors)
            ca, key, chain = self._tls
            credentials = grpc.ssl_channel_credentials(ca, key, chain)
            return grpc.aio.secure_channel(address, credentials, options=self._options, interceptors=interceptors)

    def server(self) -> grpc.aio.Server:
        """A server that answers only calls with an accepted token."""
        with all_wakeups_taken():
            return grpc.aio.server(options=self._options, interceptors=[_DemandToken(self._accepted)])

    def listen(self, server: grpc.aio.Server, host: str, port: int) -> int:
        """Let `server` listen; gives the port.

        Raises:
            OSError: the port cannot be bound.
        """
        where = host_port(host, port)
        try:
            if self._tls is None:
                return server.add_insecure_port(where)
            ca, key, chain = self._tls
            credentials = grpc.ssl_server_credentials([(key, chain)], root_certificates=ca, require_client_auth=True)
            return server.add_secure_port(where, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {where}: {error}") from error


def _with_token(details: grpc.aio.ClientCallDetails, token: str) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    metadata.add(TOKEN_HEADER, token)
    return grpc.aio.ClientCallDetails(
        method=details.method,
        timeout=details.timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


if TYPE_CHECKING:  # generic only for the type checker
    _UnaryInterceptor = grpc.aio.UnaryUnaryClientInterceptor[Any, Any]
    _AnswersInterceptor = grpc.aio.UnaryStreamClientInterceptor[Any, Any]
    _StreamInterceptor = grpc.aio.StreamStreamClientInterceptor[Any, Any]
    _ServerInterceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    _UnaryInterceptor = grpc.aio.UnaryUnaryClientInterceptor
    _AnswersInterceptor = grpc.aio.UnaryStreamClientInterceptor
    _StreamInterceptor = grpc.aio.StreamStreamClientInterceptor
    _ServerInterceptor = grpc.aio.ServerInterceptor


class _ShowTokenUnary(_UnaryInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        details = _with_token(client_call_details, self._token)
        if (trace := telemetry.current()) is not None and details.metadata is not None:
            details.metadata.add(telemetry.HEADER, str(trace))
        return await continuation(details, request)


class _ShowTokenAnswers(_AnswersInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_token(client_call_details, self._token), request)


class _ShowTokenStream(_StreamInterceptor):
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        return await continuation(_with_token(client_call_details, self._token), request_iterator)


class _DemandToken(_ServerInterceptor):
    def __init__(self, accepted: tuple[str, ...]) -> None:
        self._accepted = accepted

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        shown = str(dict(handler_call_details.invocation_metadata or ()).get(TOKEN_HEADER, ""))
        handler = await continuation(handler_call_details)
        if handler is None or any(hmac.compare_digest(shown.encode(), token.encode()) for token in self._accepted):
            return handler
        return _refusal(handler)


def _refusal(handler: _Handler) -> _Handler:
    """A handler that takes the same requests and refuses; whether it would have answered with a stream makes no difference."""

    async def refuse(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid cluster token")

    async def refuse_stream(_requests: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid cluster token")
        yield  # what makes it a generator

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse_stream, handler.request_deserializer, handler.response_serializer)
    return grpc.unary_unary_rpc_method_handler(refuse, handler.request_deserializer, handler.response_serializer)
