"""Connections of players and publishers by the hundred: calls of the kernel, and no more copies than are asked for."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from lalmesh.client._destinations import AddressInfo, connect_first
from lalmesh.client._errors import ConnectionFailed, TimedOut
from lalmesh.client._options import ClientOptions
from lalmesh.errors import LalmeshError

READ_BYTES: Final = 32 << 10  #: at a time, of what is looked at: the first key frame of a player is two or three such
DISCARD_BYTES: Final = 4 << 20  #: at a time, of what is not: what a kernel may hold of a connection
TLS_READS: Final = 64  #: records of one connection at a time, so that the others get their turn
CLOSED: Final = "closed by the server"
MAX_UNSENT_BYTES: Final = 1 << 20  #: of requests and answers to a server that takes none

#: Where bytes go that nobody looks at. With MSG_TRUNC the kernel writes nothing of TCP to it (Linux, tcp(7)); TLS does.
_SCRATCH: Final = memoryview(bytearray(DISCARD_BYTES))
_DECRYPTED: Final = _SCRATCH[: 64 << 10]
NOTHING_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Wire:
    """One connection that never waits. What ends it is raised by whatever is called next."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected socket, an `ssl.SSLSocket` too."""
        self._sock = sock
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        self._unsent = b""
        self._on_sent: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()

    def fileno(self) -> int:
        """Its descriptor."""
        return self._sock.fileno()

    @property
    def local(self) -> tuple[str, int]:
        """Our address."""
        address: tuple[str, int] = self._sock.getsockname()
        return address

    @property
    def peer(self) -> tuple[str, int]:
        """The server's address."""
        address: tuple[str, int] = self._sock.getpeername()
        return address

    def read(self) -> bytes | None:
        """What has come, at most `READ_BYTES`; None: nothing yet.

        Raises:
            ConnectionFailed: it is over.
        """
        try:
            data = self._sock.recv(READ_BYTES)
        except NOTHING_YET:
            return None
        except OSError as error:
            raise ConnectionFailed(words_of(error)) from None
        if not data:
            raise ConnectionFailed(CLOSED)
        return data

    def discard(self, at_most: int = DISCARD_BYTES) -> int:
        """Throw away what has come, inside the kernel where it is not encrypted; how much that was.

        Raises:
            ConnectionFailed: it is over.
        """
        try:
            if self._is_tls:
                size = self._discard_decrypted(at_most)
            else:
                size = self._sock.recv_into(_SCRATCH, min(at_most, DISCARD_BYTES), socket.MSG_TRUNC)
        except NOTHING_YET:
            return 0
        except OSError as error:
            raise ConnectionFailed(words_of(error)) from None
        if not size:
            raise ConnectionFailed(CLOSED)
        return size

    def discarding(self) -> Callable[[], int]:
        """What throws away what has come, as `discard`, for whoever asks often: a call of the kernel, answered as the kernel does.

        So it gives how much that was, 0 at the end of the connection, and raises one of `NOTHING_YET`, or any other OSError where
        the connection is over.
        """
        if self._is_tls:
            return partial(self._discard_decrypted, DISCARD_BYTES)
        return partial(self._sock.recv_into, _SCRATCH, DISCARD_BYTES, socket.MSG_TRUNC)

    def _discard_decrypted(self, at_most: int) -> int:
        total = 0
        for _ in range(TLS_READS):
            try:
                size = self._sock.recv_into(_DECRYPTED, min(at_most - total, len(_DECRYPTED)))
            except NOTHING_YET:
                if not total:
                    raise
                break
            total += size
            if not size or total == at_most:
                break
        return total

    def send(self, data: bytes, on_sent: Callable[[], None] | None = None) -> bool:
        """Send, and keep what the kernel has no room for; `on_sent` is called once that is gone. Whether all is gone at once.

        Raises:
            ConnectionFailed: it is over.
        """
        if self._unsent:
            if len(self._unsent) + len(data) > MAX_UNSENT_BYTES:
                raise ConnectionFailed("the server takes nothing")
            self._unsent += data
            self._on_sent = on_sent or self._on_sent
            return False
        sent = self._send_now(data) if data else 0
        if sent == len(data):
            return True
        self._unsent, self._on_sent = data[sent:], on_sent
        self._loop.add_writer(self._sock, self._send_kept)
        return False

    def _send_now(self, data: bytes) -> int:
        try:
            return self._sock.send(data)
        except NOTHING_YET:
            return 0
        except OSError as error:
            raise ConnectionFailed(words_of(error)) from None

    def _send_kept(self) -> None:
        try:
            self._unsent = self._unsent[self._send_now(self._unsent) :]
        except ConnectionFailed:  # a read will say it too
            self._unsent = b""
        if not self._unsent:
            self._loop.remove_writer(self._sock)
            on_sent, self._on_sent = self._on_sent, None
            if on_sent is not None:
                on_sent()

    def on_readable(self, call: Callable[[], None] | None) -> None:
        """Call `call` whenever something has come, or the end; None: no more."""
        if call is None:
            self._loop.remove_reader(self._sock)
        else:
            self._loop.add_reader(self._sock, call)

    async def readable(self) -> None:
        """Wait until something has come, or the end."""
        await _ready(self._sock, to_write=False)

    async def finish(self) -> None:
        """Say that nothing more is sent, and wait until the server has closed: a socket closed before drops what is on its way.

        Raises:
            ConnectionFailed: it is over.
        """
        if self._unsent:
            gone = asyncio.Event()
            self._on_sent = gone.set
            await gone.wait()
        with suppress(OSError):  # of TLS: its goodbye is sent, and that of the server is yet to come
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.unwrap()
            else:
                self._sock.shutdown(socket.SHUT_WR)
        while True:
            if self.read() is None:
                await self.readable()

    def close(self) -> None:
        """Give it up."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()


class Dialler:
    """Makes connections. A name is looked up until it is found, and a certificate store is read once, for however many they are."""

    def __init__(self, options: ClientOptions) -> None:
        """Connect as `options` say."""
        self.options = options
        self._addresses: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}
        self._context: ssl.SSLContext | None = None

    async def dial(self, host: str, port: int, *, tls: bool) -> Wire:
        """A connection to a server, encrypted if `tls`.

        Raises:
            ConnectionFailed, TimedOut: there is none.
        """
        where, limit_s = f"{host}:{port}", self.options.connect_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                sock = await self._connect(host, port)
                return Wire(await self._encrypt(sock, host) if tls else sock)
        except TimeoutError:
            raise TimedOut(f"connection to {where}", limit_s) from None
        except (OSError, UnicodeError) as error:
            raise ConnectionFailed(f"{where}: {words_of(error)}") from None

    async def _connect(self, host: str, port: int) -> socket.socket:
        if (host, port) not in self._addresses:
            self._addresses[host, port] = asyncio.ensure_future(self._look_up(host, port))
        sock = await connect_first(host, await asyncio.shield(self._addresses[host, port]), self.options.denied)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _look_up(self, host: str, port: int) -> list[AddressInfo]:
        try:
            return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException:
            del self._addresses[host, port]  # whoever comes next may have more luck
            raise

    async def _encrypt(self, sock: socket.socket, host: str) -> ssl.SSLSocket:
        if self._context is None:
            self._context = self.options.ssl_context()
        encrypted = self._context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        try:
            while True:
                try:
                    encrypted.do_handshake()
                except ssl.SSLWantReadError:
                    await _ready(encrypted, to_write=False)
                except ssl.SSLWantWriteError:
                    await _ready(encrypted, to_write=True)
                else:
                    return encrypted
        except BaseException:
            encrypted.close()
            raise


async def _ready(sock: socket.socket, *, to_write: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    watch, forget = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
    watch(sock, wake)
    try:
        await ready
    finally:
        with suppress(OSError, ValueError):
            forget(sock)


def words_of(error: Exception) -> str:
    """What is said of an error: alike for all that meet it, so that they can be counted."""
    if isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return CLOSED
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    if number is not None and number > 0:
        return os.strerror(number)
    return str(error) or type(error).__name__


def is_ordinary(error: BaseException) -> bool:
    """Whether it is something that servers and networks do, to be counted, and not a bug of ours."""
    return isinstance(error, LalmeshError | OSError)
