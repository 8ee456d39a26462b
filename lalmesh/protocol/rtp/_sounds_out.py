"""Sound into RTP payloads: AAC (RFC 3640 §3.3.6), G.711, Opus, MPEG audio (RFC 2250 §3.5); and opaque packets."""

from __future__ import annotations

from typing import Final

from lalmesh.media import AccessUnit
from lalmesh.protocol.rtp._packet import RtpPacket
from lalmesh.protocol.rtp._packetizer import MAX_PAYLOAD_BYTES, Payload

MAX_AAC_FRAME_BYTES: Final = (1 << 13) - 1  #: the size in an AU header of AAC-hbr has 13 bits
MAX_WHOLE_BYTES: Final = 65_000  #: what UDP can take where a frame cannot be cut

_AU_HEADER_BITS = 16  # of AAC-hbr: size, and index 0 in three bits
_AAC_HEAD_BYTES = 4
_MPEG_HEADER_BYTES = 4


class AacPacketizer:
    """AAC-hbr: one frame a packet, or several packets a frame (RFC 3640 §3.2.3.1)."""

    def __init__(self, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        """Cut to payloads of `max_payload_bytes` at most."""
        self._step = max_payload_bytes - _AAC_HEAD_BYTES

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payloads of a frame; the marker is on the last (§3.1). None of a frame that is too large for the format."""
        size = len(unit.payload)
        if not 0 < size <= MAX_AAC_FRAME_BYTES:
            return []
        head = _AU_HEADER_BITS.to_bytes(2, "big") + (size << 3).to_bytes(2, "big")
        payloads = [Payload((head, unit.payload[at : at + self._step])) for at in range(0, size, self._step)]
        payloads[-1].marker = True
        return payloads


class WholePacketizer:
    """One frame a packet, whatever its size: Opus (RFC 7587 §4.2)."""

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payload of a frame; none of one that no datagram can take."""
        return [Payload((unit.payload,))] if 0 < len(unit.payload) <= MAX_WHOLE_BYTES else []


class G711Packetizer:
    """Samples, as many as fit (RFC 3551 §4.5.14)."""

    def __init__(self, channels: int, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        """Cut between samples of `channels` (1 and up) channels, to payloads of `max_payload_bytes` at most."""
        self._channels = channels
        self._step = max_payload_bytes - max_payload_bytes % channels

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payloads of a unit, each later than the one before it by its samples."""
        starts = range(0, len(unit.payload), self._step)
        return [Payload((unit.payload[at : at + self._step],), later=at // self._channels) for at in starts]


class MpegAudioPacketizer:
    """One frame a packet, or several packets a frame (RFC 2250 §3.5)."""

    def __init__(self, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        """Cut to payloads of `max_payload_bytes` at most."""
        self._step = max_payload_bytes - _MPEG_HEADER_BYTES

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payloads of a frame, each behind its offset in the frame."""
        starts = range(0, min(len(unit.payload), MAX_WHOLE_BYTES), self._step)
        return [Payload((at.to_bytes(_MPEG_HEADER_BYTES, "big"), unit.payload[at : at + self._step])) for at in starts]


class OpaquePacketizer:
    """Units that are whole RTP packets: payload, marker and header extension go out again under numbers and times of ours."""

    def packetize(self, unit: AccessUnit) -> list[Payload]:
        """The payload of a packet.

        Raises:
            RemoteProtocolError: the unit is no RTP packet.
        """
        packet = RtpPacket.parse(unit.payload)
        return [Payload((packet.payload,), packet.marker, extension=packet.extension)]
