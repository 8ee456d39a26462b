"""Headers of the PROXY protocol, as a sender writes them."""

from __future__ import annotations

import ipaddress
import struct

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UNIX = 0x11, 0x21, 0x31


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
