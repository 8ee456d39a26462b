"""The connections to the members of an etcd cluster.

A channel per endpoint, not one channel over all: each keeps resolving its own host name and checks it against the member's
certificate. Calls stay with one member for as long as it serves; one that fails is left for the next that is connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from lalmesh.runtime.grpc_wakeups import all_wakeups_taken
from services.scheduler.registry._errors import unavailable
from services.scheduler.registry._settings import EtcdSettings

CONNECT_POLL_S = 0.02  #: how often a call that found no member connected looks again
MAX_RECEIVE_BYTES = 64 << 20  #: etcd sends a watcher that is behind up to 1,000 revisions at once, and may hold 1.5 MiB a key

CHANNEL_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also the time one attempt may take
    ("grpc.max_reconnect_backoff_ms", 1000),  # the default of two minutes would outlast every lease
    ("grpc.keepalive_time_ms", 10_000),  # etcd refuses clients that ping more often than every 5 s
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    ("grpc.enable_http_proxy", 0),  # the registry is a neighbour; a proxy in the environment is meant for others
)

Metadata = Sequence[tuple[str, str]]
ReplyT = TypeVar("ReplyT", bound=Message)
Requests = Iterator[Message] | AsyncIterator[Message]
Call: TypeAlias = "grpc.aio.StreamStreamCall[Message, ReplyT]"

_LEAVE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass(slots=True, frozen=True)
class Method(Generic[ReplyT]):
    """A method of etcd's API."""

    path: str
    reply: type[ReplyT]


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


def _open_channel(endpoint: str, settings: EtcdSettings) -> grpc.aio.Channel:
    target = "dns:///" + endpoint.removeprefix("http://").removeprefix("https://").rstrip("/")
    options = list(CHANNEL_OPTIONS)
    if not settings.uses_tls:
        return grpc.aio.insecure_channel(target, options=options)
    if settings.server_name:
        options.append(("grpc.ssl_target_name_override", settings.server_name))
    credentials = grpc.ssl_channel_credentials(_read(settings.ca_file), _read(settings.key_file), _read(settings.cert_file))
    return grpc.aio.secure_channel(target, credentials, options=options)


class Endpoints:
    """The members of the cluster. Build it on the event loop that uses it."""

    def __init__(self, settings: EtcdSettings) -> None:
        """Read the certificates and prepare the channels; nothing connects before the first call.

        Raises:
            OSError: a certificate file cannot be read.
        """
        with all_wakeups_taken():
            self._channels = [_open_channel(endpoint, settings) for endpoint in settings.endpoints]
        self._current = 0
        self.closed = False

    async def connected(self) -> grpc.aio.Channel:
        """A connected channel, the one that served last before any other; waits for one without end.

        Raises:
            RegistryUnavailable: the channels were closed.
        """
        while not self.closed:
            for channel in self._channels[self._current :] + self._channels[: self._current]:
                if channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
                    self._current = self._channels.index(channel)
                    return channel
            await asyncio.sleep(CONNECT_POLL_S)
        raise unavailable("etcd: client is closed")

    def leave(self, channel: grpc.aio.Channel) -> None:
        """Try another member first from now on: this one does not serve."""
        if channel is self._channels[self._current]:
            self._current = (self._current + 1) % len(self._channels)

    async def unary(self, method: Method[ReplyT], request: Message, metadata: Metadata, timeout_s: float) -> ReplyT:
        """One request, one reply.

        Raises:
            grpc.aio.AioRpcError: the member refuses, or does not answer within `timeout_s`.
        """
        channel = await self.connected()
        stub = channel.unary_unary(method.path, request_serializer=_serialize, response_deserializer=method.reply.FromString)
        try:
            reply: ReplyT = await stub(request, metadata=metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as exc:
            if exc.code() in _LEAVE:
                self.leave(channel)
            raise
        except asyncio.CancelledError:  # mostly a deadline of the caller's, run out
            self.leave(channel)
            raise
        return reply

    def stream(self, channel: grpc.aio.Channel, method: Method[ReplyT], requests: Requests, metadata: Metadata) -> Call[ReplyT]:
        """A two-way stream that the member ends when it loses sight of the cluster's leader."""
        stub = channel.stream_stream(method.path, request_serializer=_serialize, response_deserializer=method.reply.FromString)
        return stub(requests, metadata=(*metadata, ("hasleader", "true")))

    async def close(self) -> None:
        """Close the channels; calls under way are cancelled."""
        self.closed = True
        await asyncio.gather(*(channel.close(grace=None) for channel in self._channels))
