import contextlib
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ts_units import (
    AUDIO_ONLY,
    BOTH,
    VIDEO,
    VIDEO_ONLY,
    captured,
    in_order,
    muxed,
    picture,
    pictures,
    sounds,
    track,
)

from lalmesh.codec import build_track, h264
from lalmesh.codec.aac import AudioSpecificConfig, adts_header
from lalmesh.codec.nalu import join_annexb, join_avcc
from lalmesh.codec.opus import OpusHead
from lalmesh.container.mpegts import PACKET_BYTES, TIME_OFFSET_TICKS, TsDemuxer, TsMuxer
from lalmesh.container.mpegts._packets import PidWriter, adaptation, table_packet
from lalmesh.container.mpegts._pes import pes_header
from lalmesh.container.mpegts._psi import Section, StreamInfo, pat_body, pmt_body
from lalmesh.media import AccessUnit, Codec, MediaEvent, PassedOver, TrackEnded, TracksChanged, TrackSet

PMT_PID, VIDEO_PID, AUDIO_PID = 0x20, 0x31, 0x32
AAC_LC_48K = AudioSpecificConfig(sample_rate_hz=48_000, channel_configuration=2)
RECORD = h264.AvcDecoderConfigurationRecord.parse(VIDEO.configuration)
SETS = (*RECORD.sps, *RECORD.pps)
DELIMITER = b"\x09\xf0"

# one frame each, all silence or noise behind a right header: layer II of 48 kbit/s at 48 kHz, layer III of 32 kbit/s at 22.05 kHz,
# AC-3 of 64 kbit/s stereo at 48 kHz, E-AC-3 of 512 bytes stereo at 48 kHz
MP2_FRAME = bytes.fromhex("fffd2404") + bytes(140)
MP3_FRAME = bytes.fromhex("fff340c4") + b"\x55" * 100
AC3_FRAME = bytes.fromhex("0b77 0000 08 40 43 00") + bytes(248)
EAC3_FRAME = bytes.fromhex("0b77 00ff 34 80 00 00") + bytes(504)


def demuxed(wire: bytes) -> tuple[list[MediaEvent], TsDemuxer]:
    demuxer = TsDemuxer()
    return [*demuxer.feed(wire), *demuxer.flush()], demuxer


def units_of(events: list[MediaEvent]) -> list[AccessUnit]:
    return [event for event in events if isinstance(event, AccessUnit)]


def later(units: list[AccessUnit]) -> list[AccessUnit]:
    """What was muxed as it has to come back."""
    return [AccessUnit(unit.track_id, unit.dts + TIME_OFFSET_TICKS, unit.cts, unit.random_access, unit.payload) for unit in units]


def by_track(units: list[AccessUnit]) -> dict[int, list[AccessUnit]]:
    """A picture comes out when the next begins: only the order within a track is kept."""
    return {track_id: [unit for unit in units if unit.track_id == track_id] for track_id in (1, 2)}


def table(*streams: StreamInfo, version: int = 0, program: int = 1, counter: int = 0) -> bytes:
    """PAT and PMT of one program."""
    pat = Section(0, 1, 0, True, pat_body([(program, PMT_PID)])).serialize()
    pmt = Section(2, program, version, True, pmt_body(VIDEO_PID, streams)).serialize()
    return table_packet(0, counter, pat) + table_packet(PMT_PID, counter, pmt)


H264, AAC = StreamInfo(VIDEO_PID, 0x1B), StreamInfo(AUDIO_PID, 0x0F)


class Line:
    """Writes PES packets by hand."""

    def __init__(self) -> None:
        self.video, self.audio = PidWriter(VIDEO_PID), PidWriter(AUDIO_PID)

    def picture(self, dts: int, *nalus: bytes, pts: int | None = None) -> bytes:
        body = join_annexb(nalus)
        return self.video.write(b"", pes_header(0xE0, len(body), dts if pts is None else pts, dts) + body)

    def more(self, *nalus: bytes) -> bytes:
        """A PES packet without a time."""
        return self.video.write(b"", bytes.fromhex("000001e0 0000 80 00 00") + join_annexb(nalus))

    def sound(self, pts: int, body: bytes, *, stream_id: int = 0xC0) -> bytes:
        return self.audio.write(b"", pes_header(stream_id, len(body), pts, pts) + body)


