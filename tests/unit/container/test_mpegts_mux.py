import json
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transport_stream import Packet, check_continuity, packets, pes_packets, pmts, widest
from support.ts_units import (
    AAC_TICKS,
    AUDIO,
    AUDIO_ONLY,
    BOTH,
    VIDEO,
    VIDEO_ONLY,
    captured,
    in_order,
    muxed,
    picture,
    pictures,
    sound,
    sounds,
    track,
)

from lalmesh.codec import build_track
from lalmesh.codec.opus import OpusHead
from lalmesh.container.mpegts import (
    MAX_STREAMS,
    PCR_INTERVAL_TICKS,
    PCR_LEAD_TICKS,
    TABLE_INTERVAL_TICKS,
    TABLES_BYTES,
    TIME_OFFSET_TICKS,
    Continuity,
    TsMuxer,
)
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, TrackSet

VIDEO_PID, AUDIO_PID = 0x100, 0x101
HOUR = 3600 * TICKS_PER_SECOND


def pcrs(stream: list[Packet], pid: int = VIDEO_PID) -> list[int]:
    return [packet.pcr for packet in stream if packet.pid == pid and packet.pcr is not None]


def table_times(stream: list[Packet]) -> list[int]:
    """The first PCR behind each PAT and PMT that has one behind it."""
    later = [[packet.pcr for packet in stream[table.at :] if packet.pcr is not None] for table in pmts(stream)]
    return [clock[0] for clock in later if clock]


def first_table(tracks: TrackSet, unit: AccessUnit) -> dict[int, tuple[int, bytes]]:
    table = pmts(packets(muxed([unit], tracks)))[0]
    return {pid: (kind, table.descriptors[pid]) for pid, kind in table.streams.items()}


def test_a_stream_begins_with_its_tables_and_a_pcr() -> None:
    stream = packets(muxed([picture(0, key=True)], BOTH))
    assert [packet.pid for packet in stream[:3]] == [0, 0x1000, VIDEO_PID]
    table = pmts(stream)[0]
    assert (table.version, table.pcr_pid, table.streams) == (0, VIDEO_PID, {VIDEO_PID: 0x1B, AUDIO_PID: 0x0F})
    assert stream[2].random_access
    assert stream[2].pcr == TIME_OFFSET_TICKS - PCR_LEAD_TICKS


def test_a_picture_goes_out_with_both_its_times() -> None:
    (pes,) = pes_packets(packets(muxed([picture(900, cts=7200, key=True)], BOTH)), VIDEO_PID)
    assert (pes.stream_id, pes.aligned, pes.dts, pes.pts) == (0xE0, True, 900 + TIME_OFFSET_TICKS, 8100 + TIME_OFFSET_TICKS)


def test_a_large_picture_says_no_length_and_an_audio_frame_always_does() -> None:
    stream = packets(muxed([picture(0, key=True, size=70_000), sound(0)], BOTH))
    assert (pes_packets(stream, VIDEO_PID)[0].length, pes_packets(stream, AUDIO_PID)[0].length) == (0, 8 + 7 + 90)
    check_continuity(stream)


@pytest.mark.parametrize(
    ("codec", "configuration", "rate", "stream_type", "descriptors"),
    [
        (Codec.MP2, b"", 48_000, 0x03, b""),
        (Codec.MP3, b"", 22_050, 0x04, b""),
        (Codec.AC3, b"", 48_000, 0x81, b"\x05\x04AC-3"),
        (Codec.EAC3, b"", 48_000, 0x87, b"\x05\x04EAC3"),
        (Codec.OPUS, b"", 48_000, 0x06, b"\x05\x04Opus\x7f\x02\x80\x02"),
        (Codec.OPUS, OpusHead(channels=1).serialize(), 48_000, 0x06, b"\x05\x04Opus\x7f\x02\x80\x01"),
    ],
)
def test_each_audio_codec_has_its_stream_type(
    codec: Codec, configuration: bytes, rate: int, stream_type: int, descriptors: bytes
) -> None:
    one = track(codec, configuration, rate=rate)
    assert first_table(TrackSet((one,)), sound(0)) == {AUDIO_PID: (stream_type, descriptors)}


def test_h265_has_its_stream_type() -> None:
    tracks, units = captured("hevc-aac-enhanced")
    assert first_table(tracks, units[0])[VIDEO_PID] == (0x24, b"")


def test_what_cannot_be_carried_is_left_out() -> None:
    tracks = TrackSet((VIDEO, track(Codec.PCMA)))
    stream = packets(muxed([picture(0, key=True), sound(0)], tracks))
    assert pmts(stream)[0].streams == {VIDEO_PID: 0x1B}
    assert muxed([sound(0)], tracks) == b""
    assert TsMuxer().tables_for(TrackSet((track(Codec.PCMA),)), 0) == b""


