import pytest
from support.ts_units import AAC_48K, AUDIO, AVCC, VIDEO, captured, picture, sound, track

from lalmesh.codec import h264, h265
from lalmesh.codec.aac import AudioSpecificConfig, adts_header, parse_adts
from lalmesh.codec.nalu import join_annexb, join_avcc, split_annexb
from lalmesh.container.mpegts import MAX_AUDIO_BYTES, carries, carries_track
from lalmesh.container.mpegts._framing import framer
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, Track

RECORD = h264.AvcDecoderConfigurationRecord.parse(AVCC)
DELIMITER = b"\x09\xf0"  # ISO/IEC 14496-10 §7.4.2.4: primary_pic_type 7, any slices


def framed(one: Track, unit: AccessUnit) -> bytes:
    pieces = framer(one)(unit)
    assert pieces[0] == b""
    return b"".join(pieces)


def video(*nalus: bytes, key: bool = True) -> AccessUnit:
    return AccessUnit(1, 0, 0, key, join_avcc(nalus))


def test_parameter_sets_go_before_a_random_access_picture() -> None:
    wanted = [DELIMITER, *RECORD.sps, *RECORD.pps, b"\x65\x88"]
    assert framed(VIDEO, video(b"\x65\x88")) == join_annexb(wanted)


def test_other_pictures_get_a_delimiter_only() -> None:
    assert framed(VIDEO, video(b"\x41\x9a", b"\x41\x9b", key=False)) == join_annexb([DELIMITER, b"\x41\x9a", b"\x41\x9b"])


def test_a_picture_that_has_its_parameter_sets_gets_no_others() -> None:
    sets = (b"\x67\x42\x00\x0a", b"\x68\xce")
    assert framed(VIDEO, video(*sets, b"\x65\x88")) == join_annexb([DELIMITER, *sets, b"\x65\x88"])


def test_the_delimiter_of_the_publisher_is_dropped() -> None:
    assert framed(VIDEO, video(b"\x09\x10", b"\x41\x9a", key=False)) == join_annexb([DELIMITER, b"\x41\x9a"])


def test_h265_has_its_own_delimiter_and_three_kinds_of_sets() -> None:
    tracks, units = captured("hevc-aac-enhanced")
    nalus = split_annexb(framed(tracks.tracks[0], next(unit for unit in units if unit.track_id == 1)))
    assert nalus[0] == bytes.fromhex("46 01 50")  # ISO/IEC 23008-2 §7.4.3.5: pic_type 2, any slices
    assert [h265.nalu_type(nalu) for nalu in nalus[1:4]] == [32, 33, 34]


@pytest.mark.parametrize("payload", [b"", b"\x00\x00\x00\x05\x65", bytes(4), join_avcc([b"\x09\xf0"])])
def test_a_picture_that_is_broken_or_empty_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        framed(VIDEO, AccessUnit(1, 0, 0, True, payload))


@pytest.mark.parametrize("size", [1, 300, 8184])
def test_an_aac_frame_gets_the_adts_header_of_its_track(size: int) -> None:
    unit = sound(0, size=size)
    assert framed(AUDIO, unit) == adts_header(AudioSpecificConfig.parse(AAC_48K), size) + unit.payload
    assert [frame.payload for frame in parse_adts(framed(AUDIO, unit))] == [unit.payload]


@pytest.mark.parametrize(("size", "control"), [(1, "7fe0 01"), (254, "7fe0 fe"), (255, "7fe0 ff00"), (600, "7fe0 ffff 5a")])
def test_an_opus_packet_gets_a_control_header(size: int, control: str) -> None:
    unit = sound(0, size=size)
    assert framed(track(Codec.OPUS), unit) == bytes.fromhex(control) + unit.payload


@pytest.mark.parametrize("codec", [Codec.MP2, Codec.MP3, Codec.AC3, Codec.EAC3])
def test_other_audio_goes_as_it_is(codec: Codec) -> None:
    assert framed(track(codec), sound(0)) == sound(0).payload


@pytest.mark.parametrize(("codec", "size"), [(Codec.AAC, 0), (Codec.AAC, 8185), (Codec.MP3, 0), (Codec.OPUS, MAX_AUDIO_BYTES + 1)])
def test_an_audio_frame_that_is_empty_or_too_large_is_refused(codec: Codec, size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        framed(AUDIO if codec is Codec.AAC else track(codec), sound(0, size=size))


def test_what_can_be_carried_is_what_has_a_stream_type() -> None:
    carried = {codec for codec in Codec if carries(codec)}
    assert carried == {Codec.H264, Codec.H265, Codec.AAC, Codec.MP2, Codec.MP3, Codec.AC3, Codec.EAC3, Codec.OPUS}
    with pytest.raises(UnsupportedError):
        framer(track(Codec.PCMA))


@pytest.mark.parametrize(
    "configuration",
    [
        "",
        "1194",  # frames of 960 samples
        "f8e85000",  # ELD
        "1180",  # channels that a program_config_element tells
        "10",
    ],
)
def test_aac_that_adts_has_no_words_for_is_not_carried(configuration: str) -> None:
    one = Track(track_id=2, codec=Codec.AAC, configuration=bytes.fromhex(configuration))
    assert not carries_track(one)


def test_video_without_its_configuration_is_carried() -> None:
    bare = Track(track_id=1, codec=Codec.H264)
    assert carries_track(bare)
    assert framed(bare, picture(0, key=True)).startswith(join_annexb([DELIMITER, b"\x65\x9a"]))
    assert not carries_track(Track(track_id=1, codec=Codec.H264, configuration=b"\x01"))
