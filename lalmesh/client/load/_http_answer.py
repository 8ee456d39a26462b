"""What is had by a request over HTTP/1.1: the body of an endless answer, or a WebSocket."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Final

from lalmesh.client._errors import http_refusal
from lalmesh.client.load._http_reading import HttpUrl, ResponseReader
from lalmesh.client.load._logins import with_login
from lalmesh.client.load._websocket import WebSocketReader, binary_message, websocket_accept, websocket_key
from lalmesh.errors import RemoteProtocolError

MAX_REASON_BYTES: Final = 512  #: of the body of a refusal: one line for people


class EndlessAnswer:
    """The answer to one request, which is asked with `data_to_send`."""

    def __init__(self, url: HttpUrl, *, subprotocol: str = "") -> None:
        """Ask for what is at `url`, by a WebSocket where its scheme says so, or a subprotocol is named, which it carries."""
        self.redirect = ""  #: the URL that the server sends us to, with a login; empty: none
        self.ended = ""  #: why it is over; empty while it is not
        self.is_socket = bool(subprotocol) or url.scheme in ("ws", "wss")
        self._url = url
        self._subprotocol = subprotocol
        self._response = ResponseReader()
        self._websocket = WebSocketReader()
        self._key = websocket_key(os.urandom(16)) if self.is_socket else ""
        self._refusal = b""
        # Else servers keep the connection when the answer has ended, which who throws away what comes takes for a stall.
        self._out = request(url, **(_upgrade(self._key, subprotocol) if self.is_socket else {"Connection": "close"}))

    @property
    def is_open(self) -> bool:
        """The server has agreed: what `feed` gives is what was asked for."""
        return not self.redirect and self._response.status in (200, 101)

    def feed(self, data: bytes) -> bytes:
        """What of the body, or of the messages of the WebSocket, is in `data`.

        Raises:
            Refused: the server says no.
            RemoteProtocolError, LimitExceeded: it breaks the protocol.
        """
        had_head = bool(self._response.status)
        body = self._response.feed(data)
        if not self._response.status:
            return b""
        if not had_head:
            self._look_at_head()
        if self.redirect:
            return b""
        if not self.is_open:
            self._refuse(body)
            return b""
        if self.is_socket:
            body = self._websocket.feed(body + self._response.rest)
            self._response.rest = b""
            self._out += self._websocket.data_to_send()
            self.ended = self._websocket.closed
        elif self._response.is_whole:
            self.ended = "end of the response"
        return body

    def _look_at_head(self) -> None:
        response = self._response
        if response.location:
            target = self._url.joined_url(response.location)
            self.redirect = with_login(str(target), target.user, target.password)
        elif response.status == 101:
            if not self.is_socket or response.headers.get("sec-websocket-accept") != websocket_accept(self._key):
                raise RemoteProtocolError("another key than that of the upgrade", section="RFC 6455 §4.1")
            # Interop: a server that says nothing of it may know of one subprotocol alone.
            if (chosen := response.headers.get("sec-websocket-protocol", self._subprotocol)) != self._subprotocol:
                raise RemoteProtocolError(f"subprotocol {chosen[:40]!r}, asked for {self._subprotocol!r}", section="RFC 6455 §4.1")
        elif response.status == 200 and self.is_socket:
            raise RemoteProtocolError("no upgrade to WebSocket", section="RFC 6455 §4.1")

    def _refuse(self, body: bytes) -> None:
        """Wait for the first words of the body, which say why."""
        self._refusal += body
        if self._response.is_whole or len(self._refusal) >= MAX_REASON_BYTES or b"\n" in self._refusal:
            self.no_more()

    def no_more(self) -> None:
        """Nothing more comes, or it was waited for too long.

        Raises:
            Refused: the server did, and had not ended to say why.
        """
        response = self._response
        if response.status not in (0, 200, 101):
            raise http_refusal(response.status, first_line(self._refusal) or response.reason)

    def data_to_send(self) -> bytes:
        """The request, and what a WebSocket owes; it is forgotten."""
        data, self._out = self._out, b""
        return data

    def send(self, data: bytes) -> None:
        """Let `data` go out as one message of the WebSocket, which is open."""
        self._out += binary_message(data)


def request(url: HttpUrl, **fields: str) -> bytes:
    """A request for `url`; the names of `fields` have ``_`` for ``-``."""
    lines = [f"GET {url.target} HTTP/1.1", f"Host: {url.authority}", "User-Agent: lalmesh", "Accept: */*"]
    if url.user:
        lines.append(f"Authorization: Basic {b64encode(f'{url.user}:{url.password}'.encode()).decode()}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _upgrade(key: str, subprotocol: str) -> dict[str, str]:
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": key}
    return fields | ({"Sec_WebSocket_Protocol": subprotocol} if subprotocol else {})


def first_line(body: bytes) -> str:
    """The first words of a body, for people."""
    return body[:MAX_REASON_BYTES].decode("utf-8", "replace").strip().partition("\n")[0]
