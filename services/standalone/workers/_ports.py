"""The ports of a node, as its supervisor has them: those that its workers share are held, those that each has for itself are tried.

A port that is held is bound, by a socket that never listens: workers of this user may bind it as well, others find it taken even
while no worker is there. So the address is not to be reused (SO_REUSEADDR) once it is bound: whoever else reuses it, as servers do,
would get what nobody listens at. That nobody has it yet is tried first, as a node by itself would: else two supervisors of one user
would share it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

from lalmesh.runtime.config import Config, EdgeConfig, OriginConfig
from services.standalone.workers._shares import grpc_port


class HeldPorts:
    """Ports that are held until `close`. Made where a loop runs."""

    def __init__(self) -> None:
        """Hold none."""
        self._stack = AsyncExitStack()

    async def hold(self, edge: EdgeConfig) -> dict[str, int]:
        """Hold every port that an edge is to listen on; by protocol.

        Raises:
            OSError: one cannot be bound.
        """
        try:
            return {protocol: await self._hold(each.host, each.port) for protocol, each in edge.listeners.items()}
        except BaseException:
            await self.close()
            raise

    async def hold_for_grpc(self, host: str) -> int:
        """A free port, that a gRPC listener of this user may have, and nobody else by chance.

        Raises:
            OSError: none is free.
        """
        server = await _bound(host, 0)
        self._stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Hold them no more."""
        await self._stack.aclose()

    async def _hold(self, host: str, port: int) -> int:
        port = await try_port(host, port)
        server = await _bound(host, port, is_shared=True)
        self._stack.callback(server.close)
        for sock in server.sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        return port


async def try_ports_of_origin(origin: OriginConfig, count: int) -> None:
    """Find out whether the workers of an origin can have their ports.

    Raises:
        OSError: one cannot be bound.
        ConfigError: there are not so many.
    """
    for number in range(1, count + 1):
        await try_port(origin.grpc.host, grpc_port(origin, number, count))


async def try_ports_of_core(config: Config) -> None:
    """Find out whether all of a standalone server but its edge can have its ports.

    Raises:
        OSError: one cannot be bound.
    """
    hls, api = config.hls, config.scheduler.http
    places = [(api.host, api.port), (hls.http.host, hls.http.port)]
    if hls.tls.enables(hls.https.enable):
        places.append((hls.https.host, hls.https.port))
    for host, port in places:
        await try_port(host, port)


async def try_port(host: str, port: int) -> int:
    """The port that can be bound by who has it for himself: a free one for 0.

    Raises:
        OSError: it cannot be.
    """
    server = await _bound(host, port)
    try:
        return int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def _bound(host: str, port: int, *, is_shared: bool = False) -> asyncio.Server:
    """Bound as listeners are: the loop knows how names, families and reused addresses go together. It does not listen."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(asyncio.Protocol, host, port, start_serving=False, reuse_port=is_shared or None)
