"""How to reach Redis, and the client of it that the stores of a scheduler have each one of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from lalmesh.errors import Unavailable
from services.scheduler.reached import Reached
from services.scheduler.redis_library import NoBackoff, Redis, RedisError, Retry

MAX_CONNECTIONS = 64  #: calls of one scheduler that are under way together; the next counts as failed


@dataclass(slots=True, frozen=True, kw_only=True)
class RedisSettings:
    """Where Redis is, and who we are to it."""

    host: str
    port: int = 6379
    database: int = 0
    username: str = ""  #: empty: the default user
    password: str = field(default="", repr=False)  #: empty: no login
    tls: bool = False
    ca_file: str = ""  #: PEM, who may vouch for the server; empty: the system's authorities
    cert_file: str = ""  #: PEM, our certificate where the server wants one
    key_file: str = ""  #: PEM, the key of `cert_file`
    timeout_s: float = 1.0  #: deadline of every call
    prefix: str = "lalmesh:"  #: stands before every key; two clusters may share a Redis

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.host:
            raise ValueError("redis: no host")
        if not self.prefix:
            raise ValueError("redis: empty key prefix")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("redis: cert_file and key_file go together")


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


@asynccontextmanager
async def answering(reached: Reached, timeout_s: float, unavailable: Callable[[str], Unavailable]) -> AsyncIterator[None]:
    """Give what runs inside a deadline of `timeout_s`, and tell `reached` what becomes of it.

    Raises:
        Unavailable: what `unavailable` makes of the reason, where Redis did not answer, or not carry it out.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
            reached.answered()
    except (RedisError, OSError, TimeoutError) as exc:
        reached.failed()
        raise unavailable(f"redis: {exc or type(exc).__name__}") from exc
