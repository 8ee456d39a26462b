"""A small reader of transport streams, which shares nothing with the one that is tested (ISO/IEC 13818-1)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

PACKET = 188
PCR_TICKS, PSI_TICKS = 9_000, 45_000  #: 100 ms and 500 ms: the longest that players may have to wait for clock and tables


@dataclass(slots=True)
class Packet:
    """One transport packet (§2.4.3.2)."""

    pid: int
    starts: bool
    counter: int
    flags: int = 0  #: of the adaptation field
    pcr: int | None = None  #: ticks of 90 kHz
    payload: bytes | None = None  #: None: it has none

    @property
    def discontinuity(self) -> bool:
        """discontinuity_indicator."""
        return bool(self.flags & 0x80)

    @property
    def random_access(self) -> bool:
        """random_access_indicator."""
        return bool(self.flags & 0x40)


@dataclass(slots=True)
class Pes:
    """One PES packet (§2.4.3.6)."""

    pid: int
    stream_id: int
    length: int  #: PES_packet_length
    aligned: bool
    pts: int | None
    dts: int | None
    payload: bytes
    at: int  #: number of the transport packet that it begins in


@dataclass(slots=True)
class Table:
    """One PMT (§2.4.4.8)."""

    version: int
    pcr_pid: int
    streams: dict[int, int] = field(default_factory=dict)  #: stream_type by PID
    descriptors: dict[int, bytes] = field(default_factory=dict)  #: by PID
    at: int = 0  #: number of the transport packet


def packets(data: bytes) -> list[Packet]:
    """All packets of a stream that is whole."""
    assert len(data) % PACKET == 0
    return [_packet(data[at : at + PACKET]) for at in range(0, len(data), PACKET)]


def _packet(raw: bytes) -> Packet:
    assert raw[0] == 0x47
    word = int.from_bytes(raw[:4], "big")
    packet = Packet(word >> 8 & 0x1FFF, bool(word >> 22 & 1), word & 15)
    control = word >> 4 & 3
    at = 4
    if control & 2:
        length = raw[4]
        assert length == 183 if control == 2 else length <= 182
        at = 5 + length
        if length:
            packet.flags = raw[5]
            if packet.flags & 0x10:
                packet.pcr = int.from_bytes(raw[6:10], "big") << 1 | raw[10] >> 7
            used = 7 if packet.flags & 0x10 else 1
            assert set(raw[5 + used : at]) <= {0xFF}, "stuffing is 0xFF"
    if control & 1:
        packet.payload = raw[at:]
    return packet


def check_continuity(stream: list[Packet]) -> None:
    """Every counter rises by one with each payload, and stays without one (§2.4.3.3)."""
    last: dict[int, int] = {}
    for packet in stream:
        if packet.payload is None:
            assert packet.counter == last.get(packet.pid, packet.counter)
            continue
        assert packet.counter == (last.get(packet.pid, packet.counter - 1) + 1) % 16, packet
        last[packet.pid] = packet.counter


def check_regular(data: bytes) -> None:
    """How often a player that begins anywhere finds clock and tables; counters without a hole, whoever wrote which part."""
    stream = packets(data)
    check_continuity(stream)
    clock, tables = [], []
    for packet in stream:
        if packet.pcr is not None:
            clock.append(packet.pcr)
        if packet.pid == 0 and clock:
            tables.append(clock[-1])
    assert tables
    assert widest(clock) <= PCR_TICKS
    assert widest([*tables, clock[-1]]) <= PSI_TICKS


def pes_packets(stream: list[Packet], pid: int) -> list[Pes]:
    """The PES packets of one PID."""
    found: list[tuple[int, bytearray]] = []
    for number, packet in enumerate(stream):
        if packet.pid == pid and packet.payload is not None:
            if packet.starts:
                found.append((number, bytearray()))
            found[-1][1].extend(packet.payload)
    return [_pes(pid, bytes(raw), number) for number, raw in found]


def _pes(pid: int, raw: bytes, at: int) -> Pes:
    assert raw[:3] == b"\0\0\1"
    length = int.from_bytes(raw[4:6], "big")
    assert length in (0, len(raw) - 6)
    pts = _stamp(raw[9:14]) if raw[7] & 0x80 else None
    dts = _stamp(raw[14:19]) if raw[7] & 0x40 else pts
    assert (raw[9] >> 4, raw[7] >> 6) in ((2, 2), (3, 3))
    return Pes(pid, raw[3], length, bool(raw[6] & 4), pts, dts, raw[9 + raw[8] :], at)


def _stamp(five: bytes) -> int:
    bits = f"{int.from_bytes(five, 'big'):040b}"
    assert bits[7] == bits[23] == bits[39] == "1"
    return int(bits[4:7] + bits[8:23] + bits[24:39], 2)


def pmts(stream: list[Packet]) -> list[Table]:
    """Every PMT, each right behind a PAT that leads to it."""
    found = []
    for number, packet in enumerate(stream):
        if packet.pid == 0:
            programs = _section(packet)[8:-4]
            assert len(programs) == 4
            after = stream[number + 1]
            assert after.pid == int.from_bytes(programs[2:], "big") & 0x1FFF
            found.append(_pmt(_section(after), number))
    return found


def _section(packet: Packet) -> bytes:
    assert packet.starts
    assert packet.payload is not None
    assert packet.payload[0] == 0
    size = 4 + (int.from_bytes(packet.payload[2:4], "big") & 0xFFF)
    section = packet.payload[1:size]
    assert crc(section) == 0
    assert set(packet.payload[size:]) <= {0xFF}
    return section


def _pmt(section: bytes, at: int) -> Table:
    table = Table(section[5] >> 1 & 31, int.from_bytes(section[8:10], "big") & 0x1FFF, at=at)
    rest = section[12 + (int.from_bytes(section[10:12], "big") & 0xFFF) : -4]
    while rest:
        pid, size = int.from_bytes(rest[1:3], "big") & 0x1FFF, int.from_bytes(rest[3:5], "big") & 0xFFF
        table.streams[pid], table.descriptors[pid] = rest[0], rest[5 : 5 + size]
        rest = rest[5 + size :]
    return table


def crc(data: bytes) -> int:
    """The CRC of Annex A, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            carry = value >> 31 ^ byte >> bit & 1
            value = value << 1 & 0xFFFFFFFF
            if carry:
                value ^= 0x04C11DB7
    return value


def widest(times: list[int]) -> int:
    """The longest distance of two neighbours, in 33 bits."""
    return max(((late - early) % (1 << 33) for early, late in itertools.pairwise(times)), default=0)
