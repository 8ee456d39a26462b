"""UDP ports for RTP and RTCP: a pair for each track of a client, or one pair that all share.

Of a pair, RTP has the even port and RTCP the next one (RFC 3550 §11). Only datagrams from the address of the client's connection
are taken. On a pair of its own, what we send goes to where datagrams came from last, so that a client behind NAT is reached once
it has sent one; on the shared pair a client is known by the ports that it named, and one whose ports NAT changes has to use TCP.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from lalmesh.protocol.rtp import Run
from lalmesh.protocol.rtsp import Pair
from services.edge.udp_sockets import Address, Route, Sockets, UdpCounters, UdpSender, bind_pair, read_batch

Received: TypeAlias = Callable[[bool, list[bytes]], None]  #: whether they are RTCP, and the datagrams


@dataclass(slots=True, frozen=True, kw_only=True)
class UdpSettings:
    """Which ports there are."""

    host: str = "0.0.0.0"
    first_port: int = 20_000  #: even
    last_port: int = 20_999  #: odd; each pair of the range serves one track of one client
    shared_port: int | None = None  #: even, 0 a free one: this pair serves all; None: each track has its own out of the range


class RtpPair(Protocol):
    """The way of one track."""

    @property
    def ports(self) -> Pair:
        """Ours: of RTP, of RTCP."""
        ...

    @property
    def route(self) -> Route:
        """That of RTP to the client, until this is closed; send on many at once by `RtpPorts.sender`."""
        ...

    def send_rtcp(self, packet: bytes) -> None:
        """Send an RTCP packet to the client."""
        ...

    def read(self) -> None:
        """Take in now what has come and waits."""
        ...

    def close(self) -> None:
        """Give the ports back; a second call does nothing."""
        ...


class RtpPorts:
    """The UDP ports of an edge."""

    def __init__(self, settings: UdpSettings) -> None:
        """Open nothing yet."""
        self.counters = UdpCounters()
        self.sender = UdpSender(self.counters)
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._next = settings.first_port
        self._shared: dict[socket.AddressFamily, _SharedPair] = {}
        self._open = 0

    def __len__(self) -> int:
        """How many tracks use them."""
        return self._open + sum(map(len, self._shared.values()))

    def open(self, address: str, client_ports: Pair, received: Received) -> RtpPair:
        """A way between us and a client.

        Args:
            address: that of the client's connection.
            client_ports: of RTP and RTCP, as the client named them.
            received: gets what the client sends, as much of it at once as there is.

        Raises:
            OSError: no pair is free; on the shared pair, those ports of that client are in use.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if self._settings.shared_port is not None:
            return self._shared_pair(family, self._settings.shared_port).add(address, client_ports, received)
        pair = _OwnPair(self, self._bind_next(family), address, client_ports, received)
        self._open += 1
        return pair

    def close(self) -> None:
        """Close the shared pair; the others end with their clients."""
        for shared in self._shared.values():
            shared.close()
        self._shared.clear()

    def read_from(self, sockets: Sockets, read: Callable[[bool], None]) -> None:
        """Call `read` whenever there is something to read, with whether it is RTCP."""
        for is_rtcp in (False, True):
            self._loop.add_reader(sockets[is_rtcp].fileno(), partial(read, is_rtcp))

    def release(self, sockets: Sockets) -> None:
        """Read no more, and close."""
        for sock in sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()

    def given_back(self) -> None:
        """A track's own pair is closed."""
        self._open -= 1

    def _shared_pair(self, family: socket.AddressFamily, port: int) -> _SharedPair:
        shared = self._shared.get(family)
        if shared is None:
            shared = self._shared[family] = _SharedPair(self, bind_pair(self._host(family), port, family))
        return shared

    def _bind_next(self, family: socket.AddressFamily) -> Sockets:
        """The next pair of the range that is free: one that was given back rests as long as it can."""
        host = self._host(family)
        for port in self._candidates():
            try:
                sockets = bind_pair(host, port, family)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise  # no descriptor is left, say: the other pairs will not do either
                continue
            self._next = port + 2
            return sockets
        raise OSError(errno.EADDRINUSE, f"no UDP ports are free in {self._settings.first_port}-{self._settings.last_port}")

    def _candidates(self) -> Iterator[int]:
        first, last = self._settings.first_port, self._settings.last_port
        yield from range(self._next, last, 2)
        yield from range(first, min(self._next, last), 2)

    def _host(self, family: socket.AddressFamily) -> str:
        """Where to bind for clients of a family: the listener's address, or any where that is a name or of another family."""
        try:
            socket.inet_pton(family, self._settings.host)
        except OSError:
            return "::" if family == socket.AF_INET6 else "0.0.0.0"
        return self._settings.host


