"""A bad network between an RTSP client and its server: loses, delays and reorders datagrams, all drawn from a seed.

It passes the connection on, and puts ports of its own into the ``Transport`` headers, so that the packets of both come its way.
This kernel has no netem.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from support.loopback_server import LoopbackServer
from support.ports import LOOPBACK

DATAGRAM_BYTES = 65_536
BUFFER_BYTES = 4 << 20
ATTEMPTS = 32

_CLIENT_PORT = re.compile(rb"client_port=(\d+)(?:-(\d+))?")
_SERVER_PORT = re.compile(rb"server_port=(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What happens to datagrams that go to the server. Those back, and RTCP, arrive at once."""

    loss: float = 0.0
    reorder: float = 0.0  #: these are late by `reorder_ms` more
    reorder_ms: float = 10.0
    delay_ms: float = 0.0  #: of all
    bursts: tuple[range, ...] = ()  #: of RTP packets that are lost together, counted from 0 over all tracks
    seed: int = 1


@dataclass(slots=True)
class RelayCounters:
    """What happened to RTP packets so far."""

    passed: int = 0
    lost: int = 0
    late: int = 0


Tap: TypeAlias = Callable[[int, bytes, bool], None]  #: index of the track, RTP packet, whether it is lost
Sent: TypeAlias = Callable[[int, bytes, float], None]  #: the same of what goes on, and for how long it was held in fact


class UdpRelay(LoopbackServer):
    """``async with UdpRelay(server_port, Weather(loss=0.01)) as relay: relay.port``, where a client finds the server."""

    def __init__(self, server_port: int, weather: Weather, tap: Tap | None = None, sent: Sent | None = None) -> None:
        """Stand before the RTSP server on `server_port` of loopback.

        Args:
            server_port: where it listens.
            weather: what happens on the way.
            tap: sees what comes from the client, when it comes.
            sent: sees it when it goes on; a busy machine may hold it for longer than the weather says.
        """
        super().__init__()
        self.server_port = server_port
        self.weather = weather
        self.tap = tap
        self.sent = sent
        self.counters = RelayCounters()
        self._random = random.Random(weather.seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, with a connection to the server of its own."""
        backward, onward = await asyncio.open_connection(LOOPBACK, self.server_port)
        tracks: list[_Track] = []
        with contextlib.closing(onward), contextlib.suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, onward, tracks, to_server=True))
                group.create_task(self._pass_on(backward, writer, tracks, to_server=False))

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tracks: list[_Track], *, to_server: bool
    ) -> None:
        """A head comes in one piece on loopback; what is no SETUP has no ports in it."""
        while data := await reader.read(65_536):
            writer.write(self._ours(data, tracks) if to_server else _theirs(data, tracks))
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    def _ours(self, data: bytes, tracks: list[_Track]) -> bytes:
        def replace(found: re.Match[bytes]) -> bytes:
            track = _Track(self, len(tracks), int(found[1]))
            tracks.append(track)
            self._resources.callback(track.close)
            return b"client_port=%d-%d" % (track.to_server_port, track.to_server_port + 1)

        return _CLIENT_PORT.sub(replace, data)

    def delay_s(self) -> float | None:
        """How late the next RTP packet is; None: it is lost."""
        weather, place = self.weather, self.counters.passed + self.counters.lost
        if self._random.random() < weather.loss or any(place in burst for burst in weather.bursts):
            self.counters.lost += 1
            return None
        self.counters.passed += 1
        if self._random.random() < weather.reorder:
            self.counters.late += 1
            return (weather.delay_ms + weather.reorder_ms) / 1000
        return weather.delay_ms / 1000


def _theirs(data: bytes, tracks: list[_Track]) -> bytes:
    """Answers come in the order of the requests; the one that says where the server is names the port that it was told."""

    def replace(found: re.Match[bytes]) -> bytes:
        track = next(track for track in tracks if not track.server_ports)
        track.server_ports = (int(found[1]), int(found[2] or int(found[1]) + 1))
        return b"server_port=%d-%d" % (track.to_client_port, track.to_client_port + 1)

    data = _SERVER_PORT.sub(replace, data)
    for track in tracks:
        told = b"client_port=%d-%d" % (track.to_server_port, track.to_server_port + 1)
        data = data.replace(told, b"client_port=%d-%d" % (track.client_port, track.client_port + 1))
    return data


class _Track:
    """The ports of one track: a pair that the client knows, a pair that the server knows."""

    def __init__(self, relay: UdpRelay, number: int, client_port: int) -> None:
        self.relay = relay
        self.number = number
        self.client_port = client_port
        self.server_ports: tuple[int, int] | tuple[()] = ()
        self.to_client, self.to_server = udp_pair(), udp_pair()
        self.to_client_port: int = self.to_client[0].getsockname()[1]
        self.to_server_port: int = self.to_server[0].getsockname()[1]
        self.loop = asyncio.get_running_loop()
        for index in range(2):
            self.loop.add_reader(self.to_client[index], self.from_client, index)
            self.loop.add_reader(self.to_server[index], self.from_server, index)

    def from_client(self, index: int) -> None:
        for data in _received(self.to_client[index]):
            delay_s = self.relay.delay_s() if index == 0 else 0.0
            if index == 0 and self.relay.tap is not None:
                self.relay.tap(self.number, data, delay_s is None)
            if delay_s:
                self.loop.call_later(delay_s, self.send_on, index, data, self.loop.time())
            elif delay_s is not None:
                self.send_on(index, data, self.loop.time())

    def send_on(self, index: int, data: bytes, came_s: float) -> None:
        if index == 0 and self.relay.sent is not None:
            self.relay.sent(self.number, data, self.loop.time() - came_s)
        if self.server_ports:
            with contextlib.suppress(OSError):
                self.to_server[index].sendto(data, (LOOPBACK, self.server_ports[index]))

    def from_server(self, index: int) -> None:
        for data in _received(self.to_server[index]):
            with contextlib.suppress(OSError):
                self.to_client[index].sendto(data, (LOOPBACK, self.client_port + index))

    def close(self) -> None:
        for sock in (*self.to_client, *self.to_server):
            self.loop.remove_reader(sock)
            sock.close()


def _received(sock: socket.socket) -> list[bytes]:
    datagrams: list[bytes] = []
    with contextlib.suppress(OSError):
        while True:
            datagrams.append(sock.recv(DATAGRAM_BYTES))
    return datagrams


def udp_pair() -> tuple[socket.socket, socket.socket]:
    """Sockets on loopback, of an even port and of the next."""
    for _ in range(ATTEMPTS):
        first = _bound(0)
        port = first.getsockname()[1]
        try:
            second = _bound(port ^ 1)
        except OSError:
            first.close()
            continue
        return (second, first) if port & 1 else (first, second)
    raise AssertionError("no pair of UDP ports")


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    try:
        sock.bind((LOOPBACK, port))
    except OSError:
        sock.close()
        raise
    return sock
