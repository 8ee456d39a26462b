from dataclasses import replace

import pytest
from support.flv_captures import capture

from lalmesh.amf import AmfValue, serialize_amf0
from lalmesh.codec import build_track
from lalmesh.codec.ac3 import SyncFrameHeader
from lalmesh.codec.opus import OpusHead
from lalmesh.codec.vp9 import VPCodecConfigurationRecord
from lalmesh.container.fmp4 import (
    TrackCompleter,
    carried_tracks,
    carries,
    codecs_parameter,
    complete_track,
    init_segment,
    is_carried,
    mime_type,
)
from lalmesh.container.fmp4._boxes import child, children
from lalmesh.container.fmp4._dolby import Ac3Specific
from lalmesh.media import Codec, Kind, Track, TrackSet

AAC = build_track(2, Codec.AAC, bytes.fromhex("1190"))
MP3 = build_track(2, Codec.MP3, sample_rate_hz=44_100, channels=2)
STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def tracks_of(name: str) -> TrackSet:
    tracks, units = capture(name)
    completer = TrackCompleter()
    for unit in units:
        completer.see(unit, tracks)
    return completer.complete(tracks)


def boxed(init: bytes, *path: bytes) -> bytes:
    found = child(init, *path)
    assert found is not None, path
    return found


def entry(track: Track) -> tuple[bytes, bytes]:
    """Kind and body of the sample entry."""
    return next(children(boxed(init_segment(TrackSet((track,))), *STBL, b"stsd"), 8))


@pytest.mark.parametrize("codec", Codec)
def test_what_is_carried_is_known(codec: Codec) -> None:
    out = {Codec.PCMA, Codec.PCMU, Codec.SCRIPT, Codec.OPAQUE}
    assert carries(codec) is (codec not in out and codec.value != "mp2")


def test_a_track_without_its_configuration_is_not_carried() -> None:
    assert not is_carried(build_track(1, Codec.H264))
    assert not is_carried(build_track(2, Codec.MP3))
    assert is_carried(MP3)
    assert init_segment(TrackSet((build_track(1, Codec.H264), build_track(2, Codec.PCMA)))) == b""


@pytest.mark.parametrize(
    ("name", "mime"),
    [
        ("h264-aac-bframes", 'video/mp4; codecs="avc1.640009,mp4a.40.2"'),
        ("hevc-aac-enhanced", 'video/mp4; codecs="hvc1.1.6.L30.90,mp4a.40.2"'),
        ("av1-opus-enhanced", 'video/mp4; codecs="opus,av01.0.00M.08"'),
        ("vp9-flac-enhanced", 'video/mp4; codecs="vp09.00.10.08,fLaC"'),
        ("ac3-enhanced", 'audio/mp4; codecs="ac-3"'),
        ("eac3-enhanced", 'audio/mp4; codecs="ec-3"'),
        ("mp3", 'audio/mp4; codecs="mp3"'),
        ("pcm-alaw", "video/mp4"),
    ],
)
def test_the_type_names_what_is_carried(name: str, mime: str) -> None:
    assert mime_type(capture(name)[0]) == mime


def test_codecs_are_those_of_the_carried_tracks_in_order() -> None:
    tracks = TrackSet((build_track(1, Codec.PCMA), AAC, build_track(3, Codec.H264)))
    assert codecs_parameter(tracks) == "mp4a.40.2"
    assert carried_tracks(tracks) == (AAC,)
    assert codecs_parameter(TrackSet((MP3,))) == "mp4a.40.34"


def test_the_brands_are_those_of_cmaf() -> None:
    # ISO/IEC 14496-12 §4.3: major brand, minor version, compatible brands
    assert boxed(init_segment(TrackSet((AAC,))), b"ftyp") == b"iso6\0\0\0\0iso6cmfcmp41"
    assert b"cmfc" not in boxed(init_segment(tracks_of("h264-aac-bframes")), b"ftyp")  # ISO/IEC 23000-19 §7.3.1: one track a file
    assert boxed(init_segment(tracks_of("av1-opus-enhanced")), b"ftyp").endswith(b"av01")


def test_the_movie_has_the_boxes_of_the_standard_in_order() -> None:
    init = init_segment(tracks_of("h264-aac-bframes"))
    assert [kind for kind, _ in children(init)] == [b"ftyp", b"moov"]
    assert [kind for kind, _ in children(boxed(init, b"moov"))] == [b"mvhd", b"trak", b"trak", b"mvex"]
    assert [kind for kind, _ in children(boxed(init, b"moov", b"trak"))] == [b"tkhd", b"mdia"]
    assert [kind for kind, _ in children(boxed(init, *STBL[:4]))] == [b"vmhd", b"dinf", b"stbl"]
    assert [kind for kind, _ in children(boxed(init, *STBL))] == [b"stsd", b"stts", b"stsc", b"stsz", b"stco"]
    assert [kind for kind, _ in children(boxed(init, b"moov", b"mvex"))] == [b"trex", b"trex"]


