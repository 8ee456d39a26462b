"""Video bodies: AVC and HEVC in the legacy form, and the enhanced form (FLV 10.1 §E.4.3; Enhanced RTMP v2, Enhanced Video)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from lalmesh.codec.h264 import AvcDecoderConfigurationRecord
from lalmesh.codec.h265 import HevcDecoderConfigurationRecord
from lalmesh.codec.nalu import LENGTH_SIZE, relength
from lalmesh.container.flv._constants import (
    CODECS,
    CODED_FRAMES,
    COMMAND_FRAME,
    EX_HEADER,
    FOURCCS,
    GENERATED_KEY_FRAME,
    KEY_FRAME,
    LEGACY_CODED,
    LEGACY_END,
    LEGACY_HEADER,
    MOD_EX,
    SEQUENCE_END,
    SEQUENCE_START,
    VIDEO_CODEC_IDS,
    VIDEO_CODECS,
    VIDEO_CODED_FRAMES_X,
    VIDEO_METADATA,
    VIDEO_MULTITRACK,
    VIDEO_TRACK_ID,
)
from lalmesh.container.flv._enhanced import FOURCC_BYTES, SourceChoice, split_packets
from lalmesh.container.flv._events import Stream, UnsupportedCodec, reading_configuration
from lalmesh.container.flv._video_metadata import merge_metadata
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_MS, AccessUnit, Codec, Kind, MediaEvent, PassedOver, TrackEnded

_LEGACY_HEAD = struct.Struct(">BBhB")  # flags, AVCPacketType, CompositionTime as its high 16 bits with sign and its low 8
_LEGACY_BYTES = _LEGACY_HEAD.size
_COMPOSITION_TIME = struct.Struct(">hB")
_WITH_COMPOSITION_TIME = frozenset((FOURCCS[Codec.H264], FOURCCS[Codec.H265]))
_RANDOM_ACCESS = tuple(byte >> 4 & 7 in (KEY_FRAME, GENERATED_KEY_FRAME) for byte in range(256))
_LEGACY_SECTION = "FLV 10.1 §E.4.3"
_EX_SECTION = "Enhanced RTMP v2, Enhanced Video"


class VideoBodies:
    """Demux the video messages of one publisher. Which handler takes a message is in its first byte."""

    def __init__(self, stream: Stream) -> None:
        """Start without a track in `stream`."""
        self._stream = stream
        self._unwrap = stream.unwrap
        self._source = SourceChoice()
        self._codec: Codec | None = None
        self._legacy_id = -1  # codec id and FourCC under which units of the present track come
        self._fourcc = b""
        self._length_size = LENGTH_SIZE  # of the NALU lengths that the publisher sends
        self._metadata = b""
        self._metadata_of = (0, b"")  # the track and FourCC that it came for: it may come before the SequenceStart

    def demux(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Give what a message holds; `body` is at least one byte."""
        return _HANDLERS[body[0]](self, timestamp_ms, body)

    def legacy(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body with a codec id."""
        if len(body) <= _LEGACY_BYTES:
            return self._legacy_bare(body)
        first, packet_type, high, low = _LEGACY_HEAD.unpack_from(body)
        if packet_type != LEGACY_CODED or first & 0x0F != self._legacy_id:
            return self._legacy_other(body)
        payload = body[_LEGACY_BYTES:]
        if self._length_size != LENGTH_SIZE and not (payload := relength(payload, self._length_size)):
            return []
        dts = self._unwrap(timestamp_ms) * TICKS_PER_MS
        return [AccessUnit(VIDEO_TRACK_ID, dts, (high << 8 | low) * TICKS_PER_MS, _RANDOM_ACCESS[first], payload)]

    def _legacy_bare(self, body: bytes) -> list[MediaEvent]:
        """A message without a payload: the end, or nothing."""
        if body[1:2] == bytes((LEGACY_END,)):  # Interop: some publishers leave its composition time out
            return self._end(VIDEO_CODECS[body[0] & 0x0F])
        if len(body) < _LEGACY_BYTES:
            raise RemoteProtocolError(f"video message of {len(body)} bytes", section=_LEGACY_SECTION)
        return []

    def _legacy_other(self, body: bytes) -> list[MediaEvent]:
        codec, packet_type = VIDEO_CODECS[body[0] & 0x0F], body[1]
        if packet_type == LEGACY_HEADER:
            return self._configure(codec, body[_LEGACY_BYTES:], 0)
        if packet_type == LEGACY_CODED:
            return self._without_configuration(codec)
        if packet_type == LEGACY_END:
            return self._end(codec)
        raise UnsupportedError(f"video packet type {packet_type}")

    def enhanced(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body with a FourCC and nothing before it."""
        start = 1 + FOURCC_BYTES
        if len(body) < start:
            raise RemoteProtocolError(f"enhanced video message of {len(body)} bytes", section=_EX_SECTION)
        return self._packet(timestamp_ms, body, body[0] & 0x0F, body[1:start], start, len(body), 0)

    def prefixed(self, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
        """Take a body with ModEx prefixes or several tracks."""
        events: list[MediaEvent] = []
        counters, taken = self._stream.counters, False
        for packet_type, fourcc, source_id, start, end in split_packets(body, VIDEO_MULTITRACK):
            if taken or not self._source.takes(source_id, announces=packet_type == SEQUENCE_START):
                counters.ignored_tracks += 1
                continue
            try:
                events += self._packet(timestamp_ms, body, packet_type, fourcc, start, end, source_id)
                taken = True
            except UnsupportedCodec as error:  # of this track: the next may be of another
                counters.count(error.what, PassedOver.UNSUPPORTED_CODEC)
        return events

    def _packet(
        self, timestamp_ms: int, body: bytes, packet_type: int, fourcc: bytes, start: int, end: int, source_id: int
    ) -> list[MediaEvent]:
        if packet_type in (CODED_FRAMES, VIDEO_CODED_FRAMES_X) and fourcc == self._fourcc:
            return self._frames(timestamp_ms, body, packet_type, start, end)
        codec = CODECS.get(fourcc)
        if codec is None or codec.kind is not Kind.VIDEO:
            raise UnsupportedCodec(f"video FourCC {fourcc!r}")
        if packet_type == SEQUENCE_START:
            return self._configure(codec, body[start:end], source_id)
        if packet_type == SEQUENCE_END:
            return self._end(codec)
        if packet_type in (CODED_FRAMES, VIDEO_CODED_FRAMES_X):
            return self._without_configuration(codec)
        if packet_type == VIDEO_METADATA:
            return self._describe(fourcc, body[start:end], source_id)
        raise UnsupportedError(f"enhanced video packet type {packet_type}")  # MPEG-2 TS, and what is reserved

    def _frames(self, timestamp_ms: int, body: bytes, packet_type: int, start: int, end: int) -> list[MediaEvent]:
        cts_ms = 0
        if packet_type == CODED_FRAMES and self._fourcc in _WITH_COMPOSITION_TIME:
            if end - start < _COMPOSITION_TIME.size:
                raise RemoteProtocolError("composition time cut off", section=_EX_SECTION, at=start)
            high, low = _COMPOSITION_TIME.unpack_from(body, start)
            cts_ms = high << 8 | low
            start += _COMPOSITION_TIME.size
        payload = body[start:end]
        if self._length_size != LENGTH_SIZE:
            payload = relength(payload, self._length_size)
        if not payload:
            return []
        dts = self._unwrap(timestamp_ms) * TICKS_PER_MS
        return [AccessUnit(VIDEO_TRACK_ID, dts, cts_ms * TICKS_PER_MS, _RANDOM_ACCESS[body[0]], payload)]

    def _configure(self, codec: Codec, configuration: bytes, source_id: int) -> list[MediaEvent]:
        if not configuration:
            # Interop: ffmpeg sends one before that of AV1
            self._stream.counters.count(f"empty {codec.value} configuration", PassedOver.NO_CONFIGURATION)
            return []
        if self._source.may_be(source_id):
            self._codec, self._legacy_id, self._fourcc = None, -1, b""  # no unit is taken under one that is refused
        with reading_configuration():
            record, length_size = _with_whole_lengths(codec, configuration)
        metadata = self._metadata if self._metadata_of == (source_id, FOURCCS[codec]) else b""
        events = self._stream.configure(VIDEO_TRACK_ID, codec, record, video_metadata=metadata)
        self._source.chosen = source_id
        self._codec, self._length_size = codec, length_size
        self._legacy_id, self._fourcc = VIDEO_CODEC_IDS.get(codec, -1), FOURCCS[codec]
        return events

    def _describe(self, fourcc: bytes, body: bytes, source_id: int) -> list[MediaEvent]:
        """Metadata holds until other metadata of its name comes, past a SequenceStart too; another codec or track has its own."""
        present = self._metadata if self._metadata_of == (source_id, fourcc) else b""
        self._metadata, self._metadata_of = merge_metadata(present, body), (source_id, fourcc)
        track = self._stream.tracks.get(VIDEO_TRACK_ID)
        if track is None or fourcc != self._fourcc or source_id != self._source.chosen:
            return []
        return self._stream.replace(replace(track, video_metadata=self._metadata))

    def _without_configuration(self, codec: Codec) -> list[MediaEvent]:
        self._stream.counters.count(f"{codec.value} picture before its configuration", PassedOver.NO_CONFIGURATION)
        return []

    def _end(self, codec: Codec) -> list[MediaEvent]:
        return [TrackEnded(VIDEO_TRACK_ID)] if codec is self._codec else []


def _with_whole_lengths(codec: Codec, configuration: bytes) -> tuple[bytes, int]:
    """The record that announces 4-byte lengths, and the size that the publisher announced."""
    if codec is Codec.H264:
        avc = AvcDecoderConfigurationRecord.parse(configuration)
        if avc.length_size != LENGTH_SIZE:
            return replace(avc, length_size=LENGTH_SIZE).serialize(), avc.length_size
    elif codec is Codec.H265:
        hevc = HevcDecoderConfigurationRecord.parse(configuration)
        if hevc.length_size != LENGTH_SIZE:
            return replace(hevc, length_size=LENGTH_SIZE).serialize(), hevc.length_size
    return configuration, LENGTH_SIZE


def _ignore(bodies: VideoBodies, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
    """A command frame: it speaks to a player that seeks."""
    return []


def _refuse(bodies: VideoBodies, timestamp_ms: int, body: bytes) -> list[MediaEvent]:
    raise UnsupportedCodec(f"video codec id {body[0] & 0x0F}")


def _handler(first: int) -> Callable[[VideoBodies, int, bytes], list[MediaEvent]]:
    """What takes the bodies that begin with `first`."""
    enhanced, low = bool(first & EX_HEADER), first & 0x0F
    if first >> 4 & 7 == COMMAND_FRAME and not (enhanced and low == VIDEO_METADATA):  # which ignores the frame type
        return _ignore
    if not enhanced:
        return VideoBodies.legacy if low in VIDEO_CODECS else _refuse
    return VideoBodies.prefixed if low in (MOD_EX, VIDEO_MULTITRACK) else VideoBodies.enhanced


_HANDLERS = tuple(_handler(first) for first in range(256))
