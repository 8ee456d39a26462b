"""RTSP messages, as they are (RFC 2326 §4 to §7, §10.12)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from lalmesh.errors import LocalProtocolError

VERSION: Final = "RTSP/1.0"
MAX_FRAME_BYTES: Final = 65_535  #: payload of an interleaved frame: its length has 16 bits (RFC 2326 §10.12)
MAX_CHANNEL: Final = 255

#: what is said for each status code (RFC 2326 §7.1.1)
REASONS: Final = {
    200: "OK",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    415: "Unsupported Media Type",
    451: "Parameter Not Understood",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    457: "Invalid Range",
    459: "Aggregate Operation Not Allowed",
    460: "Only Aggregate Operation Allowed",
    461: "Unsupported Transport",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "RTSP Version Not Supported",
    551: "Option Not Supported",
}

Field: TypeAlias = tuple[str, str]  #: name and value of a header


@dataclass(slots=True, frozen=True)
class Headers:
    """The header fields of a message, in order. Names are the same in upper and lower case (RFC 2326 §4.2)."""

    fields: tuple[Field, ...] = ()

    def get(self, name: str) -> str:
        """The value of the first field of that name; empty where there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """The values of all fields of that name, in order."""
        wanted = name.lower()
        return [value for said, value in self.fields if said.lower() == wanted]

    def options(self, name: str) -> list[str]:
        """The members of a list with commas, over all fields of that name."""
        return [part.strip() for value in self.all(name) for part in value.split(",") if part.strip()]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))


@dataclass(slots=True, frozen=True, kw_only=True)
class Request:
    """What one side asks of the other (RFC 2326 §6)."""

    method: str  #: as said: methods are the same in one case only
    uri: str  #: absolute, or ``*``; not checked
    version: str = VERSION
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def serialize(self) -> bytes:
        """The whole message; ``Content-Length`` is added where there is a body."""
        return _serialize(f"{self.method} {self.uri} {self.version}", self.headers.fields, self.body)


@dataclass(slots=True, frozen=True, kw_only=True)
class Response:
    """What the other answers (RFC 2326 §7)."""

    status: int  #: three digits
    reason: str = ""  #: for people
    version: str = VERSION
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def serialize(self) -> bytes:
        """The whole message; ``Content-Length`` is added where there is a body."""
        reason = self.reason or REASONS.get(self.status, "")
        return _serialize(f"{self.version} {self.status} {reason}", self.headers.fields, self.body)


@dataclass(slots=True)
class InterleavedFrame:
    """A packet among the messages. Not frozen: one is built for each packet."""

    channel: int  #: 0..255
    payload: bytes  #: at most `MAX_FRAME_BYTES`


Message: TypeAlias = Request | Response | InterleavedFrame

_FRAME: Final = struct.Struct(">cBH")


def serialize_frame_header(channel: int, size_bytes: int) -> bytes:
    """The four bytes before a packet of `size_bytes` (RFC 2326 §10.12).

    Raises:
        LocalProtocolError: no such channel, or the packet is too long.
    """
    if not (0 <= channel <= MAX_CHANNEL and 0 <= size_bytes <= MAX_FRAME_BYTES):
        raise LocalProtocolError(f"frame of {size_bytes} bytes on channel {channel}", section="RFC 2326 §10.12")
    return _FRAME.pack(b"$", channel, size_bytes)


def serialize_frame(channel: int, payload: bytes) -> bytes:
    """A packet as it goes between messages; errors as of `serialize_frame_header`."""
    return serialize_frame_header(channel, len(payload)) + payload


def _serialize(first_line: str, fields: Iterable[Field], body: bytes) -> bytes:
    lines = [first_line, *(f"{name}: {value}" for name, value in fields)]
    lines += [f"Content-Length: {len(body)}"] if body else []
    head = "".join(_one_line(line) + "\r\n" for line in lines)
    return head.encode("utf-8", "surrogateescape") + b"\r\n" + body


def _one_line(text: str) -> str:
    """A line end inside a value, which a peer might have put there, would begin another header."""
    return text.replace("\r", " ").replace("\n", " ")
