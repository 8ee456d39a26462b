"""What the connections of RTMP and RTSP have in common: bytes between a socket and a core, how it begins, how it ends."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final, Literal, cast

from lalmesh.client._destinations import open_socket
from lalmesh.client._errors import ConnectionFailed, TimedOut
from lalmesh.client._options import ClientOptions
from lalmesh.errors import LalmeshError, RemoteProtocolError, ServiceError, UnsupportedError
from lalmesh.unread import unread

READ_BUFFER_BYTES: Final = 64 << 10  #: of each connection; a read at 5 Mbit/s every 100 ms fills it
WRITE_HIGH_BYTES: Final = 512 << 10  #: unsent bytes from which `ClientLink.drain` waits: a second of 4 Mbit/s
MAX_UNSENT_BYTES: Final = 32 << 20  #: unsent bytes of who never drains; four of the largest messages of RTMP
MAX_QUEUED_BYTES: Final = 8 << 20  #: media that nobody took yet, before we stop reading: one message may be as large
CLOSE_TIMEOUT_S: Final = 2.0  #: for what was sent last to arrive

Mode = Literal["publish", "play"]


class ClientLink(asyncio.BufferedProtocol, ABC):
    """One connection. Make it inside a running loop."""

    def __init__(self, mode: Mode) -> None:
        """Wait for a connection, to do `mode` on it."""
        self._mode = mode
        self._loop = asyncio.get_running_loop()
        # A view: of a bytearray asyncio's TLS would slice off copies, and read all but the first record of a read into those.
        self._buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._has_said_all = False  # nothing goes out behind the end of what it sends
        self._changed = asyncio.Event()  # media came, or it is over
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        #: done with None when media may flow, with a URL when the server sends us there, with an error when it refuses
        self.started: asyncio.Future[str | None] = self._loop.create_future()
        self.failure: LalmeshError | None = None
        self.ended = ""  #: why a stream that was played is over; empty while it is not
        self.first_byte_at: float | None = None  #: by the loop's clock

    @property
    def mode(self) -> Mode:
        """What is done on it."""
        return self._mode

    # what each protocol does

    @abstractmethod
    def _feed(self, data: memoryview) -> None:
        """Give `data` to the core, and do what it says.

        Raises:
            RemoteProtocolError, UnsupportedError, ServiceError: it cannot go on.
        """

    @abstractmethod
    def _flush(self) -> None:
        """Write what is to be sent."""

    @abstractmethod
    def _say_goodbye(self) -> None:
        """Let what is to be sent end with a goodbye."""

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is here."""
        self._transport = cast(asyncio.Transport, transport)  # those of uvloop are no subclass
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` have been read."""
        if self.first_byte_at is None:
            self.first_byte_at = self._loop.time()
        self._take_in(self._buffer[:nbytes])

    def _take_in(self, data: memoryview) -> None:
        try:
            self._feed(data)
        except (RemoteProtocolError, UnsupportedError, ServiceError) as error:
            self._flush()
            self._fail(error)
            return
        self._flush()

    def eof_received(self) -> None:
        """The server is done; the transport closes itself."""

    def pause_writing(self) -> None:
        """The server takes less than we send."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """What was unsent is on its way."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        transport, self._transport = self._transport, None
        if transport is not None:
            for data in unread(transport, exc):
                self._take_in(data)
        self._gone.set()
        if self._is_playing() and (exc is None or _is_hanging_up(exc)):
            self._end("closed by the server")
        elif not self.ended:
            self._fail(ConnectionFailed(f"connection lost: {exc}" if exc else "closed by the server"))

    # beginning and end

    def _start(self, redirect: str | None) -> None:
        """The server agrees, or sends us elsewhere."""
        if not self.started.done():
            self.started.set_result(redirect)

    def _is_playing(self) -> bool:
        is_started = self.started.done() and not self.started.cancelled() and self.started.exception() is None
        return self._mode == "play" and is_started

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._changed.set()
        self._close_transport()

    def _fail(self, error: LalmeshError) -> None:
        self.failure = self.failure or error
        if not self.started.done():
            self.started.set_exception(error)
            self.started.exception()  # who stopped waiting for it need not hear of it
        self._changed.set()
        self._writable.set()
        self._close_transport()

    def _close_transport(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # bytes

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not (self._has_said_all or self._transport.is_closing()):
            self._transport.write(data)

    def _check_unsent(self) -> None:
        """End a connection whose server takes nothing, where nobody waits for it.

        Raises:
            ConnectionFailed: that is so.
        """
        if self._transport is not None and (unsent := self._transport.get_write_buffer_size()) > MAX_UNSENT_BYTES:
            self._fail(ConnectionFailed(f"{unsent} bytes unsent, limit {MAX_UNSENT_BYTES}"))
            self.abort()
            self.check()

    def _pause_reading(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    # who uses it

    def check(self) -> None:
        """Do nothing while the connection is fine.

        Raises:
            LalmeshError: what ended it.
        """
        if self.failure is not None:
            raise self.failure

    async def drain(self) -> None:
        """Wait until there is room to send.

        Raises:
            LalmeshError: what ended the connection.
        """
        await self._writable.wait()
        self.check()

    async def wait_gone(self) -> None:
        """Wait until the connection is over, for whatever reason."""
        await self._gone.wait()

    async def close(self) -> None:
        """Say goodbye, and let it arrive: a socket closed at once with unread bytes in it drops what is still to be sent."""
        self._say_goodbye()
        self._flush()
        if self._transport is None:
            return
        self._read_on()  # or the server's goodbye would not be seen
        try:
            if not self._transport.is_closing() and self._transport.can_write_eof():
                self._has_said_all = True
                self._transport.write_eof()
            else:
                self._transport.close()
        except OSError:  # the server has reset the connection, and the loop does not know yet
            self.abort()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._gone.wait()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()


def _is_hanging_up(error: Exception) -> bool:
    """Whether the server closed the connection: it is reset where it had not read all that we report, chance, as seen from here."""
    return isinstance(error, ConnectionResetError | BrokenPipeError)  # RFC 2525 §2.17; and the next write behind the reset


async def connect(link: ClientLink, host: str, port: int, options: ClientOptions, *, tls: bool) -> None:
    """Let `link` be the connection to a server.

    Raises:
        ConnectionFailed, TimedOut: it cannot.
    """
    where = f"{host}:{port}"
    try:
        context = options.ssl_context() if tls else None
        async with asyncio.timeout(options.connect_timeout_s):
            sock = await open_socket(host, port, options)
            name = host if context is not None else None
            await asyncio.get_running_loop().create_connection(lambda: link, sock=sock, ssl=context, server_hostname=name)
    except TimeoutError:
        raise TimedOut(f"connection to {where}", options.connect_timeout_s) from None
    except (OSError, UnicodeError) as error:  # the second: a host name that cannot be one
        raise ConnectionFailed(f"{where}: {error}") from None


async def consent(link: ClientLink, options: ClientOptions) -> str | None:
    """Wait until the server has agreed; the URL that it sends us to, if it does.

    Raises:
        ConnectionFailed, TimedOut, Refused, RemoteProtocolError, UnsupportedError: it did not; the connection is dropped.
    """
    try:
        async with asyncio.timeout(options.handshake_timeout_s):
            return await link.started
    except TimeoutError:
        link.abort()
        raise TimedOut(f"consent to {link.mode}", options.handshake_timeout_s) from None
    except BaseException:
        link.abort()
        raise
