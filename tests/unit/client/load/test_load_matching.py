"""Units known again by their bytes."""

import time
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.client.load import _matching
from lalmesh.client.load._matching import TAIL_S, Matched, Noting, UnitLog, match, match_kinds, unit_key
from lalmesh.codec.nalu import join_avcc
from lalmesh.media import Codec, Kind

STEP_S = 0.04


def log_of(keys: Sequence[int], *, late_s: float = 0.0, first_s: float = 0.0) -> UnitLog:
    moments = [first_s + number * STEP_S + late_s for number in range(len(keys))]
    return UnitLog(array("Q", keys), array("d", moments))


def of(sent: UnitLog, got: UnitLog, *, since_s: float = 0.0, until_s: float | None = None, is_before: bool = True) -> Matched:
    end_s = max([*sent.moments, *got.moments]) if until_s is None else until_s
    return match(sent, got, since_s=since_s, until_s=end_s, is_before=is_before)


def counts(found: Matched) -> tuple[int, ...]:
    return found.missing, found.doubled, found.disordered, found.foreign


def without(log: UnitLog, *places: int) -> UnitLog:
    kept = [place for place in range(len(log.keys)) if place not in places]
    return UnitLog(array("Q", (log.keys[place] for place in kept)), array("d", (log.moments[place] for place in kept)))


def test_all_that_was_sent_came_a_little_later() -> None:
    found = of(log_of(range(100)), log_of(range(100), late_s=0.003))
    assert counts(found) == (0, 0, 0, 0)
    assert all(abs(delay_s - 0.003) < 1e-9 for delay_s in found.delays_s)
    assert len(found.delays_s) == 100


def test_a_unit_that_did_not_come_is_missing() -> None:
    assert counts(of(log_of(range(100)), without(log_of(range(100), late_s=0.01), 50, 51))) == (2, 0, 0, 0)


def test_what_was_sent_before_the_first_and_what_may_be_on_its_way_is_not_missing() -> None:
    got = without(log_of(range(100), late_s=0.01), *range(10), 98, 99)
    assert counts(of(log_of(range(100)), got)) == (0, 0, 0, 0)


def test_what_should_have_come_long_ago_is_missing() -> None:
    got = without(log_of(range(100), late_s=0.01), *range(60, 100))
    assert of(log_of(range(100)), got).missing == 40 - TAIL_S / STEP_S - 1


def test_a_unit_that_came_twice_is_doubled_and_one_that_was_never_sent_is_foreign() -> None:
    sent, got = log_of(range(60)), log_of([*range(30), 29, 777, *range(30, 60)], late_s=0.1)
    assert counts(of(sent, got)) == (0, 1, 0, 1)


def test_units_in_another_order_are_disordered_and_not_missing() -> None:
    got = log_of([0, 1, 3, 2, 4, 5], late_s=0.2)
    assert counts(of(log_of(range(6)), got)) == (0, 0, 1, 0)


def test_a_file_in_a_loop_is_told_apart_by_order() -> None:
    keys = list(range(20)) * 5
    found = of(log_of(keys), without(log_of(keys, late_s=0.5), 33, 34))
    assert counts(found) == (2, 0, 0, 0)
    assert max(found.delays_s) < 0.51


def test_a_unit_of_a_loop_that_came_twice_is_not_taken_for_the_next_run() -> None:
    keys = list(range(20)) * 5
    twice = log_of([*keys[:31], keys[30], *keys[31:]], late_s=0.5)
    assert counts(of(log_of(keys), twice)) == (0, 1, 0, 0)


def test_silence_is_taken_in_order() -> None:
    found = of(log_of([7] * 50), log_of([7] * 50, late_s=0.01))
    assert counts(found) == (0, 0, 0, 0)
    assert max(found.delays_s) < 0.011


def test_what_a_cache_had_has_no_delay() -> None:
    sent = log_of(range(100))
    cached = [2.0 + number / 1e4 for number in range(50)]
    got = UnitLog(array("Q", range(100)), array("d", [*cached, *(moment + 0.005 for moment in sent.moments[50:])]))
    found = of(sent, got, since_s=sent.moments[50])
    assert counts(found) == (0, 0, 0, 0)
    assert len(found.delays_s) == 50
    assert max(found.delays_s) < 0.006


def cached(keys: Sequence[int], first: int, joined_s: float, *, late_s: float = 0.005) -> UnitLog:
    """What a player gets that joins at `joined_s`: all from unit `first` on that were sent by then at once, the rest in time."""
    moments = [max(joined_s, place * STEP_S) + late_s for place in range(first, len(keys))]
    return UnitLog(array("Q", keys[first:]), array("d", moments))


