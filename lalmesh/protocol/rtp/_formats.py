"""Payload formats as session descriptions name them: encoding name, clock rate, channels, parameters (RFC 8866 §6.6)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lalmesh.codec import aac, av1, g711, h264, h265
from lalmesh.errors import UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, Codec, Track
from lalmesh.protocol.rtp._sounds_in import MPEG_CLOCK_RATE_HZ

OPUS_CLOCK_RATE_HZ: Final = 48_000  #: whatever was encoded (RFC 7587 §4.1)
MAX_PARAMETER_SETS: Final = 64  #: of a session description that are looked at


@dataclass(slots=True, frozen=True)
class PayloadFormat:
    """How a track is carried in RTP."""

    encoding_name: str  #: as in ``a=rtpmap``; upper and lower case are the same
    clock_rate_hz: int  #: of RTP timestamps
    channels: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)  #: as in ``a=fmtp``, names in lower case

    @property
    def name(self) -> str:
        """The encoding name in upper case."""
        return self.encoding_name.upper()

    def number(self, parameter: str, default: int = 0) -> int:
        """The value of `parameter` as a number; `default` where it is missing or none."""
        text = self.parameters.get(parameter, "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def format_of(track: Track) -> PayloadFormat:
    """The format in which `track` goes out.

    Raises:
        UnsupportedError: a codec that has none here; an opaque track, whose session description says it.
        RemoteProtocolError: the configuration does not parse; never of a track that `build_track` made.
    """
    build = _FORMATS.get(track.codec)
    if build is None:
        raise UnsupportedError(f"{track.codec.value} in RTP")
    return build(track)


def _h264_format(track: Track) -> PayloadFormat:
    """RFC 6184 §8.1."""
    parameters = {"packetization-mode": "1"}
    if track.configuration:
        record = h264.AvcDecoderConfigurationRecord.parse(track.configuration)
        parameters["profile-level-id"] = bytes((record.profile, record.compatibility, record.level)).hex()
        if record.sps:
            parameters["sprop-parameter-sets"] = _encode((*record.sps, *record.pps))
    return PayloadFormat("H264", TICKS_PER_SECOND, parameters=parameters)


def _h265_format(track: Track) -> PayloadFormat:
    """RFC 7798 §7.1."""
    parameters: dict[str, str] = {}
    if track.configuration:
        sets = h265.HevcDecoderConfigurationRecord.parse(track.configuration).parameter_sets
        named = {"sprop-vps": sets.vps, "sprop-sps": sets.sps, "sprop-pps": sets.pps}
        parameters = {name: _encode(nalus) for name, nalus in named.items() if nalus}
    return PayloadFormat("H265", TICKS_PER_SECOND, parameters=parameters)


def _av1_format(track: Track) -> PayloadFormat:
    """RTP Payload Format for AV1, §7.2."""
    parameters: dict[str, str] = {}
    if track.configuration:
        record = av1.AV1CodecConfigurationRecord.parse(track.configuration)
        parameters = {"profile": str(record.profile), "level-idx": str(record.level_idx), "tier": str(record.tier)}
    return PayloadFormat("AV1", TICKS_PER_SECOND, parameters=parameters)


def _aac_format(track: Track) -> PayloadFormat:
    """RFC 3640 §3.3.6, §4.1; the clock is that of the core coder, as everybody has it."""
    config = aac.AudioSpecificConfig.parse(track.configuration)
    parameters = {
        "streamtype": "5",
        "profile-level-id": "1",
        "mode": "AAC-hbr",
        "sizelength": "13",
        "indexlength": "3",
        "indexdeltalength": "3",
        "config": track.configuration.hex(),
    }
    return PayloadFormat("mpeg4-generic", config.sample_rate_hz, config.channels or track.channels or 2, parameters)


def _opus_format(track: Track) -> PayloadFormat:
    """RFC 7587 §7: always two channels in the map, the parameter says how many there are."""
    if track.channels > 2:
        raise UnsupportedError(f"Opus of {track.channels} channels in RTP")
    return PayloadFormat("opus", OPUS_CLOCK_RATE_HZ, 2, {"sprop-stereo": str(int(track.channels != 1))})


def _g711_format(track: Track) -> PayloadFormat:
    return PayloadFormat(g711.NAMES[track.codec], track.sample_rate_hz or g711.SAMPLE_RATE_HZ, track.channels or 1)


def _mpeg_audio_format(track: Track) -> PayloadFormat:
    return PayloadFormat("MPA", MPEG_CLOCK_RATE_HZ)


_FORMATS: Final[dict[Codec, Callable[[Track], PayloadFormat]]] = {
    Codec.H264: _h264_format,
    Codec.H265: _h265_format,
    Codec.AV1: _av1_format,
    Codec.AAC: _aac_format,
    Codec.OPUS: _opus_format,
    Codec.PCMA: _g711_format,
    Codec.PCMU: _g711_format,
    Codec.MP2: _mpeg_audio_format,
    Codec.MP3: _mpeg_audio_format,
}


def _encode(nalus: tuple[bytes, ...]) -> str:
    return ",".join(base64.b64encode(nalu).decode() for nalu in nalus)


def decode_parameter_sets(text: str) -> list[bytes]:
    """The NALUs of a sprop parameter, base64 with commas between. What does not decode is left out: the stream has them, too."""
    nalus: list[bytes] = []
    for part in text.split(",")[:MAX_PARAMETER_SETS]:
        try:
            nalus.append(base64.b64decode(part.strip() + "=" * (-len(part.strip()) % 4), validate=True))
        except (binascii.Error, ValueError):
            continue
    return [nalu for nalu in nalus if nalu]
