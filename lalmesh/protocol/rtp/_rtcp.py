"""RTCP: source descriptions, goodbyes, and compound packets of all kinds (RFC 3550 §6)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtp._reports import ReceiverReport, SenderReport

MAX_SOURCES: Final = 31  #: of one SDES or BYE: the count has five bits
MAX_PACKETS: Final = 64  #: of a compound: two reports of 31 blocks fill an Ethernet frame, and a handful of others follow a report
MAX_TEXT_BYTES: Final = 255  #: of an SDES item or a reason: the length has eight

_HEADER = struct.Struct(">BBH")
_VERSION, _PADDING = 0x80, 0x20
_COMPOUND_SECTION, _SDES_SECTION, _BYE_SECTION = "RFC 3550 §6.1", "RFC 3550 §6.5", "RFC 3550 §6.6"


class RtcpType(IntEnum):
    """Packet types that are understood (§12.1)."""

    SENDER_REPORT = 200
    RECEIVER_REPORT = 201
    SOURCE_DESCRIPTION = 202
    GOODBYE = 203


class SdesType(IntEnum):
    """Items of a source description (§12.2); those missing here are kept as numbers."""

    CNAME = 1
    NAME = 2
    TOOL = 6


@dataclass(slots=True, frozen=True)
class SdesChunk:
    """What is said of one source (§6.5)."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...]  #: item type, comparable with `SdesType`, and text in UTF-8, at most 255 bytes

    @property
    def cname(self) -> str:
        """The canonical name, the same for all sources of one sender (§6.5.1); empty where it is missing."""
        return next((text.decode(errors="replace") for kind, text in self.items if kind == SdesType.CNAME), "")


@dataclass(slots=True, frozen=True)
class SourceDescription:
    """SDES: who the sources are (§6.5)."""

    chunks: tuple[SdesChunk, ...]  #: at most `MAX_SOURCES`

    @classmethod
    def of(cls, ssrc: int, cname: str) -> SourceDescription:
        """What every compound packet must hold: the canonical name of its sender (§6.1)."""
        return cls((SdesChunk(ssrc, ((SdesType.CNAME, cname.encode()),)),))

    @classmethod
    def parse(cls, data: bytes, count: int) -> SourceDescription:
        """Read the body behind the header; what is behind the `count` chunks is ignored.

        Raises:
            RemoteProtocolError: cut off.
        """
        chunks, at = [], 0
        for _ in range(count):
            chunk, at = _parse_chunk(data, at)
            chunks.append(chunk)
        return cls(tuple(chunks))

    def serialize_body(self) -> bytes:
        """Give the bytes behind the header.

        Raises:
            LocalProtocolError: too many chunks, or a text over 255 bytes.
        """
        if len(self.chunks) > MAX_SOURCES:
            raise LocalProtocolError(f"SDES of {len(self.chunks)} chunks, limit {MAX_SOURCES}")
        return b"".join(map(_serialize_chunk, self.chunks))


def _parse_chunk(data: bytes, at: int) -> tuple[SdesChunk, int]:
    """The chunk at `at`, and the offset of the next (§6.5)."""
    ssrc, items, start = int.from_bytes(data[at : at + 4], "big"), [], at
    at += 4
    while at < len(data) and data[at]:
        end = at + 2 + data[at + 1] if at + 1 < len(data) else len(data) + 1
        if end > len(data):
            raise RemoteProtocolError("SDES item cut off", section=_SDES_SECTION, at=at)
        items.append((data[at], data[at + 2 : end]))
        at = end
    if at >= len(data):  # at least one zero byte ends the items
        raise RemoteProtocolError("SDES chunk without its end", section=_SDES_SECTION, at=start)
    return SdesChunk(ssrc, tuple(items)), at + 4 - at % 4


def _serialize_chunk(chunk: SdesChunk) -> bytes:
    parts = [chunk.ssrc.to_bytes(4, "big")]
    for kind, text in chunk.items:
        parts += (bytes((kind, _text_length(text))), text)
    size = sum(map(len, parts))
    return b"".join((*parts, bytes(4 - size % 4)))


def _text_length(text: bytes) -> int:
    if len(text) > MAX_TEXT_BYTES:
        raise LocalProtocolError(f"RTCP text of {len(text)} bytes, limit {MAX_TEXT_BYTES}")
    return len(text)