def test_a_malformed_unit_is_counted_and_left_out() -> None:
    muxer = TsMuxer()
    assert muxed([AccessUnit(1, 0, 0, True, b"\0\0\0\x09\x65")], BOTH, muxer) == b""
    assert muxer.counters.reasons == {"malformed h264 unit": 1}


def test_no_more_tracks_go_out_than_one_table_holds() -> None:
    many = TrackSet(tuple(track(Codec.MP3, track_id=number) for number in range(1, 12)))
    stream = packets(muxed([sound(0, track_id=number) for number in range(1, 12)], many))
    assert len(pmts(stream)[0].streams) == MAX_STREAMS


# PSI


def test_tables_go_before_each_random_access_point() -> None:
    stream = packets(muxed(pictures(0, 2, gop=8), VIDEO_ONLY))
    starts = [number for number, packet in enumerate(stream) if packet.random_access]
    assert len(starts) == 7
    assert {table.at + 2 for table in pmts(stream)} >= set(starts)


@pytest.mark.parametrize("step", [1800, 3003, 3600, 9000, 13_500, 45_000, 90_000])
def test_tables_and_clock_come_often_enough_at_any_picture_rate(step: int) -> None:
    stream = packets(muxed(pictures(0, 8, step=step, gop=500), VIDEO_ONLY))
    check_continuity(stream)
    assert widest(pcrs(stream)) <= PCR_INTERVAL_TICKS
    assert widest(table_times(stream)) <= TABLE_INTERVAL_TICKS


@pytest.mark.parametrize("step", [240, 960, 1920, 5760, 11_520])
def test_audio_alone_has_tables_and_clock_too(step: int) -> None:
    stream = packets(muxed(sounds(0, 5, step), AUDIO_ONLY))
    check_continuity(stream)
    assert widest(pcrs(stream, AUDIO_PID)) <= PCR_INTERVAL_TICKS
    assert widest(table_times(stream)) <= TABLE_INTERVAL_TICKS
    assert not [packet for packet in stream if packet.random_access and packet.pcr is None]  # §2.4.3.5


def test_another_track_drives_the_clock_between_slow_pictures() -> None:
    units = in_order(pictures(0, 4, step=45_000), sounds(0, 4))
    stream = packets(muxed(units, BOTH))
    assert widest(pcrs(stream)) <= PCR_INTERVAL_TICKS
    assert sum(packet.pcr is not None and packet.payload is None for packet in stream) > 20
    pes = pes_packets(stream, VIDEO_PID) + pes_packets(stream, AUDIO_PID)
    assert all(last_pcr(stream, one.at) <= (one.dts or 0) for one in pes)


def last_pcr(stream: list[Packet], at: int) -> int:
    return next(pcr for index in range(at, -1, -1) if (pcr := stream[index].pcr) is not None)


def test_audio_that_runs_ahead_does_not_push_the_clock() -> None:
    ahead = TICKS_PER_SECOND // 2
    units = in_order(pictures(0, 5), [AccessUnit(2, unit.dts, 0, True, unit.payload) for unit in sounds(0, 5)])
    shifted = [AccessUnit(2, unit.dts + ahead, 0, True, unit.payload) if unit.track_id == 2 else unit for unit in units]
    stream = packets(muxed(shifted, BOTH))
    assert all(last_pcr(stream, pes.at) < (pes.dts or 0) for pes in pes_packets(stream, VIDEO_PID))


@given(
    st.sampled_from([1500, 3003, 3600, 6000, 9000, 18_000, 45_000]),
    st.sampled_from([240, 1920, 2090, 5760, 11_520]),
    st.integers(-9000, 9000),
    st.integers(1, 60),
)
def test_any_mix_of_tracks_keeps_tables_and_clock_in_time(picture_step: int, sound_step: int, skew: int, gop: int) -> None:
    video, audio = pictures(90_000, 3, step=picture_step, gop=gop), sounds(90_000, 3, sound_step)
    shifted = {id(unit): AccessUnit(2, unit.dts + skew, 0, True, unit.payload) for unit in audio}
    stream = packets(muxed([shifted.get(id(unit), unit) for unit in in_order(video, audio)], BOTH))
    check_continuity(stream)
    clock = pcrs(stream)
    assert clock == sorted(set(clock))
    assert widest(clock) <= PCR_INTERVAL_TICKS
    assert widest(table_times(stream)) <= TABLE_INTERVAL_TICKS + PCR_INTERVAL_TICKS  # read off a PCR that comes later
    for pes in pes_packets(stream, VIDEO_PID) + pes_packets(stream, AUDIO_PID):
        early = (pes.dts or 0) - last_pcr(stream, pes.at)
        assert PCR_LEAD_TICKS - max(0, -skew) - abs(skew) <= early <= PCR_LEAD_TICKS + PCR_INTERVAL_TICKS + abs(skew)