def test_the_headers_of_movie_and_track_are_those_of_the_standard() -> None:
    init = init_segment(tracks_of("h264-aac-bframes"))
    matrix = "00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000"
    assert boxed(init, b"moov", b"mvhd") == bytes.fromhex(  # ISO/IEC 14496-12 §8.2.2
        f"01000000 {'00' * 16} 00015f90 {'00' * 8} 00010000 0100 {'00' * 10} {matrix} {'00' * 24} 00000003"
    )
    assert boxed(init, b"moov", b"trak", b"tkhd") == bytes.fromhex(  # §8.3.2
        f"00000007 {'00' * 8} 00000001 {'00' * 8} {'00' * 8} 0000 0000 0000 0000 {matrix} 00600000 00400000"
    )
    assert boxed(init, b"moov", b"trak", b"mdia", b"mdhd") == bytes.fromhex(
        "00000000 00000000 00000000 00015f90 00000000 55c4 0000"
    )
    assert boxed(init, b"moov", b"mvex", b"trex") == bytes.fromhex("00000000 00000001 00000001 00000000 00000000 00000000")


def test_a_duration_takes_the_same_room_whatever_it_says() -> None:
    short, long = (init_segment(TrackSet((AAC,)), duration_ticks=ticks) for ticks in (0, 1 << 40))
    assert len(short) == len(long)
    assert boxed(long, b"moov", b"mvex", b"mehd") == bytes.fromhex("01000000 0000010000000000")  # §8.8.2
    assert boxed(long, b"moov", b"mvhd")[24:32] == bytes.fromhex("0000010000000000")
    assert child(init_segment(TrackSet((AAC,))), b"moov", b"mvex", b"mehd") is None


@pytest.mark.parametrize(
    ("name", "kind", "box"),
    [
        ("h264-aac-bframes", b"avc1", b"avcC"),
        ("hevc-aac-enhanced", b"hvc1", b"hvcC"),
        ("av1-opus-enhanced", b"av01", b"av1C"),
        ("vp9-flac-enhanced", b"vp09", b"vpcC"),
    ],
)
def test_a_video_entry_has_size_and_record(name: str, kind: bytes, box: bytes) -> None:
    track = tracks_of(name).first(Kind.VIDEO)
    assert track is not None
    found, body = entry(track)
    assert found == kind
    assert body[:32] == bytes.fromhex(f"{'00' * 6} 0001 {'00' * 16} 0060 0040 00480000")  # ISO/IEC 14496-12 §12.1.3
    assert child(body, box, start=78) == track.configuration


def test_an_aac_entry_is_that_of_the_standard() -> None:
    kind, body = entry(AAC)
    assert kind == b"mp4a"
    assert body == bytes.fromhex(
        "000000000000 0001 0000000000000000 0002 0010 0000 0000 bb800000"  # ISO/IEC 14496-12 §12.2.3
        "00000027 65736473 00000000"  # 14496-14 §5.6
        "03 19 0000 00"  # 14496-1 §7.2.6.5 ES_Descriptor
        "04 11 40 15 000000 00000000 00000000"  # §7.2.6.6 DecoderConfigDescriptor
        "05 02 1190"  # §7.2.6.7 DecoderSpecificInfo
        "06 01 02"  # §7.3.2.3 SLConfigDescriptor
    )


@pytest.mark.parametrize(("rate", "object_type"), [(44_100, 0x6B), (32_000, 0x6B), (22_050, 0x69)])
def test_an_mp3_entry_tells_the_layer_and_no_more(rate: int, object_type: int) -> None:
    track = build_track(2, Codec.MP3, sample_rate_hz=rate, channels=2)
    assert child(entry(track)[1], b"esds", start=28) == bytes.fromhex(
        f"00000000 03 15 0000 00 04 0d {object_type:02x} 15 000000 00000000 00000000 06 01 02"
    )


def test_an_opus_entry_is_that_of_its_binding() -> None:
    head = OpusHead(channels=2, pre_skip=312, input_sample_rate_hz=44_100, output_gain=-2)
    kind, body = entry(build_track(2, Codec.OPUS, head.serialize()))
    assert (kind, body[24:28]) == (b"Opus", bytes.fromhex("bb800000"))
    # Opus in ISOBMFF §4.3.2: version, channels, pre-skip, rate, gain, mapping family
    assert child(body, b"dOps", start=28) == bytes.fromhex("00 02 0138 0000ac44 fffe 00")
    surround = replace(head, channels=3, mapping_family=1, stream_count=2, coupled_count=1, channel_mapping=b"\0\2\1")
    assert boxed(entry(build_track(2, Codec.OPUS, surround.serialize()))[1][28:], b"dOps").endswith(
        bytes.fromhex("01 02 01 000201")
    )


def test_a_flac_entry_has_its_stream_info() -> None:
    info = "1000 1000 000000 000000 0bb802f0 00000000" + "00" * 16
    kind, body = entry(build_track(2, Codec.FLAC, bytes.fromhex(info)))
    assert kind == b"fLaC"
    assert child(body, b"dfLa", start=28) == bytes.fromhex("00000000 80000022" + info)  # FLAC in ISOBMFF §3.3.2
    assert body[16:20] == bytes.fromhex("0002 0010")


