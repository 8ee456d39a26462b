"""Which elementary streams of a PMT are taken, and by what (ISO/IEC 13818-1 §2.4.4.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from lalmesh.codec.nalu_codecs import H264, H265, NaluCodec
from lalmesh.codec.opus import SAMPLE_RATE_HZ, OpusHead
from lalmesh.container.mpegts._constants import (
    DESCRIPTOR_AC3,
    DESCRIPTOR_EAC3,
    DESCRIPTOR_EXTENSION,
    DESCRIPTOR_REGISTRATION,
    EXTENSION_OPUS,
    STREAM_AAC,
    STREAM_AC3,
    STREAM_EAC3,
    STREAM_H264,
    STREAM_H265,
    STREAM_MPEG1_AUDIO,
    STREAM_MPEG2_AUDIO,
    STREAM_PRIVATE,
)
from lalmesh.container.mpegts._pictures import Pictures
from lalmesh.container.mpegts._pids import Elementary
from lalmesh.container.mpegts._psi import StreamInfo
from lalmesh.container.mpegts._sounds import Parser, Sounds, opus_parser, parse_ac3, parse_adts, parse_mpeg_audio
from lalmesh.container.mpegts._tracks import Tracks
from lalmesh.errors import UnsupportedError
from lalmesh.media import Kind

VIDEO_TRACK_ID: Final = 1
AUDIO_TRACK_ID: Final = 2
TRACK_IDS = {Kind.VIDEO: VIDEO_TRACK_ID, Kind.AUDIO: AUDIO_TRACK_ID}

_Maker: TypeAlias = Callable[[StreamInfo, Tracks], Elementary]

#: by channel_config_code: streams, coupled ones, and the order of channels as Vorbis has it (RFC 7845 §5.1.1.2)
_OPUS_LAYOUTS = {
    3: (2, 1, b"\x00\x02\x01"),
    4: (2, 2, b"\x00\x01\x02\x03"),
    5: (3, 2, b"\x00\x04\x01\x02\x03"),
    6: (4, 2, b"\x00\x04\x01\x02\x03\x05"),
    7: (4, 3, b"\x00\x04\x01\x02\x03\x05\x06"),
    8: (5, 3, b"\x00\x06\x01\x02\x03\x04\x05\x07"),
}
_DUAL_MONO = OpusHead(
    channels=2, input_sample_rate_hz=SAMPLE_RATE_HZ, mapping_family=255, stream_count=2, channel_mapping=b"\x00\x01"
)


def opus_head(channel_config_code: int) -> OpusHead:
    """The OpusHead that the Opus audio descriptor speaks of; samples to leave out at the start are said in the packets.

    Raises:
        UnsupportedError: channels that are spelled out, or in another order than that of Vorbis.
    Source: Opus in MPEG-TS, opus_audio_descriptor
    """
    if channel_config_code == 0:
        return _DUAL_MONO
    if channel_config_code <= 2:
        return OpusHead(channels=channel_config_code, input_sample_rate_hz=SAMPLE_RATE_HZ, coupled_count=channel_config_code - 1)
    layout = _OPUS_LAYOUTS.get(channel_config_code)
    if layout is None:
        raise UnsupportedError(f"Opus in MPEG-TS with channel_config_code {channel_config_code}")
    streams, coupled, mapping = layout
    return OpusHead(
        channels=channel_config_code,
        input_sample_rate_hz=SAMPLE_RATE_HZ,
        mapping_family=1,
        stream_count=streams,
        coupled_count=coupled,
        channel_mapping=mapping,
    )


def _video(codec: NaluCodec) -> tuple[Kind, _Maker]:
    return Kind.VIDEO, lambda info, tracks: Pictures(VIDEO_TRACK_ID, codec, tracks)


def _audio(parse: Parser, sync: bytes) -> tuple[Kind, _Maker]:
    return Kind.AUDIO, lambda info, tracks: Sounds(AUDIO_TRACK_ID, parse, sync, tracks)


def _opus(info: StreamInfo, tracks: Tracks) -> Elementary:
    said = next((body for tag, body in info.descriptors if tag == DESCRIPTOR_EXTENSION and body[:1] == _OPUS_EXTENSION), b"")
    if len(said) < 2:
        raise UnsupportedError("Opus in MPEG-TS without its descriptor")
    return Sounds(AUDIO_TRACK_ID, opus_parser(opus_head(said[1]).serialize()), b"\x7f", tracks)


_OPUS_EXTENSION = bytes((EXTENSION_OPUS,))
_AC3 = _audio(parse_ac3, b"\x0b\x77")
_BY_TYPE = {
    STREAM_H264: _video(H264),
    STREAM_H265: _video(H265),
    STREAM_AAC: _audio(parse_adts, b"\xff"),
    STREAM_MPEG1_AUDIO: _audio(parse_mpeg_audio, b"\xff"),
    STREAM_MPEG2_AUDIO: _audio(parse_mpeg_audio, b"\xff"),
    STREAM_AC3: _AC3,
    STREAM_EAC3: _AC3,
}
#: of private streams, by the identifier of their registration descriptor
_BY_IDENTIFIER = {b"AC-3": _AC3, b"EAC3": _AC3, b"HEVC": _video(H265), b"Opus": (Kind.AUDIO, _opus)}


def choose(info: StreamInfo) -> tuple[Kind, _Maker]:
    """The kind of a stream, and what makes the one that takes its PES packets.

    Raises:
        UnsupportedError: a codec that is not taken here.
    """
    chosen = _BY_TYPE.get(info.stream_type)
    if chosen is None and info.stream_type == STREAM_PRIVATE:
        chosen = _private(info)
    if chosen is None:
        raise UnsupportedError(f"stream_type 0x{info.stream_type:02x}")
    return chosen


def _private(info: StreamInfo) -> tuple[Kind, _Maker] | None:
    for tag, body in info.descriptors:
        if tag == DESCRIPTOR_REGISTRATION and body[:4] in _BY_IDENTIFIER:
            return _BY_IDENTIFIER[body[:4]]
        if tag in (DESCRIPTOR_AC3, DESCRIPTOR_EAC3):
            return _AC3
    return None
