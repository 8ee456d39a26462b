import itertools
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.container.fmp4 import MAX_FRAGMENT_SAMPLES, MAX_SAMPLE_TICKS, TIME_OFFSET, FragmentBuilder, Sample, fragment
from lalmesh.errors import LocalProtocolError
from lalmesh.media import AccessUnit, Codec, Track, TrackSet

VIDEO = Track(track_id=1, codec=Codec.H264, configuration=b"avcC", frame_rate=Fraction(30_000, 1001))
AUDIO = Track(track_id=2, codec=Codec.AAC, configuration=b"\x11\x90", sample_rate_hz=48_000)
TRACKS = TrackSet((VIDEO, AUDIO, Track(track_id=4, codec=Codec.PCMA)))


def unit(track_id: int, dts: int, payload: bytes = b"payload") -> AccessUnit:
    return AccessUnit(track_id, dts, 0, True, payload)


def add(builder: FragmentBuilder, *units: AccessUnit) -> FragmentBuilder:
    for one in units:
        builder.add(one, TRACKS)
    return builder


def durations(samples: list[Sample], track_id: int = 1) -> list[int]:
    return [sample.duration for sample in samples if sample.unit.track_id == track_id]


def test_a_sample_lasts_until_the_next_of_its_track() -> None:
    builder = add(FragmentBuilder(), unit(1, 0), unit(2, 0), unit(1, 3000), unit(2, 1900), unit(1, 7000))
    assert durations(builder.take()) == [3000, 4000, 4000]


def test_the_last_picture_lasts_as_long_as_the_one_before_it_and_sound_as_its_codec_says() -> None:
    builder = add(FragmentBuilder(), unit(1, 0), unit(2, 0), unit(2, 1900), unit(1, 3600), unit(2, 3900))
    samples = builder.take()
    assert (durations(samples), durations(samples, 2)) == ([3600, 3600], [1900, 2000, 1920])


def test_one_long_pause_is_not_how_long_pictures_last_and_two_are() -> None:
    builder, seen = FragmentBuilder(), list[int]()
    for dts in (0, 3000, 66_000, 69_000, 132_000, 195_000):
        seen += durations(add(builder, unit(1, dts)).take())
    assert seen == [3003, 3000, 3000, 3000, 3000, 63_000]


def test_each_packet_of_opus_may_have_another_length() -> None:
    opus = TrackSet((Track(track_id=2, codec=Codec.OPUS, configuration=b"OpusHead"),))
    builder, seen = FragmentBuilder(), list[int]()
    for dts, payload in ((0, b"\x08data"), (1800, b"\x18data"), (7200, b"\x08data")):  # 20 ms and 60 ms: RFC 6716 Table 2
        builder.add(unit(2, dts, payload), opus)
        seen += durations(builder.take(), 2)
    assert seen == [1800, 5400, 1800]


def test_the_last_sample_is_exact_where_the_unit_that_follows_is_known() -> None:
    builder = add(FragmentBuilder(), unit(1, 0), unit(2, 0), unit(1, 3000))
    samples = builder.take(unit(1, 7500))
    assert (durations(samples), durations(samples, 2)) == ([3000, 4500], [1920])


def test_one_unit_at_a_time_adds_no_delay() -> None:
    builder, seen = FragmentBuilder(), list[int]()
    for dts in (0, 3000, 6030, 9000):
        seen += durations(add(builder, unit(1, dts)).take())
    assert seen == [3003, 3000, 3030, 2970]  # the first by the frame rate, the others as the distance before


def test_samples_come_in_the_order_of_their_units() -> None:
    units = [unit(1, 0), unit(2, 0), unit(1, 3000), unit(2, 1920)]
    assert [sample.unit for sample in add(FragmentBuilder(), *units).take()] == units


