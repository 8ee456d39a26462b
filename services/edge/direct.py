"""Sending one block to many sockets: the hot path of the fan-out.

A block is written to all sockets in one call of the kernel (`kernel_writes`), or in one for each where there is none to be had.

A large block is put into a file that lives in memory only, and `sendfile` has the kernel send that file's pages to one socket after
the other: no copy for each, and pages that a slow player's socket still holds are the same ones for all of them. A file is never
written to again, so what is on its way cannot change. Below a size, handing over pages costs more than the copy that it saves.

Who is last waits until all others have been sent to; so who is first, and with that who is last, goes round.

Linux has this; elsewhere, and under TLS, blocks go through the transports.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from itertools import repeat

from services.edge.kernel_writes import MAX_BLOCK_BYTES, WriteRequests, kernel_writes

CAN_SEND_DIRECTLY = hasattr(os, "memfd_create") and hasattr(os, "sendfile")
SHARED_FILE_BYTES = 11 << 10  #: a copy of so much costs the kernel as much as handing over the pages, 9 µs with all else
MANY_SOCKETS = 4  #: from so many on, a large block's file is cheaper than a copy for each, and one call than several
TURN_BLOCKS = 64  #: in which being first goes round once
BLOCK_NAME = "lalmesh-block"  #: as `/proc/PID/fd` shows it
NO_FILE = -1


def direct_socket(transport: asyncio.BaseTransport) -> socket.socket | None:
    """A socket of our own for the connection of `transport`, which the caller closes; None where there can be none.

    It has a second descriptor, so that it can never come to mean another connection once the transport has closed its own.
    """
    sock = transport.get_extra_info("socket")
    if not CAN_SEND_DIRECTLY or sock is None or transport.get_extra_info("ssl_object") is not None:
        return None
    try:
        own = socket.fromfd(sock.fileno(), sock.family, sock.type)
    except OSError:  # no descriptors left: it works without
        return None
    own.setblocking(False)
    return own


class DirectSockets:
    """Many sockets, as a block that goes to all of them wants them."""

    __slots__ = ("_descriptors", "_requests", "_step")

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        """Prepare to send to `sockets`."""
        self._descriptors = [sock.fileno() for sock in sockets]
        self._step = -(-len(sockets) // TURN_BLOCKS)
        writes = kernel_writes() if len(sockets) >= MANY_SOCKETS else None
        self._requests = None if writes is None else WriteRequests(writes, self._descriptors)

    def send(self, block: bytes, turn: int) -> list[tuple[int, int]]:
        """Send `block` to each socket, as one file where it is large and they are many; `turn`: how many have been sent.

        Gives those that did not take it all: their place among the sockets, and how many bytes they took.
        """
        size, count = len(block), len(self._descriptors)
        if not count:
            return []
        first = turn * self._step % count
        if self._requests is not None and size <= MAX_BLOCK_BYTES:
            return self._requests.write(block, first)
        descriptors = self._descriptors[first:] + self._descriptors[:first]
        file = shared_file(block) if size >= SHARED_FILE_BYTES and count >= MANY_SOCKETS else NO_FILE
        if file == NO_FILE:
            late = _late(map(os.write, descriptors, repeat(block)), size)
        else:
            try:
                late = _late(map(os.sendfile, descriptors, repeat(file), repeat(0), repeat(size)), size)
            finally:
                os.close(file)
        return [((first + place) % count, taken) for place, taken in late]


def _late(sends: Iterator[int], size: int) -> list[tuple[int, int]]:
    """Carry out `sends`, each of which gives how many bytes it sent: which of those were fewer than `size`, and how many.

    All of them run in one call, which stops at the first that fails and keeps what there was before it; so nothing of ours runs
    between two sends, whose caches the kernel has used up by then.
    """
    sent: list[int] = []
    while True:
        try:
            sent.extend(sends)
            break
        except OSError:  # nothing goes there now, or ever again: its transport finds out
            sent.append(0)
    if sent.count(size) == len(sent):
        return []
    return [(place, taken) for place, taken in enumerate(sent) if taken != size]


def shared_file(block: bytes) -> int:
    """A file in memory that holds `block`, which the caller closes; `NO_FILE` where there is none to be had.

    Its pages live until the last socket has sent them.
    """
    if not CAN_SEND_DIRECTLY:
        return NO_FILE
    try:
        file = os.memfd_create(BLOCK_NAME)
    except OSError:  # no descriptors left
        return NO_FILE
    try:
        os.write(file, block)
    except OSError:  # no memory left
        os.close(file)
        return NO_FILE
    return file
