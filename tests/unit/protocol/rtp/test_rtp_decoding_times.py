from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit
from lalmesh.protocol.rtp import DecodingTimes

T = 3600  # one picture at 25 a second


class NamedOrder:
    """Pictures whose payload says their place: coded video sequence and picture order count."""

    def place(self, payload: bytes) -> tuple[int, int] | None:
        if payload == b"broken":
            raise RemoteProtocolError("slice header")
        if not payload:
            return None
        sequence, _, count = payload.decode().partition(" ")
        return int(sequence), int(count)


def times(allowed_depth: int = 16, step: int = 2) -> DecodingTimes:
    tested = DecodingTimes()
    assert tested.configure(NamedOrder(), allowed_depth, step) == []
    return tested


def picture(at: float, *, sequence: int = 0, count: int | None = None) -> AccessUnit:
    """Shown `at` pictures after the first, which its count says too."""
    return AccessUnit(1, round(at * T), 0, False, f"{sequence} {round(at * 2) if count is None else count}".encode())


def fed(tested: DecodingTimes, pictures: Sequence[AccessUnit]) -> list[list[tuple[float, float]]]:
    """DTS and PTS in pictures of what each of them gives."""
    return [[(unit.dts / T, unit.pts / T) for unit in tested.feed(one)] for one in pictures]


def shown(*at: float) -> list[AccessUnit]:
    return [picture(one) for one in at]


def test_without_b_frames_pictures_are_shown_when_they_are_decoded() -> None:
    assert fed(times(), shown(0, 1, 2, 3)) == [[(0, 0)], [(1, 1)], [(2, 2)], [(3, 3)]]


def test_b_frames_are_seen_before_they_come() -> None:
    tested = times()
    first = fed(tested, shown(0, 4, 2, 1, 3))
    assert first == [[(0, 0)], [], [], [(pytest.approx(1 / 3), 4), (pytest.approx(2 / 3), 2), (1, 1)], [(2, 3)]]
    assert tested.depth == 2


def test_a_depth_that_is_known_delays_nothing() -> None:
    tested = times()
    fed(tested, shown(0, 4, 2, 1, 3))
    assert fed(tested, shown(8, 6, 5, 7, 12, 10, 9, 11)) == [
        [(index, at)] for index, at in enumerate([8, 6, 5, 7, 12, 10, 9, 11], 3)
    ]


def test_times_of_a_new_sequence_go_on() -> None:
    tested = times()
    fed(tested, shown(0, 2, 1))
    idr = picture(3, sequence=1, count=0)
    others = [picture(5, sequence=1, count=4), picture(4, sequence=1, count=2)]
    assert fed(tested, [idr, *others]) == [[(2, 3)], [(3, 5)], [(4, 4)]]


def test_a_depth_may_grow_on_the_way() -> None:
    tested = times()
    fed(tested, shown(0, 2, 1, 4, 3))
    assert tested.depth == 1
    assert fed(tested, shown(8, 6)) == [[(4, 8)], []]
    assert fed(tested, shown(5, 7)) == [[(4.5, 6), (5, 5)], [(6, 7)]]


def test_counts_of_every_picture_are_known_after_one_drop() -> None:
    # an H.264 encoder that counts pictures and not fields: with one B-frame between, nothing seems to be missing
    tested = times()
    order = [(0, 0), (2, 2), (1, 1), (4, 4), (3, 3), (6, 6), (5, 5)]
    given_back = [unit for one in fed(tested, [picture(at, count=count) for at, count in order]) for unit in one]
    assert [pts for _, pts in given_back] == [0, 2, 4, 3, 6, 5]
    assert tested.dropped == 1


def test_a_loss_delays_one_picture_at_most() -> None:
    tested = times()
    assert fed(tested, shown(0, 1)) == [[(0, 0)], [(1, 1)]]
    assert fed(tested, shown(3, 4, 5)) == [[], [(3, 3), (4, 4)], [(5, 5)]]


def test_counts_that_leave_gaps_are_soon_not_believed() -> None:
    tested = times()
    gaps = [picture(at, count=10 * at) for at in range(30)]
    waits = [not given_back for given_back in fed(tested, gaps)]
    assert sum(waits) <= 9
    assert not any(waits[-10:])
    assert fed(tested, [picture(31, count=400), picture(30.5, count=395)]) == [[(31, 31)], []]  # then one drop tells


def test_with_no_allowed_depth_nothing_waits_nor_is_parsed() -> None:
    tested = times(allowed_depth=0)
    assert fed(tested, [AccessUnit(1, at * T, 0, False, b"broken") for at in range(3)]) == [[(0, 0)], [(1, 1)], [(2, 2)]]


