"""A port that is left to others, where the process may open no more sockets."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest
from prometheus_client import CollectorRegistry
from support.virtual_time import in_virtual_time

from lalmesh.runtime import acceptor
from lalmesh.runtime.acceptor import Acceptor
from lalmesh.runtime.listener import Admission, ListenerLimits, ListenerMetrics


class Port:
    """A listening socket that nobody waits at."""

    is_closed = False

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 1935

    def accept(self) -> None:
        raise BlockingIOError

    def close(self) -> None:
        self.is_closed = True


class Server:
    """What the loop makes of a name that has two addresses."""

    def __init__(self) -> None:
        self.sockets = [Port(), Port()]
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("may_open", [0, 1, 2])
@in_virtual_time
async def test_a_port_is_left_to_others_whether_or_not_who_waits_there_can_be_taken(
    may_open: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, opened = Server(), list[Port]()

    async def create_server(*_: object, **__: object) -> Server:
        return server

    def again(_: socket.socket) -> Port:
        if len(opened) == may_open:
            raise OSError(errno.EMFILE, "Too many open files")
        opened.append(Port())
        return opened[-1]

    monkeypatch.setattr(asyncio.get_running_loop(), "create_server", create_server)
    monkeypatch.setattr(acceptor, "_again", again)
    admission = Admission("rtmp", ListenerLimits(), ListenerMetrics("edge", CollectorRegistry()))
    leaving = Acceptor(admission, lambda _: asyncio.Protocol())
    assert await leaving.start("localhost", 1935, is_shared=True) == 1935
    leaving.hand_over()
    assert server.is_closed
    assert [port.is_closed for port in opened] == [True] * may_open
