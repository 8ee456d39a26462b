import pytest

from lalmesh.codec.opus import OpusHead
from lalmesh.container.flv import BodyDemuxer
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit, Codec, PassedOver, Track, TrackEnded

ASC = bytes.fromhex("1210")  # AAC LC, 44100 Hz, stereo
OPUS_HEAD = OpusHead(channels=2, pre_skip=312, input_sample_rate_hz=48_000).serialize()
MP3 = bytes.fromhex("fffb5064") + bytes(20)  # MPEG-1 layer III, 64 kbit/s, 44100 Hz, joint stereo
AC3 = bytes.fromhex("0b77fc8a084043e106f0010c")  # 48 kHz, stereo
EAC3 = bytes.fromhex("0b77007f3487c00020fc2108")
STREAMINFO = bytes.fromhex("0400 0400 000149 00018b 0bb800f0 00000000") + bytes(16)


def audio(demuxer: BodyDemuxer) -> Track:
    track = demuxer.tracks.get(2)
    assert track is not None
    return track


def units(demuxer: BodyDemuxer, body: bytes, ms: int = 0) -> list[AccessUnit]:
    return [event for event in demuxer.demux(8, ms, body) if isinstance(event, AccessUnit)]


def configured(*bodies: bytes) -> BodyDemuxer:
    demuxer = BodyDemuxer()
    for body in bodies:
        demuxer.demux(8, 0, body)
    return demuxer


@pytest.mark.parametrize("prefix", [b"\xaf\x00", b"\x90mp4a"])
def test_an_aac_sequence_header_makes_the_audio_track(prefix: bytes) -> None:
    track = audio(configured(prefix + ASC))  # FLV 10.1 §E.4.2; Enhanced RTMP v2, ExAudioTagBody
    assert (track.track_id, track.codec, track.configuration, track.sample_rate_hz, track.channels) == (
        2,
        Codec.AAC,
        ASC,
        44_100,
        2,
    )


@pytest.mark.parametrize("prefix", [b"\xaf\x01", b"\xa2\x01", b"\x91mp4a"])
def test_raw_aac_is_an_access_unit(prefix: bytes) -> None:
    assert configured(b"\xaf\x00" + ASC).demux(8, 23, prefix + b"\x21\x10") == [AccessUnit(2, 23 * 90, 0, True, b"\x21\x10")]


def test_the_same_configuration_again_changes_nothing() -> None:
    assert configured(b"\xaf\x00" + ASC).demux(8, 0, b"\xaf\x00" + ASC) == []


@pytest.mark.parametrize(
    ("first", "codec", "channels"), [(0x72, Codec.PCMA, 1), (0x73, Codec.PCMA, 2), (0x8A, Codec.PCMU, 1), (0x8F, Codec.PCMU, 2)]
)
def test_g711_begins_with_its_first_frame_at_8_khz_whatever_the_flags(first: int, codec: Codec, channels: int) -> None:
    demuxer = BodyDemuxer()
    assert units(demuxer, bytes((first,)) + b"\xd5\xd5") == [AccessUnit(2, 0, 0, True, b"\xd5\xd5")]
    track = audio(demuxer)
    assert (track.codec, track.sample_rate_hz, track.channels, track.configuration) == (codec, 8_000, channels, b"")
    assert len(demuxer.demux(8, 20, bytes((first,)) + b"\xd5")) == 1


@pytest.mark.parametrize("prefix", [b"\x2f", b"\x22", b"\xe2", b"\x91.mp3"])
def test_the_sound_of_mp3_is_in_its_frame_header(prefix: bytes) -> None:
    demuxer = BodyDemuxer()
    assert units(demuxer, prefix + MP3)[0].payload == MP3
    assert (audio(demuxer).codec, audio(demuxer).sample_rate_hz, audio(demuxer).channels) == (Codec.MP3, 44_100, 2)


@pytest.mark.parametrize(("first", "rate", "channels"), [(0x2B, 22_050, 2), (0x26, 11_025, 1), (0xE2, 8_000, 1)])
def test_an_mp3_message_that_begins_amid_a_frame_is_known_by_its_flags(first: int, rate: int, channels: int) -> None:
    track = audio(configured(bytes((first,)) + b"\x00\x01\x02\x03"))
    assert (track.sample_rate_hz, track.channels) == (rate, channels)