def test_without_places_the_depth_is_learnt_from_drops() -> None:
    tested = times()
    unnamed = [AccessUnit(1, at * T, 0, False, payload) for at, payload in ((0, b""), (4, b"broken"), (2, b""), (8, b""), (6, b""))]
    assert fed(tested, unnamed) == [[(0, 0)], [(4, 4)], [], [], [(5, 8), (6, 6)]]
    assert tested.dropped == 1


def test_a_clock_that_jitters_is_mended_and_teaches_no_depth() -> None:
    tested = times()
    jittering = [picture(at, count=count) for at, count in ((0, 0), (1, 2), (0.9, 4), (2, 6), (2, 8))]
    given_back = [unit for one in jittering for unit in tested.feed(one)]
    assert [unit.dts for unit in given_back] == [0, T, T + 90, 2 * T, 2 * T + 90]
    assert (tested.mended, tested.dropped, tested.depth) == (2, 0, 0)
    unnamed = times(allowed_depth=0)
    assert [unit.dts for at in (0, 3600, 3500, 3600) for unit in unnamed.feed(AccessUnit(1, at, 0, False, b""))] == [
        0,
        3600,
        3690,
        3780,
    ]


def test_a_clock_that_is_set_back_loses_no_picture_where_none_is_reordered() -> None:
    tested = DecodingTimes()
    tested.configure(None, 0, 2)
    at = [index * T - (800 * 90 if index >= 250 else 0) for index in range(500)]
    given_back = [unit for pts in at for unit in tested.feed(AccessUnit(1, pts, 0, False, b""))]
    assert len(given_back) == 500
    assert (tested.dropped, tested.depth) == (0, 0)
    assert all(unit.cts == 0 for unit in given_back)
    assert [unit.dts for unit in given_back[270:]] == at[270:]
    check(given_back)


def of_mini_gops(count: int) -> list[AccessUnit]:
    """I0 P4 b2 b1 b3 P8 ..., all of one sequence."""
    return shown(0, *(4 * gop + at for gop in range(count) for at in (4, 2, 1, 3)))


@pytest.mark.parametrize("first", range(41, 45))
@pytest.mark.parametrize("back_ms", [50, 200, 800])
def test_a_clock_that_is_set_back_loses_no_picture_among_b_frames(back_ms: int, first: int) -> None:
    tested = times()
    sent = of_mini_gops(200)
    wanted = [unit.dts for unit in sent]
    for unit in sent[first:]:
        unit.dts -= back_ms * 90
    came = [unit.dts for unit in sent]
    given_back = [unit for one in sent for unit in tested.feed(one)] + tested.flush()
    assert (len(given_back), tested.dropped, tested.depth) == (len(sent), 0, 2)
    assert order_of([unit.pts for unit in given_back[45:]]) == order_of(wanted[45:])  # all behind the mini GOP of the step
    assert [unit.pts for unit in given_back[-100:]] == came[-100:]
    check(given_back)


def order_of(times: list[int]) -> list[int]:
    return sorted(range(len(times)), key=times.__getitem__)


def test_what_a_clock_was_set_back_by_is_taken_back_by_half_a_picture() -> None:
    tested = times()
    sent = of_mini_gops(7)
    for unit in sent[13:]:
        unit.dts -= 5 * T
    given_back = [unit for one in sent for unit in tested.feed(one)] + tested.flush()
    later = [(unit.pts - at) / T for unit, at in zip(given_back, [unit.pts for unit in of_mini_gops(7)], strict=True)]
    assert later == [0.0] * 13 + [0.0] * 4 + [-0.5] * 4 + [-1.0] * 4 + [-1.5] * 4


def test_a_picture_without_a_place_goes_with_those_around_it() -> None:
    tested = times()
    sent = of_mini_gops(40)
    for unit in sent[41:]:
        unit.dts -= 20 * T
    sent[50].payload = b"broken"
    given_back = [unit for one in sent for unit in tested.feed(one)] + tested.flush()
    assert (len(given_back), tested.dropped, tested.depth) == (len(sent), 0, 2)


def test_another_configuration_may_come_with_a_clock_that_is_set_back() -> None:
    tested = times()
    fed(tested, shown(0, 4, 2, 1, 3))
    given_back = tested.configure(NamedOrder(), 16, 2)
    for at in (0, 4, 2, 1, 3, 8, 6, 5, 7):
        given_back += tested.feed(picture(at - 2, sequence=1, count=2 * at))
    assert (len(given_back + tested.flush()), tested.dropped, tested.depth) == (9, 0, 2)


