"""RTP and RTCP: packets, their order, their clocks, and the payload formats of each codec (RFC 3550). Sans-I/O."""

from __future__ import annotations

from lalmesh.protocol.rtp._decoding_times import DecodingTimes, PictureOrder
from lalmesh.protocol.rtp._depacketizer import Depacketized, Depacketizer, DepacketizerCounters, TimedUnit
from lalmesh.protocol.rtp._factory import build_depacketizer, build_opaque_depacketizer, build_packetizer
from lalmesh.protocol.rtp._formats import PayloadFormat, format_of
from lalmesh.protocol.rtp._gate import RandomAccessGate
from lalmesh.protocol.rtp._interval import report_interval_s
from lalmesh.protocol.rtp._ntp import ntp_to_unix_us, unix_us_to_ntp
from lalmesh.protocol.rtp._packet import HeaderExtension, RtpPacket, is_rtcp
from lalmesh.protocol.rtp._packetizer import MAX_PACKET_BYTES, MAX_PAYLOAD_BYTES, Packetizer, Payload
from lalmesh.protocol.rtp._receiver import ReceiverCounters, ReceiverSettings, TrackEvent, TrackReceiver
from lalmesh.protocol.rtp._reorder import (
    DEFAULT_REORDER_MS,
    MAX_HELD_PACKETS,
    Lost,
    Ordered,
    ReorderBuffer,
    ReorderCounters,
)
from lalmesh.protocol.rtp._reports import ReceiverReport, ReportBlock, SenderReport
from lalmesh.protocol.rtp._rtcp import (
    Compound,
    Goodbye,
    RtcpPacket,
    SdesChunk,
    SdesType,
    SourceDescription,
    parse_compound,
    serialize_compound,
)
from lalmesh.protocol.rtp._sender import Run, SenderIdentity, TrackSender, WallClock, join_runs
from lalmesh.protocol.rtp._statistics import ReceiverStatistics
from lalmesh.protocol.rtp._timeline import Timeline, TrackClock

__all__ = [
    "DEFAULT_REORDER_MS",
    "MAX_HELD_PACKETS",
    "MAX_PACKET_BYTES",
    "MAX_PAYLOAD_BYTES",
    "Compound",
    "DecodingTimes",
    "Depacketized",
    "Depacketizer",
    "DepacketizerCounters",
    "Goodbye",
    "HeaderExtension",
    "Lost",
    "Ordered",
    "Packetizer",
    "Payload",
    "PayloadFormat",
    "PictureOrder",
    "RandomAccessGate",
    "ReceiverCounters",
    "ReceiverReport",
    "ReceiverSettings",
    "ReceiverStatistics",
    "ReorderBuffer",
    "ReorderCounters",
    "ReportBlock",
    "RtcpPacket",
    "RtpPacket",
    "Run",
    "SdesChunk",
    "SdesType",
    "SenderIdentity",
    "SenderReport",
    "SourceDescription",
    "TimedUnit",
    "Timeline",
    "TrackClock",
    "TrackEvent",
    "TrackReceiver",
    "TrackSender",
    "WallClock",
    "build_depacketizer",
    "build_opaque_depacketizer",
    "build_packetizer",
    "format_of",
    "is_rtcp",
    "join_runs",
    "ntp_to_unix_us",
    "parse_compound",
    "report_interval_s",
    "serialize_compound",
    "unix_us_to_ntp",
]