@pytest.mark.parametrize(("fourcc", "frame", "codec"), [(b"ac-3", AC3, Codec.AC3), (b"ec-3", EAC3, Codec.EAC3)])
def test_ac3_begins_with_its_first_frame(fourcc: bytes, frame: bytes, codec: Codec) -> None:
    demuxer = configured(b"\x90" + fourcc)  # ffmpeg sends a SequenceStart without a body
    assert demuxer.tracks.tracks == ()
    assert [unit.payload for unit in units(demuxer, b"\x91" + fourcc + frame)] == [frame]
    assert (audio(demuxer).codec, audio(demuxer).sample_rate_hz, audio(demuxer).channels) == (codec, 48_000, 2)


def test_flac_needs_its_streaminfo() -> None:
    demuxer = BodyDemuxer()
    assert demuxer.demux(8, 0, b"\x91fLaC\xff\xf8") == []
    demuxer.demux(8, 0, b"\x90fLaC" + STREAMINFO)
    assert (audio(demuxer).codec, audio(demuxer).sample_rate_hz) == (Codec.FLAC, 48_000)
    assert [unit.payload for unit in units(demuxer, b"\x91fLaC\xff\xf8")] == [b"\xff\xf8"]


@pytest.mark.parametrize(("head", "frame"), [(b"\x90Opus", b"\x91Opus"), (b"\xdf\x00", b"\xdf\x01")])
def test_opus_with_its_head_is_read_in_both_forms(head: bytes, frame: bytes) -> None:
    demuxer = configured(head + OPUS_HEAD)
    assert (audio(demuxer).codec, audio(demuxer).configuration) == (Codec.OPUS, OPUS_HEAD)
    assert demuxer.demux(8, 20, frame + b"\xfc\x01") == [AccessUnit(2, 1800, 0, True, b"\xfc\x01")]


@pytest.mark.parametrize("frame", [b"\x91Opus", b"\xdf", b"\xdf\x01"])
@pytest.mark.parametrize(("toc", "channels"), [(b"\xfc", 2), (b"\xf8", 1)])
def test_opus_without_a_head_gets_one_by_its_first_packet(frame: bytes, toc: bytes, channels: int) -> None:
    demuxer = configured(b"\x90Opus")  # a head may be empty
    assert [unit.payload for unit in units(demuxer, frame + toc + b"\x01")] == [toc + b"\x01"]
    assert OpusHead.parse(audio(demuxer).configuration).channels == channels
    assert len(demuxer.demux(8, 20, frame + toc + b"\x01")) == 1


def test_bare_opus_stays_bare_where_a_packet_begins_with_1() -> None:
    demuxer = configured(b"\xdf\xfc\x00")
    assert [unit.payload for unit in units(demuxer, b"\xdf\x01\x02")] == [b"\x01\x02"]


def test_another_codec_takes_over_the_track_and_back() -> None:
    demuxer = configured(b"\xaf\x00" + ASC, b"\x72\xd5", b"\xaf\x00" + ASC, b"\x72\xd5")
    assert (audio(demuxer).codec, audio(demuxer).version) == (Codec.PCMA, 3)


def test_the_end_of_the_sequence_ends_the_track() -> None:
    demuxer = configured(b"\x90Opus" + OPUS_HEAD)
    assert demuxer.demux(8, 0, b"\x92Opus") == [TrackEnded(2)]
    assert demuxer.demux(8, 0, b"\x92mp4a") == []


def test_mod_ex_prefixes_are_skipped() -> None:
    demuxer = configured(b"\x90Opus" + OPUS_HEAD)
    body = bytes.fromhex("97 02 000001 07 00 00 01") + b"Opus\xfc"
    assert demuxer.demux(8, 0, body) == [AccessUnit(2, 0, 0, True, b"\xfc")]


def test_of_many_tracks_the_first_is_taken() -> None:
    def track_of(number: int, payload: bytes) -> bytes:
        return bytes((number,)) + len(payload).to_bytes(3, "big") + payload

    demuxer = configured(b"\x95\x10mp4a" + track_of(0, ASC) + track_of(1, ASC))
    demuxer.demux(8, 0, b"\x95\x20mp4a" + track_of(2, ASC) + b"Opus" + track_of(3, OPUS_HEAD))
    assert [unit.payload for unit in units(demuxer, b"\x95\x11mp4a" + track_of(1, b"no") + track_of(0, b"yes"))] == [b"yes"]
    assert units(demuxer, b"\x95\x01mp4a\x01no") == []
    assert (demuxer.counters.ignored_tracks, audio(demuxer).version) == (5, 0)


