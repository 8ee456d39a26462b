"""The segmenter: where it cuts, what it holds back, what it announces."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import AUDIO, BOTH, FIRST, SECOND, VIDEO, run_of

from lalmesh.media import TICKS_PER_SECOND, AccessUnit, TrackSet
from lalmesh.runtime.ownership import UnitName
from lalmesh.runtime.ring import Run
from services.hls.cuts import (
    Cut,
    CutSettings,
    PartClosed,
    SegmentBegun,
    SegmentClosed,
    SegmentLost,
    Start,
    StreamOver,
    Targets,
    TargetsFixed,
    UnitsAdded,
    configuration_of,
)
from services.hls.segmenter import Segmenter

PICTURE = TICKS_PER_SECOND // 25
SETTINGS = CutSettings(segment=2 * TICKS_PER_SECOND, part=TICKS_PER_SECOND // 2, max_target_s=6)
VIDEO_ONLY = TrackSet((VIDEO,), 1)
AUDIO_ONLY = TrackSet((AUDIO,), 1)
KNOWN = Start(number=5, targets=Targets(duration_s=2, part=12 * PICTURE))


def picture(number: int, gop: int = 25, slot: int = PICTURE) -> AccessUnit:
    dts = number * slot
    return AccessUnit(1, dts, 0, number % gop == 0, b"v", number, 1_000_000 + dts * 100 // 9)


def pictures(count: int, gop: int = 25, slot: int = PICTURE, first: int = 0) -> list[AccessUnit]:
    return [picture(number, gop, slot) for number in range(first, first + count)]


def cuts_of(segmenter: Segmenter, runs: Iterable[Run], *, to_end: bool = False) -> list[Cut]:
    cuts = [cut for run in runs for cut in segmenter.receive(run)]
    return cuts + segmenter.finish() if to_end else cuts


def cut(units: Sequence[AccessUnit], start: Start = KNOWN, tracks: TrackSet = VIDEO_ONLY, *, to_end: bool = False) -> list[Cut]:
    return cuts_of(Segmenter(SETTINGS, start), [run_of(units, tracks=tracks)], to_end=to_end)


def of_kind(cuts: list[Cut], kind: type) -> list:  # type: ignore[type-arg]
    return [one for one in cuts if isinstance(one, kind)]


def durations(cuts: list[Cut]) -> list[int]:
    return [closed.duration for closed in of_kind(cuts, SegmentClosed)]


def discontinuities(cuts: list[Cut]) -> int:
    return sum(begun.discontinuity for begun in of_kind(cuts, SegmentBegun))


def parts_of_segments(cuts: list[Cut]) -> list[list[PartClosed]]:
    segments: list[list[PartClosed]] = []
    for one in cuts:
        if isinstance(one, SegmentBegun):
            segments.append([])
        elif isinstance(one, PartClosed):
            segments[-1].append(one)
    return segments


def assert_rules(cuts: list[Cut]) -> None:
    """What rfc8216bis asks of segments and parts (§4.4.3.1, §4.4.4.9)."""
    targets = of_kind(cuts, TargetsFixed)[0].targets if of_kind(cuts, TargetsFixed) else KNOWN.targets
    assert targets is not None
    assert all(0 < duration <= targets.longest for duration in durations(cuts))
    for parts in parts_of_segments(cuts):
        if any(part.whole for part in parts):
            assert len(parts) == 1
            continue
        assert all(0 < part.duration <= targets.part for part in parts)
        assert all(part.duration * 100 >= targets.part * 85 for part in parts[:-1])
    if isinstance(cuts[-1], StreamOver):
        assert sum(part.duration for part in of_kind(cuts, PartClosed)) == sum(durations(cuts))


# where it cuts


def test_segments_begin_at_the_first_random_access_point_after_the_wanted_length() -> None:
    cuts = cut(pictures(201, gop=30))
    assert durations(cuts) == [60 * PICTURE, 60 * PICTURE, 60 * PICTURE]
    assert [begun.number for begun in of_kind(cuts, SegmentBegun)] == [5, 6, 7, 8]


def test_the_first_segment_decides_the_target_duration() -> None:
    cuts = cut(pictures(250, gop=100), Start())
    assert cuts[0] == TargetsFixed(Targets(duration_s=4, part=12 * PICTURE))
    assert durations(cuts) == [100 * PICTURE, 100 * PICTURE]


def test_a_group_of_pictures_longer_than_the_target_is_cut_in_its_middle() -> None:
    cuts = cut(pictures(51) + pictures(200, gop=1000, first=51))
    assert durations(cuts)[0] == 2 * TICKS_PER_SECOND
    assert all(duration <= KNOWN.targets.longest for duration in durations(cuts))  # type: ignore[union-attr]
    assert durations(cuts)[1] > 2 * TICKS_PER_SECOND
    assert not any(begun.discontinuity for begun in of_kind(cuts, SegmentBegun))


def test_a_first_group_of_pictures_without_end_is_cut_at_the_bound() -> None:
    cuts = cut(pictures(200, gop=1000), Start())
    assert of_kind(cuts, TargetsFixed)[0].targets.duration_s == SETTINGS.max_target_s


def test_a_stream_of_audio_is_cut_anywhere() -> None:
    frames = [AccessUnit(2, number * 2090, 0, True, b"a", number, number * 23_222) for number in range(300)]
    cuts = cut(frames, Start(), AUDIO_ONLY)
    assert durations(cuts)[0] == 87 * 2090
    assert of_kind(cuts, TargetsFixed)[0].targets == Targets(duration_s=2, part=21 * 2090)


def test_every_unit_is_given_out_once_and_in_order() -> None:
    units = pictures(130)
    cuts = cut(units, Start(), to_end=True)
    assert [unit for added in of_kind(cuts, UnitsAdded) for unit in added.units] == units
    assert isinstance(cuts[-1], StreamOver)


def test_the_units_of_a_part_are_given_out_together() -> None:
    cuts = cut(pictures(101))
    added = [number for number, one in enumerate(cuts) if isinstance(one, UnitsAdded)]
    assert [len(one.units) for one in of_kind(cuts, UnitsAdded)][:5] == [12] * 4 + [2]
    assert all(isinstance(cuts[number + 1], PartClosed) for number in added)


def test_data_is_no_part_of_a_segment() -> None:
    data = AccessUnit(9, 0, 0, True, b"script", 0)
    assert of_kind(cut([data, *pictures(10, first=1)], to_end=True), UnitsAdded)[0].units[0].track_id == 1


# parts


def test_a_part_closes_before_the_unit_that_would_pass_the_target() -> None:
    cuts = cut(pictures(101))
    parts = [part.duration for part in of_kind(cuts, PartClosed)]
    assert parts[:5] == [12 * PICTURE] * 4 + [2 * PICTURE]
    assert sum(parts[:5]) == durations(cuts)[0]


def test_parts_that_begin_with_a_random_access_point_are_independent() -> None:
    parts = of_kind(cut(pictures(120, gop=50)), PartClosed)
    assert [part.independent for part in parts[:6]] == [True, False, False, False, False, True]


def late(units: Sequence[AccessUnit], first: int, by: int) -> list[AccessUnit]:
    """The units from number `first` on come so much later."""
    for unit in units[first:]:
        unit.dts += by
    return list(units)


def test_a_picture_that_comes_late_ends_its_part_early() -> None:
    cuts = cut(late(pictures(40), 24, PICTURE // 2))
    assert [part.duration for part in of_kind(cuts, PartClosed)][:2] == [12 * PICTURE, 11 * PICTURE]
    assert_rules(cuts)


def test_a_part_that_would_be_too_short_for_others_to_follow_is_the_last_of_its_segment() -> None:
    cuts = cut(late(pictures(60), 22, 6 * PICTURE))
    assert durations(cuts)[0] == 21 * PICTURE
    assert [part.duration for part in of_kind(cuts, PartClosed)][:2] == [12 * PICTURE, 9 * PICTURE]
    assert_rules(cuts)
    assert not discontinuities(cuts)


def test_a_segment_whose_first_part_would_be_too_short_has_none_and_ends_soon() -> None:
    cuts = cut(late(pictures(60), 10, 6 * PICTURE))
    first, second = parts_of_segments(cuts)[:2]
    assert [part.whole for part in first] == [True]
    assert [part.duration for part in second[:2]] == [12 * PICTURE, 12 * PICTURE]
    assert durations(cuts)[0] == 24 * PICTURE, "two part targets: players hold back three"
    assert_rules(cuts)


def test_a_picture_that_lasts_longer_than_a_part_is_in_a_segment_without_parts_and_no_hole() -> None:
    cuts = cut(late(pictures(60), 21, TICKS_PER_SECOND))
    assert durations(cuts)[:2] == [20 * PICTURE, TICKS_PER_SECOND + PICTURE]
    assert [part.whole for part in of_kind(cuts, PartClosed)][:4] == [False, False, True, False]
    assert_rules(cuts)
    assert not discontinuities(cuts)


def test_sound_cuts_parts_where_a_late_picture_leaves_too_little_room() -> None:
    frames = [AccessUnit(2, number * 1920, 0, True, b"a") for number in range(120)]
    units = sorted([*late(pictures(60), 22, 5 * PICTURE), *frames], key=lambda unit: unit.dts)
    for seq, unit in enumerate(units):
        unit.seq = seq
    cuts = cut(units, tracks=BOTH)
    assert durations(cuts) == [2 * TICKS_PER_SECOND + 5 * PICTURE]
    assert len(of_kind(cuts, PartClosed)) > 4
    assert_rules(cuts)


def test_one_late_picture_of_the_first_segment_does_not_decide_the_part_target() -> None:
    cuts = cut(late(pictures(150), 20, TICKS_PER_SECOND // 4), Start())
    assert of_kind(cuts, TargetsFixed)[0].targets.part == 12 * PICTURE
    assert_rules(cuts)


# slow pictures, and no sound that could move time on


def uneven(rate: int, seconds: int, jitter: int) -> list[AccessUnit]:
    draw = random.Random(rate)
    units = [picture(number, rate, TICKS_PER_SECOND // rate) for number in range(rate * seconds)]
    for unit in units[1:]:
        unit.dts += draw.randint(-jitter, jitter)
    return units


@pytest.mark.parametrize("rate", [4, 3, 2, 1])
def test_slow_uneven_pictures_are_no_holes(rate: int) -> None:
    units = uneven(rate, 600, TICKS_PER_SECOND // 100)
    cuts = cut(units, Start(), to_end=True)
    assert_rules(cuts)
    assert not discontinuities(cuts)
    assert abs(sum(durations(cuts)) - 600 * TICKS_PER_SECOND) <= TICKS_PER_SECOND // 20
    whole = sum(part.whole for part in of_kind(cuts, PartClosed))
    assert whole <= len(durations(cuts)) // 20, "nearly all of it is to be had in parts"


def test_a_camera_that_sends_fewer_pictures_makes_no_holes() -> None:
    slow = [
        AccessUnit(1, 250 * PICTURE + number * TICKS_PER_SECOND, 0, number % 10 == 0, b"v", 250 + number) for number in range(60)
    ]
    cuts = cut(pictures(250) + slow, Start(), to_end=True)
    assert_rules(cuts)
    assert not discontinuities(cuts)
    assert sum(durations(cuts)) == 70 * TICKS_PER_SECOND
    assert len(durations(cuts)) <= 66


@pytest.mark.parametrize("slot", [7 * PICTURE, 5 * PICTURE])
def test_pictures_that_fit_no_part_are_in_segments_of_about_two_part_targets(slot: int) -> None:
    slow = [AccessUnit(1, 250 * PICTURE + number * slot, 0, number % 60 == 0, b"v", 250 + number) for number in range(200)]
    cuts = cut(pictures(250) + slow, Start(), to_end=True)
    assert_rules(cuts)
    assert not discontinuities(cuts)
    assert sum(durations(cuts)) == 250 * PICTURE + 200 * slot
    assert all(duration >= 24 * PICTURE for duration in durations(cuts)[6:-1])


def test_a_picture_in_five_seconds_is_no_hole() -> None:
    cuts = cut(late(pictures(30, gop=1, slot=5 * TICKS_PER_SECOND), 20, TICKS_PER_SECOND // 50), Start(), to_end=True)
    assert_rules(cuts)
    assert not discontinuities(cuts)
    assert sum(durations(cuts)) == 150 * TICKS_PER_SECOND + TICKS_PER_SECOND // 50


def test_where_pictures_stand_still_audio_moves_time_on() -> None:
    frames = [AccessUnit(2, 10 * PICTURE + number * 2090, 0, True, b"a", 10 + number) for number in range(100)]
    cuts = cut(pictures(10) + frames, tracks=BOTH)
    parts = [part.duration for part in of_kind(cuts, PartClosed)]
    assert len(parts) >= 4
    assert all(duration >= 0.85 * 12 * PICTURE for duration in parts[:4])
    assert not any(begun.discontinuity for begun in of_kind(cuts, SegmentBegun))


def test_where_pictures_come_long_after_their_sound_it_is_sound_that_cuts_parts() -> None:
    ahead = 3 * TICKS_PER_SECOND // 10
    frames = [AccessUnit(2, number * 1920, 0, True, b"a") for number in range(600)]
    units = sorted([*pictures(300, gop=30), *frames], key=lambda unit: unit.dts - ahead * (unit.track_id == 2))
    cuts = cut(units, tracks=BOTH)
    assert_rules(cuts)
    assert not any(part.whole for part in of_kind(cuts, PartClosed))
    assert all(abs(duration - 60 * PICTURE) < 2000 for duration in durations(cuts)[1:])


def test_a_hole_in_time_is_a_discontinuity_and_passes_no_target() -> None:
    cuts = cut(pictures(10) + pictures(10, first=500))
    assert [begun.discontinuity for begun in of_kind(cuts, SegmentBegun)] == [False, True]
    assert durations(cuts) == [10 * PICTURE]


# what does not go on


def test_missing_units_a_new_publication_and_a_new_configuration_are_discontinuities() -> None:
    other = TrackSet((VIDEO.__class__(track_id=1, codec=VIDEO.codec, configuration=b"other"),), 2)
    for second in (
        run_of(pictures(10, first=10), tracks=VIDEO_ONLY, missing=3),
        run_of(pictures(10, first=10), tracks=VIDEO_ONLY, revision=2, publication=SECOND),
        run_of(pictures(10, first=10), tracks=other),
    ):
        cuts = cuts_of(Segmenter(SETTINGS, KNOWN), [run_of(pictures(10), tracks=VIDEO_ONLY), second])
        assert [begun.discontinuity for begun in of_kind(cuts, SegmentBegun)] == [False, True]
        assert durations(cuts) == [10 * PICTURE]


def test_other_script_data_is_no_discontinuity() -> None:
    again = TrackSet(VIDEO_ONLY.tracks, 7)
    runs = [run_of(pictures(10), tracks=VIDEO_ONLY), run_of(pictures(10, first=10), tracks=again)]
    assert len(of_kind(cuts_of(Segmenter(SETTINGS, KNOWN), runs), SegmentBegun)) == 1


def test_a_track_that_comes_within_the_first_segment_belongs_to_all_of_it() -> None:
    runs = [run_of(pictures(10), tracks=VIDEO_ONLY), run_of(pictures(100, first=10), tracks=BOTH)]
    begun = of_kind(cuts_of(Segmenter(SETTINGS, Start()), runs), SegmentBegun)
    assert begun[0].tracks is BOTH
    assert not begun[1].discontinuity


# program date-time


def test_program_date_time_agrees_with_the_durations_and_follows_the_wall_clock() -> None:
    units = pictures(501)
    for unit in units[50:]:
        unit.wall_us += 200_000
    begun = of_kind(cut(units), SegmentBegun)
    times = [one.program_date_time_us for one in begun]
    assert [after - before for before, after in pairwise(times[:3])] == [2_020_000, 2_020_000]
    assert times[0] == 1_000_000


# successors


def _resumed(closed: SegmentClosed, targets: Targets) -> Start:
    return Start(
        number=closed.number + 1,
        targets=targets,
        end=closed.end,
        end_us=closed.end_us,
        configuration=configuration_of(VIDEO_ONLY),
        publication=FIRST,
    )


def test_a_successor_that_goes_on_after_the_last_stored_unit_makes_the_same_segments() -> None:
    units = pictures(300)
    whole = cut(units, Start())
    targets = of_kind(whole, TargetsFixed)[0].targets
    first = of_kind(whole, SegmentClosed)[0]
    assert first.last == UnitName(FIRST, 49)
    rest = cut(units[first.last.seq + 1 :], _resumed(first, targets))
    assert durations(rest) == durations(whole)[1:]
    assert [one.number for one in of_kind(rest, SegmentBegun)] == [one.number for one in of_kind(whole, SegmentBegun)[1:]]
    assert of_kind(rest, PartClosed) == of_kind(whole, PartClosed)[5:]


_SLOTS = st.sampled_from([PICTURE, PICTURE, PICTURE, 2000, 5 * PICTURE, 7 * PICTURE, 90_000])


@given(st.lists(_SLOTS, min_size=40, max_size=120))
def test_a_successor_cuts_alike_whatever_comes_before_and_after(slots: list[int]) -> None:
    units, dts = [], 0
    for seq, slot in enumerate(slots):
        units.append(AccessUnit(1, dts, 0, seq % 7 == 0, b"", seq))
        dts += slot
    whole = cut(units, Start())
    targets = of_kind(whole, TargetsFixed)[0].targets if whole else None
    for closed in of_kind(whole, SegmentClosed):
        assert targets is not None
        rest = cut(units[closed.last.seq + 1 :], _resumed(closed, targets))
        begun = whole[whole.index(closed) + 1 :]
        assert of_kind(rest, PartClosed) == of_kind(begun, PartClosed)
        assert [(one.number, one.discontinuity, one.begin) for one in of_kind(rest, SegmentBegun)] == [
            (one.number, one.discontinuity, one.begin) for one in of_kind(begun, SegmentBegun)
        ]


def test_where_the_origin_has_no_longer_what_is_missing_numbers_are_given_up() -> None:
    start = Start(number=8, targets=KNOWN.targets, end=0, end_us=77, configuration=configuration_of(VIDEO_ONLY), publication=FIRST)
    run = run_of(pictures(10, first=150), tracks=VIDEO_ONLY, missing=150)
    cuts = cuts_of(Segmenter(SETTINGS, start), [run])
    assert of_kind(cuts, SegmentLost)[0] == SegmentLost(8, 2 * TICKS_PER_SECOND, 77)
    assert [lost.number for lost in of_kind(cuts, SegmentLost)] == [8, 9, 10]
    begun = of_kind(cuts, SegmentBegun)[0]
    assert (begun.number, begun.discontinuity) == (11, True)


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("start", [Start(), KNOWN])
def test_units_that_a_running_worker_misses_use_up_no_number(start: Start, pauses: bool) -> None:
    segmenter = Segmenter(SETTINGS, start)
    cuts = cuts_of(segmenter, [run_of(pictures(200), tracks=VIDEO_ONLY)])
    cuts += segmenter.pause() if pauses else []
    cuts += cuts_of(segmenter, [run_of(pictures(100, first=1700), tracks=VIDEO_ONLY, missing=1500)])
    assert not of_kind(cuts, SegmentLost)
    assert discontinuities(cuts) == 1
    numbers = [begun.number for begun in of_kind(cuts, SegmentBegun)]
    assert numbers == list(range(start.number, start.number + len(numbers)))


def test_units_that_a_successor_misses_later_use_up_no_number() -> None:
    first = Start(number=8, targets=KNOWN.targets, end=0, configuration=configuration_of(VIDEO_ONLY), publication=FIRST)
    runs = [run_of(pictures(200), tracks=VIDEO_ONLY), run_of(pictures(100, first=1700), tracks=VIDEO_ONLY, missing=1500)]
    assert not of_kind(cuts_of(Segmenter(SETTINGS, first), runs), SegmentLost)


# whatever comes

_STEPS = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 2]), st.integers(0, 100_000) | st.just(PICTURE), st.booleans()), min_size=1, max_size=120
)


@given(_STEPS, st.booleans(), st.data())
def test_no_stream_passes_a_target_loses_a_unit_or_depends_on_how_it_was_delivered(
    steps: list[tuple[int, int, bool]], learns: bool, data: st.DataObject
) -> None:
    units, times = [], {1: 0, 2: 0}
    for seq, (track, step, key) in enumerate(steps):
        times[track] += step
        units.append(AccessUnit(track, times[track], 0, key or track == 2, b"", seq, times[track] * 100 // 9))
    at = sorted({0, len(units), *data.draw(st.lists(st.integers(0, len(units)), max_size=5))})
    runs = [run_of(units[a:b], tracks=BOTH) for a, b in pairwise(at)]
    start = Start() if learns else KNOWN
    cuts = cuts_of(Segmenter(SETTINGS, start), runs, to_end=True)
    assert_rules(cuts)
    assert [unit for added in of_kind(cuts, UnitsAdded) for unit in added.units] == units
    segmenter = Segmenter(SETTINGS, start)
    whole = cuts_of(segmenter, [run_of(units, tracks=BOTH)], to_end=True)
    assert whole == cuts


@given(
    st.lists(st.integers(1, 300_000) | st.sampled_from([PICTURE, 5 * PICTURE, TICKS_PER_SECOND]), min_size=1, max_size=200),
    st.booleans(),
)
def test_pictures_alone_are_all_listed_as_long_as_they_last_whatever_comes(slots: list[int], learns: bool) -> None:
    units, dts = [], 0
    for seq, slot in enumerate(slots):
        units.append(AccessUnit(1, dts, 0, seq % 7 == 0, b"", seq))
        dts += slot
    cuts = cut(units, Start() if learns else KNOWN, to_end=True)
    assert_rules(cuts)
    targets = of_kind(cuts, TargetsFixed)[0].targets if learns else KNOWN.targets
    assert targets is not None
    holes = [slot for slot in slots[:-1] if slot > targets.longest]
    assert discontinuities(cuts) == len(holes)
    if not holes:
        assert sum(durations(cuts)) >= dts - slots[-1]


# a stream that stands still


def paused(units: Sequence[AccessUnit], later: Sequence[AccessUnit]) -> tuple[list[Cut], list[Cut]]:
    """What a pause after `units` gives, and what comes with `later` ones."""
    segmenter = Segmenter(SETTINGS, KNOWN)
    segmenter.receive(run_of(units, tracks=VIDEO_ONLY))
    closed = segmenter.pause()
    assert segmenter.pause() == []
    return closed, segmenter.receive(run_of(later, tracks=VIDEO_ONLY))


def test_what_is_open_is_closed_with_all_that_has_come_when_nothing_comes() -> None:
    closed, later = paused(pictures(60), pictures(50, first=60))
    assert durations(closed) == [60 * PICTURE - 50 * PICTURE]
    assert of_kind(closed, SegmentClosed)[0].last.seq == 59
    assert not any(begun.discontinuity for begun in of_kind(later, SegmentBegun))
    assert of_kind(later, SegmentBegun)[0].begin == 60 * PICTURE
    assert not of_kind(later, PartClosed)[0].independent


def test_a_hole_after_a_pause_is_a_discontinuity() -> None:
    _, later = paused(pictures(60), pictures(50, first=90))
    assert of_kind(later, SegmentBegun)[0].discontinuity


def test_a_pause_between_slow_pictures_is_no_hole() -> None:
    units = [picture(number, gop=60, slot=TICKS_PER_SECOND) for number in range(20)]
    segmenter, cuts = Segmenter(SETTINGS, KNOWN), list[Cut]()
    for unit in units:
        cuts += segmenter.receive(run_of([unit], tracks=VIDEO_ONLY))
        cuts += segmenter.pause()
    assert not discontinuities(cuts)
    assert sum(durations(cuts)) == 19 * TICKS_PER_SECOND + PICTURE, "the first slot was taken for one picture at 25 a second"
    assert_rules(cuts)


def test_a_pause_does_not_decide_the_targets() -> None:
    segmenter = Segmenter(SETTINGS, Start())
    segmenter.receive(run_of(pictures(10), tracks=VIDEO_ONLY))
    assert segmenter.pause() == []
    assert segmenter.finish()
