"""Sound whose packets need little taking apart: G.711, Opus, MPEG audio; and packets that are passed on as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lalmesh.codec import build_track
from lalmesh.codec.mp3 import HEADER_BYTES, FrameHeader
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, Track, wrap
from lalmesh.protocol.rtp._depacketizer import Depacketized, DepacketizerCounters, TimedUnit
from lalmesh.protocol.rtp._packet import RtpPacket

MAX_FRAME_BYTES: Final = 4096  #: layer II at 384 kbit/s and 32 kHz has 1728 bytes

_SECTION = "RFC 2250 §3.5"
_MPEG_HEADER_BYTES = 4


class WholeDepacketizer:
    """One unit a packet: G.711 (RFC 3551 §4.5.14), Opus (RFC 7587 §4.2), and opaque tracks, whose units are whole RTP packets."""

    def __init__(self, track: Track, payload_of: Callable[[RtpPacket], bytes] = lambda packet: packet.payload) -> None:
        """Give what `payload_of` takes of each packet as a unit of `track`."""
        self.track: Track | None = track
        self.counters = DepacketizerCounters()
        self._payload_of = payload_of
        self._after_loss = False

    def feed(self, packet: RtpPacket) -> list[Depacketized]:
        """Take the next packet; one without payload, which keeps addresses open, gives nothing."""
        if not packet.payload:
            return []
        after_loss, self._after_loss = self._after_loss, False
        return [TimedUnit(packet.timestamp, self._payload_of(packet), after_loss=after_loss)]

    def lost(self) -> None:
        """Packets are missing before the next one: sound is missing for as long."""
        self._after_loss = True

    def flush(self) -> list[Depacketized]:
        """Units are given as they come."""
        return []


class MpegAudioDepacketizer:
    """MPEG audio of layers I to III: several frames in a packet, or a frame in several (RFC 2250 §3.5).

    The track is known from the first frame on. A frame of which a fragment is missing is dropped and counted.
    """

    def __init__(self, track_id: int, clock_rate_hz: int) -> None:
        """Start; RTP timestamps count `clock_rate_hz`, which is 90 kHz by the standard."""
        self.track: Track | None = None
        self.counters = DepacketizerCounters()
        self._track_id = track_id
        self._clock_rate_hz = clock_rate_hz
        self._pending = b""  # the begin of a frame
        self._timestamp = 0
        self._after_loss = False

    def feed(self, packet: RtpPacket) -> list[Depacketized]:
        """Take the next packet; the frames that are complete with it.

        Raises:
            RemoteProtocolError: its payload is malformed, or in free format, whose frame size nobody tells.
        """
        if len(packet.payload) <= _MPEG_HEADER_BYTES:
            raise RemoteProtocolError(f"MPEG audio payload of {len(packet.payload)} bytes", section=_SECTION)
        offset = int.from_bytes(packet.payload[2:4], "big")
        data = packet.payload[_MPEG_HEADER_BYTES:]
        if offset == 0:
            self._drop()
            self._timestamp = packet.timestamp
        elif offset != len(self._pending):
            self._drop()
            self._after_loss = True
            return []
        return self._frames(self._pending + data)

    def lost(self) -> None:
        """Packets are missing before the next one."""
        self._drop()
        self._after_loss = True

    def flush(self) -> list[Depacketized]:
        """Frames are given as soon as they are whole."""
        return []

    def _drop(self) -> None:
        if self._pending:
            self.counters.broken_units += 1
            self._pending = b""
            self._after_loss = True

    def _frames(self, data: bytes) -> list[Depacketized]:
        """The whole frames of `data`, which begins with one; what is left at its end is kept."""
        self._pending = b""
        given: list[Depacketized] = []
        at, timestamp = 0, self._timestamp
        while at < len(data):
            try:
                header = FrameHeader.parse(data[at : at + HEADER_BYTES])
            except (RemoteProtocolError, UnsupportedError) as exc:
                if given:
                    self.counters.ignored += 1  # behind good frames
                    break
                if isinstance(exc, UnsupportedError):  # one such frame does not end a publisher
                    raise RemoteProtocolError("MPEG audio in free format", section=_SECTION) from exc
                raise
            frame = data[at : at + header.frame_bytes]
            if len(frame) < header.frame_bytes or not frame:
                self._keep(frame, is_only=at == 0)
                break
            self._give(frame, header, timestamp, given)
            at += header.frame_bytes
            timestamp = wrap(timestamp + header.samples_per_frame * self._clock_rate_hz // header.sample_rate_hz, 32)
        return given

    def _keep(self, data: bytes, *, is_only: bool) -> None:
        """Wait for the rest of a frame; only one that is alone in its packet may have one (§3.5)."""
        if is_only and 0 < len(data) <= MAX_FRAME_BYTES:
            self._pending = data
        else:
            self.counters.broken_units += 1

    def _give(self, frame: bytes, header: FrameHeader, timestamp: int, given: list[Depacketized]) -> None:
        track = build_track(self._track_id, header.codec, sample_rate_hz=header.sample_rate_hz, channels=header.channels)
        if track != self.track:
            self.track = track
            given.append(track)
        after_loss, self._after_loss = self._after_loss, False
        given.append(TimedUnit(timestamp, frame, after_loss=after_loss))


MPEG_CLOCK_RATE_HZ: Final = TICKS_PER_SECOND  #: of MPEG audio, whatever its sample rate (RFC 3551 §4.5.13)
