"""What stands between the connections of an HTTP listener and whoever serves them: first aiohttp, then perhaps a player."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping

import aiohttp
from aiohttp import web

from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import Admission, Connection, peer_of, socket_transport

SLOW_CLIENT_S = 30.0  #: for a client to take `CHUNK_BYTES`: 70 kbit/s, with which nothing can be watched
CHUNK_BYTES = 256 << 10  #: of an answer written piece by piece: smaller ones cost a fifth more processor, larger ones no less


class Gate(asyncio.Protocol):
    """Counts a connection and hands its events to the protocol that serves it now."""

    __slots__ = ("_client", "_inner", "admission", "connection", "is_taken", "peer", "refusal", "remote", "waiting")

    connection: Connection
    peer: Remote  #: who the connection is of
    remote: Remote  #: who the request under way is of: somebody else where the peer is a proxy
    refusal: str  #: why the first request is to be refused, empty where it is not

    def __init__(self, admission: Admission, inner: asyncio.Protocol, client: Remote | None = None) -> None:
        """Begin with `inner`; a connection of `client`, or of whoever its socket says."""
        self.admission = admission
        self.is_taken = False  # by whoever serves it to its end: there are no requests any more
        self._inner = inner
        self._client = client
        self.waiting: asyncio.Task[object] | None = None  # a request that need not be answered once the client has gone

    @property
    def is_of_proxy(self) -> bool:
        """Whether the peer speaks for others, and is trusted to say for whom."""
        return self.admission.limits.proxies.trusts(self.peer.address)

    def blocks(self, address: str) -> bool:
        """Whether nobody may come from `address`: of the connection, or of whoever it speaks for."""
        return self.connection.is_blocked or self.admission.blocks(address)

    def serve(self, inner: asyncio.Protocol) -> None:
        """Hand everything to `inner` from now on."""
        self._inner = inner
        self.is_taken = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is here."""
        made = socket_transport(transport)
        self.peer = self.remote = self._client or peer_of(transport)
        self.connection, self.refusal = self.admission.admit(self.peer.address, lambda _reason: made.abort())
        self.connection.watch_idle = True
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.connection.last_read = asyncio.get_running_loop().time()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client is done."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.admission.leave(self.connection)
        if self.waiting is not None:
            self.waiting.cancel()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The transport is full."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The transport has drained."""
        self._inner.resume_writing()


def gate_of(request: web.BaseRequest) -> Gate | None:
    """The gate of the request's connection, None where the client has gone."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Gate) else None


def remote_of(request: web.BaseRequest) -> Remote:
    """Who a request is of: whoever a trusted proxy names, else who the connection is of."""
    gate = gate_of(request)
    remote = gate.remote if gate is not None else Remote(request.remote or "", request.remote or "?")
    return remote if remote.scheme else Remote(remote.address, remote.peer, request.scheme)


class WaitingForAnswer:
    """While a request is answered, its connection's silence is no reason to end it, and its end ends the request.

    A class, as it is entered for every playlist: a generator would cost more than what it does.
    """

    __slots__ = ("_gate",)

    def __init__(self, request: web.Request) -> None:
        """For the time in which `request` is answered."""
        self._gate = gate_of(request)

    def __enter__(self) -> None:
        """It is being answered."""
        if (gate := self._gate) is not None:
            gate.waiting, gate.connection.watch_idle = asyncio.current_task(), False

    def __exit__(self, *_: object) -> None:
        """It has been, or will not be."""
        if (gate := self._gate) is not None:
            gate.waiting = None
            gate.connection.last_read = asyncio.get_running_loop().time()
            gate.connection.watch_idle = True


async def send(request: web.Request, response: web.StreamResponse, chunks: AsyncIterable[bytes | memoryview]) -> bool:
    """Send an answer, in chunks of `CHUNK_BYTES` at most, as fast as the client takes it. Gives whether that worked.

    Where it did not, its connection is gone: nobody is to take the half for the whole.
    """
    await response.prepare(request)
    try:
        async for chunk in chunks:
            async with asyncio.timeout(SLOW_CLIENT_S):
                await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()
        return False
    return True


async def in_chunks(body: bytes) -> AsyncIterator[memoryview]:
    """`body` in pieces that `send` takes, without copies."""
    view = memoryview(body)
    for at in range(0, len(body), CHUNK_BYTES):
        yield view[at : at + CHUNK_BYTES]


async def answer_with(request: web.Request, status: int, headers: Mapping[str, str], body: bytes) -> web.StreamResponse:
    """An answer that is in memory: at once where it is small, else piece by piece, as fast as the client takes it."""
    if len(body) <= CHUNK_BYTES or request.method == "HEAD":
        return web.Response(status=status, headers=headers, body=body)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(body)
    await send(request, response, in_chunks(body))
    return response
