"""Audio bodies: the legacy formats, and the enhanced form (FLV 10.1 §E.4.2; Enhanced RTMP v2, Enhanced Audio)."""

from __future__ import annotations

from collections.abc import Callable

from lalmesh.codec.ac3 import SyncFrameHeader
from lalmesh.codec.g711 import SAMPLE_RATE_HZ as G711_SAMPLE_RATE_HZ
from lalmesh.codec.mp3 import FrameHeader
from lalmesh.codec.opus import SAMPLE_RATE_HZ as OPUS_SAMPLE_RATE_HZ
from lalmesh.codec.opus import OpusHead
from lalmesh.container.flv._constants import (
    AUDIO_MULTICHANNEL,
    AUDIO_MULTITRACK,
    AUDIO_TRACK_ID,
    CODECS,
    CODED_FRAMES,
    FORMAT_AAC,
    FORMAT_EX,
    FORMAT_MP3,
    FORMAT_MP3_8K,
    FORMAT_OPUS,
    FORMAT_PCMA,
    FORMAT_PCMU,
    LEGACY_CODED,
    LEGACY_HEADER,
    MOD_EX,
    SEQUENCE_END,
    SEQUENCE_START,
    SOUND_RATES_HZ,
    SOUND_STEREO,
)
from lalmesh.container.flv._enhanced import FOURCC_BYTES, SourceChoice, split_packets
from lalmesh.container.flv._events import Stream, UnsupportedCodec
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_MS, AccessUnit, Codec, Kind, MediaEvent, PassedOver, TrackEnded

_AAC = Codec.AAC  # a global is found faster than a member of an Enum
_SECTION = "FLV 10.1 §E.4.2"
_EX_SECTION = "Enhanced RTMP v2, Enhanced Audio"
_OPUS_HEADER = bytes((LEGACY_HEADER,)) + b"OpusHead"
_OPUS_STEREO = 0x04  # of the first byte of a packet (RFC 6716 §3.1)
_OPUS_PRE_SKIP = 312  # samples, what libopus asks for


