"""Made media, and the tapes that publishers send."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.client.load._made_audio import MadeAudio
from lalmesh.client.load._made_video import KEY_WEIGHT, SIZES, MadeVideo
from lalmesh.client.load._media import MIN_RUN_S, Media, made_media, media_of_tags
from lalmesh.client.load._tape import FORGET_ENTRIES, DatagramTape, InterleavedTape, RtmpTape
from lalmesh.codec import h264
from lalmesh.codec.nalu import split_avcc
from lalmesh.container.flv import BodyDemuxer, BodyMuxer, Tag
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Kind
from lalmesh.protocol.rtmp import ChunkReader
from lalmesh.protocol.rtsp import InterleavedFrame, MessageReader

SMALL = made_media(bitrate_bps=300_000, frame_rate=Fraction(25), key_s=1.0, audio_bps=64_000)


@given(st.integers(200_000, 8_000_000), st.sampled_from([Fraction(25), Fraction(30_000, 1001), Fraction(60)]), st.integers(15, 90))
def test_made_pictures_have_the_bit_rate_that_was_asked_for(bitrate_bps: int, frame_rate: Fraction, gop: int) -> None:
    video = MadeVideo(bitrate_bps=bitrate_bps, frame_rate=frame_rate, gop_pictures=gop)
    pictures = [video.next_picture() for _ in range(2 * gop)]
    made_bps = sum(len(picture.payload) for picture in pictures) * 8 * frame_rate / len(pictures)
    assert abs(made_bps - bitrate_bps) < 0.03 * bitrate_bps + 386 * 8 * frame_rate / len(pictures)
    assert [picture.is_key for picture in pictures] == ([True] + [False] * (gop - 1)) * 2


def test_pictures_with_nothing_in_them_have_a_bit_rate_too() -> None:
    with pytest.raises(ValueError, match="alone makes"):
        made_media(bitrate_bps=20_000, frame_rate=Fraction(60), key_s=0.1, audio_bps=0)


def test_made_pictures_are_told_right() -> None:
    video = MadeVideo(bitrate_bps=2_500_000, frame_rate=Fraction(30_000, 1001), gop_pictures=60)
    record = h264.AvcDecoderConfigurationRecord.parse(video.configuration)
    sps = h264.parse_sps(record.sps[0])
    assert ((sps.width, sps.height), sps.frame_rate, sps.reorder_depth) == (SIZES[0], Fraction(30_000, 1001), 0)
    key, other = video.next_picture().payload, video.next_picture().payload
    assert KEY_WEIGHT * 0.9 < len(key) / len(other) < KEY_WEIGHT * 1.1
    assert [h264.nalu_type(nalu) for nalu in split_avcc(key)] == [7, 8, 5, 5]
    assert h264.is_random_access(key)
    assert not h264.is_random_access(other)


def test_pictures_grow_with_the_bit_rate_and_end_somewhere() -> None:
    assert MadeVideo(bitrate_bps=40_000_000, frame_rate=Fraction(30), gop_pictures=60).width > SIZES[0][0]
    with pytest.raises(ValueError, match="no size"):
        MadeVideo(bitrate_bps=10_000_000_000, frame_rate=Fraction(30), gop_pictures=60)


@pytest.mark.parametrize("bitrate_bps", [32_000, 128_000, 256_000])
def test_made_sound_has_the_bit_rate_that_was_asked_for(bitrate_bps: int) -> None:
    audio = MadeAudio(bitrate_bps=bitrate_bps)
    frames = [audio.next_frame() for _ in range(200)]
    assert abs(sum(map(len, frames)) * 8 * 48_000 / 1024 / 200 / bitrate_bps - 1) < 0.02
    assert len(set(frames)) == 200


def test_a_made_run_is_long_whole_and_in_order() -> None:
    assert SMALL.run_ticks >= MIN_RUN_S * TICKS_PER_SECOND
    times = [unit.dts for unit in SMALL.units]
    assert times == sorted(times)
    assert SMALL.units[0].random_access
    assert abs(SMALL.bitrate_bps - 300_000) < 3000
    frames = [unit.dts for unit in SMALL.units if unit.track_id == 2]
    assert SMALL.run_ticks - frames[-1] == frames[1] - frames[0]  # sound goes on evenly in the next run


def test_media_of_sound_alone_or_of_none_is_refused_or_made() -> None:
    with pytest.raises(ValueError, match="of which sound has"):
        made_media(bitrate_bps=64_000, frame_rate=Fraction(25), key_s=1, audio_bps=64_000)
    silent = made_media(bitrate_bps=64_000, frame_rate=Fraction(25), key_s=1, audio_bps=0)
    assert [track.kind for track in silent.tracks.tracks] == [Kind.VIDEO]


def test_the_times_of_runs_go_on() -> None:
    count = len(SMALL.units)
    assert SMALL.unit(count).dts == SMALL.run_ticks
    assert SMALL.unit(count).payload is SMALL.units[0].payload
    assert SMALL.due_s(2 * count + 5) == (2 * SMALL.run_ticks + SMALL.units[5].dts) / TICKS_PER_SECOND


def tags_of(media: Media, first_ms: int = 0) -> list[Tag]:
    muxer, tracks = BodyMuxer(), {track.track_id: track for track in media.tracks.tracks}
    headers = [muxer.sequence_header(track) for track in tracks.values()]
    tags = [Tag(header[0], first_ms, header[1]) for header in headers if header is not None]
    for unit in media.units:
        track = tracks[unit.track_id]
        body = muxer.body_prefix(track, unit) + unit.payload
        tags.append(Tag(muxer.type_id(track), first_ms + unit.dts // 90, body))
    return tags


def test_the_media_of_a_file_is_what_is_in_it_from_time_0_on() -> None:
    media = media_of_tags(tags_of(SMALL, first_ms=5000))
    assert [unit.payload for unit in media.units if unit.track_id == 1] == [
        unit.payload for unit in SMALL.units if unit.track_id == 1
    ]
    assert media.units[0].dts == 0
    assert abs(media.run_ticks - SMALL.run_ticks) < 2 * 90
    assert media.tracks.tracks[0].configuration == SMALL.tracks.tracks[0].configuration


def test_files_that_cannot_be_sent_in_a_loop_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="without a frame"):
        media_of_tags([])
    tags = tags_of(SMALL)
    other = made_media(bitrate_bps=9_000_000, frame_rate=Fraction(25), key_s=0.2, audio_bps=0)
    with pytest.raises(RemoteProtocolError, match="changes"):
        media_of_tags([*tags, tags_of(other)[0]])


def read_back(wire: bytes, count: int) -> list[AccessUnit]:
    demuxer, reader = BodyDemuxer(), ChunkReader()
    reader.chunk_size = 60_000
    tape = RtmpTape(SMALL, chunk_size=60_000, stream_id=1)
    for type_id, body in tape.head():
        demuxer.demux(type_id, 0, body)
    found = [event for msg in reader.feed(wire) for event in demuxer.demux(msg.type_id, msg.timestamp_ms, msg.payload)]
    units = [event for event in found if isinstance(event, AccessUnit)]
    assert len(units) == count
    return units


def test_a_tape_of_rtmp_is_what_a_server_reads() -> None:
    tape = RtmpTape(SMALL, chunk_size=60_000, stream_id=1)
    count = len(SMALL.units) + 50
    units = read_back(b"".join(tape.at(number) for number in range(count)), count)
    assert [unit.payload for unit in units] == [SMALL.unit(number).payload for number in range(count)]
    assert [unit.dts // 90 for unit in units] == [SMALL.unit(number).dts // 90 for number in range(count)]


def test_a_tape_makes_each_entry_once_and_forgets_what_it_is_told_to() -> None:
    tape = RtmpTape(SMALL, chunk_size=60_000, stream_id=1)
    entry = tape.at(FORGET_ENTRIES + 10)
    assert tape.at(FORGET_ENTRIES + 10) is entry
    tape.forget(FORGET_ENTRIES + 5)
    assert tape.at(FORGET_ENTRIES + 10) is entry
    assert len(tape._entries) == 6


def test_the_tapes_of_rtsp_have_the_same_packets() -> None:
    frames = InterleavedTape(SMALL, lambda size: bytes(size), wall_us=10**15)
    datagrams = DatagramTape(SMALL, lambda size: bytes(size), wall_us=10**15)
    assert frames.description == datagrams.description
    assert frames.controls == ["streamid=0", "streamid=1"]
    reader, found = MessageReader(), []
    for number in range(100):
        for message in reader.feed(frames.at(number)):
            assert isinstance(message, InterleavedFrame)
            found.append((message.channel, bytes(message.payload)))
    told = [
        (2 * track + is_rtcp, packet) for number in range(100) for track, group, is_rtcp in datagrams.at(number) for packet in group
    ]
    assert found == told
    assert {channel for channel, _ in found} == {0, 1, 2, 3}
