"""A client that sends its last and is gone before a busy server reads it."""

from __future__ import annotations

import os
import socket
from typing import Any, Protocol


class OnSocket(Protocol):
    """What a client writes to."""

    def get_extra_info(self, name: str, default: Any = ..., /) -> Any:
        """Its ``socket``."""


def say_and_leave(writer: OnSocket, data: bytes) -> None:
    """Send `data` and close both ways, at once: the loop, which is the server's too, sees nothing of it before it goes on."""
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_RDWR)
