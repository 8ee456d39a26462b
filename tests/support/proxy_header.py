"""Headers of the PROXY protocol, as a sender writes them."""

from __future__ import annotations

import ipaddress
import struct

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UNIX = 0x11, 0x21, 0x31
CRC32C = 0x03  #: type of the checksum


def line(source: str, port: int, destination: str = "", destination_port: int = 443) -> bytes:
    """A header of version 1 (§2.1)."""
    version = ipaddress.ip_address(source).version
    destination = destination or ("192.0.2.254" if version == 4 else "2001:db8::fe")
    return f"PROXY TCP{version} {source} {destination} {port} {destination_port}\r\n".encode()


def binary(source: str, port: int, tlvs: bytes = b"", *, command: int = PROXY) -> bytes:
    """A header of version 2 (§2.2)."""
    address = ipaddress.ip_address(source)
    destination = ipaddress.ip_address("192.0.2.254" if address.version == 4 else "2001:db8::fe")
    block = address.packed + destination.packed + struct.pack(">HH", port, 443) + tlvs
    return raw(command, TCP4 if address.version == 4 else TCP6, block)


def raw(command: int, family: int, block: bytes, length: int | None = None) -> bytes:
    """A header of version 2, right or wrong."""
    return SIGNATURE + struct.pack(">BBH", command, family, len(block) if length is None else length) + block


def tlv(kind: int, value: bytes) -> bytes:
    """One type-length-value (§2.2)."""
    return struct.pack(">BH", kind, len(value)) + value


def with_checksum(source: str, port: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """A header of version 2 with its checksum between other type-length-values (§2.2.3)."""
    header = binary(source, port, before + tlv(CRC32C, bytes(4)) + after)
    at = len(header) - len(after) - 4
    return header[:at] + crc32c(header).to_bytes(4, "big") + header[at + 4 :]


def crc32c(data: bytes) -> int:
    """Castagnoli's, bit by bit (RFC 3720 §12.1, B.4)."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF
