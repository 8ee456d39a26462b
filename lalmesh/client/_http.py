"""Playing FLV over HTTP, HTTPS and WebSocket."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

import aiohttp

from lalmesh.client._destinations import socket_factory
from lalmesh.client._errors import ConnectionFailed, TimedOut, http_refusal
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._player import Player
from lalmesh.container.flv import MAX_BODY_BYTES, PREVIOUS_TAG_SIZE_BYTES, TAG_HEADER_BYTES, TagReader
from lalmesh.errors import RemoteProtocolError
from lalmesh.relay_path import RELAY_HEADER, serialize_via

READ_BUFFER_BYTES = 256 << 10  #: that aiohttp reads ahead before it stops the server
MAX_SOCKET_MESSAGE_BYTES = MAX_BODY_BYTES + TAG_HEADER_BYTES + PREVIOUS_TAG_SIZE_BYTES  #: servers send a tag a message
MAX_REASON_BYTES = 512  #: of the body of a refusal: one line for people
HEADERS = {"Accept-Encoding": "identity"}


class _AiohttpPlayer(Player):
    """A player that aiohttp connects. There is no heartbeat: the limit on silence notices a dead server as well."""

    def __init__(self, url: str, options: ClientOptions = DEFAULT_OPTIONS) -> None:
        """Play `url`."""
        super().__init__(url, options)
        self._reader = TagReader()
        self._session: aiohttp.ClientSession | None = None

    async def _open(self) -> None:
        options = self.options
        limit_s = options.connect_timeout_s + options.handshake_timeout_s
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout_s)
        try:
            trust = options.ssl_context() if options.ca_file is not None else options.verify
            connector = aiohttp.TCPConnector(ssl=trust, socket_factory=socket_factory(options))
            headers = HEADERS | ({RELAY_HEADER: serialize_via(options.via)} if options.via else {})
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, headers=headers, auto_decompress=False, read_bufsize=READ_BUFFER_BYTES
            )
            async with asyncio.timeout(limit_s):
                await self._request(self._session)
            self.first_byte_at = asyncio.get_running_loop().time()
        except BaseException as error:
            await self._close()
            if isinstance(error, aiohttp.ServerTimeoutError):
                raise TimedOut("connection", options.connect_timeout_s) from None
            if isinstance(error, TimeoutError):
                raise TimedOut("consent to play", limit_s) from None
            if isinstance(error, (aiohttp.ClientError, OSError)):
                raise ConnectionFailed(_words(error)) from None
            raise

    async def _read(self) -> None:
        try:
            data = await self._receive()
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ConnectionFailed(f"connection lost: {_words(error)}") from None
        if data:
            self._take(self._reader.feed(data))

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @abstractmethod
    async def _request(self, session: aiohttp.ClientSession) -> None:
        """Ask for the stream, and be let in."""

    @abstractmethod
    async def _receive(self) -> bytes:
        """The next bytes; none where there is nothing in them, or where `end_reason` has been set."""


class HttpFlvPlayer(_AiohttpPlayer):
    """Plays ``http://HOST/APP/NAME.flv`` or ``https://``."""

    _response: aiohttp.ClientResponse

    async def _request(self, session: aiohttp.ClientSession) -> None:
        most = self.options.max_redirects
        # aiohttp counts the requests, not the redirects.
        response = await session.get(self.url, allow_redirects=most > 0, max_redirects=most + 1)
        if response.status != 200:
            reason = await response.content.read(MAX_REASON_BYTES)
            raise http_refusal(response.status, _first_line(reason) or response.reason or "")
        self._response = response

    async def _receive(self) -> bytes:
        data = await self._response.content.readany()
        if not data:
            self.end_reason = "end of the response"
        return data

    async def _close(self) -> None:
        if hasattr(self, "_response"):
            self._response.close()  # an endless one: do not read the rest of it
        await super()._close()


class WebSocketFlvPlayer(_AiohttpPlayer):
    """Plays ``ws://HOST/APP/NAME.flv`` or ``wss://``."""

    _socket: aiohttp.ClientWebSocketResponse

    async def _request(self, session: aiohttp.ClientSession) -> None:
        # No extensions are offered, and aiohttp has a bound of its own on redirects here.
        timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
        try:
            self._socket = await session.ws_connect(self.url, max_msg_size=MAX_SOCKET_MESSAGE_BYTES, timeout=timeout)
        except aiohttp.WSServerHandshakeError as error:
            raise http_refusal(error.status, error.message) from None

    async def _receive(self) -> bytes:
        message = await self._socket.receive()
        match message.type:
            case aiohttp.WSMsgType.BINARY:
                data: bytes = message.data
                return data
            case aiohttp.WSMsgType.TEXT:
                raise RemoteProtocolError("text message in a FLV stream", section="RFC 6455 §5.6")
            case aiohttp.WSMsgType.ERROR:
                raise ConnectionFailed(f"connection lost: {message.data}")
            case _:
                self.end_reason = f"closed by the server: {self._socket.close_code} {message.extra or ''}".rstrip()
                return b""

    async def _close(self) -> None:
        if hasattr(self, "_socket"):
            await self._socket.close()
        await super()._close()


def _first_line(body: bytes) -> str:
    return body.decode("utf-8", "replace").strip().partition("\n")[0]


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
