"""Ports on loopback for servers that cannot be told to take any."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

LOOPBACK = "127.0.0.1"
LEAST_PORT = 20_000  #: of those that are chosen here: servers have their usual ones below
_TURN = Path(tempfile.gettempdir(), f"lalmesh-test-ports-{os.getuid()}")  # which was chosen last
_ESTABLISHED = "01"  # proc(5), /proc/net/tcp


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on now.

    Who takes any port, to listen or to connect, is given none of these; and who chooses here gets another one each time, until all
    have had their turn.
    """
    most = _least_given()
    with _TURN.open("a+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        turn.seek(0)
        port, found = int(turn.read() or LEAST_PORT), list[int]()
        while len(found) < count:
            port = port + 1 if LEAST_PORT <= port < most - 1 else LEAST_PORT
            if _is_free(port):
                found.append(port)
        turn.truncate(0)
        turn.write(str(port))
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


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
