"""Fuzz: payloads of every format, in packets of one sender: whole tracks, and what comes out cut to packets again."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.media import AccessUnit, Kind
    from lalmesh.protocol.rtp import (
        PayloadFormat,
        ReceiverSettings,
        RtpPacket,
        Timeline,
        TrackReceiver,
        build_depacketizer,
        build_opaque_depacketizer,
        build_packetizer,
    )

H264_SETS = {"sprop-parameter-sets": "Z2QADazZQUGfnwEQAAADABAAAAMDIPFCmWA=,aO+8sA=="}
H265_SETS = {
    "sprop-vps": "QAEMAf//AWAAAAMAkAAAAwAAAwA8lZQJ",
    "sprop-sps": "QgEBAWAAAAMAkAAAAwAAAwA8oAoIDB8+WVlSkwvAWgIAAAMAAgAAAwAyEA==",
    "sprop-pps": "RAHAc8GJ",
}
FORMATS = [
    PayloadFormat("H264", 90_000, parameters=H264_SETS),
    PayloadFormat("H264", 90_000, parameters=H264_SETS | {"packetization-mode": "2", "sprop-interleaving-depth": "3"}),
    PayloadFormat("H265", 90_000, parameters=H265_SETS),
    PayloadFormat("H265", 90_000, parameters=H265_SETS | {"sprop-max-don-diff": "9", "sprop-depack-buf-nalus": "3"}),
    PayloadFormat("AV1", 90_000),
    PayloadFormat("mpeg4-generic", 44_100, 2, {"config": "1210"}),
    PayloadFormat("mpeg4-generic", 44_100, 2, {"config": "1210", "sizelength": "8", "ctsdeltalength": "3", "dtsdeltalength": "9"}),
    PayloadFormat("opus", 48_000, 2),
    PayloadFormat("PCMA", 8_000),
    PayloadFormat("MPA", 90_000),
]  # fmt: skip


def packets(data: bytes) -> list[bytes]:
    """Packets out of `data`: a byte of size, one that says marker and steps of number and time, then the payload."""
    made, at, sequence_number, timestamp = [], 0, 65_500, 0
    while at + 2 <= len(data):
        size, flags = data[at], data[at + 1]
        sequence_number += 1 + (flags >> 4 & 3 if flags & 8 else 0)
        timestamp += 3600 * (flags & 3)
        payload = data[at + 2 : at + 2 + size]
        made.append(RtpPacket(96, sequence_number & 0xFFFF, timestamp, 1, flags >= 0x80, payload).serialize())
        at += 2 + size
    return made


def target(data: bytes) -> None:
    choice = data[0] % (len(FORMATS) + 1) if data else 0
    told = FORMATS[choice] if choice < len(FORMATS) else PayloadFormat("unknown", 90_000)
    depacketizer = build_depacketizer(1, told) if choice < len(FORMATS) else build_opaque_depacketizer(1, b"m=")
    settings = ReceiverSettings(reorder_ms=20, max_packets=4, drop_broken_gop=len(data) % 2 == 0)
    clock = Timeline().add(told.clock_rate_hz)
    receiver = TrackReceiver(depacketizer, clock, payload_type=96, clock_rate_hz=told.clock_rate_hz, settings=settings)
    last: int | None = None
    events = [event for index, packet in enumerate(packets(data[1:])) for event in receiver.receive(packet, index * 9_000)]
    for event in [*events, *receiver.flush(0)]:
        if isinstance(event, AccessUnit):
            assert event.cts >= 0
            assert receiver.track is not None
            assert last is None or event.dts > last or receiver.track.kind is Kind.DATA
            last = event.dts
            build_packetizer(receiver.track, max_payload_bytes=50).packetize(event)


fuzz(target)