def test_a_pcr_never_goes_back() -> None:
    units = in_order(pictures(0, 6, step=7200), sounds(3000, 6))
    seen = pcrs(packets(muxed(units, BOTH)))
    assert seen == sorted(set(seen))


def test_another_configuration_is_another_version() -> None:
    muxer, parts = TsMuxer(), list[bytes | memoryview]()
    other = TrackSet((VIDEO, build_track(2, Codec.AAC, bytes.fromhex("1210"), version=1)), version=1)
    for tracks, dts in ((BOTH, 0), (other, AAC_TICKS), (TrackSet(other.tracks, version=2), 2 * AAC_TICKS)):
        muxer.mux(sound(dts), tracks, parts)
    stream = packets(b"".join(parts))
    assert [table.version for table in pmts(stream)] == [0, 1]
    assert [packet.pid for packet in stream[-4:]] == [0, 0x1000, AUDIO_PID, AUDIO_PID]


def test_an_equal_track_set_changes_nothing() -> None:
    muxer = TsMuxer()
    wire = muxed([sound(0)], BOTH, muxer) + muxed([sound(AAC_TICKS)], TrackSet(BOTH.tracks), muxer)
    assert len(pmts(packets(wire))) == 1


@pytest.mark.parametrize("track_id", [0, 3841])
def test_a_track_without_a_pid_of_its_own_is_left_out(track_id: int) -> None:
    assert muxed([sound(0, track_id=track_id)], TrackSet((track(Codec.MP3, track_id=track_id),))) == b""


def test_versions_wrap_after_31() -> None:
    muxer = TsMuxer(resume=Continuity({}, 31))
    assert pmts(packets(muxed([sound(0)], BOTH, muxer)))[0].version == 0


def test_a_track_keeps_its_pid_and_counter_while_others_come_and_go() -> None:
    muxer = TsMuxer()
    wire = muxed(sounds(0, 0.2), AUDIO_ONLY, muxer) + muxed(in_order(sounds(18_000, 0.2), pictures(18_000, 0.2)), BOTH, muxer)
    wire += muxed(sounds(36_000, 0.2), AUDIO_ONLY, muxer) + muxed(in_order(pictures(54_000, 0.2)), BOTH, muxer)
    stream = packets(wire)
    check_continuity(stream)
    assert [pid for pid, _ in groupby(table.pcr_pid for table in pmts(stream))] == [AUDIO_PID, VIDEO_PID, AUDIO_PID, VIDEO_PID]


def test_a_segment_begins_with_tables_and_a_clock() -> None:
    muxer = TsMuxer()
    muxed(pictures(0, 0.2), VIDEO_ONLY, muxer)
    muxer.begin_segment()
    stream = packets(muxed([picture(18_000)], VIDEO_ONLY, muxer))
    assert [packet.pid for packet in stream[:3]] == [0, 0x1000, VIDEO_PID]
    assert stream[2].pcr == 18_000 + TIME_OFFSET_TICKS - PCR_LEAD_TICKS


# times


def test_all_times_wrap_in_the_middle_of_a_run() -> None:
    start = (1 << 33) - TIME_OFFSET_TICKS - TICKS_PER_SECOND
    stream = packets(muxed(in_order(pictures(start, 3), sounds(start, 3)), BOTH))
    clock, times = pcrs(stream), [pes.dts or 0 for pes in pes_packets(stream, VIDEO_PID)]
    assert max(clock) > clock[-1]
    assert (widest(clock), widest(times)) == (3600, 3600)
    assert not [packet for packet in stream if packet.discontinuity]
    assert times[0] == (1 << 33) - TICKS_PER_SECOND


@pytest.mark.parametrize("step", [HOUR, -HOUR, TICKS_PER_SECOND * 2, -TICKS_PER_SECOND * 2])
def test_a_jump_of_the_clock_is_announced_once(step: int) -> None:
    before, after = in_order(pictures(HOUR, 1), sounds(HOUR, 1)), TICKS_PER_SECOND + HOUR + step
    stream = packets(muxed([*before, *in_order(pictures(after, 1), sounds(after, 1))], BOTH))
    (at,) = [number for number, packet in enumerate(stream) if packet.discontinuity]
    assert stream[at].pid == VIDEO_PID
    assert stream[at].pcr == after + TIME_OFFSET_TICKS - PCR_LEAD_TICKS
    assert [packet.pid for packet in stream[at - 2 : at]] == [0, 0x1000]
    assert len([packet for packet in stream if packet.payload is None]) == 0