def adts(size: int = 20) -> bytes:
    return adts_header(AAC_LC_48K, size) + b"\x21" * size


# round trips


@pytest.mark.parametrize("name", ["h264-aac-bframes", "hevc-aac-enhanced", "mp3", "ac3-enhanced", "eac3-enhanced"])
def test_a_capture_comes_back_as_it_was(name: str) -> None:
    tracks, units = captured(name)
    events, demuxer = demuxed(muxed(units, tracks))
    assert by_track(units_of(events)) == by_track(later(units))
    for sent in tracks.tracks:
        got = demuxer.tracks.get(sent.track_id)
        assert got is not None
        assert (got.codec, got.width, got.height, got.sample_rate_hz) == (sent.codec, sent.width, sent.height, sent.sample_rate_hz)
    assert demuxer.counters.unsupported == 0


def test_opus_comes_back_beside_a_codec_that_cannot_be_carried() -> None:
    tracks, units = captured("av1-opus-enhanced")
    events, demuxer = demuxed(muxed(units, tracks))
    assert units_of(events) == later([unit for unit in units if unit.track_id == 2])
    assert [(one.codec, one.channels) for one in demuxer.tracks.tracks] == [(Codec.OPUS, 2)]


@pytest.mark.parametrize(
    ("codec", "rate", "frame"),
    [
        (Codec.MP2, 48_000, MP2_FRAME),
        (Codec.MP3, 22_050, MP3_FRAME),
        (Codec.AC3, 48_000, AC3_FRAME),
        (Codec.EAC3, 48_000, EAC3_FRAME),
    ],
)
def test_the_header_of_a_frame_tells_its_codec(codec: Codec, rate: int, frame: bytes) -> None:
    units = [AccessUnit(2, 2160 * number, 0, True, frame) for number in range(3)]
    events, demuxer = demuxed(muxed(units, TrackSet((track(codec, rate=rate),))))
    assert units_of(events) == later(units)
    assert (demuxer.tracks.tracks[0].codec, demuxer.tracks.tracks[0].sample_rate_hz) == (codec, rate)


@pytest.mark.parametrize("channels", range(9))
def test_opus_heads_of_all_layouts_come_back(channels: int) -> None:
    layouts = {
        0: OpusHead(channels=2, mapping_family=255, stream_count=2, channel_mapping=b"\0\1"),
        3: OpusHead(channels=3, mapping_family=1, stream_count=2, coupled_count=1, channel_mapping=b"\0\2\1"),
        6: OpusHead(channels=6, mapping_family=1, stream_count=4, coupled_count=2, channel_mapping=b"\0\4\1\2\3\5"),
    }
    head = layouts.get(channels) or OpusHead(channels=min(channels, 2))
    one = track(Codec.OPUS, head.serialize())
    _, demuxer = demuxed(muxed([AccessUnit(2, 0, 0, True, b"\xfc" + bytes(30))], TrackSet((one,))))
    back = OpusHead.parse(demuxer.tracks.tracks[0].configuration)
    assert (back.channels, back.stream_count, back.channel_mapping) == (head.channels, head.stream_count, head.channel_mapping)


def test_the_tracks_come_before_their_first_units() -> None:
    events, _ = demuxed(muxed(in_order(pictures(0, 0.2), sounds(0, 0.2)), BOTH))
    known: set[int] = set()
    for event in events:
        if isinstance(event, TracksChanged):
            known = {one.track_id for one in event.tracks.tracks}
        elif isinstance(event, AccessUnit):
            assert event.track_id in known


def test_a_new_configuration_is_a_new_version() -> None:
    muxer = TsMuxer()
    wire = muxed(sounds(0, 0.1), AUDIO_ONLY, muxer)
    wire += muxed(sounds(9600, 0.1), TrackSet((build_track(2, Codec.AAC, bytes.fromhex("1210"), version=1),)), muxer)
    events, demuxer = demuxed(wire)
    assert [event.tracks.tracks[0].sample_rate_hz for event in events if isinstance(event, TracksChanged)] == [48_000, 44_100]
    assert demuxer.tracks.tracks[0].version == 1


