"""Taking connections at a port, up to where they speak the protocol that it is for.

Plain ports leave that to the loop. Where balancers say in a PROXY header whose connections they hand on, the header is taken off
here, before TLS begins, and so that nothing of what the client sent is touched: whoever serves the connection gets the client's
address and, from the socket itself, the client's first byte. Where TLS is spoken, who is on the blacklist, has all connections that
an address may have, or comes too often is sent away here too: a handshake costs eight times what else there is to begin one, and a
client that does not go on with it keeps a place for `handshake_timeout_s`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, TypeAlias

from lalmesh.errors import RemoteProtocolError
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import HANDSHAKE, LIMIT, PROXY_HEADER, TIMEOUT, Admission, remote_at
from lalmesh.runtime.proxy_protocol import ProxyHeaderReader

log = logging.getLogger(__name__)

LISTEN_BACKLOG: Final = 4096  #: connections that wait to be accepted: a burst of a thousand players in a second
ACCEPTS_A_TURN: Final = 256  #: of the loop, so that a burst does not hold up who is here
PAUSE_S: Final = 1.0  #: where the process may open no more sockets
PEEK_BYTES: Final = 4096  #: of a header at once: longer ones are rare

#: Makes the protocol of a connection of somebody; None: whoever its socket says.
Factory: TypeAlias = Callable[[Remote | None], asyncio.BaseProtocol]


class Acceptor:
    """The port. Made where its loop runs; `start` listens, `close` takes no more, `hand_over` leaves them to others."""

    def __init__(
        self, admission: Admission, factory: Factory, tls: ssl.SSLContext | None = None, *, takes_headers: bool = False
    ) -> None:
        """Prepare.

        Args:
            admission: of the listener; its limits say who is a balancer, and how long a handshake may take.
            factory: makes the protocol of each connection.
            tls: how to encrypt.
            takes_headers: whether balancers begin with a PROXY header: those have to, and nobody else may.
        """
        self._admission = admission
        self._factory = factory
        self._tls = tls
        self._takes_headers = takes_headers
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._sockets: list[socket.socket] = []
        self._beginning: dict[asyncio.Task[None], str] = {}  # with the address that it is one of, empty: not known, or of a proxy
        self._by_address: Counter[str] = Counter()  # of those

    async def start(self, host: str, port: int, *, is_shared: bool = False) -> int:
        """Listen on `host` and `port` (0: a free one). Gives the port.

        Args:
            host: an address, or a name that has some.
            port: the same on each.
            is_shared: whether other processes of this user listen there too, each of which gets its share of the connections.

        Raises:
            OSError: the port cannot be bound.
        """
        # the loop binds, as it knows how names, families and reused addresses go together; it never accepts where we do
        is_plain = self._tls is None and not self._takes_headers
        server = self._server = await self._loop.create_server(
            lambda: self._factory(None),
            host,
            port,
            backlog=LISTEN_BACKLOG,
            start_serving=is_plain,
            reuse_port=is_shared or None,
        )
        bound = int(server.sockets[0].getsockname()[1])
        if not is_plain:
            self._sockets = [_again(sock) for sock in server.sockets]
            for sock in self._sockets:
                sock.listen(LISTEN_BACKLOG)
                self._loop.add_reader(sock, self._accept, sock)
        return bound

    def hand_over(self) -> None:
        """Take those who wait, and nobody who comes later: other processes listen at the port too, and get these.

        Where the process may open no more sockets, those who wait are dropped, and come again.
        """
        if self._server is None:
            return
        sockets = self._sockets or self._opened_again(self._server)
        for sock in self._sockets:
            self._loop.remove_reader(sock)
        self._server.close()
        self._server, self._sockets = None, []
        for sock in sockets:
            while self._accept(sock):
                pass
            sock.close()  # the last that has it open: whoever came since is dropped, but nobody who waited

    def _opened_again(self, server: asyncio.Server) -> list[socket.socket]:
        """The sockets of `server`, as many as the process may open, as ones that can be accepted from."""
        opened: list[socket.socket] = []
        for sock in server.sockets:
            try:
                opened.append(_again(sock))
            except OSError as error:
                log.error("cannot take who waits: %s", error, extra={"listener": self._admission.name})
        return opened

    def close(self) -> None:
        """Take no new connections; those that have not begun are dropped."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets = []
        if self._server is not None:
            self._server.close()
        for task in self._beginning:
            task.cancel()

    def _accept(self, listening: socket.socket) -> bool:
        """Take who waits; whether more may do, for another turn."""
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, name = listening.accept()
            except BlockingIOError:
                return False
            except (InterruptedError, ConnectionAbortedError):
                continue
            except OSError as error:
                log.error("cannot accept: %s", error, extra={"listener": self._admission.name})
                self._pause(listening)
                return False
            sock.setblocking(False)
            self._took(sock, remote_at(name))
        return True

    def _pause(self, listening: socket.socket) -> None:
        """The process has as many sockets as it may: look again when some may have gone."""
        self._loop.remove_reader(listening)
        self._loop.call_later(PAUSE_S, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def _took(self, sock: socket.socket, remote: Remote) -> None:
        if len(self._beginning) >= self._admission.limits.connections:
            self._admission.count_refused(LIMIT)
            sock.close()
        elif self._takes_headers and self._admission.limits.proxies.trusts(remote.address):
            self._start(self._begin_by_proxy(sock, remote), "")
        elif self._turns_away(remote):
            sock.close()
        else:
            self._start(self._begin(sock, remote), remote.address)

    def _start(self, work: Coroutine[Any, Any, None], address: str) -> None:
        task = self._loop.create_task(work)
        self._beginning[task] = ""
        self._count(task, address)
        task.add_done_callback(self._began)

    def _count(self, task: asyncio.Task[None], address: str) -> None:
        """The connection is one of `address`; those of trusted proxies are nobody's."""
        if address and not self._admission.limits.proxies.trusts(address):
            self._beginning[task] = address
            self._by_address[address] += 1

    def _began(self, task: asyncio.Task[None]) -> None:
        address = self._beginning.pop(task)
        if address:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _turns_away(self, client: Remote) -> bool:
        """Whether `client` gets no handshake; without TLS it is told why in the words of its protocol."""
        return self._tls is not None and self._admission.turns_away(client.address, self._by_address[client.address])

    async def _begin_by_proxy(self, sock: socket.socket, remote: Remote) -> None:
        """Hear from a balancer whose connection it is, and begin with it."""
        try:
            client = await self._introduced(sock)
        except BaseException as error:
            sock.close()
            if not isinstance(error, RemoteProtocolError | OSError):
                raise
            self._admission.count_refused(PROXY_HEADER)
            log.warning("connection refused: %s", error, extra={"listener": self._admission.name, "peer": remote.peer})
            return
        client = replace(client if client is not None else remote, is_handed_on=True)
        if self._turns_away(client):
            sock.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._count(task, client.address)
        await self._begin(sock, client)

    async def _begin(self, sock: socket.socket, client: Remote) -> None:
        """Bring a connection to where its protocol begins."""
        timeout_s = self._admission.limits.handshake_timeout_s if self._tls is not None else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._factory(client), sock, ssl=self._tls, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:  # of TLS too; it closes the socket
            is_late = isinstance(error, ConnectionAbortedError)
            self._admission.count_refused(TIMEOUT if is_late else HANDSHAKE)
            log.debug("no handshake: %s", error, extra={"listener": self._admission.name, "peer": client.peer})

    async def _introduced(self, sock: socket.socket) -> Remote | None:
        """Whose connection it is that a balancer hands on; None: its own.

        Raises:
            RemoteProtocolError: it does not say so in time.
            OSError: the connection is gone.
        """
        limit_s = self._admission.limits.handshake_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                source = await self._source(sock)
        except TimeoutError:
            raise RemoteProtocolError(f"no PROXY header within {limit_s:g} s", section="PROXY §2") from None
        return None if source is None else Remote(source[0], host_port(*source))

    async def _source(self, sock: socket.socket) -> tuple[str, int] | None:
        reader = ProxyHeaderReader()
        while reader.header is None:
            try:
                data = sock.recv(PEEK_BYTES, socket.MSG_PEEK)
            except BlockingIOError:
                await self._readable(sock)
                continue
            if not data:
                raise RemoteProtocolError("the end before a whole PROXY header", section="PROXY §2")
            sock.recv(reader.feed(data))  # what was there a moment ago still is
        return reader.header.source

    async def _readable(self, sock: socket.socket) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(sock, _settle, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(sock)


def _again(sock: socket.socket) -> socket.socket:
    """The same socket as one that can be accepted from: those of the loop cannot."""
    made = socket.fromfd(sock.fileno(), sock.family, sock.type, socket.IPPROTO_TCP)
    made.setblocking(False)
    return made


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