def test_the_clock_jumps_before_whichever_track_comes_first() -> None:
    before = in_order(pictures(0, 1), sounds(0, 1))
    stream = packets(muxed([*before, sound(HOUR), picture(HOUR + 900), sound(HOUR + 1920)], BOTH))
    (at,) = [number for number, packet in enumerate(stream) if packet.discontinuity]
    assert (stream[at].pid, stream[at].payload) == (VIDEO_PID, None)
    assert stream[at + 1].pid == AUDIO_PID


def test_a_track_that_paused_is_no_jump() -> None:
    units = [*in_order(pictures(0, 1), sounds(0, 1)), *pictures(90_000, 3), *in_order(pictures(360_000, 1), sounds(360_000, 1))]
    stream = packets(muxed(units, BOTH))
    assert not [packet for packet in stream if packet.discontinuity]
    assert widest(pcrs(stream)) <= PCR_INTERVAL_TICKS


def test_tracks_that_are_far_apart_are_no_jump() -> None:
    late = [AccessUnit(2, unit.dts - 5 * TICKS_PER_SECOND, 0, True, unit.payload) for unit in sounds(0, 3)]
    units = [unit for pair in zip(pictures(0, 3), late, strict=False) for unit in pair]
    assert not [packet for packet in packets(muxed(units, BOTH)) if packet.discontinuity]


# joining and going on


def test_a_joiner_gets_tables_that_fit_before_those_it_will_see() -> None:
    units, muxer = sounds(0, 3), TsMuxer()
    wires = [muxed([unit], AUDIO_ONLY, muxer) for unit in units]
    state = muxer.continuity
    for at in (1, 40, 100, len(units) - 1):
        tables = muxer.tables_for(AUDIO_ONLY, units[at].dts)
        assert len(tables) == TABLES_BYTES
        stream = packets(tables + b"".join(wires[at:]))
        check_continuity(stream)
        assert {table.version for table in pmts(stream)} == {0}
    check_continuity(packets(muxer.tables_for(AUDIO_ONLY, units[-1].dts + 1) + muxed([sound(10**6)], AUDIO_ONLY, muxer)))
    assert state.counters[0] == muxer.continuity.counters[0] - 1


def test_a_joiner_before_a_change_of_tracks_gets_the_version_before_it() -> None:
    muxer = TsMuxer()
    muxed(sounds(0, 0.2), AUDIO_ONLY, muxer)
    muxed(sounds(18_000, 0.2), BOTH, muxer)
    assert [pmts(packets(muxer.tables_for(AUDIO_ONLY, dts)))[0].version for dts in (1, 17_000)] == [0, 0]
    assert pmts(packets(muxer.tables_for(BOTH, 30_000)))[0].version == 1


def test_a_joiner_of_a_change_to_come_gets_its_version() -> None:
    muxer = TsMuxer()
    muxed(sounds(0, 0.2), AUDIO_ONLY, muxer)
    assert pmts(packets(muxer.tables_for(BOTH, 18_000)))[0].version == 1
    assert pmts(packets(TsMuxer().tables_for(BOTH, 0)))[0].version == 0


def test_a_successor_goes_on_where_the_counters_stood() -> None:
    first = TsMuxer()
    wire = muxed(in_order(pictures(0, 1), sounds(0, 1)), BOTH, first)
    state = json.loads(json.dumps(first.continuity.to_state()))
    second = TsMuxer(resume=Continuity.from_state(state))
    assert second.continuity == first.continuity
    stream = packets(wire + muxed(in_order(pictures(90_000, 1), sounds(90_000, 1)), BOTH, second))
    check_continuity(stream)
    assert {table.version for table in pmts(stream)} == {0, 1}


@pytest.mark.parametrize("state", ["{}", '{"counters": 1, "table_version": 0}', '{"counters": {"x": 1}, "table_version": 0}'])
def test_what_is_no_continuity_is_refused(state: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Continuity.from_state(json.loads(state))


def test_audio_tracks_share_a_stream_without_video() -> None:
    two = TrackSet((AUDIO, track(Codec.MP3, track_id=7)))
    stream = packets(muxed(in_order(sounds(0, 1), [sound(unit.dts, track_id=7) for unit in sounds(0, 1)]), two))
    assert pmts(stream)[0].streams == {AUDIO_PID: 0x0F, 0x106: 0x03}
    assert pcrs(stream, 0x106) == []
