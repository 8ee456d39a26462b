from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.runtime import ring as ring_module
from lalmesh.runtime.ownership import NO_PLACE, Epoch, UnitName
from lalmesh.runtime.ring import MAX_PUBLICATIONS, MAX_RUN_UNITS, Cursor, Ring, RingLimits, Run, join_track

VIDEO = Track(track_id=1, codec=Codec.H264)
AUDIO = Track(track_id=2, codec=Codec.AAC)
AV = TrackSet((VIDEO, AUDIO), 1)
AV_CHANGED = TrackSet((VIDEO, AUDIO), 2)
AUDIO_ONLY = TrackSet((AUDIO,), 3)
SECOND_US = 1_000_000
ALL = 1 << 40


def publication(number: int) -> bytes:
    return number.to_bytes(16, "big")


def name(seq: int, number: int = 1) -> UnitName:
    return UnitName(publication(number), seq)


def unit(seq: int, *, key: bool = False, audio: bool = False, wall_us: int = 0, size: int = 1) -> AccessUnit:
    return AccessUnit(2 if audio else 1, seq * 90, 0, key or audio, bytes(size), seq, wall_us)


def run(units: Iterable[AccessUnit], *, number: int = 1, tracks: TrackSet = AV, missing: int = 0) -> Run:
    return Run(Epoch(1, number), publication(number), tracks, list(units), missing=missing)


