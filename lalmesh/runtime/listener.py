"""What every public listener does: count connections, overall and by address, and close the ones that never begin or fall silent.

One sweep a second a listener; no timer a connection, no work a read but noting the time.

A connection over a limit is refused in the words of its protocol, for which it has to go on for a while; only so many of those are
kept, and the rest are dropped at once. So a listener never has more than `ListenerLimits.connections` and `REFUSALS_KEPT` of them.

Under TLS a connection gets here after its handshake. One that has not got so far is bounded by whoever took it (`acceptor`), and
gets no handshake where it would be refused for its address (`turns_away`).

A connection of a trusted proxy is not one of an address: whoever it speaks for is, for as long as it does (`speaks_for`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

import prometheus_client
from prometheus_client import CollectorRegistry

from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.each_alone import for_each_alone
from lalmesh.runtime.forwarded import NOBODY, Remote, TrustedProxies
from lalmesh.runtime.rate_limit import RateLimit
from lalmesh.runtime.zeroed import begin_at_zero

log = logging.getLogger(__name__)

SWEEP_S = 1.0
BLACKLISTED = "the address is on the blacklist"
NOT_CLOSED = "connection could not be closed"
REFUSALS_KEPT = 64  #: connections over a limit that are still told so: a goodbye takes a round trip or two
BLACKLIST, LIMIT, RATE, TIMEOUT = "blacklist", "limit", "rate", "handshake timeout"
ADDRESS_LIMIT, HANDSHAKE, PROXY_HEADER = "address limit", "handshake", "proxy header"
#: what metrics count connections by that did not come in: a full listener is another matter than an address that has its share
REFUSALS = (BLACKLIST, LIMIT, ADDRESS_LIMIT, RATE, TIMEOUT, HANDSHAKE, PROXY_HEADER)
HANDSHAKE_TIMEOUT_S = 10.0
BURST_S = 5.0  #: how much of its rate an address may use up at once: a page opens a few connections together


@dataclass(slots=True, frozen=True, kw_only=True)
class ListenerLimits:
    """What one listener grants to the outside."""

    connections: int = 20_000
    connections_per_address: int = 0  #: 0 no limit
    handshakes_per_s: float = 0.0  #: new connections of one address; 0 no limit
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S  #: of TLS, and then from there to a request
    idle_timeout_s: float = 120.0
    proxies: TrustedProxies = field(default_factory=TrustedProxies)  #: whose word is taken for whom they speak for


class ListenerMetrics:
    """What the listeners of a node count."""

    def __init__(self, role: str, registry: CollectorRegistry) -> None:
        """Register with `registry`, under names that begin with `role`."""
        self.role = role
        self.protocol_errors = prometheus_client.Counter(
            f"{role}_protocol_errors", "Connections closed because the peer broke the protocol.", ("protocol",), registry=registry
        )
        self.connections_refused = prometheus_client.Counter(
            f"{role}_connections_refused",
            "Connections over a limit or too slow to begin.",
            ("listener", "reason"),
            registry=registry,
        )


class Connection:
    """One connection of a listener, as its sweep sees it. Terminators derive from it or hold one."""

    __slots__ = ("address", "begun", "counted", "expire", "is_blocked", "last_read", "opened_at", "refused", "watch_idle")

    def __init__(self, address: str, now: float, expire: Callable[[str], None], *, refused: bool) -> None:
        """A connection from `address`; `expire` closes it with a reason; one that is `refused` stays only to be told so."""
        self.address = address
        self.counted = ""  # the address that it is one of
        self.refused = refused
        self.is_blocked = False  # refused for its address
        self.opened_at = now
        self.last_read = now
        self.begun = False  # what it came for has been understood: no handshake deadline any more
        self.watch_idle = False  # whether silence of the peer ends it
        self.expire = expire


class Admission:
    """Counts the connections of one listener and sweeps them."""

    def __init__(self, name: str, limits: ListenerLimits, metrics: ListenerMetrics, *, is_secure: bool = False) -> None:
        """For the listener `name`; where it `is_secure`, how often somebody comes was asked by `turns_away`."""
        #: addresses that nobody may come from
        self.blocks: Callable[[str], bool] = lambda _: False
        self.name = name
        self.limits = limits
        self._metrics = metrics
        begin_at_zero(metrics.connections_refused, [name], REFUSALS)
        self._asks_rate = not is_secure
        self._rate = RateLimit(limits.handshakes_per_s, _burst(limits), asyncio.get_running_loop().time)
        self._connections: set[Connection] = set()
        self._by_address: Counter[str] = Counter()  # without those that are refused
        self._refusals = 0  # of the connections
        self._dropped = 0  # since the last sweep
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()

    def apply(self, limits: ListenerLimits) -> None:
        """Grant these from now on; who is in stays in."""
        self.limits = limits
        self._rate.set(limits.handshakes_per_s, _burst(limits))

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def admit(self, address: str, expire: Callable[[str], None]) -> tuple[Connection, str]:
        """Count a new connection. Gives it with a reason to refuse it, empty where there is none.

        Where too many are being refused, `expire` is called soon: not from here, as whoever serves it is only being set up.
        """
        is_proxy = self.limits.proxies.trusts(address)
        is_blocked = not is_proxy and self.blocks(address)
        reason, label = (BLACKLISTED, BLACKLIST) if is_blocked else self._refusal("" if is_proxy else address)
        connection = Connection(address, self._loop.time(), expire, refused=bool(reason))
        connection.is_blocked = is_blocked
        if reason:
            self.count_refused(label)
            if self._refusals >= REFUSALS_KEPT:
                self._dropped += 1
                self._loop.call_soon(expire, reason)
                return connection, reason
            self._refusals += 1
        elif not is_proxy:
            self._count(connection, address)
        self._connections.add(connection)
        self._empty.clear()
        return connection, reason

    def turns_away(self, address: str, beginning: int) -> bool:
        """Whether nothing is begun with a connection from `address`, with `beginning` others of it on their way here; counts that.

        No more are on their way than the address may have, and none where it has all of those: so it never holds twice as many.
        Those on their way do not add up with those that are here, as one that just came may be among both for a moment. A trusted
        proxy is never turned away.
        """
        if self.limits.proxies.trusts(address):
            return False
        limit = self.limits.connections_per_address
        if self.blocks(address):
            label = BLACKLIST
        elif limit and max(beginning, self._by_address[address]) >= limit:
            label = ADDRESS_LIMIT
        elif not self._rate.take(address):
            label = RATE
        else:
            return False
        self.count_refused(label)
        return True

    def count_refused(self, label: str) -> None:
        """A connection was refused, or ended before it began."""
        self._metrics.connections_refused.labels(self.name, label).inc()

    def _refusal(self, address: str) -> tuple[str, str]:
        """Why a connection is refused, and what a metric calls that; of `address`, empty: of whom is not known yet."""
        limits = self.limits
        if len(self._connections) - self._refusals >= limits.connections:
            return f"{limits.connections} connections", LIMIT
        if address and (reason := self._too_many_of(address)):
            return reason, ADDRESS_LIMIT
        if address and self._asks_rate and not self._rate.take(address):
            return f"{limits.handshakes_per_s:g} connections a second of one address", RATE
        return "", ""

    def _too_many_of(self, address: str) -> str:
        limit = self.limits.connections_per_address
        return f"{limit} connections of one address" if limit and self._by_address[address] >= limit else ""

    def _count(self, connection: Connection, address: str) -> None:
        connection.counted = address
        self._by_address[address] += 1

    def speaks_for(self, connection: Connection, address: str) -> str:
        """A connection of a proxy is one of `address` from now on. Gives a reason to refuse that, empty where there is none."""
        self.falls_silent(connection, address)
        if reason := self._too_many_of(address):
            self.count_refused(ADDRESS_LIMIT)
        else:
            self._count(connection, address)
        return reason

    def falls_silent(self, connection: Connection, address: str) -> None:
        """The connection of the proxy at `address` speaks for nobody for now."""
        connection.address = address
        self._uncount_address(connection)

    def leave(self, connection: Connection) -> None:
        """The connection has ended; a second call does nothing."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._uncount(connection)
            if not self._connections:
                self._empty.set()

    def _uncount(self, connection: Connection) -> None:
        if connection.refused:
            self._refusals -= 1
        self._uncount_address(connection)

    def _uncount_address(self, connection: Connection) -> None:
        address, connection.counted = connection.counted, ""
        if address:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    async def emptied(self) -> None:
        """Wait until there is no connection."""
        await self._empty.wait()

    def sweep(self) -> None:
        """Close what never began and what fell silent."""
        now, limits, due = self._loop.time(), self.limits, list[tuple[Connection, str]]()
        if self._dropped:
            log.warning("dropped %d connections over the limit", self._dropped, extra={"listener": self.name})
            self._dropped = 0
        for connection in self._connections:
            if not connection.begun and now - connection.opened_at > limits.handshake_timeout_s:
                self.count_refused(TIMEOUT)
                due.append((connection, f"no request within {limits.handshake_timeout_s:g} s"))
            elif connection.watch_idle and now - connection.last_read > limits.idle_timeout_s:
                due.append((connection, f"silent for {limits.idle_timeout_s:g} s"))
        for_each_alone(due, lambda each: self._expire(*each), NOT_CLOSED)

    def _expire(self, connection: Connection, reason: str) -> None:
        log.info("connection closed: %s", reason, extra={"listener": self.name, "address": connection.address})
        connection.expire(reason)

    def expire_blocked(self) -> None:
        """Close every connection that would not be let in now for its address."""
        blocked = [
            connection
            for connection in self._connections
            if not connection.is_blocked and self.blocks(connection.address) and not self.limits.proxies.trusts(connection.address)
        ]
        for_each_alone(blocked, lambda connection: self._expire(connection, BLACKLISTED), NOT_CLOSED)

    def expire_all(self, reason: str) -> None:
        """Close every connection."""
        for_each_alone(self._connections, lambda connection: connection.expire(reason), NOT_CLOSED)


