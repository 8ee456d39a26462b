"""Sending one block to many sockets with one system call each: the hot path of the fan-out.

A large block is put into a file that lives in memory only, and `sendfile` has the kernel send that file's pages to one socket after
the other: no copy for each, and pages that a slow player's socket still holds are the same ones for all of them. A file is never
written to again, so what is on its way cannot change. Below `SHARED_FILE_BYTES` handing over pages costs more than the copy that it
saves, and the block is written to each socket.

Linux has this; elsewhere, and under TLS, blocks go through the transports.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence

NO_DESCRIPTOR = -1
CAN_SEND_DIRECTLY = hasattr(os, "memfd_create") and hasattr(os, "sendfile")
SHARED_FILE_BYTES = 8 << 10  #: a copy of so much costs the kernel as much as handing over the pages, 6 to 7 µs with all else
MANY_SOCKETS = 4  #: from so many on, a large block's file is cheaper than a copy for each
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


def send_block(block: bytes, descriptors: Sequence[int]) -> list[tuple[int, int]]:
    """Send `block` to each socket, as one file where it is large and they are many.

    Gives those that did not take it all, with how many bytes they took.
    """
    file = shared_file(block) if len(block) >= SHARED_FILE_BYTES and len(descriptors) >= MANY_SOCKETS else NO_DESCRIPTOR
    if file == NO_DESCRIPTOR:
        return write_block(block, descriptors)
    try:
        return send_file(file, len(block), descriptors)
    finally:
        os.close(file)


def write_block(block: bytes, descriptors: Iterable[int]) -> list[tuple[int, int]]:
    """Write a copy of `block` to each socket. Gives those that did not take it all, with how many bytes they took."""
    write, size = os.write, len(block)
    late: list[tuple[int, int]] = []
    for descriptor in descriptors:
        try:
            sent = write(descriptor, block)
        except OSError:  # nothing goes now, or ever again: its transport finds out
            sent = 0
        if sent != size:
            late.append((descriptor, sent))
    return late


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
