"""The PROXY protocol: a header before all else, by which a balancer says whose connection it hands on.

Version 1 is a line of text, version 2 is binary, with more about the client behind its addresses. Of that only the checksum of the
header is looked at. The bytes behind the header are the client's, so a reader takes what belongs to the header and no more: whoever
reads the socket asks it how much of what is there it may take away. A header is 65,551 bytes at most, and kept until it is whole.

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import google_crc32c

from lalmesh.errors import RemoteProtocolError

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"  #: of version 2 (§2.2)
MAX_LINE_BYTES: Final = 107  #: of version 1, line end included (§2.1)

_FIRST_WORD: Final = b"PROXY "
_FIXED = struct.Struct(">12sBBH")  # signature, version and command, family and transport, length of the rest
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _INET, _INET6, _UNIX = range(4)
#: how long the addresses and ports of a family are (§2.2)
_ADDRESS_BYTES: Final = {_UNSPECIFIED: 0, _INET: 12, _INET6: 36, _UNIX: 216}
_TLV = struct.Struct(">BH")  # of what stands behind the addresses: type, length of the value (§2.2)
_CRC32C: Final = 0x03  # type of the checksum (§2.2.3)
_CRC32C_BYTES: Final = 4
_MAX_TRANSPORT: Final = 2  #: none, stream, datagram
_MAX_PORT: Final = 0xFFFF


@dataclass(slots=True, frozen=True)
class ProxyHeader:
    """What a header says."""

    version: int  #: 1 or 2
    source: tuple[str, int] | None  #: the client's address and port; None: use those of the connection (LOCAL, UNKNOWN, no IP)


class ProxyHeaderReader:
    """Takes one header in, in pieces of any size."""

    def __init__(self) -> None:
        """Wait for the first byte."""
        self.header: ProxyHeader | None = None  #: once it is whole
        self._buf = bytearray()
        self._wanted = _FIXED.size  # bytes of version 2: the fixed part, then all of it
        self._family: int | None = None  # ... once its fixed part is here

    def feed(self, data: bytes) -> int:
        """Take the next bytes of the header from the beginning of `data`; gives how many those are, none once it is whole.

        Raises:
            RemoteProtocolError: there is no header, or it is broken.
        """
        taken = 0
        while self.header is None and taken < len(data):
            taken += self._take(data[taken:])
        return taken

    def _take(self, data: bytes) -> int:
        if (self._buf or data)[:1] == _FIRST_WORD[:1]:
            return self._take_line(data)
        return self._take_binary(data)

    def _keep(self, data: bytes, beginning: bytes) -> None:
        self._buf += data
        if not beginning.startswith(bytes(self._buf[: len(beginning)])):
            raise RemoteProtocolError("no PROXY header", section="PROXY §2")

    def _take_line(self, data: bytes) -> int:
        room = MAX_LINE_BYTES - len(self._buf)
        end = data.find(b"\n", 0, room)
        size = end + 1 if end >= 0 else min(len(data), room)
        self._keep(data[:size], _FIRST_WORD)
        if end >= 0:
            self.header = ProxyHeader(1, parse_line(bytes(self._buf)))
        elif size == room:
            raise RemoteProtocolError(f"a line of more than {MAX_LINE_BYTES} bytes", section="PROXY §2.1")
        return size

    def _take_binary(self, data: bytes) -> int:
        size = min(self._wanted - len(self._buf), len(data))
        self._keep(data[:size], SIGNATURE)
        if len(self._buf) == self._wanted and self._family is None:
            self._begin()
        if len(self._buf) == self._wanted:
            self._end()
        return size

    def _begin(self) -> None:
        """The fixed part of version 2 is here."""
        _, what, family, length = _FIXED.unpack(self._buf)
        if what >> 4 != 2 or what & 0xF > _PROXY:
            raise RemoteProtocolError(f"version and command {what:#04x}", section="PROXY §2.2", at=12)
        is_local = what & 0xF == _LOCAL  # whatever addresses it has are to be ignored
        if not is_local and (family >> 4 not in _ADDRESS_BYTES or family & 0xF > _MAX_TRANSPORT):
            raise RemoteProtocolError(f"family and transport {family:#04x}", section="PROXY §2.2", at=13)
        self._family = _UNSPECIFIED if is_local else family >> 4
        address_bytes = _ADDRESS_BYTES[self._family]
        if length < address_bytes:
            raise RemoteProtocolError(f"{length} bytes for addresses of {address_bytes}", section="PROXY §2.2", at=14)
        self._wanted += length

    def _end(self) -> None:
        """All of version 2 is here."""
        if self._family:  # what follows no addresses is to be ignored
            _check_sums(self._buf, _FIXED.size + _ADDRESS_BYTES[self._family])
        self.header = ProxyHeader(2, self._source())

    def _source(self) -> tuple[str, int] | None:
        addresses = bytes(self._buf[_FIXED.size :])
        if self._family == _INET:
            return str(ipaddress.IPv4Address(addresses[:4])), int.from_bytes(addresses[8:10], "big")
        if self._family == _INET6:
            return _plain(ipaddress.IPv6Address(addresses[:16])), int.from_bytes(addresses[32:34], "big")
        return None


def _check_sums(header: bytearray, at: int) -> None:
    """Refuse a header of version 2 whose checksum is another, if it has one; `at` is where its addresses end.

    Raises:
        RemoteProtocolError: it is, or what stands there is broken.
    Source: §2.2.3
    """
    for kind, start, end in _tlvs(header, at):
        if kind != _CRC32C:
            continue
        if end - start != _CRC32C_BYTES:
            raise RemoteProtocolError(f"a checksum of {end - start} bytes", section="PROXY §2.2.3", at=start)
        zeroed = header[:start] + bytes(_CRC32C_BYTES) + header[end:]
        found, right = int.from_bytes(header[start:end], "big"), google_crc32c.value(bytes(zeroed))
        if found != right:
            raise RemoteProtocolError(f"checksum {found:#010x}, of the header {right:#010x}", section="PROXY §2.2.3", at=start)


def _tlvs(header: bytearray, at: int) -> Iterator[tuple[int, int, int]]:
    """Type, and where the value begins and ends, of each that stands from `at` on."""
    while at < len(header):
        if len(header) - at < _TLV.size:
            raise RemoteProtocolError(f"{len(header) - at} bytes behind all that is told", section="PROXY §2.2", at=at)
        kind, length = _TLV.unpack_from(header, at)
        start, at = at + _TLV.size, at + _TLV.size + length
        if at > len(header):
            raise RemoteProtocolError(f"{length} bytes of type {kind:#04x} go beyond the header", section="PROXY §2.2", at=start)
        yield kind, start, at


def parse_line(line: bytes) -> tuple[str, int] | None:
    """The client's address and port in a line of version 1, its end included; None where the sender does not know.

    Raises:
        RemoteProtocolError: it is broken.
    Source: §2.1
    """
    if not line.endswith(b"\r\n") or not line.isascii():
        raise RemoteProtocolError("no line of ASCII that ends with CR LF", section="PROXY §2.1")
    words = line[:-2].decode("ascii").split(" ")
    match words:
        case ["PROXY", "UNKNOWN", *_]:  # whatever comes behind it is to be ignored
            return None
        case ["PROXY", "TCP4" | "TCP6" as family, source, destination, source_port, destination_port]:
            parse = ipaddress.IPv4Address if family == "TCP4" else ipaddress.IPv6Address
            try:
                found, _ = parse(source), parse(destination)
            except ValueError as error:
                raise RemoteProtocolError(f"address: {error}", section="PROXY §2.1") from None
            _parse_port(destination_port)
            return _plain(found), _parse_port(source_port)
        case _:
            raise RemoteProtocolError(f"{len(words)} words, no TCP4, TCP6 or UNKNOWN with what it needs", section="PROXY §2.1")


def _parse_port(text: str) -> int:
    if not (text.isdigit() and len(text) <= len(str(_MAX_PORT)) and int(text) <= _MAX_PORT):
        raise RemoteProtocolError(f"port {text[:10]!r}", section="PROXY §2.1")
    return int(text)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """One of IPv4 that is written as one of IPv6 as what it is, as clients are known otherwise."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