def test_times_are_unwrapped() -> None:
    start = (1 << 33) - TIME_OFFSET_TICKS - 45_000
    units = in_order(pictures(start, 1), sounds(start, 1))
    events, _ = demuxed(muxed(units, BOTH))
    assert by_track(units_of(events)) == by_track(later(units))


def test_pictures_shown_before_the_wrap_and_decoded_after_it_keep_their_distance() -> None:
    line = Line()
    wire = table(H264) + line.picture(5, *SETS, b"\x65\x88", pts=5) + line.picture((1 << 33) - 100, b"\x41\x9a", pts=200)
    assert [(unit.dts, unit.cts) for unit in units_of(demuxed(wire)[0])] == [(5, 0), (-100, 300)]


# pictures


def test_a_picture_of_several_pes_packets_is_one_unit() -> None:
    line = Line()
    wire = table(H264) + line.picture(0, *SETS, b"\x65\x88") + line.more(b"\x65\x89") + line.picture(3600, b"\x41\x9a")
    assert [unit.payload for unit in units_of(demuxed(wire)[0])] == [
        join_avcc([b"\x65\x88", b"\x65\x89"]),
        join_avcc([b"\x41\x9a"]),
    ]


def test_several_pictures_of_one_pes_packet_are_cut_at_their_delimiters() -> None:
    line = Line()
    wire = table(H264) + line.picture(9000, DELIMITER, *SETS, b"\x65\x88", DELIMITER, b"\x41\x9a", DELIMITER, b"\x41\x9b")
    assert [(unit.dts, unit.random_access) for unit in units_of(demuxed(wire)[0])] == [
        (9000, True),
        (12_600, False),
        (16_200, False),
    ]


def test_parameter_sets_alone_are_no_unit() -> None:
    events, demuxer = demuxed(table(H264) + Line().picture(0, DELIMITER, *SETS))
    assert events == [TracksChanged(demuxer.tracks)]


def test_pictures_before_their_parameter_sets_are_counted() -> None:
    line = Line()
    wire = table(H264) + line.picture(0, b"\x41\x9a") + line.picture(3600, *SETS, b"\x65\x88")
    events, demuxer = demuxed(wire)
    assert [unit.dts for unit in units_of(events)] == [3600]
    assert demuxer.counters.classes == {PassedOver.NO_CONFIGURATION: 1}


def test_a_further_parameter_set_is_added_to_the_others() -> None:
    line = Line()
    wire = table(H264) + line.picture(0, *SETS, b"\x65\x88") + line.picture(3600, b"\x68\x5b\xcd", b"\x41\x9a")
    _, demuxer = demuxed(wire)
    record = h264.AvcDecoderConfigurationRecord.parse(demuxer.tracks.tracks[0].configuration)
    assert (record.sps, record.pps) == (RECORD.sps, (*RECORD.pps, b"\x68\x5b\xcd"))


def test_broken_parameter_sets_are_counted_and_others_awaited() -> None:
    line = Line()
    wire = table(H264) + line.picture(0, b"\x67\x64", *RECORD.pps, b"\x65\x88") + line.picture(3600, *SETS, b"\x65\x88")
    events, demuxer = demuxed(wire)
    assert [unit.dts for unit in units_of(events)] == [3600]
    assert demuxer.counters.unsupported == 2


@pytest.mark.parametrize("body", [b"\x01\x02", b"x" + join_annexb([b"\x65\x88"])])
def test_a_malformed_picture_is_counted(body: bytes) -> None:
    wire = table(H264) + PidWriter(VIDEO_PID).write(b"", pes_header(0xE0, len(body), 0, 0) + body)
    events, demuxer = demuxed(wire)
    assert (events, demuxer.counters.reasons) == ([], {"malformed h264 picture": 1})


# sounds