def in_pieces(keys: Sequence[int], length: int, joined_s: float, *, behind: int = 3) -> UnitLog:
    """What a player of HLS gets: pieces of `length` units, each when it is whole, the first `behind` before the end at once."""
    got, piece_s = UnitLog(), length * STEP_S
    first = int(joined_s / piece_s) - behind
    for piece in range(first, len(keys) // length):
        for key in keys[piece * length : (piece + 1) * length]:
            got.add(key, max(joined_s, (piece + 1) * piece_s) + 0.1)
    return got


@pytest.mark.parametrize("period", [1, 25, 400])  # silence; a file in a loop, shorter and longer than the cache
def test_what_a_cache_had_of_equal_units_is_matched_in_order(period: int) -> None:
    keys = [place % period for place in range(750)]
    found = of(log_of(keys), cached(keys, 200, 10.0), since_s=10.0)
    assert counts(found) == (0, 0, 0, 0)
    assert max(found.delays_s) < 0.006


@pytest.mark.parametrize("period", [1, 25, 250, 400])  # 1 s, 10 s and 16 s of pictures, where pieces are of 6 s and joined late
@pytest.mark.parametrize("joined_s", [31.0, 35.9])
def test_a_player_far_behind_the_end_is_not_taken_for_one_of_the_next_run(period: int, joined_s: float) -> None:
    keys = [place % period for place in range(2000)]
    got = in_pieces(keys, 150, joined_s)
    assert counts(of(log_of(keys), got, since_s=joined_s)) == (0, 0, 0, 0)
    assert counts(of(log_of(keys), without(got, 200, 201, 900), since_s=joined_s))[1:] == (0, 0, 0)


def test_a_loss_in_what_a_cache_had_is_counted() -> None:
    keys = [place % 25 for place in range(750)]
    assert counts(of(log_of(keys), without(cached(keys, 200, 10.0), 3, 30, 31), since_s=10.0)) == (3, 0, 0, 0)


def test_equal_units_of_a_long_run_are_matched_soon() -> None:
    keys = [7] * 100_000
    began_s = time.process_time()
    assert counts(of(log_of(keys), cached(keys, 50_000, 2040.0))) == (0, 0, 0, 0)
    assert time.process_time() - began_s < 5


def test_of_two_players_either_may_be_the_first() -> None:
    found = of(log_of(range(50), late_s=0.05), log_of(range(50)), is_before=False)
    assert counts(found) == (0, 0, 0, 0)
    assert all(abs(delay_s + 0.05) < 1e-9 for delay_s in found.delays_s)


def test_what_only_one_of_two_players_was_in_time_for_is_not_foreign() -> None:
    early, late = log_of(range(100)), log_of(range(20, 100), late_s=0.5, first_s=0.8)
    assert counts(of(late, early, is_before=False)) == (0, 0, 0, 0)
    assert counts(of(early, late, is_before=False)) == (0, 0, 0, 0)
    ahead = log_of(range(110), late_s=-0.4)  # the last ten have not come to the other yet
    assert counts(of(early, ahead, is_before=False)) == (0, 0, 0, 0)


def test_what_only_one_of_two_players_got_between_others_is_foreign() -> None:
    got = log_of([*range(50), 777, *range(50, 100)], late_s=0.1)
    assert counts(of(log_of(range(100)), got, is_before=False)) == (0, 0, 0, 1)
    assert counts(of(log_of(range(100)), log_of(range(500, 600)), is_before=False))[3] > 50  # another stream
    went_on = log_of([*range(50), *range(900, 1000)], late_s=0.1)
    assert counts(of(log_of(range(150)), went_on, is_before=False))[3] > 50


def kinds(**logs: UnitLog) -> dict[Kind, UnitLog]:
    return {Kind[name.upper()]: log for name, log in logs.items()}


def test_a_track_that_never_comes_is_missing() -> None:
    sent = kinds(video=log_of(range(100)), audio=log_of(range(1000, 1100)))
    found = match_kinds(sent, kinds(video=log_of(range(100))), since_s=1.0, until_s=4.0)
    assert found.missing == (4.0 - TAIL_S - 1.0) / STEP_S
    assert match_kinds(sent, {}, since_s=3.9, until_s=4.0).missing == 0  # it may be on its way
    assert match_kinds({}, sent, since_s=1.0, until_s=4.0).foreign == 200


def test_all_logs_of_a_run_stop_at_once_where_one_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_matching, "MAX_NOTED_UNITS", 100)
    noting, sent, got = Noting(), UnitLog(), UnitLog()
    for number in range(1000):
        for log, moment_s in ((sent, number * STEP_S), (got, number * STEP_S + 0.005)):
            if noting.goes_on(len(log.keys), moment_s):
                log.add(number, moment_s)
    assert len(sent.keys) == 100
    assert noting.until_s == 100 * STEP_S
    assert counts(of(sent, got, until_s=noting.until_s)) == (0, 0, 0, 0)
    assert not Noting().is_full


@given(st.integers(5, 40), st.integers(2, 4), st.sets(st.integers(1, 70)), st.floats(0, 0.15))
def test_whatever_is_lost_is_counted(length: int, runs: int, lost: set[int], late_s: float) -> None:
    keys = list(range(length)) * runs
    lost = {place for place in lost if place < len(keys) - 1 and place % length > length // 2}  # never half a run
    found = of(log_of(keys), without(log_of(keys, late_s=late_s), *lost))
    assert counts(found) == (len(lost), 0, 0, 0)


def test_of_a_picture_only_slices_count() -> None:
    slices = [b"\x65key", b"\x65more"]
    bare = unit_key(Codec.H264, join_avcc(slices))
    assert unit_key(Codec.H264, join_avcc([b"\x09\xf0", b"\x67sps", b"\x68pps", b"\x06sei", *slices])) == bare
    assert unit_key(Codec.H264, join_avcc([b"\x65key", b"\x65mora"])) != bare
    assert unit_key(Codec.H265, join_avcc([b"\x40\x01vps", b"\x26\x01key"])) == unit_key(Codec.H265, join_avcc([b"\x26\x01key"]))


def test_of_sound_all_counts() -> None:
    assert unit_key(Codec.AAC, b"one") != unit_key(Codec.AAC, b"two")


def test_a_broken_picture_has_a_key_all_the_same() -> None:
    assert unit_key(Codec.H264, b"\x00\x00\xff\xffbroken") != unit_key(Codec.H264, b"")
