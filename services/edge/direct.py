"""Sending one block to many sockets without a copy for each: the hot path of the fan-out.

The block is put into a file that lives in memory only, and `sendfile` has the kernel send that file's pages to one socket after the
other. A player costs one system call and no copy; pages that a slow player's socket still holds are the same ones for all of them.
A file is never written to again, so what is on its way cannot change.

Linux has this; elsewhere, and under TLS, blocks go through the transports.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

NO_DESCRIPTOR = -1
CAN_SEND_DIRECTLY = hasattr(os, "memfd_create") and hasattr(os, "sendfile")
BLOCK_NAME = "lalmesh-block"  #: as `/proc/PID/fd` shows it


def direct_descriptor(transport: asyncio.Transport) -> int:
    """A descriptor of our own for the socket of `transport`, which the caller closes; `NO_DESCRIPTOR` where there can be none.

    It is a second one, so that it can never come to mean another socket once the transport has closed its own.
    """
    sock = transport.get_extra_info("socket")
    if not CAN_SEND_DIRECTLY or sock is None or transport.get_extra_info("ssl_object") is not None:
        return NO_DESCRIPTOR
    try:
        return os.dup(sock.fileno())
    except OSError:  # no descriptors left: it works without
        return NO_DESCRIPTOR


def shared_file(block: bytes) -> int:
    """A file in memory that holds `block`, which the caller closes; `NO_DESCRIPTOR` where there is none to be had.

    Its pages live until the last socket has sent them.
    """
    if not CAN_SEND_DIRECTLY:
        return NO_DESCRIPTOR
    try:
        file = os.memfd_create(BLOCK_NAME)
    except OSError:  # no descriptors left
        return NO_DESCRIPTOR
    try:
        os.write(file, block)
    except OSError:  # no memory left
        os.close(file)
        return NO_DESCRIPTOR
    return file


def send_file(file: int, size: int, descriptors: Iterable[int]) -> list[tuple[int, int]]:
    """Send all `size` bytes of `file` to each socket. Gives those that did not take them all, with how many they took."""
    sendfile = os.sendfile
    late: list[tuple[int, int]] = []
    for descriptor in descriptors:
        try:
            sent = sendfile(descriptor, file, 0, size)
        except OSError:  # nothing goes now, or ever again: its transport finds out
            sent = 0
        if sent != size:
            late.append((descriptor, sent))
    return late
