import pytest

from lalmesh.codec.h264 import AvcDecoderConfigurationRecord
from lalmesh.codec.h265 import HevcDecoderConfigurationRecord
from lalmesh.container.flv import MAX_CONFIGURATION_BYTES, BodyDemuxer
from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.media import AccessUnit, Codec, PassedOver, TrackEnded, TracksChanged

# from the captures beside: avcC, hvcC, av1C, and vpcC behind the version and flags of its box
AVCC = bytes.fromhex("01640009ffe1001867640009acd94626c044000003000400000300783c48965801000468efbcb0fdf8f800")
HVCC = bytes.fromhex(
    "0101600000009000000000001ef000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003001e959009210001002842"
    "010101600000030090000003000003001ea0308105965644a4c2f016808000000300800000078422000100064401c073c189"
)
AV1C = bytes.fromhex("81000c000a0a000000032dffcdaf9004")
VPCC = bytes.fromhex("01000000000a820202020000")
NALU = bytes.fromhex("00000002 65 88")


def configured(*bodies: bytes) -> BodyDemuxer:
    demuxer = BodyDemuxer()
    for body in bodies:
        demuxer.demux(9, 0, body)
    return demuxer


def avc(prefix: str = "17 00 000000", record: bytes = AVCC) -> bytes:
    return bytes.fromhex(prefix) + record


def test_an_avc_sequence_header_makes_the_video_track() -> None:
    demuxer = BodyDemuxer()
    [event] = demuxer.demux(9, 0, avc())
    assert isinstance(event, TracksChanged)
    assert event.tracks is demuxer.tracks
    [track] = event.tracks.tracks
    assert (track.track_id, track.codec, track.version, track.configuration) == (1, Codec.H264, 0, AVCC)
    assert (track.width, track.height) == (96, 64)


@pytest.mark.parametrize(
    ("body", "cts", "random_access"),
    [
        ("17 01 000000", 0, True),  # FLV 10.1 §E.4.3: key frame
        ("27 01 000028", 40 * 90, False),  # inter frame, shown 40 ms after it is decoded
        ("27 01 ffffd8", -40 * 90, False),  # CompositionTime is SI24
        ("47 01 7fffff", 0x7FFFFF * 90, True),  # generated key frame
    ],
)
def test_avc_nalus_are_an_access_unit(body: str, cts: int, random_access: bool) -> None:
    events = configured(avc()).demux(9, 1000, bytes.fromhex(body) + NALU)
    assert events == [AccessUnit(1, 90_000, cts, random_access, NALU)]


def test_the_same_sequence_header_again_changes_nothing() -> None:
    demuxer = configured(avc())
    assert demuxer.demux(9, 0, avc()) == []
    assert demuxer.demux(9, 0, avc("90 61766331")) == []  # nor in the enhanced form


def test_another_configuration_is_a_new_version() -> None:
    other = AVCC[:3] + bytes((AVCC[3] + 1,)) + AVCC[4:]
    [event] = configured(avc()).demux(9, 0, avc(record=other))
    assert isinstance(event, TracksChanged)
    assert [(track.version, track.configuration) for track in event.tracks.tracks] == [(1, other)]


def test_another_codec_takes_over_the_track() -> None:
    demuxer = configured(avc(), bytes.fromhex("1c 00 000000") + HVCC)
    assert [(track.codec, track.version) for track in demuxer.tracks.tracks] == [(Codec.H265, 1)]
    assert demuxer.demux(9, 0, bytes.fromhex("17 01 000000") + NALU) == []
    assert len(demuxer.demux(9, 0, bytes.fromhex("1c 01 000000") + NALU)) == 1


def test_times_go_on_past_32_bits() -> None:
    demuxer = configured(avc())
    body = bytes.fromhex("17 01 000000") + NALU
    seen = [demuxer.demux(9, ms, body)[0] for ms in (0xFFFFFFF6, 10)]
    assert [event.dts for event in seen if isinstance(event, AccessUnit)] == [0xFFFFFFF6 * 90, (0xFFFFFFF6 + 20) * 90]


@pytest.mark.parametrize("size", [1, 2])
def test_shorter_nalu_lengths_are_widened_in_units_and_record(size: int) -> None:
    record = AVCC[:4] + bytes((0xFC | size - 1,)) + AVCC[5:]
    demuxer = configured(avc(record=record))
    assert AvcDecoderConfigurationRecord.parse(demuxer.tracks.tracks[0].configuration).length_size == 4
    short = (2).to_bytes(size, "big") + NALU[4:]
    for prefix in ("17 01 000000", "93 61766331"):
        assert demuxer.demux(9, 0, bytes.fromhex(prefix) + short) == [AccessUnit(1, 0, 0, True, NALU)]


def test_shorter_nalu_lengths_of_hevc_are_widened_too() -> None:
    demuxer = configured(bytes.fromhex("1c 00 000000") + HVCC[:21] + bytes((HVCC[21] & 0xFC | 1,)) + HVCC[22:])
    assert HevcDecoderConfigurationRecord.parse(demuxer.tracks.tracks[0].configuration).length_size == 4
    assert demuxer.demux(9, 0, bytes.fromhex("1c 01 000000 0002 2601")) == [
        AccessUnit(1, 0, 0, True, bytes.fromhex("00000002 2601"))
    ]


