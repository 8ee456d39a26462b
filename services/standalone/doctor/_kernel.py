"""What the kernel offers to those who send and take much: many writes in one call, segmentation of UDP, shared ports, buffers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.edge.kernel_writes import kernel_writes
from services.edge.udp_sockets import RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES
from services.standalone.doctor._finding import Finding, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._threads import in_thread

_UDP_SEGMENT, _UDP_GRO = 103, 104  # linux/udp.h; Python 3.11 does not name them
SEGMENT_BYTES, SEGMENTS = 1200, 4
WAIT_S = 0.5  #: for a datagram on loopback
BACKLOG = 1024  #: connections that wait for a busy loop; of players that all come back at once
SYSCTL = "/etc/sysctl.d/90-lalmesh.conf"


@dataclass(slots=True, frozen=True)
class Kernel:
    """What it offers here."""

    cuts: bool  #: one datagram of many packets (UDP_SEGMENT)
    joins: bool  #: many packets as one datagram (UDP_GRO)
    shares_ports: bool  #: SO_REUSEPORT
    takes_many_writes: bool  #: io_submit, for sockets
    receive_bytes: int  #: of a receive buffer as large as an edge asks for
    send_bytes: int
    backlog: int  #: net.core.somaxconn; 0: not known


def judge_kernel(kernel: Kernel, *, uses_udp: bool = True) -> Iterator[Finding]:
    """Whether it is enough for an edge, which may have no UDP."""
    if uses_udp:
        yield from _judge_udp(kernel)
    if kernel.shares_ports:
        yield ok("SO_REUSEPORT", "two listeners can share a port")
    else:
        yield warning("SO_REUSEPORT", "two listeners cannot share a port", "a Linux kernel from 3.9 on")
    if kernel.takes_many_writes:
        yield ok("io_submit", "one call writes to many players")
    else:
        found = "each write to a player costs a call of its own: the same players take more of the processor"
        yield warning("io_submit", found, f"fs.aio-max-nr above what /proc/sys/fs/aio-nr says, in {SYSCTL}; gVisor has none")
    if 0 < kernel.backlog < BACKLOG:
        found = f"{kernel.backlog} connections wait at most: of many players who come at once some are turned away"
        yield warning("net.core.somaxconn", found, f"net.core.somaxconn = 4096 in {SYSCTL}")


def _judge_udp(kernel: Kernel) -> Iterator[Finding]:
    older = "a kernel from 4.18 on (5.0 for GRO); gVisor and some containers have none"
    if kernel.cuts:
        yield ok("UDP GSO", "one call sends many packets")
    else:
        yield warning("UDP GSO", "each packet of RTP over UDP costs a call of its own", older)
    if kernel.joins:
        yield ok("UDP GRO", "there is")
    else:
        yield warning("UDP GRO", "there is none", older)
    yield _buffer("net.core.rmem_max", kernel.receive_bytes, RECEIVE_BUFFER_BYTES, "datagrams are lost while the node is busy")
    yield _buffer("net.core.wmem_max", kernel.send_bytes, SEND_BUFFER_BYTES, "pictures for many UDP players are lost")


def _buffer(name: str, got: int, wanted: int, loss: str) -> Finding:
    if got >= wanted:
        return ok(name, f"buffers of {wanted >> 10} KiB are granted")
    return warning(name, f"buffers of {got >> 10} KiB instead of {wanted >> 10}: {loss}", f"{name} = {wanted} in {SYSCTL}")


async def check_kernel(place: Place) -> list[Finding]:
    """The kernel has what edges use."""
    if not place.has("edge"):
        return []
    return list(judge_kernel(await in_thread(_look), uses_udp=place.config.edge.rtsp.enable))


def _look() -> Kernel:
    receive, send = _buffers()
    return Kernel(
        cuts=_cuts(),
        joins=_joins(),
        shares_ports=_shares_ports(),
        takes_many_writes=kernel_writes() is not None,
        receive_bytes=receive,
        send_bytes=send,
        backlog=_number(Path("/proc/sys/net/core/somaxconn")),
    )


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _cuts() -> bool:
    """Send a run of packets in one call, and see whether it comes as packets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as giver:
        taker.bind(("127.0.0.1", 0))
        taker.settimeout(WAIT_S)
        segment = [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", SEGMENT_BYTES))]
        try:
            giver.sendmsg([bytes(SEGMENT_BYTES * SEGMENTS)], segment, 0, taker.getsockname())
            return all(len(taker.recv(1 << 16)) == SEGMENT_BYTES for _ in range(SEGMENTS))
        except OSError:
            return False


def _joins() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        except OSError:
            return False
        return True


def _shares_ports() -> bool:
    with socket.socket() as first, socket.socket() as second:
        try:
            for sock in (first, second):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            first.bind(("127.0.0.1", 0))
            second.bind(first.getsockname())
        except (OSError, AttributeError):
            return False
        return True


def _buffers() -> tuple[int, int]:
    """What is granted where an edge asks for its buffers. Linux says twice as much: half is for what it keeps beside them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        granted = (sock.getsockopt(socket.SOL_SOCKET, each) // 2 for each in (socket.SO_RCVBUF, socket.SO_SNDBUF))
        receive, send = granted
        return receive, send