async def sweep_each_second(sweeps: Callable[[], Iterable[Callable[[], None]]]) -> None:
    """Call what `sweeps` gives once a second, without end: the one task that watches the deadlines of all listeners of a node.

    Where this process did not run for a while, it has a second to read what came meanwhile before it finds anybody silent.
    """
    loop, has_slept = asyncio.get_running_loop(), False
    while True:
        due = loop.time() + SWEEP_S
        await asyncio.sleep(SWEEP_S)
        has_slept = not has_slept and loop.time() - due > SWEEP_S
        if has_slept:
            continue
        for_each_alone(sweeps(), lambda sweep: sweep(), "sweep failed")  # the others have their deadlines too


def peer_of(transport: asyncio.BaseTransport) -> Remote:
    """Who is at the other end of a connection, as its socket says."""
    return remote_at(transport.get_extra_info("peername"))


def remote_at(name: object) -> Remote:
    """Who is at the socket address `name`."""
    if isinstance(name, tuple) and len(name) >= 2:
        host = str(name[0])
        return Remote(host, host_port(host, name[1]))
    return NOBODY


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
        given = size_bytes // 2 if sys.platform == "linux" else size_bytes  # Linux doubles it, for its own book-keeping
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, given)


def _burst(limits: ListenerLimits) -> float:
    return max(1.0, limits.handshakes_per_s * BURST_S)
