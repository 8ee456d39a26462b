"""Access units in, FLV tag bodies and RTMP message payloads out."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from lalmesh.container.flv._constants import (
    AUDIO_FORMATS,
    CODED_FRAMES,
    COMMAND_FRAME,
    EX_HEADER,
    FORMAT_EX,
    FORMAT_MP3_8K,
    FOURCCS,
    INTER_FRAME,
    KEY_FRAME,
    LEGACY_CODED,
    LEGACY_END,
    LEGACY_HEADER,
    SEQUENCE_END,
    SEQUENCE_START,
    SOUND_16_BIT,
    SOUND_STEREO,
    TAG_AUDIO,
    TAG_SCRIPT,
    TAG_VIDEO,
    VIDEO_CODEC_IDS,
    VIDEO_CODED_FRAMES_X,
    VIDEO_METADATA,
    HevcForm,
    OpusForm,
)
from lalmesh.container.flv._metadata import metadata_body
from lalmesh.container.flv._video_metadata import tell_metadata
from lalmesh.errors import UnsupportedError
from lalmesh.media import TICKS_PER_MS, AccessUnit, Codec, Kind, Track, TrackSet

BodyPrefix: TypeAlias = Callable[[AccessUnit], bytes]  #: gives the bytes that go before the payload of a unit in a message

_VIDEO_HEAD = struct.Struct(">BBHB")  # flags, AVCPacketType, CompositionTime in two parts
_EX_HEAD = struct.Struct(">B4sHB")  # flags, FourCC, CompositionTime in two parts
_TYPE_IDS = {Kind.VIDEO: TAG_VIDEO, Kind.AUDIO: TAG_AUDIO}
_LEGACY_AUDIO = frozenset((Codec.AAC, Codec.MP3, Codec.PCMA, Codec.PCMU))
_KEY, _INTER = KEY_FRAME << 4, INTER_FRAME << 4
_EX_AUDIO = FORMAT_EX << 4
_EX_METADATA = bytes((EX_HEADER | COMMAND_FRAME << 4 | VIDEO_METADATA,))  # a player that does not know it skips commands
_MAX_MP3_8K_RATE_HZ = 8000
_MP2 = Codec.MP2  # a global is found faster than a member of an Enum


def carries(codec: Codec) -> bool:
    """Whether FLV has a form for tracks of `codec`."""
    return codec is Codec.SCRIPT or codec in FOURCCS or codec in AUDIO_FORMATS


class BodyMuxer:
    """Mux tracks into bodies, so that a body is ``body_prefix(track, unit) + unit.payload``.

    H264, AAC, MP3 and G.711 go out in the legacy form, which every player knows; AV1, VP9, AC-3, E-AC-3 and FLAC in the enhanced
    form, which is their only one; HEVC and Opus as they are asked for.
    """

    def __init__(self, *, hevc: HevcForm = "enhanced", opus: OpusForm = "enhanced") -> None:
        """Choose the form of the codecs that have two.

        Args:
            hevc: ``enhanced`` for FourCC ``hvc1``, ``legacy`` for codec id 12.
            opus: ``enhanced`` for FourCC ``Opus``, ``legacy`` for sound format 13 with a packet type, as AAC has it.
        """
        self._legacy = _LEGACY_AUDIO | {Codec.H264}
        if hevc == "legacy":
            self._legacy |= {Codec.H265}
        if opus == "legacy":
            self._legacy |= {Codec.OPUS}
        self._writers: dict[int, tuple[Track, BodyPrefix]] = {}  # by track id: the track it was made for, and its writer

    def type_id(self, track: Track) -> int:
        """The tag or message type that units of `track` go out in.

        Raises:
            UnsupportedError: FLV cannot carry the track.
        """
        if track.codec is Codec.SCRIPT:
            return TAG_SCRIPT
        type_id = _TYPE_IDS.get(track.kind)
        if type_id is None or track.codec is _MP2:
            raise UnsupportedError(f"{track.codec.value} in FLV")
        return type_id

    def sequence_header(self, track: Track) -> tuple[int, bytes] | None:
        """Type and body of the message that carries the configuration of `track`; None where it has none, and for script data.

        Raises:
            UnsupportedError: FLV cannot carry the track.
        """
        type_id = self.type_id(track)
        if type_id == TAG_SCRIPT or not track.configuration:
            return None
        if track.codec not in self._legacy:
            return type_id, bytes((_ex_flags(track) | SEQUENCE_START,)) + FOURCCS[track.codec] + track.configuration
        if type_id == TAG_VIDEO:
            head = _VIDEO_HEAD.pack(_KEY | VIDEO_CODEC_IDS[track.codec], LEGACY_HEADER, 0, 0)
        else:
            head = bytes((_sound_flags(track), LEGACY_HEADER))
        return type_id, head + track.configuration

    def sequence_end(self, track: Track) -> tuple[int, bytes] | None:
        """Type and body of the message that ends `track`; None where its form has none.

        Raises:
            UnsupportedError: FLV cannot carry the track.
        """
        type_id = self.type_id(track)
        if type_id == TAG_SCRIPT or (type_id == TAG_AUDIO and track.codec in self._legacy):
            return None
        if track.codec not in self._legacy:
            return type_id, bytes((_ex_flags(track) | SEQUENCE_END,)) + FOURCCS[track.codec]
        return type_id, _VIDEO_HEAD.pack(_KEY | VIDEO_CODEC_IDS[track.codec], LEGACY_END, 0, 0)

    def video_metadata(self, track: Track, before: Track | None = None) -> tuple[int, bytes] | None:
        """Type and body of the message that carries the metadata of the video `track`, such as HDR; it goes after its header.

        None where there is nothing to tell, and of a track in a legacy form, which cannot carry it: its players get none.

        Args:
            track: as it is now.
            before: as the player knew it: what held then and does not now is taken back.
        Source: Enhanced RTMP v2, Metadata Frame
        """
        if not self._tells_metadata(track):
            return None
        told = before.video_metadata if before is not None and self._tells_metadata(before) else b""
        body = tell_metadata(told, track.video_metadata)
        return (TAG_VIDEO, _EX_METADATA + FOURCCS[track.codec] + body) if body else None

    def _tells_metadata(self, track: Track) -> bool:
        return track.kind is Kind.VIDEO and track.codec not in self._legacy

    def metadata(self, tracks: TrackSet) -> bytes:
        """The body of the onMetaData message: the publisher's if it gave one, else one made from `tracks`.

        The codec ids in it are those of the form that the units go out in.
        """
        carried = tuple(track for track in tracks.tracks if carries(track.codec))
        return metadata_body(TrackSet(carried, tracks.version), self._codec_number)

    def body_prefix(self, track: Track, unit: AccessUnit) -> bytes:
        """The bytes that go before `unit.payload` in a message.

        Raises:
            UnsupportedError: FLV cannot carry the track.
        """
        entry = self._writers.get(track.track_id)
        if entry is None or entry[0] is not track:
            entry = self._writers[track.track_id] = (track, self.prefix_writer(track))
        return entry[1](unit)

    def _codec_number(self, track: Track) -> float:
        """``videocodecid`` or ``audiocodecid``: the id of the legacy form, else the FourCC as a number."""
        if track.codec not in self._legacy:
            return float(int.from_bytes(FOURCCS[track.codec], "big"))
        return float(VIDEO_CODEC_IDS[track.codec] if track.kind is Kind.VIDEO else _sound_flags(track) >> 4)

    def prefix_writer(self, track: Track) -> BodyPrefix:
        """What gives the `body_prefix` of each unit of `track`, for whoever packages many of them.

        Raises:
            UnsupportedError: FLV cannot carry the track.
        """
        type_id, codec = self.type_id(track), track.codec
        if type_id == TAG_SCRIPT:
            return _constant(b"")
        if type_id == TAG_AUDIO:
            return _constant(self._audio_prefix(track))
        if codec in self._legacy:
            return _legacy_video(VIDEO_CODEC_IDS[codec])
        return _enhanced_with_composition_time(FOURCCS[codec]) if codec is Codec.H265 else _enhanced_video(FOURCCS[codec])

    def _audio_prefix(self, track: Track) -> bytes:
        if track.codec not in self._legacy:
            return bytes((_EX_AUDIO | CODED_FRAMES,)) + FOURCCS[track.codec]
        has_packet_type = track.codec in (Codec.AAC, Codec.OPUS)
        return bytes((_sound_flags(track),)) + (bytes((LEGACY_CODED,)) if has_packet_type else b"")


def _ex_flags(track: Track) -> int:
    """The first byte of an enhanced message of configuration or end, less its packet type."""
    return EX_HEADER | _KEY if track.kind is Kind.VIDEO else _EX_AUDIO


def _sound_flags(track: Track) -> int:
    """SoundFormat, SoundRate, SoundSize and SoundType of a legacy audio body (FLV 10.1 §E.4.2.1)."""
    flags = AUDIO_FORMATS[track.codec] << 4 | SOUND_16_BIT
    if track.codec is Codec.AAC:  # always says 44 kHz stereo; the truth is in its configuration
        return flags | 3 << 2 | SOUND_STEREO
    if track.channels > 1:
        flags |= SOUND_STEREO
    if track.codec is Codec.OPUS:
        return flags | 3 << 2
    if track.codec is not Codec.MP3:  # G.711 is at 8 kHz, for which there is no code
        return flags
    if 0 < track.sample_rate_hz <= _MAX_MP3_8K_RATE_HZ:
        return flags & 0x0F | FORMAT_MP3_8K << 4
    return flags | _sound_rate(track.sample_rate_hz) << 2


def _sound_rate(sample_rate_hz: int) -> int:
    """The SoundRate nearest to an MP3 rate; each frame has the true one. 48 kHz goes under 44, as does what is not known."""
    if 0 < sample_rate_hz < 16_000:
        return 1
    return 2 if 0 < sample_rate_hz < 32_000 else 3


def _constant(prefix: bytes) -> BodyPrefix:
    return lambda unit: prefix


def _legacy_video(codec_id: int) -> BodyPrefix:
    key, inter, pack = _KEY | codec_id, _INTER | codec_id, _VIDEO_HEAD.pack

    def write(unit: AccessUnit) -> bytes:
        dts = unit.dts
        cts_ms = (dts + unit.cts) // TICKS_PER_MS - dts // TICKS_PER_MS
        return pack(key if unit.random_access else inter, LEGACY_CODED, cts_ms >> 8 & 0xFFFF, cts_ms & 0xFF)

    return write


def _enhanced_with_composition_time(fourcc: bytes) -> BodyPrefix:
    key, inter, pack = EX_HEADER | _KEY | CODED_FRAMES, EX_HEADER | _INTER | CODED_FRAMES, _EX_HEAD.pack
    key_x, inter_x = (bytes((EX_HEADER | kind | VIDEO_CODED_FRAMES_X,)) + fourcc for kind in (_KEY, _INTER))

    def write(unit: AccessUnit) -> bytes:
        dts = unit.dts
        cts_ms = (dts + unit.cts) // TICKS_PER_MS - dts // TICKS_PER_MS
        if cts_ms == 0:
            return key_x if unit.random_access else inter_x
        return pack(key if unit.random_access else inter, fourcc, cts_ms >> 8 & 0xFFFF, cts_ms & 0xFF)

    return write


def _enhanced_video(fourcc: bytes) -> BodyPrefix:
    key, inter = (bytes((EX_HEADER | kind | CODED_FRAMES,)) + fourcc for kind in (_KEY, _INTER))
    return lambda unit: key if unit.random_access else inter