def test_what_is_pending_is_counted() -> None:
    builder = add(FragmentBuilder(), unit(1, 9000, b"abc"), unit(2, 8000, b"de"), unit(1, 12000, b"f"))
    assert (builder.pending_samples, builder.pending_bytes, builder.pending_ticks) == (3, 6, 12000 + 3000 - 8000)
    builder.take()
    assert (builder.pending_samples, builder.pending_bytes, builder.pending_ticks) == (0, 0, 0)


def test_what_is_not_carried_is_left_out() -> None:
    builder = FragmentBuilder()
    assert not builder.add(unit(4, 0), TRACKS)
    assert not builder.add(unit(9, 0), TRACKS)
    assert builder.add(unit(1, 0), TRACKS)
    assert builder.pending_samples == 1


def test_a_step_of_the_clock_is_no_duration() -> None:
    builder = add(FragmentBuilder(), unit(1, 0), unit(1, 3000), unit(1, 3000 + MAX_SAMPLE_TICKS + 1), unit(1, 100))
    assert durations(builder.take()) == [3000, 3000, 3000, 3000]


def test_what_a_track_has_learned_outlasts_other_metadata() -> None:
    builder, other = FragmentBuilder(), replace(VIDEO, frame_rate=None, video_metadata=b"colorInfo", version=1)
    samples = add(builder, unit(1, 0), unit(1, 5000)).take()
    for tracks in (TrackSet((replace(VIDEO), AUDIO), 2), TrackSet((other, AUDIO), 3)):
        builder.add(unit(1, samples[-1].unit.dts + 5000), tracks)
        samples += builder.take()
    assert durations(samples) == [5000, 5000, 5000, 5000]


@pytest.mark.parametrize("change", [{"configuration": b"other"}, {"codec": Codec.H265}])
def test_another_configuration_has_learned_nothing(change: dict[str, Any]) -> None:
    builder = add(FragmentBuilder(), unit(1, 0), unit(1, 5000))
    builder.take()
    builder.add(unit(1, 10_000), TrackSet((replace(VIDEO, **change),), 2))
    assert durations(builder.take()) == [3003]


def test_units_from_before_the_first_time_that_can_be_said_are_left_out() -> None:
    builder = FragmentBuilder()
    assert not builder.add(unit(2, -TIME_OFFSET - 1), TRACKS)
    assert builder.add(unit(2, -TIME_OFFSET), TRACKS)
    assert fragment(1, builder.take(), TRACKS)


def test_two_units_of_one_time_last_nothing_and_as_before() -> None:
    builder = add(FragmentBuilder(), unit(1, 0), unit(1, 3000), unit(1, 3000))
    assert durations(builder.take()) == [3000, 0, 3000]


def test_a_sample_that_was_taken_does_not_change() -> None:
    builder = add(FragmentBuilder(), unit(1, 0))
    (sample,) = builder.take()
    add(builder, unit(1, 5000))
    assert sample.duration == 3003


def test_more_than_a_fragment_holds_is_our_fault() -> None:
    builder = FragmentBuilder()
    for dts in range(MAX_FRAGMENT_SAMPLES):
        builder.add(unit(1, dts), TRACKS)
    with pytest.raises(LocalProtocolError):
        builder.add(unit(1, MAX_FRAGMENT_SAMPLES), TRACKS)


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 9000)), min_size=1, max_size=30), st.sets(st.integers(0, 30)))
def test_wherever_it_is_cut_known_durations_are_exact(steps: list[tuple[int, int]], cuts: set[int]) -> None:
    clocks, units = {1: 0, 2: 0}, list[AccessUnit]()
    for track_id, step in steps:
        clocks[track_id] += step
        units.append(unit(track_id, clocks[track_id]))
    builder, samples = FragmentBuilder(), list[Sample]()
    for index, one in enumerate(units):
        if index in cuts:
            samples += builder.take(one)
        builder.add(one, TRACKS)
    samples += builder.take()
    assert [sample.unit for sample in samples] == units
    if not cuts:
        for track_id in (1, 2):
            mine = [sample for sample in samples if sample.unit.track_id == track_id]
            assert all(now.unit.dts + now.duration == later.unit.dts for now, later in itertools.pairwise(mine))
