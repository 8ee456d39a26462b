"""Clients of every protocol that publish or play, said on raw sockets, and stay until the server ends them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from support import wire
from support.access_attempts import (
    FORMS,
    IN_TLS,
    PLAYS,
    PUBLISHES,
    SWITCHED,
    TLS_PUBLISHES,
    SocketWire,
    dialled,
    rtmp_url,
    without_tls,
)
from support.cluster import Node
from support.rtsp_peer import RtspPeer
from support.rtsp_talk import TCP, UDP

BY_UDP = "rtsp by UDP"
#: those with a connection
PLAYERS = tuple(name for name in (*PLAYS, *IN_TLS.values()) if not name.startswith("hls") and not name.endswith(("hls", "record")))
PUBLISHERS = (*PUBLISHES, *TLS_PUBLISHES)
LIMIT_S = 30.0  #: to begin
HOLD_S = 120.0  #: longer than any test stays

#: protocol and peer of a session. A peer alone may be two: connections to different listeners can have the same port here
Called = tuple[str, str]


class HeldClient:
    """One that does `action` (``publish`` or ``play``) with a stream. A task runs it; see `holding`."""

    def __init__(self, node: Node, protocol: str, action: str, stream: str) -> None:
        self.name = f"{action} {protocol}"
        self.peer = ""  #: what the server calls it, once it has begun
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self._node = node
        self._protocol = protocol.partition(" ")[0]
        self._is_by_udp = protocol == BY_UDP
        self._action = action
        self._stream = stream

    @property
    def called(self) -> Called:
        """What it is among sessions, once it has begun."""
        return self._protocol, self.peer

    async def run(self) -> None:
        """Until the server ends it."""
        async with dialled(self._node, self._protocol) as connection:
            host, port = connection.writer.get_extra_info("sockname")[:2]
            held = await self._begin(connection)
            self.peer = f"{host}:{port}"
            self.begun.set()
            while await held.receive(HOLD_S):
                pass
        self.ended.set()

    async def _begin(self, connection: wire.Wire) -> wire.Wire:
        plain = without_tls(self._protocol)
        match plain:
            case "rtmp":
                mode: wire.Mode = "publish" if self._action == "publish" else "play"
                await wire.RtmpPeer(connection, rtmp_url(self._stream), mode).started()
                return connection
            case "rtsp":
                await self._begin_rtsp(connection)
                return connection
            case "ws-rtsp":
                held = SocketWire(connection)
                assert await held.open("/", "rtsp") == SWITCHED, self.name
                await self._begin_rtsp(held)
                return held
            case _:
                way, _, form = plain.partition("-")
                target = f"/{self._stream}{FORMS[form]}"
                if way == "ws":
                    held = SocketWire(connection)
                    assert await held.open(target) == SWITCHED, self.name
                    return held
                assert (await wire.request(connection, target)).status == 200, self.name
                return connection

    async def _begin_rtsp(self, connection: wire.Wire) -> None:
        peer = RtspPeer(connection, f"rtsp://127.0.0.1/{self._stream}")
        if self._action == "publish":
            assert (await peer.answer(peer.talk.announce())).status == 200, self.name
            track = "/streamid=0"
        else:
            described = await peer.ask("DESCRIBE")
            assert described.status == 200, self.name
            track = "/" + described.body.decode().rpartition("a=control:")[2].split()[0].rpartition("/")[2]
        transport = _udp() if self._is_by_udp else TCP.format(0, 1)
        if self._action == "publish":
            transport += ";mode=record"
        assert (await peer.answer(peer.talk.setup(transport, track))).status == 200, self.name
        assert await peer.status("RECORD" if self._action == "publish" else "PLAY") == 200, self.name


def _udp() -> str:
    """A transport that nobody listens to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] & ~1
    return UDP.format(port, port + 1)


@asynccontextmanager
async def holding(clients: Sequence[HeldClient]) -> AsyncIterator[None]:
    """All do what they do, and have begun, until the block is left."""
    tasks = [asyncio.create_task(client.run(), name=client.name) for client in clients]
    try:
        async with asyncio.timeout(LIMIT_S):
            for client, task in zip(clients, tasks, strict=True):
                begun = asyncio.create_task(client.begun.wait())
                await asyncio.wait((begun, task), return_when=asyncio.FIRST_COMPLETED)
                begun.cancel()
                if task.done():
                    task.result()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def clients_of_every_protocol(node: Node, stream: str, prefix: str) -> list[HeldClient]:
    """Players of `stream` at an edge with a certificate, and publishers, each of a stream whose name begins with `prefix`."""
    players = [HeldClient(node, protocol, "play", stream) for protocol in (*PLAYERS, BY_UDP)]
    return [*players, *(HeldClient(node, protocol, "publish", f"{prefix}{protocol}") for protocol in PUBLISHERS)]


async def all_ended(clients: Sequence[HeldClient], began_s: float, limit_s: float) -> None:
    """Wait for the end of all, by `limit_s` after `began_s` (monotonic)."""
    try:
        async with asyncio.timeout(began_s + limit_s - time.monotonic()):
            await asyncio.gather(*(client.ended.wait() for client in clients))
    except TimeoutError:
        raise AssertionError([client.name for client in clients if not client.ended.is_set()]) from None
