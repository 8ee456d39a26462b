"""Sender and receiver reports of RTCP (RFC 3550 §6.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from lalmesh.errors import LocalProtocolError, RemoteProtocolError

MAX_BLOCKS: Final = 31  #: of one report: the count has five bits

_BLOCK = struct.Struct(">IIIIII")
_SENDER_INFO = struct.Struct(">QIII")
_MIN_LOST, _MAX_LOST = -(1 << 23), (1 << 23) - 1


@dataclass(slots=True, frozen=True, kw_only=True)
class ReportBlock:
    """How one source is received (§6.4.1)."""

    ssrc: int  #: of the source
    fraction_lost: int  #: since the report before, of 256; 8 bits
    cumulative_lost: int  #: packets since the start, negative where duplicates are more; signed 24 bits
    highest_sequence: int  #: highest sequence number received, the low 16 bits, and times that it wrapped
    jitter: int  #: of the arrival, in ticks of the RTP clock, 32 bits
    last_sr: int  #: middle 32 bits of the NTP time in the last sender report, 0 none
    delay_since_last_sr: int  #: from its arrival to this report, in 1/65536 s, 32 bits

    @classmethod
    def parse(cls, data: bytes, at: int) -> ReportBlock:
        """Read the block at `at`, 24 bytes that are there."""
        ssrc, loss, highest, jitter, last_sr, delay = _BLOCK.unpack_from(data, at)
        lost = loss & 0xFFFFFF
        return cls(
            ssrc=ssrc,
            fraction_lost=loss >> 24,
            cumulative_lost=lost - (1 << 24) if lost > _MAX_LOST else lost,
            highest_sequence=highest,
            jitter=jitter,
            last_sr=last_sr,
            delay_since_last_sr=delay,
        )

    def serialize(self) -> bytes:
        """Give the 24 bytes of the block; a loss that does not fit is the nearest that does (§A.3)."""
        lost = max(_MIN_LOST, min(self.cumulative_lost, _MAX_LOST)) & 0xFFFFFF
        loss = self.fraction_lost << 24 | lost
        return _BLOCK.pack(self.ssrc, loss, self.highest_sequence, self.jitter, self.last_sr, self.delay_since_last_sr)


@dataclass(slots=True, frozen=True, kw_only=True)
class SenderReport:
    """What a sender sent, and which wall-clock time an RTP timestamp stands for (§6.4.1)."""

    ssrc: int  #: of the sender
    ntp_timestamp: int  #: 64 bits: seconds since 1900 and their fraction; 0 where the sender has no clock
    rtp_timestamp: int  #: the same instant on the RTP clock, 32 bits
    packet_count: int  #: sent so far, 32 bits
    octet_count: int  #: of payload sent so far, 32 bits
    blocks: tuple[ReportBlock, ...] = ()  #: at most `MAX_BLOCKS`

    @classmethod
    def parse(cls, data: bytes, count: int) -> SenderReport:
        """Read the body of a report behind its header of 4 bytes; what is behind the `count` blocks is ignored.

        Raises:
            RemoteProtocolError: cut off.
        """
        head = 4 + _SENDER_INFO.size
        _check_length(data, head + count * _BLOCK.size, "RFC 3550 §6.4.1")
        ntp_timestamp, rtp_timestamp, packet_count, octet_count = _SENDER_INFO.unpack_from(data, 4)
        return cls(
            ssrc=int.from_bytes(data[:4], "big"),
            ntp_timestamp=ntp_timestamp,
            rtp_timestamp=rtp_timestamp,
            packet_count=packet_count,
            octet_count=octet_count,
            blocks=_parse_blocks(data, head, count),
        )

    def serialize_body(self) -> bytes:
        """Give the bytes behind the header.

        Raises:
            LocalProtocolError: more than `MAX_BLOCKS` blocks.
        """
        counts = self.packet_count & 0xFFFFFFFF, self.octet_count & 0xFFFFFFFF
        info = _SENDER_INFO.pack(self.ntp_timestamp, self.rtp_timestamp, *counts)
        return self.ssrc.to_bytes(4, "big") + info + _serialize_blocks(self.blocks)


@dataclass(slots=True, frozen=True, kw_only=True)
class ReceiverReport:
    """How one participant receives others (§6.4.2)."""

    ssrc: int  #: of the one who reports
    blocks: tuple[ReportBlock, ...] = ()  #: at most `MAX_BLOCKS`

    @classmethod
    def parse(cls, data: bytes, count: int) -> ReceiverReport:
        """Read the body of a report behind its header of 4 bytes; what is behind the `count` blocks is ignored.

        Raises:
            RemoteProtocolError: cut off.
        """
        _check_length(data, 4 + count * _BLOCK.size, "RFC 3550 §6.4.2")
        return cls(ssrc=int.from_bytes(data[:4], "big"), blocks=_parse_blocks(data, 4, count))

    def serialize_body(self) -> bytes:
        """Give the bytes behind the header.

        Raises:
            LocalProtocolError: more than `MAX_BLOCKS` blocks.
        """
        return self.ssrc.to_bytes(4, "big") + _serialize_blocks(self.blocks)


def _check_length(data: bytes, wanted: int, section: str) -> None:
    if len(data) < wanted:
        raise RemoteProtocolError(f"report of {len(data)} bytes, {wanted} wanted", section=section)


def _parse_blocks(data: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    return tuple(ReportBlock.parse(data, at + index * _BLOCK.size) for index in range(count))


def _serialize_blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    if len(blocks) > MAX_BLOCKS:
        raise LocalProtocolError(f"report of {len(blocks)} blocks, limit {MAX_BLOCKS}")
    return b"".join(block.serialize() for block in blocks)