def test_frames_that_share_a_pes_packet_follow_by_their_samples() -> None:
    events, _ = demuxed(table(AAC) + Line().sound(9000, adts(20) + adts(30) + adts(10)))
    assert [(unit.dts, len(unit.payload)) for unit in units_of(events)] == [(9000, 20), (10_920, 30), (12_840, 10)]


def test_a_frame_may_cross_from_one_pes_packet_to_the_next() -> None:
    line, frames = Line(), adts(40) * 3
    wire = table(AAC) + line.sound(9000, frames[:60]) + line.sound(12_900, frames[60:])
    assert [unit.dts for unit in units_of(demuxed(wire)[0])] == [9000, 10_920, 12_900]


@pytest.mark.parametrize(
    ("info", "frame"),
    [
        (AAC, adts(300)),
        (StreamInfo(AUDIO_PID, 0x03), MP2_FRAME),
        (StreamInfo(AUDIO_PID, 0x81), AC3_FRAME),
        (StreamInfo(AUDIO_PID, 0x06, ((5, b"Opus"), (0x7F, b"\x80\x02"))), bytes.fromhex("7fe0 ff05 fc") + bytes(259)),
    ],
)
@pytest.mark.parametrize("cut", [1, 3, 100, -1])
def test_a_frame_may_be_cut_anywhere(info: StreamInfo, frame: bytes, cut: int) -> None:
    line = Line()
    wire = table(info) + line.sound(9000, frame + frame[:cut]) + line.sound(12_900, frame[cut:] + frame)
    events, demuxer = demuxed(wire)
    assert [unit.dts for unit in units_of(events)][::2] == [9000, 12_900]
    assert len({unit.payload for unit in units_of(events)}) == 1
    assert demuxer.counters.unsupported == 0


def test_frames_without_a_time_are_counted() -> None:
    body = bytes.fromhex("000001c0 0000 80 00 00") + adts()
    events, demuxer = demuxed(table(AAC) + Line().audio.write(b"", body) + table(AAC))
    assert (events, demuxer.counters.reasons) == ([], {"audio frame without a time": 1})


def test_frames_without_a_time_of_their_own_follow_by_their_samples() -> None:
    line = Line()
    wire = table(AAC) + line.sound(9000, adts()) + line.audio.write(b"", bytes.fromhex("000001c0 001e 80 00 00") + adts())
    assert [unit.dts for unit in units_of(demuxed(wire)[0])] == [9000, 10_920]


def test_an_opus_packet_that_does_not_end_is_given_up() -> None:
    info, line = StreamInfo(AUDIO_PID, 6, ((5, b"Opus"), (0x7F, b"\x80\x02"))), Line()
    wire = table(info) + line.sound(0, b"\x7f\xe0" + b"\xff" * 65_000) + line.sound(960, bytes.fromhex("7fe0 02 fc03"))
    events, demuxer = demuxed(wire)
    assert [unit.dts for unit in units_of(events)] == [960]
    assert demuxer.counters.reasons == {"audio frame that does not end": 1}


def test_noise_between_frames_is_passed_over() -> None:
    events, demuxer = demuxed(table(AAC) + Line().sound(0, b"noise" + adts() + b"\xff\x00" + adts()))
    assert len(units_of(events)) == 2
    assert set(demuxer.counters.reasons) == {"audio frame without a right header"}


def test_a_pes_packet_of_noise_is_given_up() -> None:
    _, demuxer = demuxed(table(AAC) + Line().sound(0, b"\xff\xf1" * 5000))
    assert demuxer.counters.unsupported < 40


def test_aac_of_several_blocks_or_unknown_channels_is_counted() -> None:
    blocks, channels = bytearray(adts()), bytearray(adts())
    blocks[6] |= 1
    channels[2:4] = channels[2] & 0xFE, channels[3] & 0x3F
    events, demuxer = demuxed(table(AAC) + Line().sound(0, bytes(blocks) + bytes(channels)))
    assert (events, demuxer.counters.classes) == ([], {PassedOver.UNSUPPORTED_CODEC: 2})


