import base64

import pytest

from lalmesh.codec import build_track, h264
from lalmesh.codec.opus import OpusHead
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Track
from lalmesh.protocol.rtp import PayloadFormat, build_depacketizer, build_packetizer, format_of
from lalmesh.protocol.rtp._formats import decode_parameter_sets

SPS, PPS = bytes.fromhex("6764000dacd941419f9f011000000300100000030320f1429960"), bytes.fromhex("68efbcb0")
AVCC = h264.AvcDecoderConfigurationRecord.from_parameter_sets([SPS], [PPS]).serialize()


def test_av1_tells_its_level() -> None:
    # AV1 RTP §7.2
    track = Track(track_id=1, codec=Codec.AV1, configuration=bytes.fromhex("81440c00"))
    assert format_of(track).parameters == {"profile": "2", "level-idx": "4", "tier": "0"}


def test_h264_tells_its_parameter_sets() -> None:
    # RFC 6184 §8.1
    told = format_of(build_track(1, Codec.H264, AVCC))
    assert told.parameters == {
        "packetization-mode": "1",
        "profile-level-id": "64000d",
        "sprop-parameter-sets": f"{base64.b64encode(SPS).decode()},{base64.b64encode(PPS).decode()}",
    }
    assert format_of(Track(track_id=1, codec=Codec.H264)).parameters == {"packetization-mode": "1"}


@pytest.mark.parametrize(
    ("track", "expected"),
    [
        (Track(track_id=1, codec=Codec.H265), PayloadFormat("H265", 90_000)),
        (Track(track_id=1, codec=Codec.AV1), PayloadFormat("AV1", 90_000)),
        (Track(track_id=1, codec=Codec.PCMA), PayloadFormat("PCMA", 8_000)),
        (Track(track_id=1, codec=Codec.PCMU, sample_rate_hz=16_000, channels=2), PayloadFormat("PCMU", 16_000, 2)),
        (Track(track_id=1, codec=Codec.MP2), PayloadFormat("MPA", 90_000)),
        (build_track(1, Codec.OPUS, OpusHead(channels=1).serialize()), PayloadFormat("opus", 48_000, 2, {"sprop-stereo": "0"})),
    ],
)
def test_formats_of_other_tracks(track: Track, expected: PayloadFormat) -> None:
    assert format_of(track) == expected
    assert build_depacketizer(1, expected) is not None
    assert build_packetizer(track) is not None


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.SCRIPT, Codec.FLAC, Codec.AC3])
def test_what_has_no_format_is_refused(codec: Codec) -> None:
    with pytest.raises(UnsupportedError):
        format_of(Track(track_id=1, codec=codec))
    with pytest.raises(UnsupportedError):
        build_packetizer(Track(track_id=1, codec=codec))


@pytest.mark.parametrize("name", ["MP4A-LATM", "VP8", "MP2T", "x" * 1000])
def test_formats_that_are_not_known_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedError):
        build_depacketizer(1, PayloadFormat(name, 90_000))


@pytest.mark.parametrize("payload_format", [PayloadFormat("H264", 0), PayloadFormat("PCMA", 8_000, 0)])
def test_clocks_that_stand_still_are_refused(payload_format: PayloadFormat) -> None:
    with pytest.raises(RemoteProtocolError):
        build_depacketizer(1, payload_format)


def test_more_than_two_channels_of_opus_are_refused() -> None:
    with pytest.raises(UnsupportedError):
        format_of(Track(track_id=1, codec=Codec.OPUS, channels=6))


def test_parameter_sets_that_do_not_decode_are_left_out() -> None:
    # Interop: cameras leave out the padding, or put spaces and nothing between the commas
    text = f"{base64.b64encode(SPS).decode().rstrip('=')}, ,{base64.b64encode(PPS).decode()} ,%%%"
    assert decode_parameter_sets(text) == [SPS, PPS]
    assert decode_parameter_sets("") == []


def test_broken_parameter_sets_leave_the_track_to_the_stream() -> None:
    for text in ("Z2QADQ==,aA==", "AA==", "%"):
        assert build_depacketizer(1, PayloadFormat("H264", 90_000, parameters={"sprop-parameter-sets": text})).track is None
