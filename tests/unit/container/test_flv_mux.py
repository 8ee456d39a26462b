from fractions import Fraction

import pytest

from lalmesh.amf import AmfValue, EcmaArray, parse_amf0, serialize_amf0
from lalmesh.container.flv import BodyMuxer, HevcForm, carries
from lalmesh.errors import UnsupportedError
from lalmesh.media import AccessUnit, Codec, Track, TrackSet

FORMS: list[HevcForm] = ["enhanced", "legacy"]


def track(codec: Codec, configuration: bytes = b"\xc0", *, rate: int = 0, channels: int = 0) -> Track:
    return Track(track_id=1, codec=codec, configuration=configuration, sample_rate_hz=rate, channels=channels)


def unit(cts: int = 0, *, dts: int = 0, random_access: bool = True) -> AccessUnit:
    return AccessUnit(1, dts, cts, random_access, b"payload")


@pytest.mark.parametrize(
    ("codec", "form", "type_id", "header"),
    [
        (Codec.H264, "enhanced", 9, b"\x17\x00\x00\x00\x00\xc0"),  # FLV 10.1 §E.4.3
        (Codec.H265, "legacy", 9, b"\x1c\x00\x00\x00\x00\xc0"),
        (Codec.H265, "enhanced", 9, b"\x90hvc1\xc0"),  # Enhanced RTMP v2, ExVideoTagHeader
        (Codec.AV1, "legacy", 9, b"\x90av01\xc0"),
        (Codec.VP9, "legacy", 9, b"\x90vp09\xc0"),
        (Codec.AAC, "enhanced", 8, b"\xaf\x00\xc0"),  # FLV 10.1 §E.4.2
        (Codec.OPUS, "enhanced", 8, b"\x90Opus\xc0"),
        (Codec.OPUS, "legacy", 8, b"\xdf\x00\xc0"),
        (Codec.FLAC, "legacy", 8, b"\x90fLaC\xc0"),
    ],
)
def test_a_configuration_goes_out_in_the_form_asked_for(codec: Codec, form: HevcForm, type_id: int, header: bytes) -> None:
    assert BodyMuxer(hevc=form, opus=form).sequence_header(track(codec, channels=2)) == (type_id, header)


@pytest.mark.parametrize("codec", [Codec.MP3, Codec.PCMA, Codec.AC3, Codec.SCRIPT])
def test_what_has_no_configuration_has_no_sequence_header(codec: Codec) -> None:
    assert BodyMuxer().sequence_header(track(codec, b"")) is None


def test_script_data_is_sent_by_its_metadata() -> None:
    assert BodyMuxer().sequence_header(track(Codec.SCRIPT)) is None
    assert BodyMuxer().sequence_end(track(Codec.SCRIPT)) is None


@pytest.mark.parametrize(
    ("codec", "form", "cts", "key", "inter"),
    [
        (Codec.H264, "enhanced", 3600, "17 01 000028", "27 01 000028"),
        (Codec.H264, "enhanced", -3600, "17 01 ffffd8", "27 01 ffffd8"),
        (Codec.H265, "legacy", 0, "1c 01 000000", "2c 01 000000"),
        (Codec.H265, "enhanced", 3600, "91 68766331 000028", "a1 68766331 000028"),
        (Codec.H265, "enhanced", 0, "93 68766331", "a3 68766331"),
        (Codec.AV1, "legacy", 0, "91 61763031", "a1 61763031"),
        (Codec.VP9, "enhanced", 0, "91 76703039", "a1 76703039"),
        (Codec.AAC, "enhanced", 0, "af 01", "af 01"),
        (Codec.OPUS, "enhanced", 0, "91 4f707573", "91 4f707573"),
        (Codec.OPUS, "legacy", 0, "de 01", "de 01"),
        (Codec.AC3, "legacy", 0, "91 61632d33", "91 61632d33"),
        (Codec.EAC3, "legacy", 0, "91 65632d33", "91 65632d33"),
        (Codec.FLAC, "legacy", 0, "91 664c6143", "91 664c6143"),
        (Codec.SCRIPT, "legacy", 0, "", ""),
    ],
)
def test_a_prefix_goes_before_the_payload(codec: Codec, form: HevcForm, cts: int, key: str, inter: str) -> None:
    muxer, one = BodyMuxer(hevc=form, opus=form), track(codec, channels=1)
    assert muxer.body_prefix(one, unit(cts)) == bytes.fromhex(key)
    assert muxer.body_prefix(one, unit(cts, random_access=False)) == bytes.fromhex(inter)