def test_dependent_substreams_belong_to_the_unit_before_them() -> None:
    dependent = EAC3_FRAME[:2] + b"\x40" + EAC3_FRAME[3:]  # strmtyp 1
    body = EAC3_FRAME + dependent + EAC3_FRAME
    events, demuxer = demuxed(table(StreamInfo(AUDIO_PID, 0x87)) + Line().sound(0, dependent + body, stream_id=0xBD))
    assert [len(unit.payload) for unit in units_of(events)] == [1024, 512]
    assert demuxer.counters.reasons == {"substream without its first": 1}


def test_the_trims_of_an_opus_control_header_are_passed_over() -> None:
    info = StreamInfo(AUDIO_PID, 6, ((5, b"Opus"), (0x7F, b"\x80\x02")))
    body = bytes.fromhex("7ffc 03 0138 0000 01aa fc0102")  # both trims, an extension of one byte
    events, _ = demuxed(table(info) + Line().sound(0, body + bytes.fromhex("7fe0 02 fc03"), stream_id=0xBD))
    assert [(unit.dts, unit.payload.hex()) for unit in units_of(events)] == [(0, "fc0102"), (1800, "fc03")]


@pytest.mark.parametrize("code", [b"\x80", b"\x80\x83", b"\x80\xff"])
def test_opus_layouts_that_are_not_supported_are_counted(code: bytes) -> None:
    info = StreamInfo(AUDIO_PID, 6, ((5, b"Opus"), (0x7F, code)))
    _, demuxer = demuxed(table(info) + Line().sound(0, bytes.fromhex("7fe0 02 fc03")))
    assert demuxer.counters.classes == {PassedOver.UNSUPPORTED_CODEC: 1}


@pytest.mark.parametrize("tag", [0x6A, 0x7A])
def test_dvb_names_ac3_by_a_descriptor_of_its_own(tag: int) -> None:
    wire = table(StreamInfo(AUDIO_PID, 6, ((tag, b"\x00"),))) + Line().sound(0, AC3_FRAME, stream_id=0xBD)
    assert len(units_of(demuxed(wire)[0])) == 1


# the program


def test_the_first_program_and_the_first_stream_of_each_kind_are_taken() -> None:
    pat = table_packet(0, 0, Section(0, 1, 0, True, pat_body([(0, 0x10), (5, PMT_PID), (6, 0x21)])).serialize())
    other = table_packet(0x21, 0, Section(2, 6, 0, True, pmt_body(0x99, [StreamInfo(0x99, 0x1B)])).serialize())
    second = StreamInfo(0x33, 0x0F)
    wire = pat + other + table(AAC, second, StreamInfo(0x34, 0x86), H264, program=5)[PACKET_BYTES:] + Line().sound(0, adts())
    events, demuxer = demuxed(wire + PidWriter(0x33).write(b"", pes_header(0xC0, 27, 0, 0) + adts()))
    assert len(units_of(events)) == 1
    assert demuxer.counters.classes == {PassedOver.EXTRA_TRACK: 1, PassedOver.UNSUPPORTED_CODEC: 1}


def test_a_stream_that_leaves_the_program_has_ended() -> None:
    line = Line()
    wire = table(H264, AAC) + line.picture(0, *SETS, b"\x65\x88") + line.sound(0, adts())
    events, _ = demuxed(wire + table(AAC, version=1, counter=1) + line.sound(1920, adts()))
    assert [type(event) for event in events[-3:]] == [AccessUnit, TrackEnded, AccessUnit]
    assert events[-2] == TrackEnded(1)


def test_a_stream_that_takes_another_pid_goes_on() -> None:
    line = Line()
    wire = table(AAC) + line.sound(0, adts()) + table(StreamInfo(VIDEO_PID, 0x0F), version=1, counter=1)
    events, demuxer = demuxed(wire + line.video.write(b"", pes_header(0xC0, 27, 1920, 1920) + adts()))
    assert [unit.dts for unit in units_of(events)] == [0, 1920]
    assert not [event for event in events if isinstance(event, TrackEnded)]
    assert demuxer.tracks.version == 1


