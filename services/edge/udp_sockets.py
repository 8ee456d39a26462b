"""UDP sockets for media: bound in pairs, read in batches, written to with segmentation offload (DESIGN.md section 4).

A socket that serves one client alone is connected to it, once it is known that the client stays where it is and many are sent the
same. The kernel then looks up the way once, not for each run, and takes a run for all of these in one call (`kernel_writes`).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter, call
from typing import Final, TypeAlias

from lalmesh.protocol.rtp import MAX_PACKET_BYTES, Run
from services.edge.direct import MANY_SOCKETS
from services.edge.kernel_writes import MAX_BLOCK_BYTES, WriteRequests, kernel_writes

log = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES: Final = 1 << 16
MAX_READS: Final = 128  #: datagrams taken in one turn of the loop: 0.5 s of a 2.6 Mbit/s stream, then others have their turn
MAX_LAST_READS: Final = 4096  #: of a socket that is about to be closed: as many as its buffer holds; others wait for some 20 ms
RECEIVE_BUFFER_BYTES: Final = 2 << 20  #: a turn of a busy loop, of the fastest publisher; the kernel gives what it allows
SEND_BUFFER_BYTES: Final = 2 << 20  #: the picture of a random access point to each player of a shared pair
MAX_TRIES: Final = 32  #: at two ports beside each other that nobody has

_UDP_SEGMENT: Final = 103  # linux/udp.h; Python 3.11 does not name it
_SEGMENT_SIZE = struct.Struct("=H")
#: The kernel has no segmentation offload.
_NO_OFFLOAD: Final = frozenset((errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.ENOSYS))
#: This run cannot go that way: a packet is larger than the way takes whole, so that each has to be cut on its own; EIO: the way has
#: IPsec, or a device without checksum offload.
_NOT_THIS_RUN: Final = frozenset((errno.EIO, errno.EINVAL, errno.EMSGSIZE))

Address: TypeAlias = tuple[str, int]
Sockets: TypeAlias = tuple[socket.socket, socket.socket]  #: of RTP, of RTCP

_SENDTO, _SENDMSG, _TARGET = attrgetter("sock.sendto"), attrgetter("sock.sendmsg"), attrgetter("target")  # of a `Route`
_read_buffer = memoryview(bytearray(MAX_DATAGRAM_BYTES))  # used up before the next read: there is one thread and no await


@dataclass(slots=True)
class UdpCounters:
    """What happened to datagrams. Only rises."""

    strangers: int = 0  #: came from nobody that was known there
    unsent: int = 0  #: the kernel did not take them: its buffer was full, or there was no way
    sends: int = 0  #: runs and packets, for each client that they went to


def bind_pair(address: str, port: int) -> Sockets:
    """Sockets of `port` and the next one at an address of ours; for 0, of any even port and the next one.

    Raises:
        OSError: they are in use.
    """
    if port:
        return _bind_both(address, port)
    for _ in range(MAX_TRIES):
        with _bind(address, 0) as probe:
            even: int = probe.getsockname()[1] & ~1
        try:
            return _bind_both(address, even)
        except OSError:
            continue
    raise OSError(errno.EADDRINUSE, "no two UDP ports beside each other are free")


def _bind_both(address: str, port: int) -> Sockets:
    rtp = _bind(address, port)
    try:
        return rtp, _bind(address, port + 1)
    except OSError:
        rtp.close()
        raise


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def read_batch(sock: socket.socket, most: int) -> Iterator[tuple[bytes, Address]]:
    """What waits in a socket, up to `most` datagrams, each with where it came from."""
    for _ in range(most):
        try:
            size, source = sock.recvfrom_into(_read_buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:  # an ICMP message about what we sent
            log.debug("UDP read: %s", error)
            continue
        yield bytes(_read_buffer[:size]), (source[0], source[1])


@dataclass(slots=True)
class Route:
    """From a socket of ours to a client."""

    sock: socket.socket
    target: Address  #: changes where it turns out that the client is elsewhere
    is_final: bool = False  #: the client has been heard there, where it said that it is, and the socket serves nobody else
    is_settled: bool = False  #: the socket is connected, and cuts what is longer than `MAX_PACKET_BYTES` unasked

    def settle(self) -> None:
        """Connect the socket, if the client stays."""
        if self.is_settled or not self.is_final:
            return
        try:
            self.sock.connect(self.target)
            self.sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, MAX_PACKET_BYTES)
        except OSError as error:  # an address that does not name its network, or a kernel that does not cut
            log.debug("UDP goes to %s by a call for each run: %s", self.target, error)
            self.is_final = False
        else:
            self.is_settled = True

    def unsettle(self) -> None:
        """Something does not go that way: have it sent as before, for good."""
        self.is_final = self.is_settled = False
        with contextlib.suppress(OSError):  # it is closed
            self.sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)


class Routes:
    """Routes that the same goes out on, again and again."""

    __slots__ = ("_closed", "_every", "_requests", "plain", "settled")

    def __init__(self, routes: Sequence[Route]) -> None:
        """Settle none yet."""
        self._every = routes
        self._closed: int | None = None  # how many sockets were when these were told apart; None: they have to be
        self.plain: Sequence[Route] = routes  #: each has a call of its own
        self.settled: Sequence[Route] = ()  #: one call serves all
        self._requests: WriteRequests | None = None

    def prepare(self, closed: int) -> None:
        """Tell apart which are settled, those that can be if all are many; again, if another number of sockets has been `closed`.

        A descriptor whose socket is closed may soon be another's.
        """
        if self._closed == closed:
            return
        self._closed = closed
        writes = kernel_writes()
        if writes is not None and len(self._every) >= MANY_SOCKETS:
            for route in self._every:
                route.settle()
        self.plain = [route for route in self._every if not route.is_settled]
        self.settled = [route for route in self._every if route.is_settled]  # where others have gone, they may be few
        self._requests = None
        if writes is not None and self.settled:
            self._requests = WriteRequests(writes, [route.sock.fileno() for route in self.settled])

    def unsettle(self, routes: Iterable[Route]) -> None:
        """Something does not go out on these of them."""
        for route in routes:
            route.unsettle()
        self._closed = None

    def send_together(self, run: Run) -> list[Route] | None:
        """Send a run on all that are settled; those that did not take it. None: on none, as it is not to be cut as these do it."""
        size, segment = len(run.data), run.segment_bytes
        is_cut_so = segment == MAX_PACKET_BYTES or size <= segment < MAX_PACKET_BYTES
        if self._requests is None or not is_cut_so or size > MAX_BLOCK_BYTES:
            return None
        return [self.settled[place] for place, _ in self._requests.write(run.data, 0)]


class UdpSender:
    """Sends runs of packets: where the kernel cuts them in one system call a client, or for all; else packet by packet."""

    def __init__(self, counters: UdpCounters, *, offload: bool = True) -> None:
        """Count in `counters`; without `offload` the kernel is not asked to cut."""
        self._counters = counters
        self.offload = offload  #: until the kernel refuses
        self.closed = 0  #: sockets that `Routes` may have been of

    def send(self, runs: Iterable[Run], routes: Routes) -> None:
        """Send packets on each route; what the kernel does not take now is lost, as on the way."""
        for run in runs:
            routes.prepare(self.closed)
            self._send_apart(run, routes.plain)
            if routes.settled:
                self._send_settled(run, routes)

    def send_packet(self, packet: bytes, route: Route) -> None:
        """Send a packet on one route, as `send` does."""
        self._send_packet(packet, (route,))

    def _send_apart(self, run: Run, routes: Sequence[Route]) -> None:
        """Send a run on each of some routes that are not settled."""
        if len(run.data) <= run.segment_bytes:
            self._send_packet(run.data, routes)
        elif refused := self._send_run(run, routes) if self.offload else routes:
            self._send_each(run, refused)

    def _send_settled(self, run: Run, routes: Routes) -> None:
        refused = routes.send_together(run)
        if refused is None:
            refused = self._send_run(run, routes.settled)
        else:
            self._counters.sends += len(routes.settled)
        if refused:
            routes.unsettle(refused)
            self._send_apart(run, refused)

    def _send_run(self, run: Run, routes: Sequence[Route]) -> list[Route]:
        """Let the kernel cut; the routes on which it does not."""
        segment = ((socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(run.segment_bytes)),)
        sends = map(call, map(_SENDMSG, routes), repeat((run.data,)), repeat(segment), repeat(0), map(_TARGET, routes))
        self._counters.sends += len(routes)
        refused = []
        for place, error in _failed(sends):
            if error.errno in _NO_OFFLOAD and self.offload:
                self.offload = False
                log.info("UDP goes out packet by packet: the kernel refuses segmentation offload: %s", error)
            if error.errno in _NO_OFFLOAD or error.errno in _NOT_THIS_RUN:
                refused.append(routes[place])
            else:
                self._counters.unsent += -(-len(run.data) // run.segment_bytes)
        return refused

    def _send_each(self, run: Run, routes: Sequence[Route]) -> None:
        data, size = memoryview(run.data), run.segment_bytes
        for at in range(0, len(data), size):
            self._send_packet(data[at : at + size], routes)

    def _send_packet(self, packet: bytes | memoryview, routes: Sequence[Route]) -> None:
        self._counters.sends += len(routes)
        self._counters.unsent += len(_failed(map(call, map(_SENDTO, routes), repeat(packet), map(_TARGET, routes))))


def _failed(sends: Iterator[int]) -> list[tuple[int, OSError]]:
    """Carry out `sends`: those that fail, by their place.

    All run in one call, which stops at the first that fails and goes on behind it: nothing of ours runs between two sends, whose
    caches the kernel has used up by then.
    """
    sent: list[int] = []
    failed: list[tuple[int, OSError]] = []
    while True:
        try:
            sent.extend(sends)
        except OSError as error:
            failed.append((len(sent), error))
            sent.append(0)
        else:
            return failed
