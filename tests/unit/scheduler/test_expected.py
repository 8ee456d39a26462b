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


def sure(expected: Expected, now: float, node: NodeId = EDGE) -> Coming:
    """Who is expected, where nobody is doubted."""
    coming, doubted = expected.of(node, now)
    assert doubted == Coming()
    return coming


def test_what_was_routed_counts_for_that_edge_alone() -> None:
    expected = expecting(3)
    expected.add(EDGE, 0.0, plays=False)
    assert sure(expected, 0.0) == Coming(4, 3)
    assert sure(expected, 0.0, OTHER) == Coming()


def test_who_has_not_come_in_time_is_not_expected_any_more() -> None:
    expected = expecting(3)
    assert sure(expected, EXPECTED_S - 0.01).sessions == 3
    assert sure(expected, EXPECTED_S).sessions == 0


def test_whoever_has_come_by_a_report_is_not_expected_any_more_the_oldest_first() -> None:
    expected = expecting(3)
    expected.reported(EDGE, 10)
    expected.add(EDGE, 1.0, plays=True)
    expected.reported(EDGE, 12)
    assert sure(expected, 1.0) == Coming(2, 2)
    assert sure(expected, EXPECTED_S) == Coming(1, 1)


def test_players_of_hls_are_no_sessions_and_do_not_come_by_a_report() -> None:
    expected = Expected()
    expected.reported(EDGE, 10)
    for as_session in (False, True, False):
        expected.add(EDGE, 0.0, plays=True, as_session=as_session)
    assert sure(expected, 0.0) == Coming(1, 3)
    expected.reported(EDGE, 15)  # some came by another way
    assert sure(expected, 0.0) == Coming(0, 2)
    assert sure(expected, EXPECTED_S) == Coming()


def test_who_is_doubted_counts_apart_and_is_taken_to_have_come_after_the_others() -> None:
    expected = expecting(2)
    expected.reported(EDGE, 10)
    for _ in range(3):
        expected.add(EDGE, 0.0, plays=True, is_sure=False)
    assert expected.of(EDGE, 0.0) == (Coming(2, 2), Coming(3, 3))
    expected.reported(EDGE, 13)
    assert expected.of(EDGE, 0.0) == (Coming(), Coming(2, 2))
    assert expected.of(EDGE, EXPECTED_S) == (Coming(), Coming())


def test_a_report_that_is_older_than_another_has_nobody_in_it() -> None:
    expected = expecting(3)
    for opened in (10, 5, 10):
        expected.reported(EDGE, opened)
    assert sure(expected, 0.0).sessions == 3


def test_an_edge_that_has_gone_is_forgotten() -> None:
    expected = expecting(3)
    expected.keep({OTHER})
    assert sure(expected, 0.0) == Coming()


_EVENTS = st.one_of(st.sampled_from(["publish", "play", "hls"]), st.integers(0, 50), st.floats(0, 2))


@given(st.lists(_EVENTS, max_size=60))
def test_it_is_never_below_nothing_nor_above_what_was_routed_lately(events: list[str | int | float]) -> None:
    expected, now, routed, viewed = Expected(), 0.0, list[float](), list[float]()
    for event in events:
        match event:
            case "hls":
                expected.add(EDGE, now, plays=True, as_session=False)
                viewed.append(now)
            case str():
                expected.add(EDGE, now, plays=event == "play")
                routed.append(now)
            case int():
                expected.reported(EDGE, event)
            case float():
                now += event
        coming = sure(expected, now)
        lately, viewers = (sum(at > now - EXPECTED_S - STEP_S for at in all_of_them) for all_of_them in (routed, viewed))
        assert 0 <= coming.sessions <= lately
        assert sum(at > now - EXPECTED_S for at in viewed) <= coming.plays <= coming.sessions + viewers