def test_another_configuration_begins_anew() -> None:
    tested = times()
    fed(tested, shown(0, 4, 2))
    assert [(unit.dts / T, unit.pts / T) for unit in tested.configure(NamedOrder(), 0, 2)] == [(1, 4), (2, 2)]
    assert fed(tested, [picture(5, sequence=1, count=0), picture(6, sequence=1, count=2)]) == [[(5, 5)], [(6, 6)]]
    assert tested.depth == 0


def test_after_a_hole_pictures_are_not_decoded_long_before_they_are_shown() -> None:
    tested = times()
    fed(tested, shown(0, 4, 2, 1, 3, 8, 6, 5, 7))
    later = [picture(at, sequence=1, count=round(2 * (at - 500))) for at in (500, 504, 502, 501, 503)]
    assert fed(tested, later) == [[(498, 500)], [(499, 504)], [(500, 502)], [(501, 501)], [(502, 503)]]


def test_what_waits_is_given_at_the_end() -> None:
    tested = times()
    assert fed(tested, shown(0, 4, 2)) == [[(0, 0)], [], []]
    assert [unit.pts / T for unit in tested.flush()] == [4, 2]
    assert tested.flush() == []


@st.composite
def mini_gops(draw: st.DrawFn) -> list[int]:
    """Pictures of a mini GOP in decoding order, each as its place in output order from 1: the last one first, then a tree."""
    size = draw(st.integers(1, 9))
    order = [size]

    def descend(low: int, high: int, depth: int) -> None:
        if low <= high:
            middle = draw(st.integers(low, high)) if depth < 15 else low
            order.append(middle)
            descend(low, middle - 1, depth + 1)
            descend(middle + 1, high, depth + 1)

    descend(1, size - 1, 1)
    return order


gops = st.lists(st.lists(mini_gops(), max_size=4), min_size=1, max_size=4)


def decoded(stream: list[list[list[int]]], spacings: list[int], step: int) -> list[AccessUnit]:
    """The pictures of closed GOPs in decoding order; they are `spacings` (ticks) apart, over and over."""
    pictures, ticks, shown_at = list[AccessUnit](), [1000], 0
    for number in range(1 + sum(1 + sum(map(len, gop)) for gop in stream)):
        ticks.append(ticks[-1] + spacings[number % len(spacings)])
    for sequence, gop in enumerate(stream):
        begin = shown_at
        pictures.append(AccessUnit(1, ticks[begin], 0, True, f"{sequence} 0".encode()))
        for mini_gop in gop:
            for at in mini_gop:
                count = step * (shown_at + at - begin)
                pictures.append(AccessUnit(1, ticks[shown_at + at], 0, False, f"{sequence} {count}".encode()))
            shown_at += len(mini_gop)
        shown_at += 1
    return pictures


@given(gops, st.lists(st.integers(100, 9000), min_size=1, max_size=5), st.sampled_from([1, 2]))
def test_any_structure_and_frame_rate_gives_rising_times(stream: list[list[list[int]]], spacings: list[int], step: int) -> None:
    tested, pictures = times(step=step), decoded(stream, spacings, step)
    wanted = [unit.dts for unit in pictures]
    given_back = [unit for one in pictures for unit in tested.feed(one)] + tested.flush()
    assert tested.dropped == 0
    assert [unit.pts for unit in given_back] == wanted
    check(given_back)


@given(gops, st.lists(st.integers(100, 9000), min_size=1, max_size=5), st.sets(st.integers(1, 60)))
def test_any_loss_leaves_times_that_rise(stream: list[list[list[int]]], spacings: list[int], lost: set[int]) -> None:
    tested = times()
    pictures = [unit for index, unit in enumerate(decoded(stream, spacings, 2)) if index not in lost]
    given_back, waiting = list[AccessUnit](), 0
    for unit in pictures:
        now = tested.feed(unit)
        waiting += 1 - len(now)
        given_back += now
        assert waiting <= 16
    given_back += tested.flush()
    assert len(given_back) + tested.dropped == len(pictures)
    assert not tested.dropped or lost
    check(given_back)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3), st.integers(-20, 20)), max_size=80), st.integers(0, 16))
def test_any_pictures_get_times_that_rise(wild: list[tuple[int, int, int]], allowed_depth: int) -> None:
    tested = times(allowed_depth)
    given_back = list[AccessUnit]()
    for at, sequence, count in wild:
        given_back += tested.feed(picture(at, sequence=sequence, count=count))
    given_back += tested.flush()
    assert len(given_back) + tested.dropped == len(wild)
    check(given_back)


def check(units: list[AccessUnit]) -> None:
    assert all(unit.cts >= 0 for unit in units)
    assert all(one.dts < two.dts for one, two in pairwise(units))
