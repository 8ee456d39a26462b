"""Sessions that are on their way to edges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.ownership import NodeId
from services.scheduler.expected import EXPECTED_S, STEP_S, Coming, Expected

EDGE, OTHER = NodeId("edge-1", b"12345678"), NodeId("edge-2", b"12345678")


def expecting(sessions: int, *, plays: bool = True) -> Expected:
    expected = Expected()
    for _ in range(sessions):
        expected.add(EDGE, 0.0, plays=plays)
    return expected


def test_what_was_routed_counts_for_that_edge_alone() -> None:
    expected = expecting(3)
    expected.add(EDGE, 0.0, plays=False)
    assert expected.of(EDGE, 0.0) == Coming(4, 3)
    assert expected.of(OTHER, 0.0) == Coming()


def test_who_has_not_come_in_time_is_not_expected_any_more() -> None:
    expected = expecting(3)
    assert expected.of(EDGE, EXPECTED_S - 0.01).sessions == 3
    assert expected.of(EDGE, EXPECTED_S).sessions == 0


def test_whoever_has_come_by_a_report_is_not_expected_any_more_the_oldest_first() -> None:
    expected = expecting(3)
    expected.reported(EDGE, 10)
    expected.add(EDGE, 1.0, plays=True)
    expected.reported(EDGE, 12)
    assert expected.of(EDGE, 1.0) == Coming(2, 2)
    assert expected.of(EDGE, EXPECTED_S) == Coming(1, 1)


def test_a_report_that_is_older_than_another_has_nobody_in_it() -> None:
    expected = expecting(3)
    for opened in (10, 5, 10):
        expected.reported(EDGE, opened)
    assert expected.of(EDGE, 0.0).sessions == 3


def test_an_edge_that_has_gone_is_forgotten() -> None:
    expected = expecting(3)
    expected.keep({OTHER})
    assert expected.of(EDGE, 0.0) == Coming()


_EVENTS = st.one_of(st.booleans(), st.integers(0, 50), st.floats(0, 2))


@given(st.lists(_EVENTS, max_size=60))
def test_it_is_never_below_nothing_nor_above_what_was_routed_lately(events: list[bool | int | float]) -> None:
    expected, now, routed = Expected(), 0.0, list[float]()
    for event in events:
        match event:
            case bool():
                expected.add(EDGE, now, plays=event)
                routed.append(now)
            case int():
                expected.reported(EDGE, event)
            case float():
                now += event
        coming = expected.of(EDGE, now)
        lately = sum(at > now - EXPECTED_S - STEP_S for at in routed)
        assert 0 <= coming.plays <= coming.sessions <= lately
