"""gRPC is heard however seldom the event loop goes round.

The thread of grpc.aio that waits for the network puts what happened into a queue and one byte into a socket. Each time that it goes
round, the loop takes one byte of them and empties the queue, so a busy one leaves more and more bytes there. Once the socket is
full, at some 280 bytes, that thread waits for room in it: from then on one single thing happens to all of gRPC each time that the
loop goes round, and what nodes report waits for seconds behind work that has waited for none.

So the loop takes all bytes there are. The queue holds at least what they were written for, and is emptied after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

MAX_WAKEUPS = 1 << 16  #: bytes taken at once: far more than the socket holds


@contextlib.contextmanager
def all_wakeups_taken() -> Iterator[None]:
    """Have the running loop take them; within it, make the channel or server that may be the first of grpc.aio on the loop."""
    try:
        loop: Any = asyncio.get_running_loop()
    except RuntimeError:  # whoever makes a channel without one has no loop that could be busy
        yield
        return
    add_reader = loop.add_reader

    def add(file: Any, callback: Callable[..., object], *args: object) -> None:
        add_reader(file, _taking_all(file, callback) if isinstance(file, socket.socket) else callback, *args)

    loop.add_reader = add  # grpc.aio hands its socket to each loop once, and to nobody else
    try:
        yield
    finally:
        del loop.add_reader


def _taking_all(wakeups: socket.socket, callback: Callable[..., object]) -> Callable[..., object]:
    """`callback`, which takes one byte from `wakeups`, for all the bytes there are."""

    def take(*args: object) -> object:
        with contextlib.suppress(BlockingIOError):  # a loop of another thread was faster
            count = len(wakeups.recv(MAX_WAKEUPS, socket.MSG_PEEK))
            if count > 1:
                wakeups.recv(count - 1)
        return callback(*args)

    return take
