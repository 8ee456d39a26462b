"""A publication: numbers, times, track changes, and what it keeps to replay."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import AUDIO, FIRST, VIDEO, epoch

from lalmesh.media import AccessUnit, MediaEvent, TrackEnded, TracksChanged, TrackSet
from lalmesh.runtime.ring import Cursor, Run
from services.edge.publication import Publication, PublicationSettings
from services.edge.silent_audio import SILENT_TRACK_ID

NOW_US = 1_700_000_000_000_000
ONE = TracksChanged(TrackSet((VIDEO,), 1))
TWO = TracksChanged(TrackSet((VIDEO, AUDIO), 2))


def picture(number: int, *, key: bool = False, payload: bytes = b"v") -> AccessUnit:
    return AccessUnit(1, number * 3600, 0, key, payload)


def publication(**settings: float) -> Publication:
    made = Publication(FIRST, PublicationSettings(**settings))  # type: ignore[arg-type]
    made.grant(epoch(1))
    made.taken(NOW_US)
    return made


def runs(core: Publication) -> list[Run]:
    return list(core.ring.runs(core.ring.start))


def seqs(core: Publication) -> list[int]:
    return [unit.seq for run in runs(core) for unit in run.units]


def send_pictures(core: Publication, numbers: Iterable[int], keys: int = 0) -> None:
    """One picture each 40 ms of wall time, a random access point each `keys` of them (0: none)."""
    for number in numbers:
        core.feed([picture(number, key=bool(keys) and number % keys == 0)], NOW_US + number * 40_000)


def test_numbers_rise_by_one_over_all_tracks() -> None:
    core = publication()
    assert core.feed([TWO, picture(0, key=True), AccessUnit(2, 0, 0, True, b"a")], NOW_US)
    assert core.feed([picture(1)], NOW_US + 40_000)
    (run,) = runs(core)
    assert [(unit.track_id, unit.seq) for unit in run.units] == [(1, 0), (2, 1), (1, 2)]
    assert [unit.wall_us - NOW_US for unit in run.units] == [0, 0, 40_000]
    assert (run.epoch, run.publication) == (epoch(1), FIRST)


def test_what_brings_no_unit_says_so() -> None:
    core = publication()
    assert not core.feed([], NOW_US)
    assert not core.feed([ONE, TrackEnded(1)], NOW_US)
    assert core.tracks.tracks == (VIDEO,)


def test_a_track_that_ends_is_not_passed_on_and_may_go_on() -> None:
    core = publication()
    core.feed([ONE, picture(0, key=True), TrackEnded(1), picture(1)], NOW_US)
    assert seqs(core) == [0, 1]


def test_tracks_that_change_in_the_middle_hold_from_there_on() -> None:
    core = publication()
    core.feed([ONE, picture(0, key=True), picture(1), TWO, picture(2), AccessUnit(2, 7200, 0, True, b"a")], NOW_US)
    first, second = runs(core)
    assert ([unit.seq for unit in first.units], first.tracks.tracks) == ([0, 1], (VIDEO,))
    assert ([unit.seq for unit in second.units], second.tracks.tracks) == ([2, 3], (VIDEO, AUDIO))
    assert second.tracks.version > first.tracks.version


def test_times_are_mended() -> None:
    core = publication()
    core.feed([ONE, picture(0), picture(0)], NOW_US)
    assert [unit.dts for run in runs(core) for unit in run.units] == [0, 90]
    core.feed([picture(10_000)], NOW_US + 40_000)
    assert core.clock_jumps == 1


def test_silence_is_added_where_it_is_asked_for() -> None:
    core = publication(silent_audio=True, silent_audio_wait_ms=0)
    core.feed([ONE, picture(0, key=True), picture(1)], NOW_US)
    (run,) = runs(core)
    assert [unit.track_id for unit in run.units] == [SILENT_TRACK_ID, 1, SILENT_TRACK_ID, 1]
    assert run.tracks.get(SILENT_TRACK_ID) is not None


def test_all_of_the_last_seconds_is_kept() -> None:
    core = publication(replay_s=2.0)
    core.feed([ONE], NOW_US)
    send_pictures(core, range(500), keys=25)
    assert seqs(core) in (list(range(500 - more, 500)) for more in (51, 52))  # 40 ms each, given up each `TRIM_US`


def test_more_is_kept_back_to_the_last_random_access_point() -> None:
    core = publication(replay_s=2.0, replay_max_s=30.0)
    core.feed([ONE], NOW_US)
    send_pictures(core, range(500), keys=200)
    assert seqs(core) == list(range(400, 500))


def test_no_more_is_kept_than_time_allows() -> None:
    core = publication(replay_s=2.0, replay_max_s=4.0)
    core.feed([ONE], NOW_US)
    send_pictures(core, range(101), keys=1000)
    assert seqs(core) == list(range(101))
    send_pictures(core, [101, 102])  # the random access point is too old now
    assert seqs(core) == list(range(52, 103))


def test_what_an_edge_that_stood_still_had_not_sent_is_kept_until_there_was_time_for_it() -> None:
    core = publication(replay_s=3.0, replay_max_s=30.0)
    core.feed([ONE], NOW_US)
    send_pictures(core, range(10), keys=5)
    woken_us = NOW_US + 10 * 40_000 + 8_000_000
    core.feed([picture(number, key=number % 5 == 0) for number in range(10, 100)], woken_us)
    assert seqs(core) == list(range(100))
    assert 8_000_000 < core.replay_us(woken_us) < 8_500_000
    assert core.replay_us(woken_us + 10**18) == 30_000_000  # the clock was set
    assert core.replay_us(woken_us - 10**15) == 0
    core.feed([picture(100, key=True)], woken_us + 1_000_000)
    core.feed([picture(101)], woken_us + 2_000_000)
    assert seqs(core) == list(range(102))
    for number in range(102, 120):
        core.feed([picture(number, key=True)], woken_us + 2_000_000 + (number - 101) * 500_000)
    assert core.replay_us(woken_us + 11_000_000) == 0
    assert len(seqs(core)) < 10


def test_what_is_replayed_is_kept_until_it_is_on_its_way() -> None:
    core = publication()
    core.not_taken()
    core.feed([ONE], NOW_US)
    send_pictures(core, range(500), keys=25)  # 20 s
    cursor = core.cursor_after(None)
    core.taken(NOW_US + 20_000_000)
    send_pictures(core, range(500, 875), keys=25)
    assert cursor.read(1) is not None
    assert len(core.ring) == 751  # of 30 s, and of 35 in all
    send_and_read(core, cursor, range(875, 925))
    assert len(core.ring) < 105


def test_a_replay_that_goes_nowhere_is_given_up_in_the_end() -> None:
    core = publication()
    core.not_taken()
    core.feed([ONE], NOW_US)
    send_pictures(core, range(500), keys=25)
    core.cursor_after(None)
    core.taken(NOW_US + 20_000_000)
    send_pictures(core, range(500, 500 + 62 * 25), keys=25)
    assert len(core.ring) < 105


def test_an_origin_that_answers_late_loses_nothing_while_its_link_is_busy() -> None:
    core = Publication(FIRST, PublicationSettings())
    core.grant(epoch(1))
    core.feed([ONE], NOW_US)
    send_pictures(core, range(50), keys=25)  # 2 s
    cursor = core.cursor_after(None)
    core.taken(NOW_US + 2_000_000)
    send_pictures(core, range(50, 275), keys=25)  # 9 s
    assert [unit.seq for unit in all_of(cursor)] == list(range(275))
    send_and_read(core, cursor, range(275, 325))
    assert len(core.ring) < 105


def test_what_waits_for_a_busy_link_is_kept_also_while_the_edge_stands_still() -> None:
    core = publication()
    core.feed([ONE], NOW_US)
    cursor = core.cursor_after(None)
    core.taken(NOW_US)
    send_and_read(core, cursor, range(100))
    send_pictures(core, range(100, 130), keys=25)  # for 1.2 s nothing goes
    woken_us = NOW_US + 130 * 40_000 + 2_200_000  # less than what is kept as a rule
    core.feed([picture(number, key=number % 25 == 0) for number in range(130, 185)], woken_us)
    assert [unit.seq for unit in all_of(cursor)] == list(range(100, 185))
    for number in range(185, 300):
        core.feed([picture(number, key=number % 25 == 0)], woken_us + (number - 184) * 40_000)
        all_of(cursor)
    assert len(core.ring) < 105


def test_a_clock_that_is_set_back_while_much_is_kept_does_not_keep_it_until_that_time_comes_again() -> None:
    core = publication()
    core.feed([ONE], NOW_US)
    cursor = core.cursor_after(None)
    core.taken(NOW_US)
    send_pictures(core, range(50), keys=25)  # nothing goes: more is kept
    back_us = NOW_US - 3_600_000_000
    for number in range(50, 50 + 12 * 25):
        core.feed([picture(number, key=number % 25 == 0)], back_us + (number - 50) * 40_000)
        all_of(cursor)
    assert len(core.ring) < 105


def test_a_way_that_is_closed_keeps_nothing() -> None:
    core = publication()
    core.feed([ONE], NOW_US)
    cursor = core.cursor_after(None)
    core.taken(NOW_US)
    send_pictures(core, range(250), keys=25)
    assert len(core.ring) == 250
    core.let_go(cursor)
    send_pictures(core, range(250, 300), keys=25)
    assert len(core.ring) < 105


def test_its_share_is_the_one_of_now_and_never_less_than_twice_what_it_kept_before() -> None:
    share = 1 << 30
    core = Publication(FIRST, PublicationSettings(), lambda: share)
    core.grant(epoch(1))
    core.not_taken()
    core.feed([ONE], NOW_US)
    send_sized(core, range(250))
    assert len(core.ring) == 250
    share = 125_000  # many have come
    send_sized(core, range(250, 275))
    assert len(core.ring) <= 125
    cursor = core.cursor_after(None)
    core.taken(NOW_US + 11_000_000)
    for number in range(275, 400):
        send_sized(core, [number])
        all_of(cursor)
    as_a_rule = len(core.ring)
    share = 1000
    send_sized(core, range(400, 475))  # nothing goes: more is kept
    core.not_taken()
    send_sized(core, range(475, 775))
    core.taken(NOW_US + 31_000_000)
    core.not_taken()
    send_sized(core, range(775, 1075))
    assert as_a_rule < len(core.ring) <= 2 * as_a_rule + 25


def send_sized(core: Publication, numbers: Iterable[int]) -> None:
    """Of 1,000 bytes each."""
    for number in numbers:
        core.feed([picture(number, key=number % 25 == 0, payload=bytes(1000))], NOW_US + number * 40_000)


def send_and_read(core: Publication, cursor: Cursor, numbers: range) -> None:
    """As where a link is fast enough."""
    for number in numbers:
        send_pictures(core, [number], keys=25)
        all_of(cursor)


def all_of(cursor: Cursor) -> list[AccessUnit]:
    return [unit for run in iter(lambda: cursor.read(1 << 20), None) for unit in run.units]


def test_no_more_is_kept_than_bytes_allow() -> None:
    core = publication(replay_s=60.0, replay_max_s=60.0, replay_max_bytes=1000)
    core.feed([ONE, *(picture(number, payload=bytes(100)) for number in range(50))], NOW_US)
    assert seqs(core) == list(range(40, 50))


def test_what_is_kept_goes_out_under_a_new_epoch_as_well() -> None:
    core = publication()
    core.feed([ONE, picture(0, key=True), TWO, picture(1)], NOW_US)
    core.grant(epoch(2))
    core.feed([picture(2)], NOW_US)
    assert [(run.epoch, [unit.seq for unit in run.units]) for run in runs(core)] == [(epoch(2), [0]), (epoch(2), [1, 2])]


_EVENTS: st.SearchStrategy[MediaEvent] = st.one_of(
    st.builds(AccessUnit, st.sampled_from([1, 2]), st.integers(-(1 << 33), 1 << 33), st.just(0), st.booleans(), st.just(b"x")),
    st.sampled_from([ONE, TWO]),
)


@given(st.lists(st.lists(_EVENTS, max_size=6), max_size=12), st.booleans())
def test_numbers_and_times_rise_whatever_comes(feeds: list[list[MediaEvent]], silent: bool) -> None:
    core = publication(silent_audio=silent, replay_s=3600.0, replay_max_s=3600.0)
    last: dict[int, int] = {}
    for number, events in enumerate(feeds):
        core.feed(events, NOW_US + number * 100_000)
    units = [unit for run in runs(core) for unit in run.units]
    assert [unit.seq for unit in units] == list(range(core.counters.units))
    for unit in units:
        assert unit.track_id not in last or unit.dts > last[unit.track_id]
        last[unit.track_id] = unit.dts