def test_a_program_may_move_to_another_pid() -> None:
    wire = table(AAC) + table_packet(0, 1, Section(0, 1, 1, True, pat_body([(1, 0x21)])).serialize())
    wire += table_packet(0x21, 0, Section(2, 1, 1, True, pmt_body(0x1FFF, [AAC])).serialize())
    assert len(units_of(demuxed(wire + Line().sound(0, adts()))[0])) == 1


def test_packets_without_a_payload_and_other_tables_say_nothing() -> None:
    other = table_packet(PMT_PID, 1, Section(0x40, 1, 0, True, b"").serialize())
    empty = bytes.fromhex("47 00 32 20 b7 00") + b"\xff" * 182
    events, demuxer = demuxed(table(AAC) + other + empty + Line().sound(0, adts()))
    assert len(units_of(events)) == 1
    assert (demuxer.counters.unsupported, demuxer.counters.continuity_gaps) == (0, 0)


def test_a_private_stream_that_nobody_names_is_counted() -> None:
    _, demuxer = demuxed(table(StreamInfo(AUDIO_PID, 6, ((5, b"KLVA"),))))
    assert demuxer.counters.reasons == {"stream_type 0x06": 1}


def test_a_table_that_is_broken_or_not_yet_in_force_changes_nothing() -> None:
    wire = bytearray(table(AAC))
    wire[PACKET_BYTES + 20] ^= 1
    later_on = table_packet(PMT_PID, 1, Section(2, 1, 1, False, pmt_body(0x1FFF, [AAC])).serialize())
    events, demuxer = demuxed(bytes(wire) + later_on + Line().sound(0, adts()))
    assert (events, demuxer.counters.reasons) == ([], {"malformed table": 1})


# loss


def lossy(drop: int) -> tuple[list[AccessUnit], TsDemuxer]:
    """A stream of pictures of 5 packets each, less one packet."""
    wire = muxed([picture(3600 * number, key=number == 0, size=800) for number in range(6)], VIDEO_ONLY)
    events, demuxer = demuxed(wire[: drop * PACKET_BYTES] + wire[(drop + 1) * PACKET_BYTES :])
    return units_of(events), demuxer


@pytest.mark.parametrize("drop", [8, 10, 11])
def test_a_picture_with_a_missing_packet_is_dropped_and_counted(drop: int) -> None:
    units, demuxer = lossy(drop)
    assert [unit.dts - TIME_OFFSET_TICKS for unit in units] == [0, 7200, 10_800, 14_400, 18_000]
    assert demuxer.counters.continuity_gaps == 1


def test_a_packet_that_came_twice_is_taken_once() -> None:
    wire = muxed([picture(0, key=True, size=800), picture(3600)], VIDEO_ONLY)
    at = 4 * PACKET_BYTES
    events, demuxer = demuxed(wire[:at] + wire[at - PACKET_BYTES : at] + wire[at:])
    assert len(units_of(events)) == 2
    assert demuxer.counters.continuity_gaps == 0


def test_a_gap_that_was_announced_is_none() -> None:
    line = Line()
    wire = table(AAC) + line.sound(0, adts())
    line.audio.counter = 9
    wire += line.audio.write(adaptation(0x80), pes_header(0xC0, 27, 1920, 1920) + adts())
    events, demuxer = demuxed(wire)
    assert len(units_of(events)) == 2
    assert demuxer.counters.continuity_gaps == 0


@pytest.mark.parametrize(("at", "bit", "reason"), [(1, 0x80, "damaged packet"), (3, 0x80, "scrambled packet")])
def test_a_damaged_or_scrambled_packet_is_passed_over(at: int, bit: int, reason: str) -> None:
    packet = bytearray(Line().sound(0, adts()))
    packet[at] |= bit
    events, demuxer = demuxed(table(AAC) + bytes(packet))
    assert (events, demuxer.counters.reasons) == ([], {reason: 1})


@pytest.mark.parametrize("noise", [b"noise", bytes(300), b"\x47" * 5, b"\x47" + bytes(186)])
def test_packets_are_found_again_behind_noise(noise: bytes) -> None:
    units, muxer = pictures(0, 1), TsMuxer()
    begin, end = muxed(units[:10], VIDEO_ONLY, muxer), muxed(units[10:], VIDEO_ONLY, muxer)
    events, demuxer = demuxed(begin + noise + end)
    assert len(units_of(events)) >= 24
    assert 0 < demuxer.counters.lost_bytes <= 2 * PACKET_BYTES