def test_a_frame_of_a_track_that_was_not_announced_does_not_choose_it() -> None:
    demuxer = configured(b"\x95\x01mp4a\x05no", b"\x95\x00mp4a\x07" + ASC)
    assert [unit.payload for unit in units(demuxer, b"\x95\x01mp4a\x07yes")] == [b"yes"]


@pytest.mark.parametrize(("fourcc", "frame"), [(b".mp3", MP3), (b"ac-3", AC3), (b"Opus", b"\xfc\x01")])
def test_a_frame_of_a_codec_that_needs_no_configuration_chooses_its_track(fourcc: bytes, frame: bytes) -> None:
    demuxer = configured(b"\x95\x00" + fourcc + b"\x02")  # an announcement without anything in it
    assert len(units(demuxer, b"\x95\x01" + fourcc + b"\x05" + frame)) == 1
    assert units(demuxer, b"\x95\x01" + fourcc + b"\x02" + frame) == []
    assert demuxer.counters.ignored_tracks == 1


def test_an_announcement_of_another_track_that_is_not_supported_leaves_the_present_one_alone() -> None:
    demuxer = configured(b"\x95\x00mp4a\x05" + ASC, b"\x95\x00mp4a\x02" + bytes.fromhex("f9484000"))
    assert [unit.payload for unit in units(demuxer, b"\x95\x01mp4a\x05yes")] == [b"yes"]


def test_a_track_whose_codec_is_not_supported_leaves_its_place_to_the_next() -> None:
    body = b"\x95\x20" + b"xyzw\x00\x00\x00\x01\x00" + b"mp4a\x01\x00\x00\x02" + ASC
    demuxer = configured(body)
    assert (audio(demuxer).codec, demuxer.counters.classes) == (Codec.AAC, {PassedOver.UNSUPPORTED_CODEC: 1})


@pytest.mark.parametrize(
    ("body", "passed_over"),
    [
        (b"\x3e\x00", PassedOver.UNSUPPORTED_CODEC),
        (b"\x91xyzw\x00", PassedOver.UNSUPPORTED_CODEC),
        (b"\xaf\x00\xf9\x48\x40\x00", PassedOver.UNSUPPORTED_CODEC),
        (b"\xaf\x00", PassedOver.NO_CONFIGURATION),
        (b"\xaf\x01\x21", PassedOver.NO_CONFIGURATION),
        (b"\x94Opus\x01\x02", PassedOver.OTHER),
    ],
)
def test_what_is_passed_over_is_told_by_class(body: bytes, passed_over: PassedOver) -> None:
    assert configured(body).counters.classes == {passed_over: 1}


@pytest.mark.parametrize(
    "body",
    [
        "3e 00",  # linear PCM
        "bf 00",  # Speex
        "af 02",  # a packet type that AAC does not have
        "af 00",  # an empty configuration
        "af 01 21",  # a frame before any configuration
        "94 4f707573 010200000003",  # MultichannelConfig
        "90 61766331 00",  # a video FourCC
        "91 78797a77 00",
    ],
)
def test_what_is_not_supported_is_counted_and_gives_nothing(body: str) -> None:
    demuxer = BodyDemuxer()
    assert demuxer.demux(8, 0, bytes.fromhex(body)) == []
    assert (demuxer.counters.unsupported, demuxer.tracks.tracks) == (1, ())


@pytest.mark.parametrize("body", ["", "72", "2f", "df", "af 01", "91 4f707573", "91 61632d33"])
def test_empty_messages_give_nothing(body: str) -> None:
    demuxer = BodyDemuxer()
    assert demuxer.demux(8, 0, bytes.fromhex(body)) == []
    assert (demuxer.counters.unsupported, demuxer.tracks.tracks) == (0, ())


@pytest.mark.parametrize(
    "body", ["af", "af 00 12", "90 4f70", "91 61632d33 0000", "df 00 4f70757348656164 01", "95 10 4f707573 00"]
)
def test_what_is_malformed_is_refused(body: str) -> None:
    with pytest.raises(RemoteProtocolError):
        BodyDemuxer().demux(8, 0, bytes.fromhex(body))