def _ports_of(sockets: Sockets) -> Pair:
    rtp, rtcp = sockets
    return rtp.getsockname()[1], rtcp.getsockname()[1]


class _OwnPair:
    """Two sockets for one track of one client."""

    def __init__(self, owner: RtpPorts, sockets: Sockets, address: str, client_ports: Pair, received: Received) -> None:
        self.ports = _ports_of(sockets)
        self._owner = owner
        self._sockets: Sockets | None = sockets
        self._address = address
        self._routes = tuple(Route(sock, (address, port)) for sock, port in zip(sockets, client_ports, strict=True))
        self._received = received
        owner.read_from(sockets, self._read)

    @property
    def route(self) -> Route:
        """See `RtpPair`."""
        return self._routes[0]

    def send_rtcp(self, packet: bytes) -> None:
        """See `RtpPair`."""
        if self._sockets is not None:
            self._owner.sender.send((Run(packet, len(packet)),), self._routes[1:])

    def read(self) -> None:
        """See `RtpPair`."""
        self._read(is_rtcp=False)

    def close(self) -> None:
        """See `RtpPair`."""
        if self._sockets is not None:
            self._owner.release(self._sockets)
            self._owner.given_back()
            self._sockets = None

    def _read(self, is_rtcp: bool) -> None:
        """Reports first: who reports before the first packet of a track, as ffmpeg does, is understood from that packet on."""
        if not is_rtcp:
            self._read(is_rtcp=True)
        if self._sockets is None:
            return
        datagrams: list[bytes] = []
        for datagram, source in read_batch(self._sockets[is_rtcp]):
            if source[0] == self._address:
                self._routes[is_rtcp].target = source
                datagrams.append(datagram)
            else:
                self._owner.counters.strangers += 1
        if datagrams:
            self._received(is_rtcp, datagrams)


class _SharedPair:
    """Two sockets for everybody; where a datagram came from tells whose it is."""

    def __init__(self, owner: RtpPorts, sockets: Sockets) -> None:
        self.ports = _ports_of(sockets)
        self.sockets = sockets
        self.owner = owner
        self._routes: tuple[dict[Address, Received], dict[Address, Received]] = ({}, {})
        self._is_giving = False
        owner.read_from(sockets, self._read)

    def __len__(self) -> int:
        return len(self._routes[0])

    def add(self, address: str, client_ports: Pair, received: Received) -> _SharedWay:
        """Know a client by its ports.

        Raises:
            OSError: another has them.
        """
        rtp, rtcp = (address, client_ports[0]), (address, client_ports[1])
        if rtp in self._routes[0] or rtcp in self._routes[1]:
            raise OSError(errno.EADDRINUSE, f"UDP ports {client_ports[0]}-{client_ports[1]} of {address} are in use here")
        self._routes[0][rtp] = self._routes[1][rtcp] = received
        return _SharedWay(self, (rtp, rtcp))

    def read(self) -> None:
        """Take in now what waits, whosever it is; not while older datagrams are given, which it would overtake."""
        if not self._is_giving:
            self._read(is_rtcp=False)

    def remove(self, targets: tuple[Address, Address]) -> None:
        """Forget a client."""
        for target, routes in zip(targets, self._routes, strict=True):
            routes.pop(target, None)

    def close(self) -> None:
        """Close the sockets."""
        self.owner.release(self.sockets)

    def _read(self, is_rtcp: bool) -> None:
        """Reports first, as from a track's own pair."""
        if not is_rtcp:
            self._read(is_rtcp=True)
        routes, batches = self._routes[is_rtcp], dict[Address, list[bytes]]()
        for datagram, source in read_batch(self.sockets[is_rtcp]):
            if source in routes:
                batches.setdefault(source, []).append(datagram)
            else:
                self.owner.counters.strangers += 1
        self._is_giving = True
        try:
            for source, datagrams in batches.items():
                if (received := routes.get(source)) is not None:  # what another one led to may have ended it
                    received(is_rtcp, datagrams)
        finally:
            self._is_giving = False


class _SharedWay:
    """One client's use of the shared pair."""

    def __init__(self, shared: _SharedPair, targets: tuple[Address, Address]) -> None:
        self.ports = shared.ports
        self.route = Route(shared.sockets[0], targets[0])
        self._rtcp_route = Route(shared.sockets[1], targets[1])
        self._shared = shared
        self._targets = targets
        self._is_closed = False

    def send_rtcp(self, packet: bytes) -> None:
        """See `RtpPair`."""
        if not self._is_closed:
            self._shared.owner.sender.send((Run(packet, len(packet)),), (self._rtcp_route,))

    def read(self) -> None:
        """See `RtpPair`."""
        self._shared.read()

    def close(self) -> None:
        """See `RtpPair`."""
        if not self._is_closed:
            self._is_closed = True
            self._shared.remove(self._targets)
