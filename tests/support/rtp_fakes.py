"""What RTP by UDP has around it, as fakes that tests drive: the way of a track, and units that RTP can carry."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Sequence
from typing import cast

from lalmesh.media import AccessUnit
from lalmesh.protocol.rtp import RtpPacket
from services.edge.udp_sockets import MAX_READS, Address, Route

WALL_US = 1_700_000_000_000_000


class FakeWay:
    """The way of one track, and the socket that its route is of: keeps what was sent."""

    ports = (20_000, 20_001)

    def __init__(self) -> None:
        self.route = Route(cast(socket.socket, self), ("127.0.0.1", 5000))
        self.calls = 0
        self.rtcp: list[bytes] = []
        self.packets: list[RtpPacket] = []
        self.closed = False

    def sendto(self, data: bytes, target: Address) -> int:
        """One packet."""
        self.calls += 1
        self.packets.append(RtpPacket.parse(data))
        return len(data)

    def sendmsg(self, parts: Sequence[bytes], ancillary: Iterable[tuple[int, int, bytes]], flags: int, target: Address) -> int:
        """One run, which is cut as it says."""
        self.calls += 1
        data, [(_, _, segment)] = b"".join(parts), ancillary
        size = int.from_bytes(segment, sys.byteorder)
        self.packets += [RtpPacket.parse(data[at : at + size]) for at in range(0, len(data), size)]
        return len(data)

    def read(self, most: int = MAX_READS) -> None:
        """Nothing waits."""

    def send_rtcp(self, packet: bytes) -> None:
        """Keep it."""
        self.rtcp.append(packet)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def picture(number: int, *, key: bool = False, size: int = 4000) -> AccessUnit:
    """One slice of `size` bytes, 25 a second, on track 1."""
    nalu = (b"\x65" if key else b"\x41") + bytes((number & 0xFF,)) * size
    return AccessUnit(1, number * 3600, 0, key, len(nalu).to_bytes(4, "big") + nalu, number, WALL_US + number * 40_000)


def sound(number: int, *, seq: int | None = None) -> AccessUnit:
    """One frame at the time of the picture of that number, on track 2."""
    at = number if seq is None else seq
    return AccessUnit(2, number * 3600, 0, True, b"\x21" + bytes((number & 0xFF,)) * 20, at, WALL_US + number * 40_000)


def pictures(first: int, count: int) -> list[AccessUnit]:
    """Pictures of which the first can be decoded alone."""
    return [picture(number, key=number == first) for number in range(first, first + count)]
