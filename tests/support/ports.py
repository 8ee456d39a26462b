"""Ports on loopback for servers that cannot be told to take any."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from itertools import islice
from pathlib import Path

LOOPBACK = "127.0.0.1"
LEAST_PORT, LAST_PORT = 20_000, 65_535  #: of those that are chosen here: servers have their usual ones below
_TURN = Path(tempfile.gettempdir(), f"lalmesh-test-ports-{os.getuid()}")  # which was chosen last
_ESTABLISHED = "01"  # proc(5), /proc/net/tcp


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on now.

    Who takes any port, to listen or to connect, is given none of these, where the kernel leaves any; and who chooses here gets
    another one each time, until all have had their turn.

    Raises:
        OSError: there are not so many.
    """
    given, last = _given()
    others = range(LEAST_PORT, given) or range(max(LEAST_PORT, last + 1), LAST_PORT + 1)
    choice = others or range(LEAST_PORT, LAST_PORT + 1)  # where all are given to who takes any, some of them are taken
    with _TURN.open("a+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        turn.seek(0)
        before = int(turn.read() or 0)
        in_turn = (*(port for port in choice if port > before), *(port for port in choice if port <= before))
        found = list(islice(filter(_is_free, in_turn), count))
        if len(found) < count:
            raise OSError(f"no {count} free ports in {choice}")
        turn.truncate(0)
        turn.write(str(found[-1]))
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _given() -> tuple[int, int]:
    """The first and the last of the ports that the kernel gives to who takes any."""
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return int(first), int(last)


def is_open(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((LOOPBACK, port)) == 0


def connections(port: int) -> int:
    """How many connections to the port there are, on IPv4."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == _ESTABLISHED for row in rows)
