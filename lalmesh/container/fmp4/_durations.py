"""How long a unit lasts before the next of its track tells."""

from __future__ import annotations

from collections.abc import Callable

from lalmesh.codec import aac, ac3, flac, mp3, opus
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, Codec, Kind, Track, rescale

PICTURE_TICKS = TICKS_PER_SECOND // 25  #: of a picture whose rate nobody tells
FRAME_TICKS = TICKS_PER_SECOND // 50  #: of an audio frame that does not tell: what Opus frames usually last


def first_duration(track: Track, payload: bytes) -> int:
    """How many ticks a unit of the track lasts by what codec and configuration say, at least 1."""
    if track.kind is Kind.VIDEO:
        return max(1, round(TICKS_PER_SECOND / track.frame_rate)) if track.frame_rate else PICTURE_TICKS
    count = _SAMPLES.get(track.codec)
    if count is None:
        return FRAME_TICKS
    try:
        samples, rate_hz = count(track, payload)
    except (RemoteProtocolError, UnsupportedError):
        return FRAME_TICKS  # a damaged frame
    return max(1, rescale(samples, rate_hz)) if samples and rate_hz else FRAME_TICKS


def _aac(track: Track, payload: bytes) -> tuple[int, int]:
    config = aac.AudioSpecificConfig.parse(track.configuration)
    return config.frame_length, config.sample_rate_hz


def _mp3(track: Track, payload: bytes) -> tuple[int, int]:
    header = mp3.FrameHeader.parse(payload)
    return header.samples_per_frame, header.sample_rate_hz


def _opus(track: Track, payload: bytes) -> tuple[int, int]:
    return opus.packet_samples(payload), opus.SAMPLE_RATE_HZ


def _dolby(track: Track, payload: bytes) -> tuple[int, int]:
    header = ac3.SyncFrameHeader.parse(payload)
    return header.samples, header.sample_rate_hz


def _flac(track: Track, payload: bytes) -> tuple[int, int]:
    info = flac.StreamInfo.parse(track.configuration)
    return info.max_block_samples, info.sample_rate_hz


_SAMPLES: dict[Codec, Callable[[Track, bytes], tuple[int, int]]] = {
    Codec.AAC: _aac,
    Codec.MP3: _mp3,
    Codec.OPUS: _opus,
    Codec.AC3: _dolby,
    Codec.EAC3: _dolby,
    Codec.FLAC: _flac,
}
