"""What a server answers over HTTP/1.1, as far as players of endless streams and of playlists need it (RFC 9112)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from lalmesh.client._errors import InvalidUrl
from lalmesh.errors import LimitExceeded, RemoteProtocolError

MAX_HEAD_BYTES: Final = 64 << 10  #: of an answer
MAX_CHUNK_LINE_BYTES: Final = 1024  #: extensions included, of which nobody makes use

_SECTION: Final = "RFC 9112 §4"
_HEAD_END: Final = b"\r\n\r\n"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_BODILESS: Final = frozenset((101, 204, 304))


@dataclass(slots=True, frozen=True)
class HttpUrl:
    """Where something is had by HTTP or WebSocket."""

    scheme: str  #: ``http``, ``https``, ``ws`` or ``wss``
    host: str
    port: int
    target: str  #: path and query
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str) -> HttpUrl:
        """Take a URL apart.

        Raises:
            InvalidUrl: it is none, or of another scheme.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidUrl(f"{url}: {error}") from None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise InvalidUrl(f"{url}: no URL of HTTP or WebSocket")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        login = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], target, *login)

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is below it."""
        return self.scheme in ("https", "wss")

    @property
    def path(self) -> str:
        """Without the query."""
        return self.target.partition("?")[0]

    @property
    def authority(self) -> str:
        """For the ``Host`` header."""
        host, _, port = self.host_and_port.rpartition(":")
        return host if int(port) == _DEFAULT_PORTS[self.scheme] else self.host_and_port

    @property
    def host_and_port(self) -> str:
        """Both, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """The URL, without user and password."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def joined(self, reference: str) -> str:
        """What `reference` means here; `urljoin` does not know all schemes.

        Raises:
            InvalidUrl: it is none.
        """
        try:
            if urlsplit(reference).scheme:
                return reference
            web = urljoin(f"http://{self.authority}{self.target}", reference)
        except ValueError as error:
            raise InvalidUrl(f"{reference}: {error}") from None
        return f"{self.scheme}{web.removeprefix('http')}"

    def joined_url(self, reference: str) -> HttpUrl:
        """The same, taken apart; a login goes along to the same host only.

        Raises:
            InvalidUrl: it is none, or leads to another scheme.
        """
        found = HttpUrl.parse(self.joined(reference))
        same = (found.host, found.port) == (self.host, self.port)
        return replace(found, user=self.user, password=self.password) if same and not found.user else found

    def with_query(self, query: str) -> HttpUrl:
        """The URL with more behind it."""
        return replace(self, target=f"{self.target}{'&' if '?' in self.target else '?'}{query}")


class ResponseReader:
    """Read one answer: its head, and of its body what is in it."""

    def __init__(self) -> None:
        """Wait for the head."""
        self.status = 0  #: 0: the head is not whole yet
        self.reason = ""
        self.headers: dict[str, str] = {}  #: by name in lower case; of several of one name the last
        self.left: int | None = None  #: bytes of the body that are still to come; None: nobody knows
        self.is_whole = False  #: the answer is over
        self.rest = b""  #: what came behind it
        self._head = bytearray()
        self._chunks: _ChunkReader | None = None

    def feed(self, data: bytes) -> bytes:
        """What of the body is in `data`.

        Raises:
            RemoteProtocolError: it is no answer.
            LimitExceeded: a head or the line before a chunk is over its bound.
        """
        if not self.status:
            self._head += data
            data = self._take_head()
            if not self.status:
                return b""
        if self.is_whole:
            self.rest += data
            return b""
        if self._chunks is not None:
            body = self._chunks.feed(data)
            self.is_whole, self.rest = self._chunks.is_whole, self._chunks.rest
            return body
        if self.left is None:
            return data
        body, self.rest = data[: self.left], data[self.left :]
        self.passed(len(body))
        return body

    def passed(self, size: int) -> None:
        """So many bytes of a body whose length is known have been passed over."""
        if self.left is not None:
            self.left -= size
            self.is_whole = not self.left

    @property
    def can_be_passed(self) -> bool:
        """The body need not be read to know where it ends."""
        return bool(self.status) and self._chunks is None

    @property
    def location(self) -> str:
        """Where the server sends us; empty: nowhere."""
        return self.headers.get("location", "") if 300 <= self.status < 400 else ""

    @property
    def keeps_open(self) -> bool:
        """Another request may follow on the connection."""
        return self.is_whole and self.headers.get("connection", "").lower() != "close"

    def _take_head(self) -> bytes:
        """Read the head, if it is whole; what comes behind it."""
        end = self._head.find(_HEAD_END)
        if end < 0:
            if len(self._head) > MAX_HEAD_BYTES:
                raise LimitExceeded("bytes of the head of an answer", len(self._head), MAX_HEAD_BYTES, section=_SECTION)
            return b""
        line, *fields = bytes(self._head[:end]).decode("latin-1").split("\r\n")
        version, _, status = line.partition(" ")
        code, _, self.reason = status.partition(" ")
        if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit() and len(code) == 3):
            raise RemoteProtocolError(f"status line {line[:80]!r}", section=_SECTION)
        for field in fields:
            name, _, value = field.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.status, data = int(code), bytes(self._head[end + len(_HEAD_END) :])
        self._head.clear()
        self._begin_body()
        return data

    def _begin_body(self) -> None:
        length = self.headers.get("content-length", "")
        if self.status in _BODILESS:
            self.is_whole = True
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._chunks = _ChunkReader()
        elif length:
            if not (length.isascii() and length.isdigit() and len(length) < 19):
                raise RemoteProtocolError(f"Content-Length {length[:80]!r}", section="RFC 9112 §6.2")
            self.left = int(length)
            self.is_whole = not self.left


class _ChunkReader:
    """A chunked body (RFC 9112 §7.1)."""

    def __init__(self) -> None:
        self.is_whole = False
        self.rest = b""
        self._line = bytearray()
        self._left = 0  # bytes of the chunk that are still to come
        self._is_behind_chunk = False  # the line end that closes one is next
        self._is_trailer = False

    def feed(self, data: bytes) -> bytes:
        body, at = [], 0
        while at < len(data) and not self.is_whole:
            if self._left:
                piece = data[at : at + self._left]
                body.append(piece)
                self._left -= len(piece)
                self._is_behind_chunk = not self._left
                at += len(piece)
                continue
            end = data.find(b"\n", at)
            self._line += data[at : end + 1 or None]
            at = len(data) if end < 0 else end + 1
            if len(self._line) > MAX_CHUNK_LINE_BYTES:
                raise LimitExceeded("bytes before a chunk", len(self._line), MAX_CHUNK_LINE_BYTES, section="RFC 9112 §7.1")
            if end >= 0:
                self._take_line()
        self.rest = data[at:]
        return b"".join(body)

    def _take_line(self) -> None:
        line = bytes(self._line).strip()
        self._line.clear()
        if self._is_behind_chunk:
            self._is_behind_chunk = False
        elif self._is_trailer:
            self.is_whole = not line
        else:
            self._left = _chunk_size(line)
            self._is_trailer = not self._left


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    try:
        if not digits or len(digits) > 15 or digits[:1] in b"+-":
            raise ValueError
        return int(digits, 16)
    except ValueError:
        raise RemoteProtocolError(f"chunk size {line[:40]!r}", section="RFC 9112 §7.1") from None