@pytest.mark.parametrize("body", ["17 02 000000", "17 02", "92 61766331", "97 00 00 02 61766331"])
def test_the_end_of_the_sequence_ends_the_track(body: str) -> None:
    assert configured(avc()).demux(9, 0, bytes.fromhex(body)) == [TrackEnded(1)]
    assert BodyDemuxer().demux(9, 0, bytes.fromhex(body)) == []


# Enhanced RTMP v2, ExVideoTagHeader and ExVideoTagBody
@pytest.mark.parametrize(
    ("fourcc", "record", "codec"),
    [("avc1", AVCC, Codec.H264), ("hvc1", HVCC, Codec.H265), ("av01", AV1C, Codec.AV1), ("vp09", VPCC, Codec.VP9)],
)
def test_an_enhanced_sequence_start_makes_the_video_track(fourcc: str, record: bytes, codec: Codec) -> None:
    [track] = configured(b"\x90" + fourcc.encode() + record).tracks.tracks
    assert (track.codec, track.configuration) == (codec, record)


@pytest.mark.parametrize(
    ("first", "fourcc", "record", "between", "cts"),
    [
        (0x91, "avc1", AVCC, "000028", 3600),  # CodedFrames of AVC and HEVC carry a composition time
        (0x91, "hvc1", HVCC, "ffffd8", -3600),
        (0x93, "hvc1", HVCC, "", 0),  # CodedFramesX never does
        (0x91, "av01", AV1C, "", 0),
        (0x91, "vp09", VPCC, "", 0),
    ],
)
def test_enhanced_frames_are_an_access_unit(first: int, fourcc: str, record: bytes, between: str, cts: int) -> None:
    demuxer = configured(b"\x90" + fourcc.encode() + record)
    for flags, random_access in ((first, True), (first + 0x10, False)):
        body = bytes((flags,)) + fourcc.encode() + bytes.fromhex(between) + NALU
        assert demuxer.demux(9, 10, body) == [AccessUnit(1, 900, cts, random_access, NALU)]


@pytest.mark.parametrize(
    "prefix",
    [
        "97 02 0f4240 03",  # ModEx of 3 bytes, TimestampOffsetNano, then CodedFramesX
        "97 ff 0100" + "00" * 257 + "03",  # 255 says that 16 bits follow, which are the size less one
        "97 00 00 07 01 0000 13",  # two of them, the second of a kind that is reserved
    ],
)
def test_mod_ex_prefixes_are_skipped(prefix: str) -> None:
    demuxer = configured(b"\x90hvc1" + HVCC)
    assert demuxer.demux(9, 0, bytes.fromhex(prefix) + b"hvc1" + NALU) == [AccessUnit(1, 0, 0, True, NALU)]


def test_a_chain_of_mod_ex_without_end_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        BodyDemuxer().demux(9, 0, b"\x97" + b"\x00\x00\x07" * 40)


def track_of(number: int, payload: bytes) -> bytes:
    return bytes((number,)) + len(payload).to_bytes(3, "big") + payload


def test_of_many_tracks_the_first_is_taken() -> None:
    demuxer = BodyDemuxer()
    start = bytes.fromhex("96 10") + b"avc1"  # ManyTracks, SequenceStart
    demuxer.demux(9, 0, start + track_of(0, AVCC) + track_of(1, AVCC))
    frames = bytes.fromhex("96 13") + b"avc1" + track_of(1, b"other") + track_of(0, NALU)
    assert demuxer.demux(9, 0, frames) == [AccessUnit(1, 0, 0, True, NALU)]
    assert demuxer.counters.ignored_tracks == 2


def test_many_tracks_of_many_codecs_each_name_their_codec() -> None:
    body = bytes.fromhex("96 20") + b"hvc1" + track_of(0, HVCC) + b"avc1" + track_of(1, AVCC)
    assert [track.codec for track in configured(body).tracks.tracks] == [Codec.H265]


def test_one_track_of_a_higher_id_does_not_disturb_the_plain_one() -> None:
    demuxer = configured(bytes.fromhex("96 00") + b"avc1" + b"\x01" + AVCC, avc())  # OneTrack, id 1, then plain, which is id 0
    assert demuxer.demux(9, 0, bytes.fromhex("96 03") + b"avc1" + b"\x01" + NALU) == []
    assert demuxer.demux(9, 0, bytes.fromhex("17 01 000000") + NALU) == [AccessUnit(1, 0, 0, True, NALU)]
    assert demuxer.counters.ignored_tracks == 1


def test_a_frame_of_a_track_that_was_not_announced_does_not_choose_it() -> None:
    demuxer = configured(bytes.fromhex("96 03") + b"avc1" + b"\x05" + NALU, bytes.fromhex("96 00") + b"avc1" + b"\x07" + AVCC)
    assert demuxer.demux(9, 0, bytes.fromhex("96 03") + b"avc1" + b"\x07" + NALU) == [AccessUnit(1, 0, 0, True, NALU)]
    assert demuxer.counters.reasons == {"h264 picture before its configuration": 1}


