from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec import build_track, codec_string
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Kind

# ffmpeg 9: -f lavfi -i testsrc=size=64x48:rate=25 -frames:v 8 -pix_fmt yuv420p -c:v libx264|libx265|libsvtav1|libvpx-vp9 out.flv,
# or -f lavfi -i sine=frequency=440:sample_rate=48000 -ac N -c:a aac|libopus|flac out.flv: the bodies of the sequence headers
CONFIGURATIONS = {
    Codec.H264: "0164000affe100186764000aacd9447b011000000300100000030320f122596001000668ebe3cb22c0fdf8f800",
    Codec.H265: "0101600000009000000000001ef000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003001e9598"
    "09210001002942010101600000030090000003000003001ea02083165959ae4caf016808000003000800000300c84022000100064401c173d089",
    Codec.AV1: "81000c000a0b02000005557fbc02f80040",
    Codec.VP9: "01000000000a820202020000",
    Codec.AAC: "119056e500",
    Codec.OPUS: "4f707573486561640106380180bb00000000010402000401020305",
    Codec.FLAC: "664c6143040004000000000010980bb802f00000000000000000000000000000000000000000",
}


def configuration(codec: Codec) -> bytes:
    return bytes.fromhex(CONFIGURATIONS[codec])


def test_an_h264_track_is_described_by_its_sps() -> None:
    track = build_track(1, Codec.H264, configuration(Codec.H264))
    assert (track.width, track.height, track.frame_rate, track.profile) == (64, 48, Fraction(25), "High")
    assert (track.kind, track.reorder_depth) == (Kind.VIDEO, 2)


def test_an_h265_track_is_described_by_its_sps() -> None:
    track = build_track(1, Codec.H265, configuration(Codec.H265), version=3)
    assert (track.width, track.height, track.frame_rate, track.profile) == (64, 48, Fraction(25), "Main")
    assert (track.version, track.reorder_depth) == (3, 2)


def test_an_av1_track_is_described_by_its_sequence_header() -> None:
    track = build_track(1, Codec.AV1, configuration(Codec.AV1))
    assert (track.width, track.height, track.profile) == (64, 48, "Main")
    assert build_track(1, Codec.AV1, configuration(Codec.AV1)[:4]).width == 0


def test_a_vp9_track_is_described_by_its_profile() -> None:
    assert build_track(1, Codec.VP9, configuration(Codec.VP9)).profile == "Profile 0"


@pytest.mark.parametrize(("codec", "channels"), [(Codec.AAC, 2), (Codec.OPUS, 6), (Codec.FLAC, 2)])
def test_an_audio_configuration_beats_what_the_container_claims(codec: Codec, channels: int) -> None:
    track = build_track(2, codec, configuration(codec), sample_rate_hz=44100, channels=1)
    assert (track.kind, track.sample_rate_hz, track.channels) == (Kind.AUDIO, 48000, channels)


def test_what_no_configuration_tells_the_caller_does() -> None:
    track = build_track(2, Codec.MP3, sample_rate_hz=44100, channels=2)
    assert (track.sample_rate_hz, track.channels) == (44100, 2)
    assert build_track(2, Codec.AAC, sample_rate_hz=44100, channels=2).sample_rate_hz == 44100


def test_a_rate_that_the_codec_fixes_need_not_be_told() -> None:
    assert build_track(2, Codec.PCMA, channels=1).sample_rate_hz == 8000
    assert build_track(2, Codec.PCMU, sample_rate_hz=16000, channels=1).sample_rate_hz == 16000
    assert build_track(2, Codec.OPUS).sample_rate_hz == 48000


def test_a_script_track_keeps_its_configuration_unread() -> None:
    track = build_track(3, Codec.SCRIPT, b"\x02\x00")
    assert (track.kind, track.configuration) == (Kind.DATA, b"\x02\x00")


@pytest.mark.parametrize("codec", CONFIGURATIONS)
def test_a_configuration_that_does_not_parse_is_refused(codec: Codec) -> None:
    with pytest.raises(RemoteProtocolError):
        build_track(1, codec, configuration(codec)[:1])


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        (Codec.H264, "avc1.64000a"),
        (Codec.H265, "hvc1.1.6.L30.90"),
        (Codec.AV1, "av01.0.00M.08"),
        (Codec.VP9, "vp09.00.10.08"),
        (Codec.AAC, "mp4a.40.2"),
        (Codec.OPUS, "opus"),
        (Codec.FLAC, "fLaC"),
    ],
)
def test_a_configured_track_has_a_whole_codec_string(codec: Codec, name: str) -> None:
    assert codec_string(build_track(1, codec, configuration(codec))) == name


@pytest.mark.parametrize(
    ("codec", "name"), [(Codec.MP3, "mp3"), (Codec.AC3, "ac-3"), (Codec.EAC3, "ec-3"), (Codec.H264, "avc1"), (Codec.SCRIPT, "")]
)
def test_a_track_without_configuration_has_a_bare_codec_string(codec: Codec, name: str) -> None:
    assert codec_string(build_track(1, codec)) == name


def test_high_efficiency_aac_is_named_by_what_is_announced() -> None:
    track = build_track(1, Codec.AAC, bytes.fromhex("2b920800"))
    assert (codec_string(track), track.profile, track.sample_rate_hz) == ("mp4a.40.5", "HE-AAC", 44100)


@given(st.sampled_from(Codec), st.binary(max_size=80), st.integers(0, 80))
def test_any_configuration_gives_a_track_or_a_documented_error(codec: Codec, noise: bytes, kept: int) -> None:
    data = bytes.fromhex(CONFIGURATIONS.get(codec, ""))[:kept] + noise
    try:
        track = build_track(1, codec, data)
    except (RemoteProtocolError, UnsupportedError):
        return
    assert (track.codec, track.configuration) == (codec, data)
    codec_string(track)
