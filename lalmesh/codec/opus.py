"""Opus: the identification header and how long a packet lasts (RFC 7845, RFC 6716)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lalmesh.errors import RemoteProtocolError

SAMPLE_RATE_HZ = 48_000  #: Opus counts at this rate, whatever went in (RFC 7845 §5.1)
MAX_PACKET_SAMPLES = 5_760  #: 120 ms (RFC 6716 §3.2.5)

_MAGIC = b"OpusHead"
_FIXED = struct.Struct("<8sBBHIhB")
_HEAD_SECTION = "RFC 7845 §5.1"
_UNMAPPED = 255  # an output channel that is silent (RFC 7845 §5.1.1)
_MAX_CHANNELS = {0: 2, 1: 8}  # by mapping family (RFC 7845 §5.1.1.1, §5.1.1.2)
_FIRST_CELT, _FIRST_HYBRID = 16, 12
_SILK_SAMPLES = (480, 960, 1920, 2880)
_HYBRID_SAMPLES = (480, 960)
_CELT_SAMPLES = (120, 240, 480, 960)


@dataclass(slots=True, frozen=True, kw_only=True)
class OpusHead:
    """The identification header of an Opus stream (RFC 7845 §5.1)."""

    channels: int  #: output channels, 1..255
    version: int = 1  #: 0..15
    pre_skip: int = 0  #: samples at 48 kHz to throw away at the start, 16 bits
    input_sample_rate_hz: int = 0  #: of what was encoded, 0 not said; decoding is at 48 kHz all the same
    output_gain: int = 0  #: 1/256 dB, signed 16 bits
    mapping_family: int = 0  #: 0 mono or stereo, 1 Vorbis order, 255 no meaning
    stream_count: int = 1  #: Opus streams in a packet, 1..255
    coupled_count: int = 0  #: how many of them are stereo
    channel_mapping: bytes = b""  #: the decoded channel for each output channel; empty in family 0

    @classmethod
    def parse(cls, data: bytes) -> OpusHead:
        """Read a header; what follows it is ignored.

        Raises:
            RemoteProtocolError: cut off, no ``OpusHead``, a version over 15, channels and mapping that do not agree.
        Source: RFC 7845 §5.1
        """
        if len(data) < _FIXED.size:
            raise RemoteProtocolError(f"OpusHead of {len(data)} bytes, at least {_FIXED.size} wanted", section=_HEAD_SECTION)
        magic, version, channels, pre_skip, rate, gain, family = _FIXED.unpack_from(data)
        if magic != _MAGIC or version > 15 or channels == 0 or channels > _MAX_CHANNELS.get(family, 255):
            raise RemoteProtocolError(
                f"{magic!r} version {version}, {channels} channels in mapping family {family}", section=_HEAD_SECTION
            )
        streams, coupled, mapping = _parse_mapping(data[_FIXED.size :], channels) if family else (1, channels - 1, b"")
        return cls(
            version=version,
            channels=channels,
            pre_skip=pre_skip,
            input_sample_rate_hz=rate,
            output_gain=gain,
            mapping_family=family,
            stream_count=streams,
            coupled_count=coupled,
            channel_mapping=mapping,
        )

    def serialize(self) -> bytes:
        """Give the bytes of the header (RFC 7845 §5.1)."""
        fixed = _FIXED.pack(
            _MAGIC,
            self.version,
            self.channels,
            self.pre_skip,
            self.input_sample_rate_hz,
            self.output_gain,
            self.mapping_family,
        )
        if self.mapping_family == 0:
            return fixed
        return fixed + bytes((self.stream_count, self.coupled_count)) + self.channel_mapping


def _parse_mapping(table: bytes, channels: int) -> tuple[int, int, bytes]:
    """The channel mapping table (RFC 7845 §5.1.1)."""
    if len(table) < 2 + channels:
        raise RemoteProtocolError(f"channel mapping of {len(table)} bytes for {channels} channels", section="RFC 7845 §5.1.1")
    streams, coupled, mapping = table[0], table[1], table[2 : 2 + channels]
    decoded = streams + coupled
    if streams == 0 or coupled > streams or decoded > 255 or any(decoded <= index != _UNMAPPED for index in mapping):
        raise RemoteProtocolError(f"{streams} streams, {coupled} coupled, mapping {mapping.hex()}", section="RFC 7845 §5.1.1")
    return streams, coupled, mapping


def packet_samples(packet: bytes) -> int:
    """How long a packet lasts, in samples at 48 kHz (120 to `MAX_PACKET_SAMPLES`).

    Raises:
        RemoteProtocolError: empty, its frame count is missing or 0, or it would last over 120 ms.
    Source: RFC 6716 §3.1, §3.2
    """
    if not packet:
        raise RemoteProtocolError("empty Opus packet", section="RFC 6716 §3.1")
    samples = _frame_samples(packet[0] >> 3) * _frame_count(packet)
    if not 0 < samples <= MAX_PACKET_SAMPLES:
        raise RemoteProtocolError(f"Opus packet of {samples} samples", section="RFC 6716 §3.2.5")
    return samples


def _frame_samples(config: int) -> int:
    """Samples of one frame by the configuration number of the TOC byte (RFC 6716 Table 2)."""
    if config >= _FIRST_CELT:
        return _CELT_SAMPLES[config & 3]
    if config >= _FIRST_HYBRID:
        return _HYBRID_SAMPLES[config & 1]
    return _SILK_SAMPLES[config & 3]


def _frame_count(packet: bytes) -> int:
    code = packet[0] & 3
    if code < 3:
        return 1 if code == 0 else 2
    if len(packet) < 2:
        raise RemoteProtocolError("Opus packet of code 3 without its frame count", section="RFC 6716 §3.2.5")
    return packet[1] & 0x3F
