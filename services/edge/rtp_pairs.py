"""Pairs of UDP ports, and whose datagrams come to them: only those from the address of a client's connection are taken.

On a pair of its own a client is where its first datagram came from, or, once one came from there, at the port that it named: so it
is reached behind NAT when it has sent one, and nobody else there can have its media afterwards. What that first one holds is not
looked at, since players send anything to open their NAT. Where many play the same, the kernel then refuses all others. On the
shared pair a client is known by the ports that it named, and one whose ports NAT changes has to use TCP.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from lalmesh.protocol.rtsp import Pair
from services.edge.udp_sockets import MAX_READS, Address, Route, Sockets, read_batch

if TYPE_CHECKING:
    from services.edge.rtp_ports import RtpPorts

Numbered: TypeAlias = tuple[int, bytes]  #: the number of a track, a datagram of it
Received: TypeAlias = Callable[[bool, list[Numbered]], None]  #: whether they are RTCP, and what came
_Taker: TypeAlias = tuple[int, Received]  # the number of a track, who gets what comes of it


def _ports_of(sockets: Sockets) -> Pair:
    rtp, rtcp = sockets
    return rtp.getsockname()[1], rtcp.getsockname()[1]


class _Place:
    """Where a client is, on one of the two ways of its own pair."""

    def __init__(self, sock: socket.socket, named: Address) -> None:
        self.route = Route(sock, named)
        self._named = named
        self._heard: Address | None = None

    def is_from_client(self, source: Address) -> bool:
        """Whether a datagram is the client's; its first one tells where to send, and the port that it named is final."""
        if source != self._heard:
            if source[0] != self._named[0] or (self._heard is not None and source != self._named):
                return False
            self._heard = self.route.target = source
            self.route.is_final = source == self._named
        return True


class OwnPair:
    """Two sockets for one track of one client."""

    def __init__(
        self,
        owner: RtpPorts,
        sockets: Sockets,
        address: str,
        client_ports: Pair,
        number: int,
        received: Received,
    ) -> None:
        self.ports = _ports_of(sockets)
        self._owner = owner
        self._sockets: Sockets | None = sockets
        self._places = tuple(_Place(sock, (address, port)) for sock, port in zip(sockets, client_ports, strict=True))
        self._number = number
        self._received = received
        owner.read_from(sockets, self._read)

    @property
    def route(self) -> Route:
        """See `services.edge.rtp_ports.RtpPair`."""
        return self._places[0].route

    def send_rtcp(self, packet: bytes) -> None:
        """See `services.edge.rtp_ports.RtpPair`."""
        if self._sockets is not None:
            self._owner.sender.send_packet(packet, self._places[1].route)

    def read(self, most: int = MAX_READS) -> None:
        """See `services.edge.rtp_ports.RtpPair`."""
        self._read(is_rtcp=False, most=most)

    def close(self) -> None:
        """See `services.edge.rtp_ports.RtpPair`."""
        if self._sockets is not None:
            self._owner.release(self._sockets)
            self._owner.given_back(self.ports[0])
            self._sockets = None

    def _read(self, is_rtcp: bool, most: int = MAX_READS) -> None:
        """Reports first: who reports before the first packet of a track, as ffmpeg does, is understood from that packet on."""
        if not is_rtcp:
            self._read(is_rtcp=True, most=most)
        if self._sockets is None:
            return
        numbered: list[Numbered] = []
        for datagram, source in read_batch(self._sockets[is_rtcp], most):
            if self._places[is_rtcp].is_from_client(source):
                numbered.append((self._number, datagram))
            else:
                self._owner.counters.strangers += 1
        if numbered:
            self._received(is_rtcp, numbered)


class SharedPair:
    """Two sockets for everybody; where a datagram came from tells whose it is."""

    def __init__(self, owner: RtpPorts, sockets: Sockets) -> None:
        self.ports = _ports_of(sockets)
        self.sockets = sockets
        self.owner = owner
        self._routes: tuple[dict[Address, _Taker], dict[Address, _Taker]] = ({}, {})
        self._is_giving = False
        owner.read_from(sockets, self._read)

    def __len__(self) -> int:
        return len(self._routes[0])

    def add(self, address: str, client_ports: Pair, number: int, received: Received) -> _SharedWay:
        """Know a client by its ports.

        Raises:
            OSError: another has them.
        """
        rtp, rtcp = (address, client_ports[0]), (address, client_ports[1])
        if rtp in self._routes[0] or rtcp in self._routes[1]:
            raise OSError(errno.EADDRINUSE, f"UDP ports {client_ports[0]}-{client_ports[1]} of {address} are in use here")
        self._routes[0][rtp] = self._routes[1][rtcp] = (number, received)
        return _SharedWay(self, (rtp, rtcp))

    def read(self, most: int = MAX_READS) -> None:
        """Take in now what waits, whosever it is; not while older datagrams are given, which it would overtake."""
        if not self._is_giving:
            self._read(is_rtcp=False, most=most)

    def remove(self, targets: tuple[Address, Address]) -> None:
        """Forget a client."""
        for target, routes in zip(targets, self._routes, strict=True):
            routes.pop(target, None)

    def close(self) -> None:
        """Close the sockets."""
        self.owner.release(self.sockets)

    def _read(self, is_rtcp: bool, most: int = MAX_READS) -> None:
        """Reports first, as from a track's own pair."""
        if not is_rtcp:
            self._read(is_rtcp=True, most=most)
        routes, batches = self._routes[is_rtcp], dict[Received, list[tuple[Address, bytes]]]()
        for datagram, source in read_batch(self.sockets[is_rtcp], most):
            if (taker := routes.get(source)) is not None:
                batches.setdefault(taker[1], []).append((source, datagram))
            else:
                self.owner.counters.strangers += 1
        self._is_giving = True
        try:
            for received, batch in batches.items():
                # what another one led to may have ended it
                if numbered := [(routes[source][0], datagram) for source, datagram in batch if source in routes]:
                    received(is_rtcp, numbered)
        finally:
            self._is_giving = False


class _SharedWay:
    """One client's use of the shared pair."""

    def __init__(self, shared: SharedPair, targets: tuple[Address, Address]) -> None:
        self.ports = shared.ports
        self.route = Route(shared.sockets[0], targets[0])
        self._rtcp_route = Route(shared.sockets[1], targets[1])
        self._shared = shared
        self._targets = targets
        self._is_closed = False

    def send_rtcp(self, packet: bytes) -> None:
        """See `services.edge.rtp_ports.RtpPair`."""
        if not self._is_closed:
            self._shared.owner.sender.send_packet(packet, self._rtcp_route)

    def read(self, most: int = MAX_READS) -> None:
        """See `services.edge.rtp_ports.RtpPair`."""
        self._shared.read(most)

    def close(self) -> None:
        """See `services.edge.rtp_ports.RtpPair`."""
        if not self._is_closed:
            self._is_closed = True
            self._shared.remove(self._targets)
