"""UDP ports for RTP and RTCP: a pair for each track of a client, or one pair that all share.

Of a pair, RTP has the even port and RTCP the next one (RFC 3550 §11). It is bound to the address of ours that the client connected
to: from another its firewall, or a socket that it connected, would let nothing in.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Protocol

from lalmesh.protocol.rtsp import Pair
from services.edge.rtp_pairs import OwnPair, Received, SharedPair
from services.edge.udp_sockets import MAX_READS, Route, Sockets, UdpCounters, UdpSender, bind_pair


@dataclass(slots=True, frozen=True, kw_only=True)
class UdpSettings:
    """Which ports there are."""

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

    def read(self, most: int = MAX_READS) -> None:
        """Take in now what has come and waits, `most` datagrams of it."""
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
        self._shared: dict[str, SharedPair] = {}  # by address of ours
        self._taken: set[int] = set()  # ports of RTP out of the range

    def __len__(self) -> int:
        """How many tracks use them."""
        return len(self._taken) + sum(map(len, self._shared.values()))

    def open(self, local: str, address: str, client_ports: Pair, number: int, received: Received) -> RtpPair:
        """A way between us and a client, for one track.

        Args:
            local: the address of ours that the client connected to.
            address: that of the client's connection.
            client_ports: of RTP and RTCP, as the client named them.
            number: of the track, which `received` is told.
            received: gets what the client sends, as much of it at once as there is. On the shared pair, where it is the same for
                all tracks of a client, it gets all of theirs in the order in which it came.

        Raises:
            OSError: no pair is free; on the shared pair, those ports of that client are in use.
        """
        if self._settings.shared_port is not None:
            return self._shared_pair(local, self._settings.shared_port).add(address, client_ports, number, received)
        pair = OwnPair(self, self._bind_next(local), address, client_ports, number, received)
        self._taken.add(pair.ports[0])
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
        self.sender.closed += len(sockets)
        for sock in sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()

    def given_back(self, port: int) -> None:
        """A track's own pair is closed, whose first port this is."""
        self._taken.discard(port)

    def _shared_pair(self, local: str, port: int) -> SharedPair:
        shared = self._shared.get(local)
        if shared is None:
            shared = self._shared[local] = SharedPair(self, bind_pair(local, port))
        return shared

    def _bind_next(self, local: str) -> Sockets:
        """The next pair of the range that is free: one that was given back rests as long as it can."""
        for port in self._candidates():
            try:
                sockets = bind_pair(local, port)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise  # no descriptor is left, say: the other pairs will not do either
                continue
            self._next = port + 2
            return sockets
        raise OSError(errno.EADDRINUSE, f"no UDP ports are free in {self._settings.first_port}-{self._settings.last_port}")

    def _candidates(self) -> Iterator[int]:
        """Those that we do not have: to ask the kernel for each, where all are taken, would hold up everybody."""
        first, last = self._settings.first_port, self._settings.last_port
        for port in chain(range(self._next, last, 2), range(first, min(self._next, last), 2)):
            if port not in self._taken:
                yield port
