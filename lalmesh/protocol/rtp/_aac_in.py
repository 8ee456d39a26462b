"""AAC out of RTP packets: the AAC-hbr and AAC-lbr modes of RFC 3640, and others with the same fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lalmesh.bits import BitReader
from lalmesh.codec import build_track
from lalmesh.codec.aac import AudioSpecificConfig
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Track, wrap
from lalmesh.protocol.rtp._depacketizer import Depacketized, DepacketizerCounters, TimedUnit
from lalmesh.protocol.rtp._packet import RtpPacket

MAX_HEADERS_BYTES: Final = 1024  #: of the AU headers of a packet: 512 frames of AAC-hbr
MAX_FRAMES: Final = 512  #: of a packet, however short the headers are: five seconds and more; ffmpeg sends 0.7 s at most
#: Of a packet for each frame that it holds, headers included. Silence of one channel is 4 bytes without them: 29 bits of a
#: single_channel_element and 3 that end the frame (ISO/IEC 14496-3 §4.4.2.1).
MIN_BYTES_A_FRAME: Final = 4
MAX_FRAME_BYTES: Final = 64_000  #: 48 channels of 6144 bits are 37 kB

_SECTION = "RFC 3640 §3.2.1"
_MAX_FIELD_BITS = 32


@dataclass(slots=True, frozen=True, kw_only=True)
class AuHeaderFormat:
    """Which fields an AU header has, and how many bits each of them takes (RFC 3640 §3.2.1.1, §4.1)."""

    size_bits: int = 13  #: 0: frames have no size, each packet holds one
    index_bits: int = 3
    index_delta_bits: int = 3
    cts_delta_bits: int = 0
    dts_delta_bits: int = 0
    has_random_access: bool = False
    stream_state_bits: int = 0
    auxiliary_size_bits: int = 0  #: of the size of the auxiliary section behind the headers

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> AuHeaderFormat:
        """Read the parameters of a session description; names are in lower case.

        Raises:
            RemoteProtocolError: a value that is no number of bits.
        """
        if parameters.keys().isdisjoint(("sizelength", "indexlength", "indexdeltalength")):
            # Interop: cameras that name the mode alone mean what the mode asks for (§3.3.5, §3.3.6).
            narrow = parameters.get("mode", "").lower() == "aac-lbr"
            sizes = (6, 2, 2) if narrow else (13, 3, 3)
        else:
            sizes = (_bits(parameters, "sizelength"), _bits(parameters, "indexlength"), _bits(parameters, "indexdeltalength"))
        return cls(
            size_bits=sizes[0],
            index_bits=sizes[1],
            index_delta_bits=sizes[2],
            cts_delta_bits=_bits(parameters, "ctsdeltalength"),
            dts_delta_bits=_bits(parameters, "dtsdeltalength"),
            has_random_access=_bits(parameters, "randomaccessindication") > 0,
            stream_state_bits=_bits(parameters, "streamstateindication"),
            auxiliary_size_bits=_bits(parameters, "auxiliarydatasizelength"),
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is no AU header section at all (§3.2.1)."""
        fields = (self.size_bits, self.index_bits, self.index_delta_bits, self.cts_delta_bits, self.dts_delta_bits)
        return not any((*fields, self.has_random_access, self.stream_state_bits))


def _bits(parameters: Mapping[str, str], name: str) -> int:
    text = parameters.get(name, "0").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 3) or int(text) > _MAX_FIELD_BITS:
        raise RemoteProtocolError(f"{name} {text[:20]!r}", section="RFC 3640 §4.1")
    return int(text)


