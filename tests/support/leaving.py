"""A client that sends its last and is gone before a busy server reads it."""

from __future__ import annotations

import asyncio
import os
import socket


def say_and_leave(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send `data` and close both ways, at once: the loop, which is the server's too, sees nothing of it before it goes on."""
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_RDWR)
