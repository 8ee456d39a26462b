"""The client of Redis that the stores of a scheduler share the settings of."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.scheduler.sessions import RedisSettings

MAX_CONNECTIONS = 64  #: calls of one scheduler that are under way together; the next counts as failed


def redis_client(settings: RedisSettings) -> Any:  # its stubs give every command two types, one of them not for asyncio
    """A client that connects at its first call, and whose calls are bounded by their callers.

    A connection that has gone stale is replaced once, and beyond that the deadline of the call is the bound: commands may wait in
    the server for longer than any one time-out of the socket.
    """
    return Redis(
        host=settings.host,
        port=settings.port,
        db=settings.database,
        username=settings.username or None,
        password=settings.password or None,
        ssl=settings.tls,
        ssl_ca_certs=settings.ca_file or None,
        ssl_certfile=settings.cert_file or None,
        ssl_keyfile=settings.key_file or None,
        socket_timeout=None,
        socket_connect_timeout=settings.timeout_s,
        max_connections=MAX_CONNECTIONS,
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
    )