class AacDepacketizer:
    """One track. A frame of which a fragment is missing is dropped and counted; no other frame suffers from it."""

    def __init__(self, track_id: int, config: bytes, clock_rate_hz: int, header_format: AuHeaderFormat) -> None:
        """Start.

        Args:
            track_id: of the track that comes out.
            config: the AudioSpecificConfig of the session description.
            clock_rate_hz: of the RTP timestamps.
            header_format: which fields an AU header has.

        Raises:
            RemoteProtocolError: `config` does not parse.
            UnsupportedError: an object type that is not known here.
        """
        parsed = AudioSpecificConfig.parse(config)
        self.track: Track | None = build_track(track_id, Codec.AAC, config)
        self.counters = DepacketizerCounters()
        self._format = header_format
        self._frame_ticks = parsed.frame_length * clock_rate_hz // parsed.sample_rate_hz
        self._fragments: list[bytes] = []
        self._fragment_bytes = 0
        self._whole_bytes = 0  # of the frame that the fragments are of
        self._timestamp = 0
        self._dropped: int | None = None  # timestamp of the last frame that was given up
        self._after_loss = False

    def feed(self, packet: RtpPacket) -> list[Depacketized]:
        """Take the next packet; the frames that are complete with it.

        Raises:
            RemoteProtocolError: its payload is malformed, or holds more frames than `MAX_FRAMES` and `MIN_BYTES_A_FRAME` allow.
            UnsupportedError: its frames are interleaved.
        """
        sizes, at = self._parse_headers(packet.payload)
        data_bytes = len(packet.payload) - at
        if len(sizes) == 1 and sizes[0] > data_bytes:
            return self._fragment(packet, packet.payload[at:], sizes[0])
        if sum(sizes) > data_bytes:
            raise RemoteProtocolError(f"frames of {sum(sizes)} bytes, {data_bytes} there", section="RFC 3640 §3.2.3", at=at)
        given = self._drop_fragments()
        for index, size in enumerate(sizes):
            if size:
                timestamp = wrap(packet.timestamp + index * self._frame_ticks, 32)
                given.append(self._unit(timestamp, packet.payload[at : at + size]))
            at += size
        return given

    def lost(self) -> None:
        """Packets are missing before the next one."""
        self._drop_fragments()
        self._after_loss = True

    def flush(self) -> list[Depacketized]:
        """Frames are given as soon as they are whole."""
        return []

    def _unit(self, timestamp: int, payload: bytes) -> TimedUnit:
        after_loss, self._after_loss = self._after_loss, False
        return TimedUnit(timestamp, payload, after_loss=after_loss)

    def _parse_headers(self, payload: bytes) -> tuple[list[int], int]:
        """The sizes of the frames, and where the first one begins (§3.2.1, §3.2.2)."""
        if self._format.is_empty:
            return [len(payload)], 0
        if len(payload) < 2:
            raise RemoteProtocolError(f"AAC payload of {len(payload)} bytes", section=_SECTION)
        bits = int.from_bytes(payload[:2], "big")
        end = 2 + (bits + 7) // 8
        if end - 2 > MAX_HEADERS_BYTES:
            raise LimitExceeded("bytes of AU headers", end - 2, MAX_HEADERS_BYTES, section=_SECTION)
        if end > len(payload):
            raise RemoteProtocolError(f"AU headers of {end - 2} bytes, {len(payload) - 2} there", section=_SECTION, at=2)
        sizes = self._parse_sizes(BitReader(payload[2:end]), bits, min(MAX_FRAMES, max(1, len(payload) // MIN_BYTES_A_FRAME)))
        end = self._skip_auxiliary(payload, end)
        return ([len(payload) - end] if not self._format.size_bits and len(sizes) == 1 else sizes), end

    def _parse_sizes(self, reader: BitReader, bits: int, most: int) -> list[int]:
        """The sizes in the AU headers, which are `bits` long; `most` frames are accepted."""
        sizes: list[int] = []
        last = reader.bits_left - bits  # what is left then is there to fill the last byte
        while (left := reader.bits_left) > last:
            if len(sizes) >= most:
                raise LimitExceeded("AAC frames in a packet", len(sizes) + 1, most, section=_SECTION)
            sizes.append(self._parse_header(reader, is_first=not sizes))
            if reader.bits_left == left:
                raise RemoteProtocolError("AU header of no bits", section=_SECTION)
        return sizes

    def _parse_header(self, reader: BitReader, *, is_first: bool) -> int:
        """The size in one AU header (§3.2.1.1)."""
        size = reader.read(self._format.size_bits)
        index = reader.read(self._format.index_bits if is_first else self._format.index_delta_bits)
        if index:
            raise UnsupportedError("interleaved AAC")
        for delta_bits in (self._format.cts_delta_bits, self._format.dts_delta_bits):
            if delta_bits and reader.flag():
                reader.skip(delta_bits)
        reader.skip(self._format.has_random_access + self._format.stream_state_bits)
        if size > MAX_FRAME_BYTES:
            raise LimitExceeded("AAC frame bytes", size, MAX_FRAME_BYTES, section=_SECTION)
        return size

    def _skip_auxiliary(self, payload: bytes, at: int) -> int:
        """Where the auxiliary section at `at` ends (§3.2.2)."""
        if not self._format.auxiliary_size_bits:
            return at
        size_bits = self._format.auxiliary_size_bits
        bits = BitReader(payload[at : at + 4]).read(size_bits)
        end = at + (size_bits + bits + 7) // 8
        if end > len(payload):
            raise RemoteProtocolError(f"auxiliary section of {bits} bits", section="RFC 3640 §3.2.2", at=at)
        return end

    def _fragment(self, packet: RtpPacket, data: bytes, whole_bytes: int) -> list[Depacketized]:
        """Keep a fragment; its frame where it is the last (§3.2.3.1)."""
        if not data:
            raise RemoteProtocolError(f"fragment of a frame of {whole_bytes} bytes without data", section="RFC 3640 §3.2.3.1")
        if self._fragments and (packet.timestamp != self._timestamp or whole_bytes != self._whole_bytes):
            self._drop_fragments()
        self._timestamp, self._whole_bytes = packet.timestamp, whole_bytes
        self._fragments.append(data)
        self._fragment_bytes += len(data)
        if self._fragment_bytes < whole_bytes and not packet.marker:
            return []
        if self._fragment_bytes != whole_bytes:  # the first ones are missing
            return self._drop_fragments()
        payload = b"".join(self._fragments)
        self._fragments, self._fragment_bytes = [], 0
        return [self._unit(packet.timestamp, payload)]

    def _drop_fragments(self) -> list[Depacketized]:
        """Give up the frame that is not whole, if there is one; gives nothing."""
        if self._fragments:
            self.counters.broken_units += self._dropped != self._timestamp  # once for both sides of what is missing
            self._dropped = self._timestamp
            self._fragments, self._fragment_bytes = [], 0
            self._after_loss = True
        return []