@pytest.mark.parametrize(
    ("codec", "rate", "channels", "flags"),
    [
        (Codec.PCMA, 8000, 1, 0x72),
        (Codec.PCMU, 8000, 2, 0x83),
        (Codec.MP3, 44_100, 2, 0x2F),
        (Codec.MP3, 48_000, 1, 0x2E),
        (Codec.MP3, 22_050, 2, 0x2B),
        (Codec.MP3, 11_025, 1, 0x26),
        (Codec.MP3, 8000, 1, 0xE2),
        (Codec.MP3, 0, 0, 0x2E),
    ],
)
def test_the_flags_of_legacy_sound_say_rate_and_channels(codec: Codec, rate: int, channels: int, flags: int) -> None:
    assert BodyMuxer().body_prefix(track(codec, b"", rate=rate, channels=channels), unit()) == bytes((flags,))


def test_the_composition_time_is_that_between_the_rounded_times() -> None:
    prefix = BodyMuxer().body_prefix(track(Codec.H264), unit(50, dts=50))  # 0.55 ms and 1.1 ms
    assert prefix[2:] == b"\x00\x00\x01"


def test_a_new_version_of_a_track_gets_prefixes_of_its_own() -> None:
    muxer = BodyMuxer()
    assert muxer.body_prefix(track(Codec.AAC), unit()) == b"\xaf\x01"
    assert muxer.body_prefix(track(Codec.PCMA, channels=1), unit()) == b"\x72"


@pytest.mark.parametrize(
    ("codec", "form", "end"),
    [
        (Codec.H264, "enhanced", (9, b"\x17\x02\x00\x00\x00")),
        (Codec.H265, "legacy", (9, b"\x1c\x02\x00\x00\x00")),
        (Codec.H265, "enhanced", (9, b"\x92hvc1")),
        (Codec.OPUS, "enhanced", (8, b"\x92Opus")),
        (Codec.OPUS, "legacy", None),
        (Codec.AAC, "enhanced", None),
    ],
)
def test_a_sequence_end_is_sent_where_the_form_has_one(codec: Codec, form: HevcForm, end: tuple[int, bytes] | None) -> None:
    assert BodyMuxer(hevc=form, opus=form).sequence_end(track(codec)) == end


@pytest.mark.parametrize("codec", [Codec.OPAQUE, Codec.MP2])
def test_what_has_no_form_is_not_supported(codec: Codec) -> None:
    muxer, opaque = BodyMuxer(), track(codec)
    assert not carries(codec)
    for call in (muxer.type_id, muxer.sequence_header, muxer.sequence_end):
        with pytest.raises(UnsupportedError):
            call(opaque)
    with pytest.raises(UnsupportedError):
        muxer.body_prefix(opaque, unit())


def metadata(muxer: BodyMuxer, *tracks: Track) -> AmfValue:
    name, members = parse_amf0(muxer.metadata(TrackSet(tracks)))
    assert name == "onMetaData"
    return members


def test_metadata_says_nothing_of_a_track_without_a_form() -> None:
    assert metadata(BodyMuxer(), track(Codec.MP2, rate=48_000, channels=2)) == {}


def test_metadata_is_made_from_the_tracks() -> None:
    video = Track(track_id=1, codec=Codec.H264, width=1280, height=720, frame_rate=Fraction(25))
    audio = Track(track_id=2, codec=Codec.AAC, sample_rate_hz=44_100, channels=2)
    members = metadata(BodyMuxer(), video, audio)
    assert isinstance(members, EcmaArray)
    assert members == {
        "width": 1280.0,
        "height": 720.0,
        "framerate": 25.0,
        "videocodecid": 7.0,
        "audiosamplerate": 44_100.0,
        "stereo": True,
        "audiosamplesize": 16.0,
        "audiocodecid": 10.0,
    }
    assert metadata(BodyMuxer()) == {}


@pytest.mark.parametrize(("form", "video_id", "audio_id"), [("enhanced", 0x68766331, 0x4F707573), ("legacy", 12, 13)])
def test_the_codec_ids_of_metadata_agree_with_the_form(form: HevcForm, video_id: int, audio_id: int) -> None:
    tracks = (track(Codec.H265), Track(track_id=2, codec=Codec.OPUS, channels=2))
    muxer = BodyMuxer(hevc=form, opus=form)
    made = metadata(muxer, *tracks)
    assert isinstance(made, dict)
    assert (made["videocodecid"], made["audiocodecid"]) == (video_id, audio_id)
    given = serialize_amf0("onMetaData", EcmaArray(videocodecid=1.0, audiocodecid="x", author="a"))
    script = Track(track_id=3, codec=Codec.SCRIPT, configuration=given)
    assert metadata(muxer, *tracks, script) == {"videocodecid": video_id, "audiocodecid": "x", "author": "a"}


@pytest.mark.parametrize("form", FORMS)
def test_metadata_that_agrees_is_passed_on_as_it_is(form: HevcForm) -> None:
    given = serialize_amf0("onMetaData", EcmaArray(videocodecid=7.0))
    script = Track(track_id=3, codec=Codec.SCRIPT, configuration=given)
    assert BodyMuxer(hevc=form).metadata(TrackSet((track(Codec.H264), script))) == given
