"""G.711: A-law and µ-law, one byte a sample (ITU-T G.711; as RTP carries it, RFC 3551 §4.5.14)."""

from __future__ import annotations

from lalmesh.media import TICKS_PER_SECOND, Codec

SAMPLE_RATE_HZ = 8_000  #: the only rate that G.711 knows
BITRATE_BPS = 64_000  #: of one channel

#: the encoding names of RFC 3551 §6
NAMES = {Codec.PCMA: "PCMA", Codec.PCMU: "PCMU"}
#: the byte of a sample of silence (G.711 Tables 1a and 2a, the smallest positive value)
SILENCE = {Codec.PCMA: 0xD5, Codec.PCMU: 0xFF}


def samples(payload_bytes: int, *, channels: int = 1) -> int:
    """Samples a channel in `payload_bytes` bytes of `channels` (1 and up) interleaved channels."""
    return payload_bytes // channels


def duration_ticks(payload_bytes: int, *, channels: int = 1, sample_rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """How long `payload_bytes` bytes last, in ticks of 90 kHz.

    Args:
        payload_bytes: size of the coded samples.
        channels: interleaved channels, 1 and up.
        sample_rate_hz: 8000, or what a container claims that does not keep to the standard.
    """
    return samples(payload_bytes, channels=channels) * TICKS_PER_SECOND // sample_rate_hz
