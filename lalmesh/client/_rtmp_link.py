"""One RTMP connection of a client: bytes between a socket and an `RtmpClient`, and the way to it, redirects included.

No task lives here: reads go through the core into a queue, and who waits is woken. The queue is bounded by not reading on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from typing import Literal, assert_never, cast

from lalmesh.client._errors import ConnectionFailed, InvalidUrl, Refused, TimedOut, rtmp_refusal
from lalmesh.client._options import ClientOptions
from lalmesh.container.flv import Tag
from lalmesh.errors import LalmeshError, RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtmp import (
    CAN_FORWARD,
    Capabilities,
    ClientEvent,
    ConnectAccepted,
    MediaMessage,
    PlayStarted,
    PublishStarted,
    Redirected,
    RtmpClient,
    RtmpUrl,
    StatusFailed,
    StreamEnded,
)

log = logging.getLogger(__name__)

READ_BUFFER_BYTES = 64 << 10  #: of each connection; a read at 5 Mbit/s every 100 ms fills it
MAX_QUEUED_BYTES = 8 << 20  #: media that nobody took yet, before we stop reading: one message may be as large
WRITE_HIGH_BYTES = 512 << 10  #: unsent bytes from which `RtmpLink.drain` waits: a second of 4 Mbit/s
GATHER_BYTES = 64 << 10  #: of messages sent in one turn of the loop, before they are written: half a second of 1 Mbit/s
MAX_UNSENT_BYTES = 32 << 20  #: unsent bytes of who never drains; four of the largest messages
CLOSE_TIMEOUT_S = 2.0  #: for what was sent last to arrive

#: codecs are carried, not decoded, so any of them is welcome; reconnecting on request is not offered
CLIENT_CAPABILITIES = Capabilities(four_cc_list=("*",), video={"*": CAN_FORWARD}, audio={"*": CAN_FORWARD})

Mode = Literal["publish", "play"]


class RtmpLink(asyncio.BufferedProtocol):
    """One connection. Make it inside a running loop."""

    def __init__(self, client: RtmpClient, mode: Mode) -> None:
        """Move bytes for `client`, which wants to do `mode`."""
        self._client = client
        self._mode = mode
        self._loop = asyncio.get_running_loop()
        # A view: of a bytearray asyncio's TLS would slice off copies, and read all but the first record of a read into those.
        self._buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._transport: asyncio.Transport | None = None
        self._tags: deque[Tag] = deque()
        self._queued_bytes = 0
        self._paused = False
        self._gathered_bytes = 0  # of messages that were sent and are not written yet
        self._changed = asyncio.Event()  # media came, or it is over
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        #: done with None when media may flow, with a URL when the server sends us there, with an error when it refuses
        self.started: asyncio.Future[str | None] = self._loop.create_future()
        self.failure: LalmeshError | None = None
        self.ended = ""  #: why a stream that was played is over; empty while it is not
        self.first_byte_at: float | None = None  #: by the loop's clock

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
        try:
            for event in self._client.feed(self._buffer[:nbytes]):
                self._handle(event)
        except (RemoteProtocolError, UnsupportedError) as error:
            self._flush()
            self._fail(error)
            return
        self._flush()
        if self._queued_bytes > MAX_QUEUED_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

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
        self._transport = None
        self._gone.set()
        if self._mode == "play" and exc is None and self._is_started():
            self._end("closed by the server")
        elif not self.ended:
            self._fail(ConnectionFailed(f"connection lost: {exc}" if exc else "closed by the server"))

    # the core

    def _handle(self, event: ClientEvent) -> None:
        match event:
            case MediaMessage():
                self._tags.append(Tag(event.type_id, event.timestamp_ms, event.payload))
                self._queued_bytes += len(event.payload)
                self._changed.set()
            case ConnectAccepted():
                pass
            case PublishStarted() | PlayStarted():
                self._start(None)
            case Redirected(url):
                self._start(url)
            case StatusFailed(code, description):
                self._fail(rtmp_refusal(code, description))
            case StreamEnded(code):
                self._over(code)
            case _:
                assert_never(event)

    def _start(self, redirect: str | None) -> None:
        if not self.started.done():
            self.started.set_result(redirect)
        else:
            log.info("the server asks us to reconnect to %r; staying", redirect)

    def _over(self, code: str) -> None:
        if self._mode == "play" and self._is_started():
            self._end(code)
        else:
            self._fail(Refused(code, "ended by the server"))

    def _is_started(self) -> bool:
        return self.started.done() and not self.started.cancelled() and self.started.exception() is None

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._changed.set()
        if self._transport is not None:
            self._transport.close()

    def _fail(self, error: LalmeshError) -> None:
        self.failure = self.failure or error
        if not self.started.done():
            self.started.set_exception(error)
            self.started.exception()  # who stopped waiting for it need not hear of it
        self._changed.set()
        self._writable.set()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        self._gathered_bytes = 0
        data = self._client.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # who uses it

    def check(self) -> None:
        """Do nothing while the connection is fine.

        Raises:
            LalmeshError: what ended it.
        """
        if self.failure is not None:
            raise self.failure

    def send(self, type_id: int, timestamp_ms: int, parts: tuple[bytes, ...]) -> None:
        """Publish one message, in one write with what else is sent in this turn of the loop; `RtmpPublisher.send` says the rest."""
        self.check()
        self._client.send_media(type_id, timestamp_ms, *parts)
        if not self._gathered_bytes:
            self._loop.call_soon(self._flush)
        self._gathered_bytes += sum(map(len, parts))
        if self._gathered_bytes >= GATHER_BYTES:
            self._flush()
        if self._transport is not None and (unsent := self._transport.get_write_buffer_size()) > MAX_UNSENT_BYTES:
            self._fail(ConnectionFailed(f"{unsent} bytes unsent, limit {MAX_UNSENT_BYTES}"))
            self.abort()
            self.check()

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

    async def take(self) -> list[Tag]:
        """What has come, waiting for it if need be; nothing when the stream is over.

        Raises:
            LalmeshError: what ended the connection; raised only after the media before it.
        """
        while not self._tags and not self.ended:
            self.check()
            self._changed.clear()
            await self._changed.wait()
        tags = list(self._tags)
        self._tags.clear()
        self._queued_bytes = 0
        self._read_on()
        return tags

    def _read_on(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    async def close(self) -> None:
        """Say goodbye, and let it arrive: a socket closed at once with unread bytes in it drops what is still to be sent."""
        self._client.close()
        self._flush()
        if self._transport is None:
            return
        self._read_on()  # or the server's goodbye would not be seen
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._gone.wait()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()


def parse_rtmp_url(url: str) -> RtmpUrl:
    """Take apart the URL of a stream.

    Raises:
        InvalidUrl: it is none, or names no application or no stream.
        UnsupportedError: another scheme.
    """
    try:
        parsed = RtmpUrl.parse(url)
    except ValueError as error:
        raise InvalidUrl(f"{url}: {error}") from None
    if not parsed.app or not parsed.name:
        raise InvalidUrl(f"{url}: not of the form rtmp://HOST/APP/NAME")
    return parsed


def redirected(url: RtmpUrl, target: str) -> RtmpUrl:
    """Where `url` leads once the server said `target`: scheme to application, from ``//`` or from ``/`` on, or nothing at all.

    Raises:
        RemoteProtocolError: it is no such URL, or leads from an encrypted connection to a bare one.
    Source: Enhanced RTMP v2, Reconnect Request
    """
    if not target:
        return url
    if target.startswith("//"):
        target = f"{url.scheme}:{target}"
    elif target.startswith("/"):
        target = url.tc_url.removesuffix("/" + url.app) + target
    try:
        found = RtmpUrl.parse(f"{target.rstrip('/')}/{url.name}")
    except (ValueError, UnsupportedError) as error:
        raise RemoteProtocolError(f"redirect to {target!r}: {error}") from None
    if url.tls and not found.tls:
        raise RemoteProtocolError(f"redirect from an encrypted connection to {target!r}")
    return found


async def dial(url: str, mode: Mode, options: ClientOptions, *, complex_handshake: bool = False) -> RtmpLink:
    """A connection on which the server has agreed to `mode`.

    Raises:
        InvalidUrl, UnsupportedError: of the URL.
        ConnectionFailed, TimedOut, Refused, RemoteProtocolError: of the server.
    """
    target = parse_rtmp_url(url)
    for _ in range(options.max_redirects + 1):
        client = RtmpClient(target, mode, os.urandom, complex_handshake=complex_handshake, capabilities=CLIENT_CAPABILITIES)
        link = RtmpLink(client, mode)
        await _connect(link, target, options)
        try:
            redirect = await asyncio.wait_for(link.started, options.handshake_timeout_s)
        except TimeoutError:
            link.abort()
            raise TimedOut(f"consent to {mode}", options.handshake_timeout_s) from None
        except BaseException:
            link.abort()
            raise
        if redirect is None:
            return link
        link.abort()
        target = redirected(target, redirect)
    raise ConnectionFailed(f"over {options.max_redirects} redirects, the last to {target}")


async def _connect(link: RtmpLink, url: RtmpUrl, options: ClientOptions) -> None:
    where = f"{url.host}:{url.port}"
    try:
        context = options.ssl_context() if url.tls else None
        async with asyncio.timeout(options.connect_timeout_s):
            await asyncio.get_running_loop().create_connection(lambda: link, url.host, url.port, ssl=context)
    except TimeoutError:
        raise TimedOut(f"connection to {where}", options.connect_timeout_s) from None
    except (OSError, UnicodeError) as error:  # the second: a host name that cannot be one
        raise ConnectionFailed(f"{where}: {error}") from None
