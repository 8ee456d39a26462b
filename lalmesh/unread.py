"""What a peer had sent on a connection that ended while something was written to it, or, under TLS, while nothing was read.

A loop writes when it pleases, and a socket that its peer has closed refuses the second write: the first was answered with a reset
(RFC 9293 §3.10.7). For loops that is the end of the connection, though what the peer sent before it closed has arrived, unread. Of
an encoder that says goodbye while the loop is busy those are its last pictures.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from typing import Final

PIECE_BYTES: Final = 64 << 10
MAX_UNREAD_BYTES: Final = 32 << 20  #: far above what a kernel holds of one connection (`net.ipv4.tcp_rmem` ends at 6 MiB)


def unread(transport: asyncio.BaseTransport, error: Exception | None) -> Iterator[memoryview]:
    """What can still be read, piece by piece, at most `MAX_UNREAD_BYTES`; each piece is good until the next is asked for.

    To be asked from `connection_lost`, which has the socket still. Nothing where the connection ended otherwise than by an error of
    its socket, and where the process has no descriptor left. Under TLS it is what the loop has read of the socket and kept while
    nobody wanted to read, which it drops however the connection ends.
    """
    if (tls := transport.get_extra_info("ssl_object")) is not None:
        yield from _pieces(lambda buffer: tls.read(PIECE_BYTES, buffer))
        return
    sock = transport.get_extra_info("socket")
    if not isinstance(error, OSError) or sock is None or transport.get_extra_info("sslcontext") is not None:
        return
    try:
        same = socket.socket(fileno=os.dup(sock.fileno()))
    except OSError:  # what is lost are the last bytes of one peer, and not the word that its connection is over
        return
    with same:
        yield from _pieces(lambda buffer: same.recv_into(buffer, PIECE_BYTES, socket.MSG_DONTWAIT))


def _pieces(read: Callable[[memoryview], int]) -> Iterator[memoryview]:
    """What `read` gives until it gives nothing, or an error of the socket or of TLS."""
    buffer, left = memoryview(bytearray(PIECE_BYTES)), MAX_UNREAD_BYTES
    while left > 0:
        try:
            size = read(buffer)
        except OSError:  # nothing more, or the error that ended it
            return
        if not size:
            return
        left -= size
        yield buffer[:size]
