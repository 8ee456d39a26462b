from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.media import TICKS_PER_MS, AccessUnit, TrackSet
from lalmesh.runtime.fences import Fence
from lalmesh.runtime.ownership import NO_PLACE, Epoch, Place, UnitName
from lalmesh.runtime.reader import SEAM_TICKS, Reader, ReaderMemory
from lalmesh.runtime.ring import Run

TRACKS = TrackSet()
VIDEO, AUDIO = 1, 2


def publication(number: int) -> bytes:
    return number.to_bytes(16, "big")


def epoch(number: int) -> Epoch:
    return Epoch(1, number)


def run(number: int, first_seq: int, *dts: int, under: int | None = None, missing: int = 0, place: Place = NO_PLACE) -> Run:
    """Pictures of publication `number` at the given times, written under the epoch of that number."""
    units = [AccessUnit(VIDEO, at, 90, False, b"x", first_seq + index, 7) for index, at in enumerate(dts)]
    return Run(epoch(number if under is None else under), publication(number), TRACKS, units, place, missing)


def times(run: Run | None) -> list[int]:
    assert run is not None
    return [unit.dts for unit in run.units]


def seqs(run: Run | None) -> list[int]:
    assert run is not None
    return [unit.seq for unit in run.units]


def test_a_first_publication_is_passed_on_as_it_is() -> None:
    reader, first = Reader(), run(1, 5, -900, 0, 900)
    taken = reader.receive(first)
    assert taken == run(1, 5, -900, 0, 900)
    assert taken is not None
    assert taken.units[0] is first.units[0]
    assert (reader.last, reader.epoch) == (UnitName(publication(1), 7), epoch(1))


def test_times_go_on_across_publications_with_one_offset_for_all_tracks() -> None:
    reader = Reader()
    reader.receive(run(1, 0, 1000, 5000))
    second = run(2, 0, 300, 600)
    second.units[0].track_id, second.units[1].cts = AUDIO, 180
    taken = reader.receive(second)
    assert times(taken) == [5000 + SEAM_TICKS, 5000 + SEAM_TICKS + 300]
    assert taken is not None
    assert [(unit.cts, unit.seq, unit.wall_us) for unit in taken.units] == [(90, 0, 7), (180, 1, 7)]
    assert times(reader.receive(run(2, 2, 900))) == [5000 + SEAM_TICKS + 600]
    assert second.units[0].dts == 300  # units are shared: they are never changed


def test_what_lies_before_the_seam_is_moved_behind_it() -> None:
    reader = Reader()
    reader.receive(run(1, 0, 10_000))
    reader.receive(run(2, 0, 0))
    assert times(reader.receive(run(2, 1, -90_000, 90))) == [
        10_000 + SEAM_TICKS + TICKS_PER_MS,
        10_000 + SEAM_TICKS + 2 * TICKS_PER_MS,
    ]


def test_an_offset_of_nothing_still_makes_times_rise() -> None:
    reader = Reader()
    reader.receive(run(1, 0, 0))
    reader.receive(run(2, 0, SEAM_TICKS))
    assert times(reader.receive(run(2, 1, 0))) == [SEAM_TICKS + TICKS_PER_MS]


def test_repeats_are_passed_over() -> None:
    reader = Reader()
    reader.receive(run(1, 0, 0, 1, 2))
    assert reader.receive(run(1, 1, 1, 2)) is None
    assert seqs(reader.receive(run(1, 1, 1, 2, 3, 4))) == [3, 4]
    assert (reader.counters.repeated, reader.counters.units) == (4, 5)


def test_a_hole_is_counted_whether_or_not_it_was_announced() -> None:
    reader = Reader()
    reader.receive(run(1, 4, 0, missing=4))  # nothing is missing before the first unit
    announced, silent = reader.receive(run(1, 8, 1, missing=3)), reader.receive(run(1, 11, 2))
    assert announced is not None
    assert silent is not None
    assert (announced.missing, silent.missing) == (3, 2)
    counters = reader.counters
    assert (counters.missing, counters.unannounced) == (5, 2)


@pytest.mark.parametrize(("said", "missing", "unannounced"), [(0, 3, 3), (3, 3, 0), (9, 9, 0)])
def test_the_missing_start_of_a_publication_is_counted(said: int, missing: int, unannounced: int) -> None:
    reader = Reader()
    reader.receive(run(1, 0, 0))
    taken = reader.receive(run(2, 3, 0, missing=said))
    assert taken is not None
    assert (taken.missing, reader.counters.unannounced) == (missing, unannounced)


def test_an_outdated_epoch_is_refused() -> None:
    reader = Reader()
    reader.receive(run(2, 0, 0))
    assert reader.receive(run(1, 0, 0, 1)) is None
    assert (reader.counters.fenced, reader.last) == (2, UnitName(publication(2), 0))


def test_another_publication_of_the_same_epoch_is_refused() -> None:
    reader = Reader()
    reader.receive(run(2, 0, 0))
    assert reader.receive(run(3, 0, 0, under=2)) is None
    assert reader.counters.fenced == 1