@pytest.mark.parametrize("refused", [b"vp08" + track_of(0, b"\0"), b"hvc1" + track_of(0, b"\x05" + HVCC[1:])])
def test_a_track_whose_announcement_is_not_supported_leaves_its_place_to_the_next(refused: bytes) -> None:
    demuxer = configured(bytes.fromhex("96 20") + refused + b"avc1" + track_of(3, AVCC))
    assert [track.codec for track in demuxer.tracks.tracks] == [Codec.H264]
    assert demuxer.counters.classes == {PassedOver.UNSUPPORTED_CODEC: 1}


@pytest.mark.parametrize(
    ("body", "passed_over"),
    [
        (b"\x12\x00", PassedOver.UNSUPPORTED_CODEC),
        (b"\x90vp08\x00", PassedOver.UNSUPPORTED_CODEC),
        (b"\x90hvc1\x05" + HVCC[1:], PassedOver.UNSUPPORTED_CODEC),
        (b"\x93hvc1\x00", PassedOver.NO_CONFIGURATION),
        (b"\x90av01", PassedOver.NO_CONFIGURATION),
        (b"\x95av01\x80", PassedOver.OTHER),
    ],
)
def test_what_is_passed_over_is_told_by_class(body: bytes, passed_over: PassedOver) -> None:
    counters = configured(body).counters
    [reason] = counters.reasons
    assert (counters.classes, counters.examples) == ({passed_over: 1}, {passed_over: reason})


def test_an_announcement_of_another_track_that_is_not_supported_leaves_the_present_one_alone() -> None:
    demuxer = configured(bytes.fromhex("96 00") + b"avc1\x05" + AVCC, bytes.fromhex("96 00") + b"hvc1\x02\x05" + HVCC[1:])
    assert demuxer.demux(9, 0, bytes.fromhex("96 03") + b"avc1\x05" + NALU) == [AccessUnit(1, 0, 0, True, NALU)]


def test_more_tracks_than_ids_are_refused() -> None:
    with pytest.raises(LimitExceeded):
        BodyDemuxer().demux(9, 0, bytes.fromhex("96 13") + b"avc1" + track_of(7, b"") * 300)


@pytest.mark.parametrize(
    "body",
    [
        "12 00",  # Sorenson H.263
        "1d 01 000000 00",  # codec id 13, which some use for AV1
        "17 03 000000 00",  # a packet type that AVC does not have
        "95 61763031 80",  # MPEG2TSSequenceStart
        "90 76703038 00",  # VP8
        "90 6d703461 00",  # an audio FourCC
        "9f 68766331 00",  # a reserved packet type
        "96 30 68766331",  # a reserved kind of multitrack
        "90 61763031",  # an empty configuration
        "17 01 000000 00",  # a picture before any configuration
        "93 68766331 00",
    ],
)
def test_what_is_not_supported_is_counted_and_gives_nothing(body: str) -> None:
    demuxer = BodyDemuxer()
    assert demuxer.demux(9, 0, bytes.fromhex(body)) == []
    assert (demuxer.counters.unsupported, demuxer.tracks.tracks) == (1, ())


@pytest.mark.parametrize("body", ["57 00", "d7", "d1 68766331 00", "", "17 01 000000", "17 00 000000"])
def test_commands_and_empty_messages_give_nothing(body: str) -> None:
    demuxer = BodyDemuxer()
    assert demuxer.demux(9, 0, bytes.fromhex(body)) == []
    assert demuxer.counters.unsupported == 0


@pytest.mark.parametrize(
    "body",
    [
        "17",
        "17 01 0000",
        "17 00 000000 01",  # a record that is cut off
        "90 6876",
        "97",
        "97 ff 01",
        "97 05 00",
        "96",
        "96 00 6176",
        "96 10 61766331 00 000002 00",  # a track that is cut off
        "96 20 61766331 00 0000",
        "94 68766331 02",  # Metadata that is cut off
        "d4 68766331 02",  # the same: its frame type is ignored
    ],
)
def test_what_is_malformed_is_refused(body: str) -> None:
    with pytest.raises(RemoteProtocolError):
        BodyDemuxer().demux(9, 0, bytes.fromhex(body))


def test_a_composition_time_that_is_cut_off_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        configured(b"\x90hvc1" + HVCC).demux(9, 0, b"\x91hvc1\x00")


def test_a_huge_configuration_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        BodyDemuxer().demux(9, 0, b"\x90av01" + AV1C + bytes(MAX_CONFIGURATION_BYTES))


def test_no_unit_is_taken_under_a_configuration_that_is_not_supported() -> None:
    demuxer = configured(avc(), b"\x90hvc1\x05" + HVCC[1:])  # version 5 of the record
    assert demuxer.counters.unsupported == 1
    assert demuxer.demux(9, 0, bytes.fromhex("17 01 000000") + NALU) == []