class AudioBodies:
    """Demux the audio messages of one publisher. Which handler takes a message is in its first byte."""

    def __init__(self, stream: Stream) -> None:
        """Start without a track in `stream`."""
        self._stream = stream
        self._unwrap = stream.unwrap
        self._source = SourceChoice()
        self._codec: Codec | None = None
        self._announced: int | bytes | None = None  # header byte or FourCC of a track that needs no configuration
        self._opus_has_packet_type: bool | None = None  # of sound format 13, None until one came

    def demux(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Give what a message holds; `body` is at least one byte."""
        return _HANDLERS[body[0]](self, timestamp_ms, body)

    def aac(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body of sound format 10."""
        if len(body) > 2 and body[1] == LEGACY_CODED and self._codec is _AAC:
            return [AccessUnit(AUDIO_TRACK_ID, self._unwrap(timestamp_ms) * TICKS_PER_MS, 0, True, body[2:])]
        if len(body) < 2:
            raise RemoteProtocolError("AAC message without its packet type", section=_SECTION)
        if body[1] == LEGACY_HEADER:
            return self._configure(Codec.AAC, body[2:], 0)
        if body[1] == LEGACY_CODED:
            return self._frame(Codec.AAC, timestamp_ms, body[2:])
        raise UnsupportedError(f"AAC packet type {body[1]}")

    def g711(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body of sound format 7 or 8."""
        codec = Codec.PCMA if body[0] >> 4 == FORMAT_PCMA else Codec.PCMU
        events: list[MediaEvent] = []
        if body[0] != self._announced and len(body) > 1:
            # The flags have no code for 8000 Hz, which is the only rate of G.711.
            events = self._announce(body[0], codec, (G711_SAMPLE_RATE_HZ, 1 + (body[0] & SOUND_STEREO)), 0)
        return events + self._frame(codec, timestamp_ms, body[1:])

    def mp3(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body of sound format 2 or 14."""
        events: list[MediaEvent] = []
        if body[0] != self._announced and len(body) > 1:
            events = self._announce(body[0], Codec.MP3, _mp3_sound(body), 0)
        return events + self._frame(Codec.MP3, timestamp_ms, body[1:])

    def opus_private(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body of sound format 13, which no standard defines.

        Interop: some put a packet type before each Opus packet, as AAC has it, and send an OpusHead first; others (lal,
        ZLMediaKit) send Opus packets alone. An Opus packet that begins with 1, SILK of 10 ms doubled, is not met with.
        """
        if body.startswith(_OPUS_HEADER, 1):
            self._opus_has_packet_type = True
            return self._configure(Codec.OPUS, body[2:], 0)
        if self._opus_has_packet_type is None and len(body) > 1:
            self._opus_has_packet_type = body[1] == LEGACY_CODED
        if not self._opus_has_packet_type:
            return self._opus(timestamp_ms, body[1:], 0)
        if body[1:2] != bytes((LEGACY_CODED,)):
            raise UnsupportedError(f"Opus packet type {body[1:2].hex()}")
        return self._opus(timestamp_ms, body[2:], 0)

    def _opus(self, timestamp_ms: int, packet: bytes, source_id: int) -> list[MediaEvent]:
        """One packet; the first of a track without an OpusHead tells the channels that one is made with."""
        if not packet:
            return []
        events: list[MediaEvent] = []
        if self._codec is not Codec.OPUS:
            channels = 2 if packet[0] & _OPUS_STEREO else 1
            head = OpusHead(channels=channels, pre_skip=_OPUS_PRE_SKIP, input_sample_rate_hz=OPUS_SAMPLE_RATE_HZ)
            events = self._configure(Codec.OPUS, head.serialize(), source_id)
        return events + self._frame(Codec.OPUS, timestamp_ms, packet)

    def enhanced(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body with a FourCC and nothing before it."""
        start = 1 + FOURCC_BYTES
        if len(body) < start:
            raise RemoteProtocolError(f"enhanced audio message of {len(body)} bytes", section=_EX_SECTION)
        return self._packet(timestamp_ms, body[0] & 0x0F, body[1:start], body[start:], 0)

    def prefixed(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body with ModEx prefixes or several tracks."""
        events: list[MediaEvent] = []
        counters, taken = self._stream.counters, False
        for packet_type, fourcc, source_id, start, end in split_packets(body, AUDIO_MULTITRACK):
            if taken or not self._source.takes(source_id, announces=packet_type == SEQUENCE_START):
                counters.ignored_tracks += 1
                continue
            try:
                events += self._packet(timestamp_ms, packet_type, fourcc, body[start:end], source_id)
                taken = True
            except UnsupportedCodec as error:  # of this track: the next may be of another
                counters.count(error.what, PassedOver.UNSUPPORTED_CODEC)
        return events

    def _packet(self, timestamp_ms: int, packet_type: int, fourcc: bytes, payload: bytes, source_id: int) -> list[MediaEvent]:
        codec = CODECS.get(fourcc)
        if codec is None or codec.kind is not Kind.AUDIO:
            raise UnsupportedCodec(f"audio FourCC {fourcc!r}")
        if packet_type == CODED_FRAMES:
            return self._coded(timestamp_ms, codec, fourcc, payload, source_id)
        if packet_type == SEQUENCE_START:
            return self._configure(codec, payload, source_id)
        if packet_type == SEQUENCE_END:
            return [TrackEnded(AUDIO_TRACK_ID)] if codec is self._codec else []
        what = "multichannel configuration" if packet_type == AUDIO_MULTICHANNEL else f"packet type {packet_type}"
        raise UnsupportedError(f"enhanced audio {what}")

    def _coded(self, timestamp_ms: int, codec: Codec, fourcc: bytes, payload: bytes, source_id: int) -> list[MediaEvent]:
        if codec is Codec.OPUS:
            return self._opus(timestamp_ms, payload, source_id)
        sound = _SOUNDS.get(codec)
        events: list[MediaEvent] = []
        if sound is not None and payload and fourcc != self._announced:
            events = self._announce(fourcc, codec, sound(payload), source_id)
        return events + self._frame(codec, timestamp_ms, payload)

    def _configure(self, codec: Codec, configuration: bytes, source_id: int) -> list[MediaEvent]:
        if not configuration:
            if codec not in _MAY_LACK_CONFIGURATION:
                self._stream.counters.count(f"empty {codec.value} configuration", PassedOver.NO_CONFIGURATION)
            return []
        if self._source.may_be(source_id):
            self._codec = self._announced = None  # no unit is taken under one that is refused
        events = self._stream.configure(AUDIO_TRACK_ID, codec, configuration)
        self._codec, self._announced, self._source.chosen = codec, None, source_id
        return events

    def _announce(self, key: int | bytes, codec: Codec, sound: tuple[int, int], source_id: int) -> list[MediaEvent]:
        """A codec without configuration begins with its first frame, and again when its header says something else."""
        sample_rate_hz, channels = sound
        events = self._stream.configure(AUDIO_TRACK_ID, codec, sample_rate_hz=sample_rate_hz, channels=channels)
        self._codec, self._announced, self._source.chosen = codec, key, source_id
        return events

    def _frame(self, codec: Codec, timestamp_ms: int, payload: bytes) -> list[MediaEvent]:
        if not payload:
            return []
        if codec is not self._codec:
            self._stream.counters.count(f"{codec.value} frame before its configuration", PassedOver.NO_CONFIGURATION)
            return []
        return [AccessUnit(AUDIO_TRACK_ID, self._unwrap(timestamp_ms) * TICKS_PER_MS, 0, True, payload)]


def _mp3_sound(body: bytes) -> tuple[int, int]:
    """Sample rate and channels by the frame header, or by the flags where the message does not begin with a frame."""
    try:
        return _mp3_frame_sound(body[1:])
    except (RemoteProtocolError, UnsupportedError):
        rate = 8000 if body[0] >> 4 == FORMAT_MP3_8K else SOUND_RATES_HZ[body[0] >> 2 & 3]
        return rate, 1 + (body[0] & SOUND_STEREO)


def _mp3_frame_sound(frame: bytes) -> tuple[int, int]:
    header = FrameHeader.parse(frame)
    return header.sample_rate_hz, header.channels


def _ac3_sound(frame: bytes) -> tuple[int, int]:
    header = SyncFrameHeader.parse(frame)
    return header.sample_rate_hz, header.channels


_SOUNDS: dict[Codec, Callable[[bytes], tuple[int, int]]] = {
    Codec.MP3: _mp3_frame_sound,
    Codec.AC3: _ac3_sound,
    Codec.EAC3: _ac3_sound,
}
_MAY_LACK_CONFIGURATION = frozenset((*_SOUNDS, Codec.OPUS))


def _refuse(bodies: AudioBodies, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
    raise UnsupportedCodec(f"audio format {body[0] >> 4}")


_BY_FORMAT: dict[int, Callable[[AudioBodies, int, bytes], list[MediaEvent]]] = {
    FORMAT_AAC: AudioBodies.aac,
    FORMAT_MP3: AudioBodies.mp3,
    FORMAT_MP3_8K: AudioBodies.mp3,
    FORMAT_PCMA: AudioBodies.g711,
    FORMAT_PCMU: AudioBodies.g711,
    FORMAT_OPUS: AudioBodies.opus_private,
    FORMAT_EX: AudioBodies.enhanced,
}


def _handler(first: int) -> Callable[[AudioBodies, int, bytes], list[MediaEvent]]:
    """What takes the bodies that begin with `first`."""
    if first >> 4 == FORMAT_EX and first & 0x0F in (MOD_EX, AUDIO_MULTITRACK):
        return AudioBodies.prefixed
    return _BY_FORMAT.get(first >> 4, _refuse)


_HANDLERS = tuple(_handler(first) for first in range(256))