def test_a_stream_may_begin_with_noise() -> None:
    events, demuxer = demuxed(b"noise" + muxed(pictures(0, 1), VIDEO_ONLY))
    assert len(units_of(events)) == 25
    assert demuxer.counters.lost_bytes == 5


def test_a_pes_packet_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lalmesh.container.mpegts._pids.MAX_PES_BYTES", 1000)
    line = Line()
    wire = table(H264) + line.picture(0, *SETS, b"\x65\x88") + line.picture(3600, b"\x41" * 70_000)
    events, demuxer = demuxed(wire + line.picture(7200, b"\x41\x9a"))
    assert [unit.dts for unit in units_of(events)] == [0, 7200]
    assert demuxer.counters.reasons == {"PES packet over 16 MiB": 1}


def test_a_picture_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lalmesh.container.mpegts._pictures.MAX_PICTURE_BYTES", 300)
    line = Line()
    wire = table(H264) + line.picture(0, *SETS, b"\x65\x88") + line.picture(3600, b"\x41" * 200) + line.more(b"\x41" * 200)
    events, demuxer = demuxed(wire + line.more(b"\x41\x9a"))
    assert [unit.dts for unit in units_of(events)] == [0]
    assert set(demuxer.counters.reasons) == {"picture over 16 MiB", "PES packet without a time"}


# any bytes


@cache
def whole(name: str) -> bytes:
    tracks, units = captured(name)
    return muxed(units, tracks)


def split(wire: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    while at < len(wire):
        yield wire[at : at + sizes[at % len(sizes)]]
        at += sizes[at % len(sizes)]


@given(
    st.sampled_from(["h264-aac-bframes", "av1-opus-enhanced"]),
    st.lists(st.integers(1, 900), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 12_000), st.binary(max_size=3)), max_size=3),
)
def test_any_split_of_the_bytes_gives_the_same_events(name: str, sizes: list[int], damage: list[tuple[int, bytes]]) -> None:
    wire = whole(name)
    for at, noise in damage:
        wire = wire[:at] + noise + wire[at + 2 :]
    demuxer = TsDemuxer()
    seen = [event for part in split(wire, sizes) for event in demuxer.feed(part)] + list(demuxer.flush())
    once, other = demuxed(wire)
    assert seen == once
    assert demuxer.counters == other.counters


@given(st.lists(st.tuples(st.sampled_from([0, PMT_PID, VIDEO_PID, AUDIO_PID]), st.binary(max_size=60), st.booleans()), max_size=12))
def test_any_packets_give_events_or_nothing(sent: list[tuple[int, bytes, bool]]) -> None:
    wire = table(H264, AAC)
    for number, (pid, body, starts) in enumerate(sent):
        head = bytes((0x47, (0x40 if starts else 0) | pid >> 8, pid & 0xFF, 0x10 | number % 16))
        wire += head + (b"\0\0\1" * starts + body).ljust(184, b"\xff")
    demuxed(wire)


@given(st.binary(max_size=800), st.booleans())
def test_any_bytes_give_events_or_nothing(noise: bytes, in_packets: bool) -> None:
    if in_packets:
        noise = b"".join(b"\x47" + noise[at : at + 187].ljust(187, b"\0") for at in range(0, len(noise), 187))
    demuxed(noise)


def test_every_prefix_of_a_stream_is_read() -> None:
    wire = whole("h264-aac-bframes")[: 60 * PACKET_BYTES]
    for end in range(0, len(wire), 61):
        demuxed(wire[:end])


def test_an_iterator_that_is_dropped_loses_nothing() -> None:
    demuxer, wire = TsDemuxer(), muxed(sounds(0, 1), AUDIO_ONLY)
    with contextlib.suppress(StopIteration):
        next(demuxer.feed(wire))
    assert len(units_of(list(demuxer.feed(b"")))) >= len(sounds(0, 1)) - 1
