"""One track that goes out by RTP: access units in, packets out that all players share (RFC 3550 §5.1, §6.4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, rescale, us_to_ticks, wrap
from lalmesh.protocol.rtp._ntp import unix_us_to_ntp
from lalmesh.protocol.rtp._packet import HEADER_BYTES, pack_header, serialize_extension
from lalmesh.protocol.rtp._packetizer import Packetizer, Payload
from lalmesh.protocol.rtp._reports import SenderReport
from lalmesh.protocol.rtp._rtcp import Goodbye, SourceDescription, serialize_compound

#: How far media may run from the wall clock before sender reports follow it: more than units jitter, less than a player buffers.
MAX_DRIFT_US: Final = 200_000
MAX_RUN_PACKETS: Final = 64  #: UDP_MAX_SEGMENTS of Linux
MAX_RUN_BYTES: Final = 65_507  #: the payload of the largest IPv4 datagram


class WallClock:
    """Which time of a stream goes with which wall-clock time. One for all tracks of a stream, so that players keep them in step."""

    def __init__(self) -> None:
        """Start; the first unit seen tells."""
        self._dts = 0
        self._wall_us: int | None = None

    def see(self, unit: AccessUnit) -> None:
        """Learn from a unit of any track when its time was; kept until units are off by more than `MAX_DRIFT_US`."""
        if self._wall_us is None or abs(self._wall_us_of(unit.dts) - unit.wall_us) > MAX_DRIFT_US:
            self._dts, self._wall_us = unit.dts, unit.wall_us

    def ticks_at(self, wall_us: int) -> int | None:
        """The time of the stream at a Unix time in µs; None before the first unit."""
        if self._wall_us is None:
            return None
        return self._dts + us_to_ticks(wall_us - self._wall_us)

    def _wall_us_of(self, ticks: int) -> int:
        assert self._wall_us is not None
        return self._wall_us + (ticks - self._dts) * 1000 // TICKS_PER_MS


@dataclass(slots=True, frozen=True, kw_only=True)
class SenderIdentity:
    """What the packets of one track have in common. All but the payload type begin at random (RFC 3550 §5.1)."""

    ssrc: int  #: 32 bits, other than those of the other tracks
    payload_type: int  #: 7 bits
    clock_rate_hz: int  #: of the payload format
    first_sequence_number: int  #: 16 bits
    timestamp_offset: int  #: RTP timestamp of the time 0, 32 bits


class TrackSender:
    """Numbers the packets of one track."""

    def __init__(self, packetizer: Packetizer, identity: SenderIdentity, wall_clock: WallClock) -> None:
        """Send what `packetizer` gives, as `identity`; sender reports stand on `wall_clock`."""
        self.identity = identity
        self._packetizer = packetizer
        self._wall_clock = wall_clock
        self.next_sequence_number = identity.first_sequence_number  #: 16 bits
        self.packet_count = 0  #: sent so far
        self.octet_count = 0  #: of payload sent so far

    def send(self, unit: AccessUnit) -> list[bytes]:
        """The packets of a unit, in order; none of one that the format cannot carry.

        Raises:
            RemoteProtocolError: the unit is malformed.
        """
        payloads = self._packetizer.packetize(unit)
        self._wall_clock.see(unit)
        timestamp = self.timestamp(unit.pts)
        packets = [self._packet(payload, timestamp) for payload in payloads]
        self.packet_count += len(packets)
        self.octet_count += sum(map(len, packets)) - HEADER_BYTES * len(packets)
        return packets

    def timestamp(self, pts: int) -> int:
        """The RTP timestamp of a presentation time in ticks of 90 kHz."""
        return wrap(rescale(pts, TICKS_PER_SECOND, self.identity.clock_rate_hz) + self.identity.timestamp_offset, 32)

    def report(self, cname: str, wall_us: int) -> bytes:
        """A sender report to send at `wall_us` (Unix µs), under our `cname`; empty before the first unit."""
        report = self._report(wall_us)
        if report is None:
            return b""
        return serialize_compound((report, SourceDescription.of(self.identity.ssrc, cname)))

    def goodbye(self, cname: str, wall_us: int, reason: str = "") -> bytes:
        """What to send when no more comes; empty if nothing was sent."""
        report = self._report(wall_us)
        if report is None:
            return b""
        bye = Goodbye((self.identity.ssrc,), reason.encode()[:255])
        return serialize_compound((report, SourceDescription.of(self.identity.ssrc, cname), bye))

    def _report(self, wall_us: int) -> SenderReport | None:
        ticks = self._wall_clock.ticks_at(wall_us)
        if ticks is None:
            return None
        return SenderReport(
            ssrc=self.identity.ssrc,
            ntp_timestamp=unix_us_to_ntp(wall_us),
            rtp_timestamp=self.timestamp(ticks),
            packet_count=self.packet_count,
            octet_count=self.octet_count,
        )

    def _packet(self, payload: Payload, timestamp: int) -> bytes:
        header = pack_header(
            marker=payload.marker,
            payload_type=self.identity.payload_type,
            sequence_number=self.next_sequence_number,
            timestamp=timestamp + payload.later,
            ssrc=self.identity.ssrc,
            extended=payload.extension is not None,
        )
        self.next_sequence_number = self.next_sequence_number + 1 & 0xFFFF
        if payload.extension is not None:
            header += serialize_extension(payload.extension)
        return b"".join((header, *payload.parts))


@dataclass(slots=True, frozen=True)
class Run:
    """Packets that one system call sends by segmentation offload."""

    data: bytes  #: one behind the other
    segment_bytes: int  #: of each; the last may be shorter


def join_runs(packets: Iterable[bytes]) -> list[Run]:
    """Join packets that follow each other to runs: of one size, only the last of each shorter (DESIGN.md §4)."""
    runs: list[Run] = []
    run: list[bytes] = []
    size = 0
    for packet in packets:
        if run and (
            len(packet) > len(run[0])
            or len(run[-1]) < len(run[0])
            or len(run) == MAX_RUN_PACKETS
            or size + len(packet) > MAX_RUN_BYTES
        ):
            runs.append(Run(b"".join(run), len(run[0])))
            run, size = [], 0
        run.append(packet)
        size += len(packet)
    if run:
        runs.append(Run(b"".join(run), len(run[0])))
    return runs
