"""What RTP by UDP has around it, as fakes that tests drive: the way of a track, and units that RTP can carry."""

from __future__ import annotations

from collections.abc import Sequence

from lalmesh.media import AccessUnit
from lalmesh.protocol.rtp import RtpPacket, Run

WALL_US = 1_700_000_000_000_000


class FakeWay:
    """The way of one track: keeps what was sent."""

    ports = (20_000, 20_001)

    def __init__(self) -> None:
        self.calls = 0
        self.rtcp: list[bytes] = []
        self.packets: list[RtpPacket] = []
        self.closed = False

    def send(self, runs: Sequence[Run]) -> None:
        """One call of the kernel a run."""
        for run in runs:
            self.calls += 1
            size = run.segment_bytes
            self.packets += [RtpPacket.parse(run.data[at : at + size]) for at in range(0, len(run.data), size)]

    def read(self) -> None:
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
