"""Metadata of video, such as HDR: what comes in is kept with the track and goes out the same (Enhanced RTMP v2, Metadata Frame)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.amf import UNDEFINED, AmfValue, parse_amf0, serialize_amf0
from lalmesh.codec import build_track
from lalmesh.container.flv import MAX_VIDEO_METADATA_BYTES, BodyDemuxer, BodyMuxer
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit, Codec, MediaEvent, Track, TracksChanged

AV1C = bytes.fromhex("81000c000a0a000000032dffcdaf9004")
VPCC = bytes.fromhex("01000000000a820202020000")
START = b"\x90av01" + AV1C
METADATA = b"\xd4av01"
# as ffmpeg 9 sends it for a stream with `-colorspace bt2020nc`
COLOR = bytes.fromhex(
    "020009636f6c6f72496e666f03000b636f6c6f72436f6e6669670300126d6174726978436f656666696369656e7473004022000000000000000009000009"
)
HDR = serialize_amf0("colorInfo", {"hdrCll": {"maxFall": 400.0, "maxCLL": 1000.0}})
OTHER = serialize_amf0("other", 1.0)
RESET = serialize_amf0("colorInfo", UNDEFINED)


def video(demuxer: BodyDemuxer) -> Track:
    track = demuxer.tracks.get(1)
    assert track is not None
    return track


def configured(*bodies: bytes) -> BodyDemuxer:
    demuxer = BodyDemuxer()
    for body in bodies:
        demuxer.demux(9, 0, body)
    return demuxer


def track_with(metadata: bytes, codec: Codec = Codec.AV1) -> Track:
    return Track(track_id=1, codec=codec, configuration=b"c", video_metadata=metadata)


def test_metadata_is_kept_with_the_track_as_a_new_version() -> None:
    [event] = configured(START).demux(9, 0, METADATA + COLOR)
    assert isinstance(event, TracksChanged)
    [track] = event.tracks.tracks
    assert (track.video_metadata, track.version, track.configuration) == (COLOR, 1, AV1C)


def test_the_frame_type_of_metadata_means_nothing() -> None:
    for first in (0x94, 0xA4, 0xD4):
        assert video(configured(START, bytes((first,)) + METADATA[1:] + COLOR)).video_metadata == COLOR


def test_the_same_metadata_again_changes_nothing() -> None:
    assert configured(START, METADATA + COLOR).demux(9, 0, METADATA + COLOR) == []


def test_what_comes_again_replaces_its_own_name_only() -> None:
    demuxer = configured(START, METADATA + COLOR + OTHER, METADATA + HDR)
    assert parse_amf0(video(demuxer).video_metadata) == parse_amf0(HDR + OTHER)


@pytest.mark.parametrize("value", [UNDEFINED, {}, {"colorConfig": {}}])  # the last is what ffmpeg sends where it knows no colours
def test_undefined_or_an_empty_object_takes_it_back(value: AmfValue) -> None:
    demuxer = configured(START, METADATA + COLOR)
    [event] = demuxer.demux(9, 0, METADATA + serialize_amf0("colorInfo", value))
    assert isinstance(event, TracksChanged)
    assert video(demuxer).video_metadata == b""
    assert configured(START).demux(9, 0, METADATA + serialize_amf0("colorInfo", value)) == []


def test_metadata_before_the_sequence_start_belongs_to_it() -> None:
    demuxer = BodyDemuxer()
    assert demuxer.demux(9, 0, METADATA + COLOR) == []
    [event] = demuxer.demux(9, 0, START)
    assert isinstance(event, TracksChanged)
    assert (video(demuxer).video_metadata, video(demuxer).version) == (COLOR, 0)


def test_a_sequence_start_of_the_same_codec_keeps_it() -> None:
    demuxer = configured(START, METADATA + COLOR)
    assert demuxer.demux(9, 0, START) == []
    assert video(demuxer).video_metadata == COLOR


def test_another_codec_begins_without_it() -> None:
    assert video(configured(START, METADATA + COLOR, b"\x90vp09" + VPCC)).video_metadata == b""


def test_metadata_of_another_codec_waits_for_that_codec() -> None:
    demuxer = configured(START, b"\xd4vp09" + COLOR)
    assert video(demuxer).video_metadata == b""
    demuxer.demux(9, 0, b"\x90vp09" + VPCC)
    assert video(demuxer).video_metadata == COLOR


def test_metadata_of_a_track_that_is_not_taken_is_passed_over() -> None:
    demuxer = configured(START, bytes.fromhex("96 04") + b"av01\x01" + COLOR)
    assert (video(demuxer).video_metadata, demuxer.counters.ignored_tracks) == (b"", 1)


def test_metadata_of_an_unknown_track_is_not_given_to_another() -> None:
    one_track = bytes.fromhex("96 04") + b"av01\x05" + COLOR
    assert video(configured(one_track, bytes.fromhex("96 00") + b"av01\x07" + AV1C)).video_metadata == b""


def test_pictures_go_on_after_metadata() -> None:
    assert configured(START, METADATA + COLOR).demux(9, 0, b"\x91av01\x12\x00") == [AccessUnit(1, 0, 0, True, b"\x12\x00")]


@pytest.mark.parametrize(
    "body",
    [
        b"\x06\x13colorInfo",  # AMF 3, which a client that asked for it may send
        serialize_amf0("colorInfo"),  # no value
        serialize_amf0("colorInfo", {"a": 1.0}, 2.0, 3.0),  # a value that has no name
        serialize_amf0("colorInfo", "x" * MAX_VIDEO_METADATA_BYTES),
    ],
)
def test_metadata_that_is_not_supported_is_counted_and_changes_nothing(body: bytes) -> None:
    demuxer = configured(START, METADATA + COLOR)
    assert demuxer.demux(9, 0, METADATA + body) == []
    assert (demuxer.counters.unsupported, video(demuxer).video_metadata) == (1, COLOR)


def test_names_without_end_are_not_gathered() -> None:
    demuxer = configured(START)
    for number in range(4):
        demuxer.demux(9, 0, METADATA + serialize_amf0(f"name{number}", "x" * 5000))
    assert demuxer.counters.unsupported == 1
    assert len(video(demuxer).video_metadata) <= MAX_VIDEO_METADATA_BYTES


def test_metadata_that_is_cut_off_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        configured(START).demux(9, 0, METADATA + COLOR[:-4])


def test_empty_metadata_gives_nothing() -> None:
    demuxer = configured(START, METADATA + COLOR)
    assert demuxer.demux(9, 0, METADATA) == []
    assert (demuxer.counters.unsupported, video(demuxer).video_metadata) == (0, COLOR)


def test_a_player_is_told_of_it_in_the_enhanced_form() -> None:
    assert BodyMuxer().video_metadata(track_with(COLOR)) == (9, METADATA + COLOR)
    assert BodyMuxer().video_metadata(track_with(COLOR, Codec.H265)) == (9, b"\xd4hvc1" + COLOR)
    assert BodyMuxer().video_metadata(track_with(b"")) is None


def test_a_legacy_form_cannot_carry_it() -> None:
    assert BodyMuxer().video_metadata(track_with(COLOR, Codec.H264)) is None
    assert BodyMuxer(hevc="legacy").video_metadata(track_with(COLOR, Codec.H265), track_with(HDR, Codec.H265)) is None


def test_what_is_gone_is_told_to_be_undefined() -> None:
    told = track_with(COLOR + OTHER)
    assert BodyMuxer().video_metadata(track_with(OTHER), told) == (9, METADATA + RESET + OTHER)
    assert BodyMuxer().video_metadata(track_with(b"", Codec.VP9), track_with(COLOR)) == (9, b"\xd4vp09" + RESET)
    assert BodyMuxer().video_metadata(track_with(b""), track_with(COLOR, Codec.H264)) is None  # never told


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(UNDEFINED),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=6,
)
_MESSAGES = st.dictionaries(st.sampled_from(["colorInfo", "a", "b"]), _VALUES, max_size=3)


@given(st.lists(_MESSAGES, max_size=5))
def test_a_player_that_follows_knows_what_the_track_has(messages: list[dict[str, AmfValue]]) -> None:
    publisher, player, muxer = configured(START), configured(START), BodyMuxer()
    for message in messages:
        before = video(publisher)
        publisher.demux(9, 0, METADATA + serialize_amf0(*(part for pair in message.items() for part in pair)))
        told = muxer.video_metadata(video(publisher), before)
        player.demux(9, 0, told[1] if told is not None else b"")
    seen = [parse_amf0(video(demuxer).video_metadata) for demuxer in (publisher, player)]
    assert sorted(map(repr, seen[0])) == sorted(map(repr, seen[1]))


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda data: COLOR[:12] + data))
def test_any_bytes_give_metadata_that_can_be_sent_or_an_error(data: bytes) -> None:
    demuxer, events = configured(START), list[MediaEvent]()
    with contextlib.suppress(RemoteProtocolError):
        events = demuxer.demux(9, 0, METADATA + data)
    assert all(isinstance(event, TracksChanged) for event in events)
    metadata = video(demuxer).video_metadata
    assert configured(START, METADATA + metadata).tracks.tracks == demuxer.tracks.tracks


def test_a_track_is_built_without_it() -> None:
    assert build_track(1, Codec.AV1, AV1C).video_metadata == b""
