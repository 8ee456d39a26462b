"""Two UDP ports of an RTSP client for one track: RTP on the even one, RTCP on the next (RFC 3550 §11)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, TypeAlias

from lalmesh.client._errors import ConnectionFailed
from lalmesh.protocol.rtsp import Pair, Transport

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 32  #: at a free pair; the neighbour of a port that the system chose is rarely taken
MAX_DATAGRAM_BYTES: Final = 65_535
MAX_READS: Final = 64  #: datagrams of one socket in one turn of the loop, so that the others get theirs
MAX_LAST_READS: Final = 4096  #: the same at the end: more than `BUFFER_BYTES` of the kernel hold
BUFFER_BYTES: Final = 2 << 20  #: asked of the kernel for either way: a large key frame comes at once
MAX_UNSENT_PACKETS: Final = 4096  #: that wait for the kernel; of those behind it the newest are dropped, as a router would

SocketAddress: TypeAlias = tuple[str, int, *tuple[int, ...]]  #: host and port; of IPv6 two numbers more
Receive: TypeAlias = Callable[[list[bytes], bool], None]  #: datagrams in order, and whether they are RTCP


class UdpPair:
    """Takes datagrams of one server only, whichever of its ports they come from: behind some routers it is another than it says."""

    def __init__(self, local: SocketAddress, receive: Receive) -> None:
        """Open both ports inside a running loop.

        Args:
            local: address of ours to bind to; its port does not count.
            receive: called with what came, at most `MAX_READS` at once.

        Raises:
            ConnectionFailed: there is no free pair.
        """
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._rtp, self._rtcp = _open_pair(local)
        self._hosts: frozenset[str] = frozenset()
        self._to: dict[socket.socket, SocketAddress] = {}
        self._unsent: deque[tuple[socket.socket, bytes]] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self.dropped = 0  #: packets that found no room to wait
        self.resume()

    @property
    def ports(self) -> Pair:
        """Of RTP and of RTCP."""
        return self._rtp.getsockname()[1], self._rtcp.getsockname()[1]

    @property
    def rtp(self) -> socket.socket:
        """The socket of RTP, for who reads it in another way; `pause` first."""
        return self._rtp

    def connect(self, server: SocketAddress, transport: Transport) -> None:
        """Take what comes from the host of `server`, or the one that it says it sends from; send there, as `transport` says."""
        host, _, *rest = server
        with suppress(ValueError):  # a name: nothing to go by
            host = str(ip_address(transport.source)) if transport.source else host
        self._hosts = frozenset((server[0], host))
        if transport.server_port is not None:
            rtp, rtcp = transport.server_port
            self._to = {self._rtp: (host, rtp, *rest), self._rtcp: (host, rtcp, *rest)}

    @property
    def is_connected(self) -> bool:
        """There is somewhere to send to."""
        return bool(self._to)

    def send(self, packets: Iterable[bytes], *, is_rtcp: bool = False) -> None:
        """Send datagrams; where the kernel has no room, they wait."""
        sock = self._rtcp if is_rtcp else self._rtp
        if sock not in self._to:
            return
        for packet in packets:
            if self._unsent or not self._sent(sock, packet):
                self._keep(sock, packet)

    async def drain(self) -> None:
        """Wait until nothing waits."""
        await self._writable.wait()

    def pause(self) -> None:
        """Leave what comes to the kernel, which drops what it has no room for."""
        for sock in (self._rtp, self._rtcp):
            self._loop.remove_reader(sock)

    def resume(self) -> None:
        """Take what comes."""
        self._loop.add_reader(self._rtp, self._read, self._rtp, False)
        self._loop.add_reader(self._rtcp, self._read, self._rtcp, True)

    def close(self) -> None:
        """Give both ports back."""
        if self.dropped:
            log.warning("the kernel did not take %s datagrams", self.dropped)
        self.pause()
        self._forget_unsent()
        self._to = {}
        for sock in (self._rtp, self._rtcp):
            sock.close()

    def rest(self) -> list[bytes]:
        """What has come to the RTP port and was not read yet."""
        return self._received(self._rtp, MAX_LAST_READS)

    def _read(self, sock: socket.socket, is_rtcp: bool) -> None:
        datagrams = self._received(sock, MAX_READS)
        if datagrams:
            self._receive(datagrams, is_rtcp)

    def _received(self, sock: socket.socket, at_most: int) -> list[bytes]:
        datagrams: list[bytes] = []
        for _ in range(at_most):
            try:
                data, address = sock.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError:  # what a router said of one that we sent
                continue
            if address[0] in self._hosts:
                datagrams.append(data)
        return datagrams

    def _sent(self, sock: socket.socket, packet: bytes) -> bool:
        """Whether the kernel took it; what it will never take counts as lost on the way."""
        try:
            sock.sendto(packet, self._to[sock])
        except BlockingIOError:
            return False
        except OSError:
            self.dropped += 1
        return True

    def _keep(self, sock: socket.socket, packet: bytes) -> None:
        if len(self._unsent) >= MAX_UNSENT_PACKETS:
            self.dropped += 1
            return
        if not self._unsent:
            self._writable.clear()
            self._wait_for(sock)
        self._unsent.append((sock, packet))

    def _wait_for(self, sock: socket.socket) -> None:
        """Go on once `sock` takes more, whose packet is the first that waits; the other may take more all the time."""
        self._loop.remove_writer(self._rtcp if sock is self._rtp else self._rtp)
        self._loop.add_writer(sock, self._send_kept)

    def _send_kept(self) -> None:
        while self._unsent and self._sent(*self._unsent[0]):
            self._unsent.popleft()
        if self._unsent:
            self._wait_for(self._unsent[0][0])
        else:
            self._forget_unsent()

    def _forget_unsent(self) -> None:
        self._unsent.clear()
        self._writable.set()
        for sock in (self._rtp, self._rtcp):
            self._loop.remove_writer(sock)


def _open_pair(local: SocketAddress) -> tuple[socket.socket, socket.socket]:
    """The sockets of an even port and of the next."""
    for _ in range(MAX_ATTEMPTS):
        first = _bound(local, 0)
        port = first.getsockname()[1]
        try:
            second = _bound(local, port ^ 1)
        except OSError:
            first.close()
            continue
        return (second, first) if port & 1 else (first, second)
    raise ConnectionFailed(f"no pair of UDP ports on {local[0]} in {MAX_ATTEMPTS} attempts")


def _bound(local: SocketAddress, port: int) -> socket.socket:
    host, _, *rest = local
    sock = socket.socket(socket.AF_INET6 if rest else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        sock.bind((host, port, *rest))
    except BaseException:
        sock.close()
        raise
    return sock
