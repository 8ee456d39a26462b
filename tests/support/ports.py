"""Ports on loopback for servers that cannot be told to take any."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
LEAST_PORT = 20_000  #: of those that are chosen here: servers have their usual ones below
_RANDOM = random.SystemRandom()
_ESTABLISHED = "01"  # proc(5), /proc/net/tcp


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on now; who takes any port, to listen or to connect, is given none of these.

    Others who choose here may take one before it is used: start again then.
    """
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            sock = socket.socket()
            sockets.append(sock)
            try:
                sock.bind((LOOPBACK, _RANDOM.randrange(LEAST_PORT, _least_given())))
            except OSError:  # somebody has it
                sockets.pop().close()
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def _least_given() -> int:
    """The first of the ports that the kernel gives to who takes any."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def is_open(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((LOOPBACK, port)) == 0


def connections(port: int) -> int:
    """How many connections to the port there are, on IPv4."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == _ESTABLISHED for row in rows)