def video(first: int, last: int, *, number: int = 1, key_each: int = 10, missing: int = 0, tracks: TrackSet = AV) -> Run:
    """Pictures `first` to `last`, ten a second, a random access point each `key_each`."""
    units = [unit(seq, key=seq % key_each == 0, wall_us=seq * SECOND_US // 10) for seq in range(first, last + 1)]
    return run(units, number=number, missing=missing, tracks=tracks)


def described(size: int, version: int = 1) -> TrackSet:
    """Video and audio, and `size` bytes that tell of them."""
    return TrackSet((VIDEO, AUDIO, Track(track_id=3, codec=Codec.SCRIPT, version=version, configuration=bytes(size))), version)


def told_bytes(tracks: TrackSet) -> int:
    """What tracks add to the bytes of units."""
    return sum(len(track.configuration) + len(track.video_metadata) for track in tracks.tracks)


def seqs(runs: Iterable[Run | None]) -> list[int]:
    return [unit.seq for run in runs if run is not None for unit in run.units]


def rest(cursor: Cursor, max_bytes: int = ALL) -> list[Run]:
    return list(iter(lambda: cursor.read(max_bytes), None))


# what is kept


def test_the_last_gops_are_kept_and_no_more() -> None:
    ring = Ring(RingLimits(gop_num=2))
    ring.append(video(0, 35))
    assert seqs(ring.runs(ring.start)) == list(range(20, 36))
    assert ring.payload_bytes == len(ring) == 16


def test_what_came_in_the_last_seconds_is_kept_beyond_the_gops() -> None:
    ring = Ring(RingLimits(keep_us=2 * SECOND_US))
    ring.append(video(0, 35))
    assert ring.newest(100)[0].seq == 15


def test_what_is_wanted_no_more_is_given_up_from_time_to_time_and_what_is_not_allowed_at_once() -> None:
    ring = Ring(RingLimits(gop_num=0, trim_us=3 * SECOND_US // 10, max_units=7))
    kept = []
    for seq in range(9):  # ten a second
        ring.append(video(seq, seq))
        kept.append(len(ring))
    assert kept == [1, 2, 3, 1, 2, 3, 1, 2, 3]
    ring.append(run(unit(seq, wall_us=9 * SECOND_US // 10 - 1) for seq in range(9, 29)))
    assert len(ring) <= 7


def test_audio_alone_is_kept_for_its_time() -> None:
    ring = Ring(RingLimits(audio_cache_us=SECOND_US))
    ring.append(run((unit(seq, audio=True, wall_us=seq * 100_000) for seq in range(40)), tracks=AUDIO_ONLY))
    assert seqs(ring.runs(ring.start)) == list(range(29, 40))
    assert ring.join_position() == ring.start


@pytest.mark.parametrize(
    "limits",
    [
        RingLimits(gop_num=9, max_units=5),
        RingLimits(gop_num=9, max_bytes=5),
        RingLimits(gop_num=9, max_us=4 * SECOND_US // 10),
    ],
)
def test_every_bound_goes_before_what_is_wanted(limits: RingLimits) -> None:
    ring = Ring(limits)
    ring.append(video(0, 35))
    assert seqs(ring.runs(ring.start)) == [31, 32, 33, 34, 35]


def test_one_unit_larger_than_the_bound_is_kept_alone() -> None:
    ring = Ring(RingLimits(max_bytes=10))
    ring.append(run([unit(0, key=True), unit(1, key=True, size=50)]))
    assert seqs(ring.runs(ring.start)) == [1]


def test_tracks_that_hold_no_more_count_into_the_bound_of_bytes() -> None:
    ring = Ring(RingLimits(keep_us=60 * SECOND_US, max_bytes=1 << 20))
    for seq in range(100):
        ring.append(video(seq, seq, key_each=1, tracks=described(240_000, seq)))
    assert seqs(ring.runs(ring.start)) == [95, 96, 97, 98, 99]
    assert ring.payload_bytes == 5 * 240_001
    assert len(ring._marks) == 5


def test_tracks_that_hold_now_push_nothing_out_however_large_they_are() -> None:
    ring, tracks = Ring(RingLimits(max_bytes=10)), described(5000)
    for seq in range(8):
        ring.append(video(seq, seq, tracks=tracks))
    assert ring.payload_bytes == 5008
    assert seqs(rest(Cursor.joining(ring))) == list(range(8))
    ring.append(video(8, 8, tracks=AV))
    assert (ring.payload_bytes, seqs(ring.runs(ring.start)), ring.tracks) == (1, [8], AV)


def test_tracks_that_go_on_after_a_hole_count_once() -> None:
    ring, tracks = Ring(RingLimits(keep_us=SECOND_US)), described(1000)
    for seq in range(0, 10, 2):
        ring.append(video(seq, seq, tracks=tracks, missing=1))
    assert (len(ring._marks), ring.payload_bytes) == (5, 1005)
    ring.append(video(10, 30, tracks=described(200, 2)))
    assert (ring.payload_bytes, len(ring)) == (1200 + 11 - 1000, 11)


def test_a_unit_given_up_frees_its_payload_at_once() -> None:
    ring = Ring(RingLimits(max_units=3))
    ring.append(video(0, 505))
    held = [unit for unit in ring._units if unit.payload]  # the list is cut seldom, so that trimming is cheap
    assert [unit.seq for unit in held] == [503, 504, 505]


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_step_of_the_wall_clock_makes_what_was_before_it_old(step_s: int) -> None:
    ring = Ring(RingLimits(keep_us=3 * SECOND_US))
    ring.append(video(0, 25))
    ring.append(run(unit(seq, wall_us=(step_s * 10 + seq) * 100_000) for seq in range(26, 28)))
    assert seqs(ring.runs(ring.start)) == [26, 27]


def test_the_name_of_the_newest_unit_outlives_it() -> None:
    ring = Ring(RingLimits())
    assert ring.last_name is None
    assert ring.tracks == TrackSet()
    ring.append(video(0, 20))
    ring.append(video(0, 3, number=2, tracks=AV_CHANGED))
    assert ring.last_name == name(3, 2)
    assert ring.tracks is AV_CHANGED


# joining


def test_a_join_starts_at_the_last_gops() -> None:
    ring = Ring(RingLimits(gop_num=2, keep_us=60 * SECOND_US))
    ring.append(video(0, 35))
    cursor = Cursor.joining(ring)
    assert seqs(rest(cursor)) == list(range(20, 36))
    assert not cursor.pending


def test_a_join_without_a_random_access_point_waits_for_one() -> None:
    ring = Ring(RingLimits(keep_us=SECOND_US))
    ring.append(video(1, 5))
    cursor = Cursor.joining(ring)
    ring.append(video(6, 8))
    assert cursor.read(ALL) is None
    assert not cursor.pending
    ring.append(video(9, 12))
    assert seqs(rest(cursor)) == [10, 11, 12]


def test_a_join_of_a_picture_stream_never_starts_at_the_audio_before_it() -> None:
    ring = Ring(RingLimits(gop_num=2, keep_us=60 * SECOND_US))
    ring.append(run((unit(seq, audio=True) for seq in range(5)), tracks=AUDIO_ONLY))
    ring.append(run([unit(5), unit(6, audio=True)]))
    assert ring.join_position() is None
    ring.append(run([unit(7, key=True)]))
    assert seqs(rest(Cursor.joining(ring))) == [7]


def test_the_main_track_is_the_first_picture_track_else_the_first_audio_track() -> None:
    assert [join_track(tracks) for tracks in (AV, AUDIO_ONLY, TrackSet())] == [1, 2, ring_module.NO_TRACK]


def test_the_main_track_of_what_is_only_passed_on_is_the_first_of_that() -> None:
    script = Track(track_id=3, codec=Codec.SCRIPT)
    passed_on = TrackSet((script, Track(track_id=4, codec=Codec.OPAQUE), Track(track_id=5, codec=Codec.OPAQUE)), 1)
    assert [join_track(tracks) for tracks in (passed_on, TrackSet((script,), 1))] == [4, ring_module.NO_TRACK]


# resuming


def resumed(ring: Ring, after: UnitName) -> list[Run]:
    return rest(Cursor.resuming(ring, after))


def test_a_resume_after_a_kept_unit_gives_what_follows_it() -> None:
    ring = Ring(RingLimits())
    ring.append(video(0, 15))
    for last in (9, 13, 15):
        runs = resumed(ring, name(last))
        assert seqs(runs) == list(range(last + 1, 16))
        assert [run.missing for run in runs] == [0] * len(runs)


def test_a_resume_after_a_unit_given_up_goes_on_at_the_first_random_access_point_kept() -> None:
    ring = Ring(RingLimits(keep_us=15 * SECOND_US // 10))
    ring.append(video(0, 38))
    assert ring.newest(99)[0].seq == 23
    first, *_ = resumed(ring, name(5))
    assert (first.first_seq, first.missing) == (30, 24)


def test_a_reader_ahead_of_the_ring_gets_nothing_that_it_has() -> None:
    ring = Ring(RingLimits())
    ring.append(video(0, 3))
    cursor = Cursor.resuming(ring, name(6))
    ring.append(video(4, 8))
    runs = rest(cursor)
    assert (seqs(runs), runs[0].missing) == ([7, 8], 0)


def test_a_reader_that_comes_before_the_first_unit_gets_the_replay() -> None:
    ring = Ring(RingLimits(keep_us=60 * SECOND_US))
    cursor = Cursor.resuming(ring, name(6))
    ring.append(video(0, 4))
    ring.append(video(5, 8))
    assert seqs(rest(cursor)) == [7, 8]


def test_a_resume_into_another_publication_starts_at_its_first_unit() -> None:
    ring = Ring(RingLimits(keep_us=60 * SECOND_US))
    ring.append(video(0, 5, number=2))
    runs = resumed(ring, name(77))
    assert (seqs(runs), runs[0].missing) == ([0, 1, 2, 3, 4, 5], 0)


def test_a_resume_into_another_publication_whose_start_is_gone_announces_the_hole() -> None:
    ring = Ring(RingLimits())
    ring.append(video(0, 25, number=2))
    runs = resumed(ring, name(77))
    assert (runs[0].first_seq, runs[0].missing) == (20, 20)


def test_a_resume_across_publications_counts_the_lost_end_of_the_first() -> None:
    ring = Ring(RingLimits())
    ring.append(video(0, 9))
    ring.append(video(0, 12, number=2))
    runs = resumed(ring, name(5))
    assert (runs[0].first_seq, runs[0].missing) == (10, 4 + 10)


def test_the_memory_of_publications_is_bounded() -> None:
    ring = Ring(RingLimits())
    for number in range(1, 3 * MAX_PUBLICATIONS):
        ring.append(video(0, 1, number=number))
    assert len(ring._offsets) == MAX_PUBLICATIONS
    assert ring.missing_between(name(1, 1), name(1, 3 * MAX_PUBLICATIONS - 1)) == 1


# reading


def test_a_read_ends_at_each_mark() -> None:
    ring = Ring(RingLimits(keep_us=60 * SECOND_US))
    for appended in (video(0, 3), video(4, 5, tracks=AV_CHANGED), video(8, 9, tracks=AV_CHANGED), video(0, 1, number=2)):
        ring.append(appended)
    runs = resumed(ring, name(-1))
    assert [(run.first_seq, len(run.units), run.missing, run.tracks.version) for run in runs] == [
        (0, 4, 0, 1),
        (4, 2, 0, 2),
        (8, 2, 2, 2),
        (0, 2, 0, 1),
    ]


def test_a_read_gives_at_most_the_bytes_asked_for_or_one_larger_unit() -> None:
    ring = Ring(RingLimits(keep_us=60 * SECOND_US))
    ring.append(run(unit(seq, key=True, size=size) for seq, size in enumerate([4, 4, 4, 30, 4])))
    cursor = Cursor(ring, ring.start)
    assert [seqs([part]) for part in rest(cursor, 10)] == [[0, 1], [2], [3], [4]]


def test_tracks_that_the_reader_has_not_count_into_the_bytes_of_a_read() -> None:
    ring = Ring(RingLimits(keep_us=60 * SECOND_US))
    for first, tracks in ((0, described(10, 1)), (3, described(6, 2)), (6, described(30, 3))):
        ring.append(run((unit(seq, key=True, size=4) for seq in range(first, first + 3)), tracks=tracks))
    cursor = Cursor(ring, ring.start)
    assert [seqs([part]) for part in rest(cursor, 14)] == [[0], [1, 2], [3, 4], [5], [6], [7, 8]]
    assert cursor.read(14) is None


def test_tracks_that_the_reader_has_not_are_withheld_with_a_unit_that_may_not_be_so_large() -> None:
    ring, cursor = caught_up()
    ring.append(more := video(5, 6, tracks=described(100)))
    assert cursor.read(100, 100) is None
    assert cursor.pending
    assert seqs([cursor.read(100, 101)]) == [5]
    assert seqs([cursor.read(1)]) == [6]
    ring.append(again := video(7, 8, tracks=more.tracks))
    assert cursor.read(2) is again


def test_a_larger_unit_is_withheld_where_it_may_not_be_so_large() -> None:
    ring = Ring(RingLimits())
    ring.append(run([unit(0, key=True, size=30)]))
    cursor = Cursor.joining(ring)
    assert cursor.read(10, 29) is None
    assert cursor.pending
    assert seqs([cursor.read(10, 30)]) == [0]


def test_a_read_of_tiny_units_is_bounded_in_number() -> None:
    ring = Ring(RingLimits(keep_us=ALL, max_us=ALL))
    ring.append(run(unit(seq, size=0) for seq in range(MAX_RUN_UNITS + 5)))
    assert [len(part.units) for part in rest(Cursor(ring, 0))] == [MAX_RUN_UNITS, 5]


def caught_up() -> tuple[Ring, Cursor]:
    """A ring that has begun, and who has read all of it."""
    ring = Ring(RingLimits())
    ring.append(video(0, 4))
    cursor = Cursor.joining(ring)
    rest(cursor)
    return ring, cursor


def test_who_has_all_before_gets_what_was_taken_in_last_as_it_came() -> None:
    ring, cursor = caught_up()
    late = Cursor.joining(ring)
    ring.append(more := video(5, 6))
    assert cursor.read(ALL) is more
    assert cursor.read(ALL) is None
    assert seqs(rest(late)) == [0, 1, 2, 3, 4, 5, 6]


def test_what_was_taken_in_last_says_where_its_ring_is_now() -> None:
    ring, cursor = caught_up()
    ring.append(video(5, 6))
    ring.place = NO_PLACE._replace(heir=True)
    (only,) = rest(cursor)
    assert (only.place, seqs([only])) == (ring.place, [5, 6])


def test_a_cursor_that_falls_off_goes_on_at_a_random_access_point_and_says_what_it_missed() -> None:
    ring = Ring(RingLimits(keep_us=5 * SECOND_US // 10))
    ring.append(video(0, 4))
    cursor = Cursor.joining(ring)
    assert seqs(rest(cursor)) == [0, 1, 2, 3, 4]
    ring.append(video(5, 47))
    first, *more = rest(cursor)
    assert (first.first_seq, first.missing, more) == (40, 35, [])


def test_a_cursor_that_falls_off_in_one_publication_and_goes_on_in_the_next_announces_the_hole() -> None:
    ring, cursor = caught_up()
    ring.append(video(5, 8))
    ring.append(run((unit(seq, key=not seq, wall_us=SECOND_US) for seq in range(3)), number=2))
    (only,) = rest(cursor)
    assert (only.publication, only.first_seq, only.missing) == (publication(2), 0, 4)


# any sequence of runs, against a naive model


@dataclass
class Model:
    """All that was ever appended, in order, with a None for each unit known to be lost."""

    order: list[UnitName | None] = field(default_factory=list)
    units: list[tuple[UnitName, AccessUnit, TrackSet]] = field(default_factory=list)

    def append(self, appended: Run) -> None:
        last = self.units[-1][0] if self.units else None
        gap = appended.missing
        if last is not None and last.publication == appended.publication:
            gap = appended.first_seq - last.seq - 1
        self.order += [None] * max(gap, 0 if last and last.publication == appended.publication else appended.first_seq)
        for unit in appended.units:
            self.order.append(UnitName(appended.publication, unit.seq))
            self.units.append((UnitName(appended.publication, unit.seq), unit, appended.tracks))

    def is_join(self, position: int) -> bool:
        _, unit, tracks = self.units[position]
        return unit.random_access and unit.track_id == join_track(tracks)

    def bytes_from(self, position: int) -> int:
        """Of all units from there on, and of their tracks: those of units in a row once."""
        kept = self.units[position:]
        tracks = [tracks for at, (_, _, tracks) in enumerate(kept) if not at or kept[at - 1][2] is not tracks]
        return sum(len(unit.payload) for _, unit, _ in kept) + sum(map(told_bytes, tracks))

    def missing_between(self, last: UnitName, first: UnitName) -> int:
        return self.order.index(first) - self.order.index(last) - 1


FEW_WORDS, MANY_WORDS = described(20, 4), described(200, 5)


@dataclass
class Appended:
    units: list[tuple[bool, bool, int]]  # key, audio, size
    gap: int
    new_publication: bool
    tracks: TrackSet
    step_us: int


APPENDS = st.builds(
    Appended,
    units=st.lists(st.tuples(st.sampled_from([False, False, True]), st.booleans(), st.integers(0, 30)), min_size=1, max_size=6),
    gap=st.sampled_from([0, 0, 0, 0, 1, 5]),
    new_publication=st.sampled_from([False] * 6 + [True]),
    tracks=st.sampled_from([AV, AV, AV, AV_CHANGED, AUDIO_ONLY, FEW_WORDS, MANY_WORDS]),
    step_us=st.sampled_from([0, 40, 100, 100, 5_000]),
)
LIMITS = st.builds(
    RingLimits,
    keep_us=st.sampled_from([0, 300]),
    gop_num=st.integers(0, 3),
    audio_cache_us=st.sampled_from([0, 200]),
    max_us=st.sampled_from([400, 2_000, ALL]),
    max_bytes=st.sampled_from([40, 300, ALL]),
    max_units=st.sampled_from([1, 8, 20_000]),
)


def runs_of(appends: list[Appended], steps_back: bool = False) -> Iterator[Run]:
    number, seq, wall_us = 1, 0, 1_000_000
    for index, appended in enumerate(appends):
        if appended.new_publication:
            number, seq = number + 1, 0
        seq += appended.gap
        wall_us += -appended.step_us if steps_back and index % 3 == 2 else appended.step_us
        audio_only = not appended.tracks.has_video
        units = [
            unit(seq + at, key=key, audio=audio or audio_only, wall_us=wall_us, size=size)
            for at, (key, audio, size) in enumerate(appended.units)
        ]
        yield run(units, number=number, tracks=appended.tracks, missing=appended.gap)
        seq += len(units)


def kept_from(model: Model, limits: RingLimits, before: int) -> int:
    """The position from which a ring keeps, told naively; it kept from `before` until now. The wall clock has not stepped."""
    newest = len(model.units) - 1
    tracks = model.units[-1][2]
    wall_us = [unit.wall_us for _, unit, _ in model.units]
    main = max([at for at, (_, _, old) in enumerate(model.units) if join_track(old) != join_track(tracks)], default=-1) + 1
    joins = [at for at in range(max(before, main), newest + 1) if model.is_join(at)]
    keep_us = limits.keep_us if tracks.has_video else max(limits.keep_us, limits.audio_cache_us)
    wanted = next(at for at in range(newest + 1) if wall_us[newest] - wall_us[at] <= keep_us)
    if tracks.has_video and limits.gop_num and joins:
        wanted = min(wanted, joins[-limits.gop_num :][0])
    return next(
        at
        for at in range(max(before, wanted), newest + 1)
        if at == newest
        or (
            newest + 1 - at <= limits.max_units
            and model.bytes_from(at) - told_bytes(tracks) <= limits.max_bytes
            and wall_us[newest] - wall_us[at] <= limits.max_us
        )
    )


@given(st.lists(APPENDS, max_size=14), LIMITS)
def test_a_ring_keeps_what_is_wanted_within_its_bounds(appends: list[Appended], limits: RingLimits) -> None:
    ring, model, start = Ring(limits), Model(), 0
    for appended in runs_of(appends):
        ring.append(appended)
        model.append(appended)
        start = kept_from(model, limits, start)
        assert (ring.start, ring.end) == (start, len(model.units))
        assert ring.newest(ALL) == [unit for _, unit, _ in model.units[start:]]
        assert ring.payload_bytes == model.bytes_from(start)
        assert ring.last_name == model.units[-1][0]


@given(st.lists(APPENDS, max_size=14), LIMITS)
def test_bounds_hold_whatever_the_wall_clock_does(appends: list[Appended], limits: RingLimits) -> None:
    ring, model = Ring(limits), Model()
    for appended in runs_of(appends, steps_back=True):
        ring.append(appended)
        model.append(appended)
        assert len(ring) <= limits.max_units
        assert ring.payload_bytes == model.bytes_from(ring.start)
        assert ring.payload_bytes - told_bytes(ring.tracks) <= limits.max_bytes or len(ring) == 1
        kept = ring.newest(ALL)
        assert abs(kept[-1].wall_us - kept[0].wall_us) <= limits.max_us


@dataclass
class Reading:
    """A cursor, what it gave, and whether it may begin anywhere."""

    cursor: Cursor
    last: UnitName | None
    told: TrackSet | None = None  # the tracks of the run before


def check_run(model: Model, reading: Reading, got: Run) -> None:
    names = [UnitName(got.publication, unit.seq) for unit in got.units]
    at = model.order.index(names[0])
    assert model.order[at : at + len(names)] == names  # consecutive, in order, of one publication
    positions = {known: position for position, (known, _, _) in enumerate(model.units)}
    first = positions[names[0]]
    assert all(model.units[position][2] is got.tracks for position in range(first, first + len(names)))
    if reading.last is None:
        assert got.missing == 0
        assert model.is_join(first)
    else:
        assert got.missing == model.missing_between(reading.last, names[0])  # also: never again, never backwards
        fell_off = positions[reading.last] + 1 != first
        assert not fell_off or model.is_join(first)
    reading.last, reading.told = names[-1], got.tracks


@given(st.lists(APPENDS | st.integers(0, 60), max_size=30), LIMITS, st.data())
def test_a_cursor_gives_each_unit_once_and_announces_every_hole(
    steps: list[Appended | int], limits: RingLimits, data: st.DataObject
) -> None:
    ring, model, readings = Ring(limits), Model(), list[Reading]()
    runs = runs_of([step for step in steps if isinstance(step, Appended)], steps_back=data.draw(st.booleans()))
    for step in steps:
        if isinstance(step, Appended):
            appended = next(runs)
            ring.append(appended)
            model.append(appended)
        elif step < 10 or not readings:
            readings.append(Reading(Cursor.joining(ring), None))
        else:
            reading = readings[step % len(readings)]
            if (got := reading.cursor.read(step)) is not None:
                size = 0 if got.tracks is reading.told else told_bytes(got.tracks)
                assert size + sum(len(unit.payload) for unit in got.units) <= step or len(got.units) == 1
                check_run(model, reading, got)
    for reading in readings:
        for got in rest(reading.cursor):
            check_run(model, reading, got)
        assert not reading.cursor.pending


@given(st.lists(APPENDS, min_size=1, max_size=14), LIMITS, st.data())
def test_a_resume_after_any_unit_gives_what_follows_it_and_announces_the_hole(
    appends: list[Appended], limits: RingLimits, data: st.DataObject
) -> None:
    ring, model = Ring(limits), Model()
    for appended in runs_of(appends):
        ring.append(appended)
        model.append(appended)
    last = data.draw(st.sampled_from([known for known, _, _ in model.units]))
    reading = Reading(Cursor.resuming(ring, last), last)
    following = [known for known, _, _ in model.units].index(last) + 1
    for got in rest(reading.cursor):
        names = [UnitName(got.publication, unit.seq) for unit in got.units]
        assert reading.last is not None
        assert got.missing == model.missing_between(reading.last, names[0])
        reading.last = names[-1]
    if following > ring.start:  # the unit itself is kept
        assert reading.last == model.units[-1][0]
