"""The UDP ports of an RTSP client where the kernel has no room, without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lalmesh.client import _rtsp_ports
from lalmesh.client._rtsp_ports import UdpPair
from lalmesh.protocol.rtsp import Transport

SERVER = ("127.0.0.1", 554)


class FakeSocket:
    """A port that takes datagrams, or has no room."""

    def __init__(self) -> None:
        self.is_full = False
        self.sent: list[bytes] = []

    def sendto(self, packet: bytes, _: object) -> None:
        if self.is_full:
            raise BlockingIOError
        self.sent.append(packet)


class FakeLoop:
    """Calls those who wait for sockets that take more."""

    def __init__(self) -> None:
        self.writers: dict[object, Callable[[], None]] = {}

    def add_reader(self, *_: object) -> None:
        """Nothing comes."""

    def add_writer(self, sock: object, called: Callable[[], None]) -> None:
        self.writers[sock] = called

    def remove_writer(self, sock: object) -> None:
        self.writers.pop(sock, None)


def test_packets_wait_for_the_port_of_the_first_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, rtp, rtcp = FakeLoop(), FakeSocket(), FakeSocket()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    monkeypatch.setattr(_rtsp_ports, "_open_pair", lambda _: (rtp, rtcp))
    pair = UdpPair(SERVER, lambda *_: None)
    pair.connect(SERVER, Transport(server_port=(5000, 5001)))
    rtp.is_full = rtcp.is_full = True
    pair.send([b"media"])
    pair.send([b"report"], is_rtcp=True)
    assert set(loop.writers) == {rtp}
    rtp.is_full = False
    loop.writers[rtp]()
    assert (rtp.sent, set(loop.writers)) == ([b"media"], {rtcp})
    rtcp.is_full = False
    loop.writers[rtcp]()
    assert (rtcp.sent, loop.writers) == ([b"report"], {})