def test_a_new_epoch_that_the_origin_names_first_lets_in_what_came_before_it() -> None:
    reader = Reader()
    reader.receive(run(1, 0, 0))
    assert reader.moved(epoch(2), Place(1, 2))
    assert seqs(reader.receive(run(1, 1, 1))) == [1]
    assert seqs(reader.receive(run(2, 0, 0))) == [0]
    assert reader.receive(run(1, 2, 2)) is None  # the old writer is fenced from now on


def test_an_origin_with_an_outdated_epoch_or_place_is_not_followed() -> None:
    reader = Reader()
    reader.receive(run(2, 0, 0, place=Place(1, 5)))
    assert not reader.moved(epoch(1), Place(1, 9))
    assert not reader.moved(epoch(2), Place(1, 4, heir=True))
    assert reader.moved(epoch(2), Place(1, 5))
    assert reader.moved(epoch(2), Place(1, 5, heir=True))
    assert not reader.moved(epoch(2), Place(1, 5))
    assert reader.moved(epoch(3), Place(1, 1))
    assert reader.place == Place(1, 5, heir=True)


def test_units_of_the_one_writer_are_taken_from_wherever_they_come() -> None:
    reader = Reader()
    reader.moved(epoch(1), Place(1, 5))
    assert seqs(reader.receive(run(1, 0, 0, place=Place(1, 4)))) == [0]
    assert reader.place == Place(1, 5)


RUNS = st.builds(
    lambda number, first, dts, said: run(number, first, *dts, missing=said),
    st.integers(1, 3),
    st.integers(0, 12),
    st.lists(st.integers(-1000, 100_000), min_size=1, max_size=5),
    st.integers(0, 3),
)


@given(st.lists(RUNS, max_size=20))
def test_whatever_comes_no_unit_is_given_twice_and_no_publication_returns(runs: list[Run]) -> None:
    reader, order = Reader(), list[tuple[Epoch, UnitName]]()
    for received in runs:
        last = reader.last
        taken = reader.receive(received)
        if taken is None:
            continue
        names = [UnitName(taken.publication, unit.seq) for unit in taken.units]
        if last is not None and last.publication == taken.publication:
            assert taken.missing == names[0].seq - last.seq - 1
        order += [(taken.epoch, unit) for unit in names]
    assert [(e, name.seq) for e, name in order] == sorted({(e, name.seq) for e, name in order})
    assert reader.counters.units == len(order)
    sent = sum(len(received.units) for received in runs)
    assert sent == len(order) + reader.counters.repeated + reader.counters.fenced


@given(st.lists(st.lists(st.tuples(st.sampled_from([VIDEO, AUDIO]), st.integers(0, 9000)), min_size=1, max_size=6), max_size=8))
def test_after_a_seam_the_times_of_each_track_rise(publications: list[list[tuple[int, int]]]) -> None:
    reader, newest = Reader(), dict[int, int]()
    for number, units in enumerate(publications, 1):
        for seq, (track_id, dts) in enumerate(units):
            received = run(number, seq, dts)
            received.units[0].track_id = track_id
            (at,) = times(reader.receive(received))
            assert number == 1 or at > newest.get(track_id, at - 1)
            newest[track_id] = at


def test_a_reader_that_goes_on_for_another_gives_what_the_other_would_have_given() -> None:
    runs = [run(1, 0, 0, 900), run(2, 0, 5000, 5900), run(2, 2, 6800, 7700), run(3, 0, 100, 1000)]
    first = Reader()
    whole = [first.receive(one) for one in runs]
    other = Reader()
    for one in runs[:2]:
        other.receive(one)
    memory = ReaderMemory(
        epoch=epoch(2),
        last=UnitName(publication(2), 1),
        offset=other.offset,
        shifted=other.is_shifted,
        last_dts={VIDEO: 900 + SEAM_TICKS + 900},
    )
    resumed = Reader.resuming(memory)
    assert [resumed.receive(one) for one in runs[1:]] == [None, *whole[2:]]


def test_who_was_seen_to_write_before_is_not_replaced_under_the_same_epoch() -> None:
    before = Reader()
    before.receive(run(2, 0, 0))
    later = Reader(*before.seen)
    assert later.receive(run(1, 0, 0)) is None
    assert later.receive(run(3, 0, 0, under=2)) is None
    assert seqs(later.receive(run(2, 1, 900))) == [1]
    assert later.counters.fenced == 2


def test_an_epoch_that_was_only_named_has_no_writer_yet() -> None:
    before = Reader()
    before.receive(run(1, 0, 0))
    before.moved(epoch(2), NO_PLACE)
    assert before.seen == Fence(epoch(2))
    assert seqs(Reader(*before.seen).receive(run(5, 0, 0, under=2))) == [0]


def test_a_reader_that_goes_on_for_another_knows_what_its_node_has_seen() -> None:
    memory = ReaderMemory(epoch=epoch(2), last=UnitName(publication(2), 1))
    assert seqs(Reader.resuming(memory, Fence(epoch(1), publication(1))).receive(run(2, 2, 0))) == [2]
    assert Reader.resuming(memory, Fence(epoch(3))).receive(run(2, 2, 0)) is None