@pytest.mark.parametrize(("rate_hz", "said_hz"), [(48_000, 48_000), (88_200, 44_100), (192_000, 48_000), (77_777, 65_535)])
def test_a_rate_of_flac_over_16_bits_is_a_regular_division_of_it(rate_hz: int, said_hz: int) -> None:
    info = "1000 1000 000000 000000" + f"{rate_hz << 12 | 0x2F0:08x}" + "00000000" + "00" * 16
    body = entry(build_track(2, Codec.FLAC, bytes.fromhex(info)))[1]
    assert int.from_bytes(body[24:28], "big") == said_hz << 16  # FLAC in ISOBMFF §3.3.1


def test_a_rate_over_16_bits_is_left_to_the_configuration() -> None:
    assert entry(build_track(2, Codec.AAC, bytes.fromhex("1010")))[1][24:28] == bytes(4)


@pytest.mark.parametrize(("name", "box"), [("ac3-enhanced", b"dac3"), ("eac3-enhanced", b"dec3")])
def test_dolby_is_described_by_its_first_frame(name: str, box: bytes) -> None:
    tracks, units = capture(name)
    header = SyncFrameHeader.parse(units[0].payload)
    track = complete_track(tracks.tracks[0], units[0].payload)
    found = Ac3Specific.parse(boxed(entry(track)[1][28:], box), enhanced=header.enhanced)
    assert (found.sample_rate_hz, found.channels) == (header.sample_rate_hz, header.channels) == (48_000, 2)
    assert found == Ac3Specific.of_frame(units[0].payload)


@pytest.mark.parametrize(("codec", "box", "body"), [(Codec.AC3, b"dac3", "103dc0"), (Codec.EAC3, b"dec3", "0c0020 0f00")])
def test_dolby_without_a_frame_is_described_by_rate_and_channels(codec: Codec, box: bytes, body: str) -> None:
    # ETSI TS 102 366 §F.4.1, §F.6.1: 48 kHz, 3/2 with LFE, 384 kbit/s
    track = build_track(2, codec, sample_rate_hz=48_000, channels=6)
    assert boxed(entry(track)[1][28:], box).hex() == body.replace(" ", "")


def test_the_size_of_vp9_comes_from_a_key_frame() -> None:
    tracks, units = capture("vp9-flac-enhanced")
    video = tracks.first(Kind.VIDEO)
    assert video is not None
    inter = next(unit for unit in units if unit.track_id == video.track_id and not unit.random_access)
    assert (video.width, complete_track(video, inter.payload)) == (0, video)
    assert complete_track(video, b"\xff") is video
    completed = tracks_of("vp9-flac-enhanced").first(Kind.VIDEO)
    assert completed == replace(video, width=96, height=64)


def test_an_av1_record_without_its_sequence_header_gets_it_from_the_first_picture() -> None:
    tracks, units = capture("av1-opus-enhanced")
    whole = tracks.first(Kind.VIDEO)
    assert whole is not None
    bare = build_track(whole.track_id, Codec.AV1, whole.configuration[:4])
    first = next(unit for unit in units if unit.track_id == whole.track_id)
    completed = complete_track(bare, first.payload)
    assert (completed.width, completed.height) == (96, 64)
    assert completed.configuration.startswith(whole.configuration[:4])


def test_what_was_completed_is_forgotten_with_its_track() -> None:
    tracks, units = capture("ac3-enhanced")
    completer = TrackCompleter()
    assert completer.complete(tracks) is tracks
    completer.see(units[0], tracks)
    assert completer.complete(tracks).tracks[0].configuration
    changed = TrackSet((replace(tracks.tracks[0], version=1),))
    assert completer.complete(changed) == changed


def test_colours_are_told_where_they_are_known() -> None:
    # ISO/IEC 14496-12 §12.1.5: colour type, primaries, transfer characteristics, matrix coefficients, full range flag
    record = VPCodecConfigurationRecord(profile=0, level=10, colour_primaries=9, transfer_characteristics=16, matrix_coefficients=9)
    vp9 = build_track(1, Codec.VP9, replace(record, full_range=True).serialize())
    assert child(entry(vp9)[1], b"colr", start=78) == bytes.fromhex("6e636c78 0009 0010 0009 80")
    assert child(entry(build_track(1, Codec.VP9, replace(record, colour_primaries=2).serialize()))[1], b"colr", start=78) is None


def test_colours_that_the_publisher_told_are_told() -> None:
    video = capture("hevc-aac-enhanced")[0].first(Kind.VIDEO)
    assert video is not None
    colours: AmfValue = {"colorPrimaries": 9.0, "transferCharacteristics": 16.0, "matrixCoefficients": 9.0}
    told = replace(video, video_metadata=serialize_amf0("colorInfo", {"colorConfig": colours}))
    assert child(entry(told)[1], b"colr", start=78) == bytes.fromhex("6e636c78 0009 0010 0009 00")
    for metadata in (b"\x02", serialize_amf0("colorInfo", {"colorConfig": {}}), serialize_amf0("colorInfo", 1.0, "x")):
        assert child(entry(replace(video, video_metadata=metadata))[1], b"colr", start=78) is None
