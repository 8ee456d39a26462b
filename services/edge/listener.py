"""What every public listener does: count connections, overall and by address, and close the ones that never begin or fall silent.

One sweep a second a listener; no timer a connection, no work a read but noting the time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from services.edge.metrics import EdgeMetrics

log = logging.getLogger(__name__)

SWEEP_S = 1.0
LISTEN_BACKLOG = 4096  #: connections that wait to be accepted: a burst of a thousand players in a second


@dataclass(slots=True, frozen=True, kw_only=True)
class ListenerLimits:
    """What one listener grants to the outside."""

    connections: int = 20_000
    connections_per_address: int = 0  #: 0 no limit
    handshake_timeout_s: float = 10.0
    idle_timeout_s: float = 120.0


class Connection:
    """One connection of a listener, as its sweep sees it. Terminators derive from it or hold one."""

    __slots__ = ("address", "begun", "expire", "last_read", "opened_at", "watch_idle")

    def __init__(self, address: str, now: float, expire: Callable[[str], None]) -> None:
        """A connection from `address`; `expire` closes it with a reason."""
        self.address = address
        self.opened_at = now
        self.last_read = now
        self.begun = False  # what it came for has been understood: no handshake deadline any more
        self.watch_idle = False  # whether silence of the peer ends it
        self.expire = expire


class Admission:
    """Counts the connections of one listener and sweeps them."""

    def __init__(self, name: str, limits: ListenerLimits, metrics: EdgeMetrics) -> None:
        """For the listener `name`."""
        self.name = name
        self._limits = limits
        self._metrics = metrics
        self._connections: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def admit(self, address: str, expire: Callable[[str], None]) -> tuple[Connection, str]:
        """Count a new connection. Gives it with a reason to refuse it, empty where there is none."""
        limits = self._limits
        reason = ""
        if len(self._connections) >= limits.connections:
            reason = f"{limits.connections} connections"
        elif limits.connections_per_address and self._by_address[address] >= limits.connections_per_address:
            reason = f"{limits.connections_per_address} connections of one address"
        if reason:
            self._metrics.connections_refused.labels(self.name, "limit").inc()
        connection = Connection(address, self._loop.time(), expire)
        self._connections.add(connection)
        self._empty.clear()
        self._by_address[address] += 1
        return connection, reason

    def leave(self, connection: Connection) -> None:
        """The connection has ended; a second call does nothing."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]
            if not self._connections:
                self._empty.set()

    async def emptied(self) -> None:
        """Wait until there is no connection."""
        await self._empty.wait()

    def sweep(self) -> None:
        """Close what never began and what fell silent."""
        now, limits = self._loop.time(), self._limits
        for connection in list(self._connections):
            if not connection.begun and now - connection.opened_at > limits.handshake_timeout_s:
                self._metrics.connections_refused.labels(self.name, "handshake timeout").inc()
                connection.expire(f"no request within {limits.handshake_timeout_s:g} s")
            elif connection.watch_idle and now - connection.last_read > limits.idle_timeout_s:
                connection.expire(f"silent for {limits.idle_timeout_s:g} s")

    def expire_all(self, reason: str) -> None:
        """Close every connection."""
        for connection in list(self._connections):
            connection.expire(reason)


def peer_of(transport: asyncio.BaseTransport) -> tuple[str, str]:
    """The peer's address, and address:port for logs."""
    peer = transport.get_extra_info("peername")
    if isinstance(peer, tuple) and len(peer) >= 2:
        host = str(peer[0])
        return host, f"[{host}]:{peer[1]}" if ":" in host else f"{host}:{peer[1]}"
    return "", "?"


def socket_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """The transport of a stream socket as what it is; those of uvloop do not derive from asyncio's."""
    return cast(asyncio.Transport, transport)


def stop_reading(transport: asyncio.Transport | None) -> None:
    """Read no more for now; nothing where the transport is gone."""
    if transport is not None and not transport.is_closing() and transport.is_reading():
        transport.pause_reading()


def go_on_reading(transport: asyncio.Transport | None) -> None:
    """Read again; nothing where the transport is gone or is being read."""
    if transport is not None and not transport.is_closing() and not transport.is_reading():
        transport.resume_reading()


def limit_send_buffer(transport: asyncio.BaseTransport, size_bytes: int) -> None:
    """Let the kernel hide no more than `size_bytes` of what waits for a player."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)


async def listen(
    factory: Callable[[], asyncio.BaseProtocol], host: str, port: int, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.AbstractServer, int]:
    """Listen on `host` and `port` (0: a free one). Gives the server and the port.

    Raises:
        OSError: the port cannot be bound.
    """
    server = await asyncio.get_running_loop().create_server(factory, host, port, ssl=tls, backlog=LISTEN_BACKLOG)
    return server, int(server.sockets[0].getsockname()[1])
