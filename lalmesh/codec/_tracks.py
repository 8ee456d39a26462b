"""Tracks from configurations: what the configuration of each codec tells of its track, and the codec's name for CODECS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lalmesh.codec import aac, av1, flac, g711, h264, h265, opus, vp9
from lalmesh.media import Codec, Track

#: rates that the codec itself fixes, for tracks of which nobody tells one
_FIXED_RATES_HZ = {Codec.PCMA: g711.SAMPLE_RATE_HZ, Codec.PCMU: g711.SAMPLE_RATE_HZ, Codec.OPUS: opus.SAMPLE_RATE_HZ}


def build_track(
    track_id: int,
    codec: Codec,
    configuration: bytes = b"",
    *,
    version: int = 0,
    sample_rate_hz: int = 0,
    channels: int = 0,
) -> Track:
    """A track with all that its configuration tells.

    Args:
        track_id: 1 and up, unique in its stream.
        codec: how the track is coded.
        configuration: decoder configuration record as `Track.configuration` has it; empty: nothing is known of the track yet.
        version: of the configuration, from 0.
        sample_rate_hz: rate that a container or session description claims; counts where the configuration does not tell.
        channels: the same of channels.

    Raises:
        RemoteProtocolError: the configuration does not parse.
        UnsupportedError: legal, but not known here, such as xHE-AAC.
    """
    track = Track(
        track_id=track_id,
        codec=codec,
        version=version,
        configuration=configuration,
        sample_rate_hz=sample_rate_hz or _FIXED_RATES_HZ.get(codec, 0),
        channels=channels,
    )
    describe = _DESCRIBE.get(codec)
    return describe(track) if describe is not None and configuration else track


def codec_string(track: Track) -> str:
    """The codec for a CODECS parameter, such as ``avc1.640028``; bare of what only a missing configuration tells, empty for data.

    Raises:
        RemoteProtocolError: the configuration does not parse; never of a track that `build_track` made.
        UnsupportedError: as of `build_track`.
    Source: RFC 6381 §3.3; AV1-ISOBMFF §5; VP Codec ISOBMFF Binding §5
    """
    name = _CODEC_STRINGS.get(track.codec)
    return name(track.configuration) if name is not None and track.configuration else _BARE_CODEC_STRINGS.get(track.codec, "")


def _describe_h264(track: Track) -> Track:
    sps = h264.AvcDecoderConfigurationRecord.parse(track.configuration).sps
    return _with_sps(track, h264.parse_sps(sps[0])) if sps else track


def _describe_h265(track: Track) -> Track:
    sps = h265.HevcDecoderConfigurationRecord.parse(track.configuration).parameter_sets.sps
    return _with_sps(track, h265.parse_sps(sps[0])) if sps else track


def _with_sps(track: Track, sps: h264.Sps | h265.Sps) -> Track:
    return replace(
        track,
        width=sps.width,
        height=sps.height,
        frame_rate=sps.frame_rate,
        reorder_depth=sps.reorder_depth,
        profile=sps.profile,
    )


def _describe_av1(track: Track) -> Track:
    header = av1.AV1CodecConfigurationRecord.parse(track.configuration).sequence_header
    if header is None:
        return track
    return replace(
        track,
        width=header.max_frame_width,
        height=header.max_frame_height,
        frame_rate=header.frame_rate,
        profile=av1.PROFILES[header.profile],
    )


def _describe_vp9(track: Track) -> Track:
    record = vp9.VPCodecConfigurationRecord.parse(track.configuration)
    return replace(track, profile=f"Profile {record.profile}")


def _describe_aac(track: Track) -> Track:
    config = aac.AudioSpecificConfig.parse(track.configuration)
    return replace(
        track,
        profile=config.profile,
        sample_rate_hz=config.output_sample_rate_hz,
        channels=config.output_channels or track.channels,
    )


def _describe_opus(track: Track) -> Track:
    head = opus.OpusHead.parse(track.configuration)
    return replace(track, sample_rate_hz=opus.SAMPLE_RATE_HZ, channels=head.channels)


def _describe_flac(track: Track) -> Track:
    info = flac.StreamInfo.parse(track.configuration)
    return replace(track, sample_rate_hz=info.sample_rate_hz, channels=info.channels)


#: what a configuration tells of its track; the other codecs have none, or none that tells anything
_DESCRIBE: dict[Codec, Callable[[Track], Track]] = {
    Codec.H264: _describe_h264,
    Codec.H265: _describe_h265,
    Codec.AV1: _describe_av1,
    Codec.VP9: _describe_vp9,
    Codec.AAC: _describe_aac,
    Codec.OPUS: _describe_opus,
    Codec.FLAC: _describe_flac,
}

_CODEC_STRINGS: dict[Codec, Callable[[bytes], str]] = {
    Codec.H264: lambda configuration: h264.AvcDecoderConfigurationRecord.parse(configuration).rfc6381,
    Codec.H265: lambda configuration: h265.HevcDecoderConfigurationRecord.parse(configuration).rfc6381,
    Codec.AV1: lambda configuration: av1.AV1CodecConfigurationRecord.parse(configuration).rfc6381,
    Codec.VP9: lambda configuration: vp9.VPCodecConfigurationRecord.parse(configuration).rfc6381,
    Codec.AAC: lambda configuration: f"mp4a.40.{aac.AudioSpecificConfig.parse(configuration).signalled_object_type}",
}

_BARE_CODEC_STRINGS = {
    Codec.H264: "avc1",
    Codec.H265: "hvc1",
    Codec.AV1: "av01",
    Codec.VP9: "vp09",
    Codec.AAC: "mp4a.40.2",
    Codec.OPUS: "opus",
    Codec.MP2: "mp4a.40.33",
    Codec.MP3: "mp3",
    Codec.AC3: "ac-3",
    Codec.EAC3: "ec-3",
    Codec.FLAC: "fLaC",
    Codec.PCMA: "alaw",
    Codec.PCMU: "ulaw",
}