@dataclass(slots=True, frozen=True)
class Goodbye:
    """BYE: sources that send no more (§6.6)."""

    ssrcs: tuple[int, ...]  #: at most `MAX_SOURCES`
    reason: bytes = b""  #: UTF-8, at most 255 bytes

    @classmethod
    def parse(cls, data: bytes, count: int) -> Goodbye:
        """Read the body behind the header.

        Raises:
            RemoteProtocolError: cut off.
        """
        at = 4 * count
        if len(data) < at or (len(data) > at and len(data) < at + 1 + data[at]):
            raise RemoteProtocolError(f"BYE of {len(data)} bytes for {count} sources", section=_BYE_SECTION)
        return cls(struct.unpack_from(f">{count}I", data), data[at + 1 : at + 1 + data[at]] if len(data) > at else b"")

    def serialize_body(self) -> bytes:
        """Give the bytes behind the header.

        Raises:
            LocalProtocolError: too many sources, or a reason over 255 bytes.
        """
        if len(self.ssrcs) > MAX_SOURCES:
            raise LocalProtocolError(f"BYE of {len(self.ssrcs)} sources, limit {MAX_SOURCES}")
        sources = struct.pack(f">{len(self.ssrcs)}I", *self.ssrcs)
        reason = bytes((_text_length(self.reason),)) + self.reason if self.reason else b""
        return sources + reason + bytes(-len(reason) % 4)


RtcpPacket: TypeAlias = SenderReport | ReceiverReport | SourceDescription | Goodbye  #: what is understood


@dataclass(slots=True, frozen=True)
class Compound:
    """The packets of one RTCP datagram (§6.1)."""

    packets: tuple[RtcpPacket, ...]
    skipped: int = 0  #: packets of other types: APP, feedback, extended reports


def parse_compound(data: bytes) -> Compound:
    """Read a whole compound packet.

    Args:
        data: one datagram, or one interleaved frame without its prefix.

    Raises:
        RemoteProtocolError: the first packet is no report, another version than 2, padding elsewhere than at the end, cut off,
            more than `MAX_PACKETS`.
    Source: RFC 3550 §6.1, §A.2
    """
    packets: list[RtcpPacket] = []
    skipped = 0
    for index, (kind, count, body) in enumerate(_split(data)):
        if index == 0 and kind not in (RtcpType.SENDER_REPORT, RtcpType.RECEIVER_REPORT):
            raise RemoteProtocolError(f"RTCP that begins with type {kind}", section=_COMPOUND_SECTION, at=0)
        match kind:
            case RtcpType.SENDER_REPORT:
                packets.append(SenderReport.parse(body, count))
            case RtcpType.RECEIVER_REPORT:
                packets.append(ReceiverReport.parse(body, count))
            case RtcpType.SOURCE_DESCRIPTION:
                packets.append(SourceDescription.parse(body, count))
            case RtcpType.GOODBYE:
                packets.append(Goodbye.parse(body, count))
            case _:
                skipped += 1
    return Compound(tuple(packets), skipped)


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, count and body of each packet (§6.4.1, §A.2)."""
    at, end, count = 0, len(data), 0
    if not data:
        raise RemoteProtocolError("empty RTCP packet", section=_COMPOUND_SECTION)
    while at < end:
        count += 1
        if count > MAX_PACKETS:
            raise LimitExceeded("packets in a compound", count, MAX_PACKETS, section=_COMPOUND_SECTION, at=at)
        first, kind, words = _HEADER.unpack_from(data, at) if end - at >= _HEADER.size else (0, 0, 0)
        if first & 0xC0 != _VERSION:
            raise RemoteProtocolError(f"RTCP version {first >> 6}, or cut off", section=_COMPOUND_SECTION, at=at)
        stop = at + 4 + 4 * words
        padding = data[stop - 1] if first & _PADDING and stop == end else 0
        if stop > end or (first & _PADDING and not 0 < padding <= 4 * words):
            raise RemoteProtocolError(f"RTCP packet of {4 + 4 * words} bytes, {end - at} left", section=_COMPOUND_SECTION, at=at)
        yield kind, first & 0x1F, data[at + 4 : stop - padding]
        at = stop


def serialize_compound(packets: Sequence[RtcpPacket]) -> bytes:
    """Give the bytes of a compound packet.

    Raises:
        LocalProtocolError: the first packet is no report, or one does not fit.
    Source: RFC 3550 §6.1
    """
    if not packets or not isinstance(packets[0], SenderReport | ReceiverReport):
        raise LocalProtocolError("RTCP that does not begin with a report", section=_COMPOUND_SECTION)
    return b"".join(map(_serialize, packets))


def _serialize(packet: RtcpPacket) -> bytes:
    body = packet.serialize_body()
    kind, count = _kind_and_count(packet)
    return _HEADER.pack(_VERSION | count, kind, len(body) // 4) + body


def _kind_and_count(packet: RtcpPacket) -> tuple[RtcpType, int]:
    match packet:
        case SenderReport():
            return RtcpType.SENDER_REPORT, len(packet.blocks)
        case ReceiverReport():
            return RtcpType.RECEIVER_REPORT, len(packet.blocks)
        case SourceDescription():
            return RtcpType.SOURCE_DESCRIPTION, len(packet.chunks)
        case Goodbye():
            return RtcpType.GOODBYE, len(packet.ssrcs)
