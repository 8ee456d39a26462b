"""Messages and interleaved frames out of the bytes of a connection (RFC 2326 §4.4, §10.12)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lalmesh.allowance import Allowance
from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.protocol.rtsp._messages import Field, Headers, InterleavedFrame, Message, Request, Response

MAX_HEAD_BYTES: Final = 16 << 10  #: a URL and two authentication headers of 4 KiB each stay below
MAX_HEADER_FIELDS: Final = 64
MAX_BODY_BYTES: Final = 64 << 10  #: of descriptions, which have the same bound; parameters are shorter
FRAME_WEIGHT_BYTES: Final = 16  #: what a frame costs at least, told in bytes of long ones; the shortest packet of RTP has as many
MESSAGE_WEIGHT_BYTES: Final = 256  #: ... and what a request or an answer does: both may have twenty
WEIGHT_OF_A_READ_BYTES: Final = 4 * MESSAGE_WEIGHT_BYTES  #: signs of life come alone, or two together
WEIGHT_OF_A_BURST_BYTES: Final = 256 << 10  #: a thousand requests; a client that begins says twenty

_DOLLAR, _FRAME_HEADER_BYTES = 0x24, 4
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_METHOD = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_VERSION = re.compile(r"(?:RTSP|HTTP)/[0-9]\.[0-9]")
_STATUS_LINE = re.compile(r"(RTSP/[0-9]\.[0-9])[ \t]+([1-9][0-9]{2})(?:[ \t]+(.*))?")
_LENGTH = re.compile(r"[0-9]{1,9}")
_WORD_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


class MessageReader:
    """Takes bytes, gives messages of either side and frames, in order."""

    def __init__(self) -> None:
        """Begin between two messages."""
        self._buf = bytearray()
        self._at = 0  # what is before it has been given
        self._searched = 0  # up to here, no head ends
        self._head: Request | Response | None = None  # whose body is not complete
        self._body_bytes = 0
        self._allowance = Allowance("short messages", of_a_read_bytes=WEIGHT_OF_A_READ_BYTES, burst_bytes=WEIGHT_OF_A_BURST_BYTES)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Message]:
        """Iterate over what `data` completed. `data` has been read when this returns.

        Raises:
            RemoteProtocolError: while iterating, after the good ones: no message of RTSP.
            LimitExceeded: the same; over `MAX_HEAD_BYTES`, `MAX_HEADER_FIELDS` or `MAX_BODY_BYTES`, or messages of next to nothing
                without end.
        """
        if data:
            self._allowance.read(len(data))
        if self._at:
            del self._buf[: self._at]
            self._searched = max(self._searched - self._at, 0)
            self._at = 0
        self._buf += data
        return self._messages()

    def _messages(self) -> Iterator[Message]:
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        if self._head is not None:
            return self._finish(self._head)
        buf, at, end = self._buf, self._at, len(self._buf)
        if at < end and buf[at] == _DOLLAR:  # the hot path: hundreds a second of each publisher
            return self._frame()
        while at < end and buf[at] in b"\r\n":  # Interop: some end a body with a line end that its length does not count
            at += 1
        self._at = at
        if at == end:
            return None
        if buf[at] == _DOLLAR:
            return self._frame()
        if buf[at] not in _WORD_BYTES:
            raise RemoteProtocolError(f"message that begins with byte {buf[at]:#04x}", section="RFC 2326 §4")
        return self._message()

    def _frame(self) -> InterleavedFrame | None:
        buf, at = self._buf, self._at
        if len(buf) - at < _FRAME_HEADER_BYTES:
            return None
        begin = at + _FRAME_HEADER_BYTES
        end = begin + (buf[at + 2] << 8 | buf[at + 3])
        if len(buf) < end:
            return None
        self._at = end
        if end - at < FRAME_WEIGHT_BYTES:
            self._allowance.take(FRAME_WEIGHT_BYTES)
        return InterleavedFrame(buf[at + 1], bytes(buf[begin:end]))

    def _message(self) -> Request | Response | None:
        found = _HEAD_END.search(self._buf, max(self._at, self._searched - 3))  # an end has four bytes
        size = (len(self._buf) if found is None else found.start()) - self._at
        if size > MAX_HEAD_BYTES:
            raise LimitExceeded("bytes of a message head", size, MAX_HEAD_BYTES, section="RFC 2326 §4")
        if found is None:
            self._searched = len(self._buf)
            return None
        self._allowance.take(MESSAGE_WEIGHT_BYTES)
        head = bytes(self._buf[self._at : found.start()])
        self._at = self._searched = found.end()
        message = parse_head(head)
        self._body_bytes = _body_bytes(message)
        return self._finish(message)

    def _finish(self, message: Request | Response) -> Request | Response | None:
        end = self._at + self._body_bytes
        if len(self._buf) < end:
            self._head = message
            return None
        body, self._head = bytes(self._buf[self._at : end]), None
        self._at = end
        return replace(message, body=body) if body else message


def parse_head(head: bytes) -> Request | Response:
    """A message without its body, from the bytes before the blank line.

    Interop: lines may end in LF alone, a URL may have spaces in it, and there may be any text behind a status.

    Raises:
        RemoteProtocolError: neither request line nor status line, or a line that is no header.
        LimitExceeded: over `MAX_HEADER_FIELDS`.
    """
    first, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    headers = Headers(_parse_fields(lines))
    if (status := _STATUS_LINE.fullmatch(first.rstrip("\r"))) is not None:
        version, code, reason = status.groups()
        return Response(version=version, status=int(code), reason=(reason or "").strip(), headers=headers)
    method, _, rest = first.replace("\t", " ").strip().partition(" ")
    uri, _, version = rest.rpartition(" ")
    if _METHOD.fullmatch(method) and uri.strip() and _VERSION.fullmatch(version):
        return Request(method=method, uri=uri.strip(), version=version, headers=headers)
    raise RemoteProtocolError(f"no request and no status: {first[:80]!r}", section="RFC 2326 §6.1, §7.1")


def _parse_fields(lines: list[str]) -> tuple[Field, ...]:
    fields: list[Field] = []
    for line in lines:
        if line[:1] in (" ", "\t") and fields:  # goes on from the line before (RFC 2326 §4.2)
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip()}".strip())
            continue
        name, colon, value = line.partition(":")
        if not (colon and name.strip()):
            raise RemoteProtocolError(f"no header: {line[:80]!r}", section="RFC 2326 §4.2")
        fields.append((name.strip(), value.strip()))
    if len(fields) > MAX_HEADER_FIELDS:
        raise LimitExceeded("header fields", len(fields), MAX_HEADER_FIELDS, section="RFC 2326 §4.2")
    return tuple(fields)


def _body_bytes(message: Request | Response) -> int:
    """How long the body is; 0 where nothing is said (RFC 2326 §12.14)."""
    said = message.headers.get("content-length") or "0"
    if _LENGTH.fullmatch(said) is None:
        raise RemoteProtocolError(f"Content-Length of {said[:40]!r}", section="RFC 2326 §12.14")
    if int(said) > MAX_BODY_BYTES:
        raise LimitExceeded("bytes of a message body", int(said), MAX_BODY_BYTES, section="RFC 2326 §12.14")
    return int(said)
