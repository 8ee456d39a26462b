"""Holes in the time of a track: what a browser would keep of a stream, by the rules that it goes by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.aac import AudioSpecificConfig, silent_frame
from lalmesh.codec.opus import OpusHead
from lalmesh.codec.silence import MAX_SILENCE_TICKS
from lalmesh.container.fmp4 import MAX_SAMPLE_TICKS, FragmentBuilder, Sample
from lalmesh.media import AccessUnit, Codec, Track, TrackSet

VIDEO = Track(track_id=1, codec=Codec.H264, configuration=b"avcC", frame_rate=Fraction(25))
AUDIO = Track(track_id=2, codec=Codec.AAC, configuration=bytes.fromhex("1190"), sample_rate_hz=48_000)
BOTH = TrackSet((VIDEO, AUDIO))
PICTURE, FRAME = 3600, 1920  # ticks
SILENCE = silent_frame(AudioSpecificConfig.parse(AUDIO.configuration))


def picture(dts: int, cts: int = 0, *, key: bool = False) -> AccessUnit:
    return AccessUnit(1, dts, cts, key, b"picture")


def sound(dts: int, payload: bytes = b"sound", wall_us: int | None = None) -> AccessUnit:
    """As it plays, unless it comes at another time."""
    return AccessUnit(2, dts, 0, True, payload, wall_us=dts * 100 // 9 if wall_us is None else wall_us)


def one_by_one(units: Iterable[AccessUnit], tracks: TrackSet = BOTH) -> list[Sample]:
    """A fragment each, as packagers make them."""
    builder, samples = FragmentBuilder(longest_hole=40 * MAX_SAMPLE_TICKS), list[Sample]()
    for unit in units:
        builder.add(unit, tracks)
        samples += builder.take()
    return samples


def kept(samples: Iterable[Sample]) -> list[AccessUnit]:
    """What is left of samples by the coded frame processing of Media Source Extensions (§3.5.8, steps 6 and 10)."""
    last: dict[int, Sample] = {}
    needs_random_access = {1, 2}
    units = []
    for sample in samples:
        unit, before = sample.unit, last.get(sample.unit.track_id)
        if before is not None and not 0 <= unit.dts - before.unit.dts <= 2 * before.duration:
            last.clear()
            needs_random_access = {1, 2}
        if unit.track_id in needs_random_access and not unit.random_access:
            continue
        needs_random_access.discard(unit.track_id)
        last[unit.track_id] = sample
        units.append(unit)
    return units


def shown(units: Iterable[AccessUnit], track_id: int = 1) -> list[int]:
    return [unit.pts for unit in units if unit.track_id == track_id]


def test_a_picture_after_a_pause_is_decoded_earlier_and_shown_in_time() -> None:
    samples = one_by_one([picture(0, key=True), picture(3600), picture(66_600), picture(70_200)])
    assert [(sample.unit.dts, sample.unit.pts, sample.duration) for sample in samples] == [
        (0, 0, 3600),
        (3600, 3600, 3600),
        (10_800, 66_600, 3600),
        (18_000, 70_200, 3600),
    ]


def test_decode_times_catch_up_and_never_pass_what_was_sent() -> None:
    units = [picture(0, key=True), *(picture(63_000 + number * PICTURE) for number in range(30))]
    samples = one_by_one(units)
    assert [sample.unit.pts for sample in samples] == shown(units)
    assert [sample.unit.dts for sample in samples[18:]] == [unit.dts for unit in units[18:]]
    assert all(sample.unit.dts <= unit.dts for sample, unit in zip(samples, units, strict=True))


def test_a_pause_within_a_fragment_is_how_long_the_picture_lasts() -> None:
    builder = FragmentBuilder(longest_hole=40 * MAX_SAMPLE_TICKS)
    for unit in (picture(0, key=True), picture(63_000)):
        builder.add(unit, BOTH)
    samples = builder.take(picture(126_000))
    assert [(sample.unit.dts, sample.duration) for sample in samples] == [(0, 63_000), (63_000, 63_000)]
    builder.add(picture(126_000), BOTH)
    assert [sample.unit.dts for sample in builder.take()] == [126_000]


@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, MAX_SAMPLE_TICKS), st.integers(0, 9000)), max_size=30),
    st.sets(st.integers(0, 30)),
)
def test_a_browser_keeps_every_unit_whenever_it_comes(steps: list[tuple[int, int, int]], cuts: set[int]) -> None:
    clocks, units = {1: 0, 2: 0}, [picture(0, key=True), sound(0)]
    for track_id, step, cts in steps:
        clocks[track_id] += step
        units.append(picture(clocks[1], cts) if track_id == 1 else sound(clocks[2]))
    builder, samples = FragmentBuilder(longest_hole=40 * MAX_SAMPLE_TICKS), list[Sample]()
    for index, unit in enumerate(units):
        if index in cuts:
            samples += builder.take(unit)
        builder.add(unit, BOTH)
    samples += builder.take()
    rest = [unit for unit in kept(samples) if unit.payload != SILENCE]
    assert len(rest) == len(units)
    for track_id in (1, 2):
        assert shown(rest, track_id) == shown(units, track_id)


def test_missing_sound_is_silence_right_up_to_what_follows() -> None:
    samples = one_by_one([sound(0), sound(FRAME), sound(6 * FRAME + 90)])
    assert [sample.unit.payload for sample in samples] == [b"sound", b"sound", *[SILENCE] * 4, b"sound"]
    assert [sample.unit.dts for sample in samples] == [*(number * FRAME for number in range(6)), 6 * FRAME + 90]
    assert [sample.duration for sample in samples] == [FRAME, FRAME, FRAME, FRAME, FRAME, FRAME + 90, FRAME]


@pytest.mark.parametrize("in_one_fragment", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
def test_missing_sound_is_silence_wherever_fragments_end(*, in_one_fragment: bool, is_known: bool) -> None:
    builder, units = FragmentBuilder(longest_hole=40 * MAX_SAMPLE_TICKS), [sound(0), sound(10 * FRAME)]
    builder.add(units[0], BOTH)
    samples = [] if in_one_fragment else builder.take(units[1] if is_known else None)
    builder.add(units[1], BOTH)
    samples += builder.take()
    assert [sample.duration for sample in samples] == [FRAME] * 11


def test_a_frame_that_is_a_little_late_has_no_silence_before_it() -> None:
    assert len(one_by_one([sound(0), sound(2 * FRAME), sound(4 * FRAME)])) == 3


def silent(samples: Iterable[Sample]) -> int:
    """How many samples are silence."""
    return sum(sample.unit.payload == SILENCE for sample in samples)


def test_of_silence_there_is_no_more_than_time_passes() -> None:
    units = [sound(number * 99 * 9000, wall_us=1_000_000) for number in range(1000)]  # 9.9 s apart, all at once
    samples = one_by_one(units)
    assert 0 < silent(samples) <= MAX_SILENCE_TICKS // FRAME
    assert [sample.unit for sample in samples if sample.unit.payload != SILENCE] == units


def test_a_new_configuration_brings_no_more_silence() -> None:
    builder, samples = FragmentBuilder(longest_hole=40 * MAX_SAMPLE_TICKS), list[Sample]()
    for number in range(100):
        tracks = TrackSet((VIDEO, replace(AUDIO, configuration=bytes.fromhex("1190" if number % 2 else "1188"))))
        for dts in (number * 20 * 90_000, number * 20 * 90_000 + 99 * 9000):
            builder.add(sound(dts, wall_us=1_000_000), tracks)
            samples += builder.take()
    assert len(samples) - 200 <= MAX_SILENCE_TICKS // FRAME


def test_sound_with_holes_of_seconds_that_comes_as_it_plays_is_silence_between_for_ever() -> None:
    late_us = (0, 400_000, 200_000, 700_000)  # by which a network and an encoder hold it up
    units = [
        sound(dts, wall_us=dts * 100 // 9 + late_us[number % 4])
        for number in range(300)
        for dts in (number * 900_000, number * 900_000 + FRAME)  # two frames each 10 s
    ]
    samples = one_by_one(units)
    assert max(after.unit.dts - before.unit.dts for before, after in pairwise(samples)) <= 2 * FRAME


@pytest.mark.parametrize("is_known", [False, True])
def test_a_hole_that_stays_is_none_of_which_silence_is_left(*, is_known: bool) -> None:
    builder, units = FragmentBuilder(longest_hole=40 * MAX_SAMPLE_TICKS), [sound(at * 99 * 9000, wall_us=1) for at in range(4)]
    samples = list[Sample]()
    for unit, following in zip(units, [*units[1:], None], strict=True):
        builder.add(unit, BOTH)
        samples += builder.take(following if is_known else None)
    kept_holes = [after.unit.dts - before.unit.dts for before, after in pairwise(samples) if after.unit.payload == b"sound"]
    assert (silent(samples), kept_holes[1:]) == (463, [99 * 9000] * 2)


def test_silence_of_opus_is_a_frame_without_data() -> None:
    opus = Track(track_id=2, codec=Codec.OPUS, configuration=OpusHead(channels=2).serialize())
    packets = [sound(0, b"\xfd12"), sound(7 * 1800, b"\xfd12")]  # RFC 6716 §3.1: code 1, two frames of 20 ms
    samples = one_by_one(packets, TrackSet((VIDEO, opus)))
    assert [(sample.unit.payload, sample.duration) for sample in samples[1:-1]] == [(b"\xfc", 1800)] * 5


def test_a_hole_that_takes_very_many_frames_of_silence_stays() -> None:
    opus = Track(track_id=2, codec=Codec.OPUS, configuration=OpusHead(channels=2).serialize())
    for seconds, count in ((1, 400), (2, 2)):  # frames of 2.5 ms
        assert len(one_by_one([sound(0, b"\xe0"), sound(seconds * 90_000, b"\xe0")], TrackSet((opus,)))) == count + (count > 2)


@pytest.mark.parametrize(
    "track",
    [
        Track(track_id=2, codec=Codec.AAC, configuration=bytes.fromhex("11b0"), sample_rate_hz=48_000),  # 5.1 channels
        Track(track_id=2, codec=Codec.AAC, configuration=b"?"),
        Track(track_id=2, codec=Codec.OPUS, configuration=b"?"),
        Track(track_id=2, codec=Codec.FLAC, configuration=b"?"),
        Track(track_id=2, codec=Codec.MP3, sample_rate_hz=48_000),
    ],
)
def test_sound_whose_silence_is_not_known_keeps_its_hole(track: Track) -> None:
    units = [sound(0), sound(90_000)]
    assert [sample.unit for sample in one_by_one(units, TrackSet((VIDEO, track)))] == units


def test_a_step_of_the_clock_is_no_hole() -> None:
    for step in (-1, MAX_SAMPLE_TICKS + 1):
        units = [picture(900_000, key=True), sound(900_000), picture(900_000 + step), sound(900_000 + step)]
        assert [sample.unit for sample in one_by_one(units)] == units


def test_a_hole_that_is_longer_than_was_asked_for_stays() -> None:
    builder, units = (
        FragmentBuilder(longest_hole=9000),
        [picture(0, key=True), picture(2 * PICTURE + 9001), sound(0), sound(90_000)],
    )
    samples = []
    for unit in units:
        builder.add(unit, BOTH)
        samples += builder.take()
    assert [sample.unit for sample in samples] == units


def test_the_last_picture_lasts_as_long_as_no_other_has_come() -> None:
    builder = FragmentBuilder(longest_hole=45_000)
    for unit in (picture(0, key=True), sound(0)):
        builder.add(unit, BOTH)
    assert [sample.duration for sample in builder.take(sound(FRAME), until=30_000)] == [30_000, FRAME]
    builder.add(picture(63_000), BOTH)
    assert [(sample.unit.dts, sample.unit.pts) for sample in builder.take()] == [(60_000, 63_000)]


def test_where_holes_are_kept_units_are_kept() -> None:
    builder, units = FragmentBuilder(), [picture(0, key=True), picture(63_000), sound(0), sound(63_000)]
    samples = []
    for unit in units:
        builder.add(unit, BOTH)
        samples += builder.take()
    assert [id(sample.unit) for sample in samples] == [id(unit) for unit in units]
