"""The segmenter: where it cuts, what it holds back, what it announces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

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


def test_a_picture_that_comes_late_ends_its_part_early() -> None:
    late = [AccessUnit(1, dts, 0, False, b"v", 10 + index) for index, dts in enumerate((56_000, 60_000))]
    units = pictures(10) + late
    parts = of_kind(cut(units), PartClosed)
    assert parts[0].duration == 9 * PICTURE
    assert all(part.duration <= 12 * PICTURE for part in parts)


def test_the_part_target_is_a_whole_number_of_pictures() -> None:
    slow = cut(pictures(30, gop=10, slot=TICKS_PER_SECOND // 5), Start())
    assert of_kind(slow, TargetsFixed)[0].targets.part == 2 * TICKS_PER_SECOND // 5


def test_where_pictures_stand_still_audio_moves_time_on() -> None:
    frames = [AccessUnit(2, 10 * PICTURE + number * 2090, 0, True, b"a", 10 + number) for number in range(100)]
    cuts = cut(pictures(10) + frames, tracks=BOTH)
    parts = [part.duration for part in of_kind(cuts, PartClosed)]
    assert len(parts) >= 4
    assert all(duration >= 0.85 * 12 * PICTURE for duration in parts[:4])
    assert not any(begun.discontinuity for begun in of_kind(cuts, SegmentBegun))


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


def test_where_the_origin_has_no_longer_what_is_missing_numbers_are_given_up() -> None:
    start = Start(number=8, targets=KNOWN.targets, end=0, end_us=77, configuration=configuration_of(VIDEO_ONLY), publication=FIRST)
    run = run_of(pictures(10, first=150), tracks=VIDEO_ONLY, missing=150)
    cuts = cuts_of(Segmenter(SETTINGS, start), [run])
    assert of_kind(cuts, SegmentLost)[0] == SegmentLost(8, 2 * TICKS_PER_SECOND, 77)
    assert [lost.number for lost in of_kind(cuts, SegmentLost)] == [8, 9, 10]
    begun = of_kind(cuts, SegmentBegun)[0]
    assert (begun.number, begun.discontinuity) == (11, True)


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
    assert [unit for added in of_kind(cuts, UnitsAdded) for unit in added.units] == units
    segmenter = Segmenter(SETTINGS, start)
    whole = cuts_of(segmenter, [run_of(units, tracks=BOTH)], to_end=True)
    assert whole == cuts
    targets = segmenter.targets
    assert targets is not None
    assert all(0 < part.duration <= targets.part for part in of_kind(cuts, PartClosed))
    assert all(0 < duration <= targets.longest for duration in durations(cuts))
    assert sum(part.duration for part in of_kind(cuts, PartClosed)) == sum(durations(cuts))


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


def test_a_pause_does_not_decide_the_targets() -> None:
    segmenter = Segmenter(SETTINGS, Start())
    segmenter.receive(run_of(pictures(10), tracks=VIDEO_ONLY))
    assert segmenter.pause() == []
    assert segmenter.finish()
