"""The benchmarks of the control plane show medians, the worst loss, and which samples are worthless."""

from argparse import Namespace

from bench import _deciding, _failover, _routing, cluster, routing
from bench._rounds import Found


def lost(streams: int, p50_s: float, worst_s: float, *, missing: int = 0, stuck: int = 0) -> _failover.Sample:
    return _failover.Sample(streams, p50_s, worst_s, worst_s, 0.5, missing, stuck, 60.0, 30.0, 40.0)


def test_a_loss_is_shown_by_its_median_and_the_worst_of_all_rounds() -> None:
    samples = [lost(100, 0.1, 0.3), lost(100, 0.2, 0.9, missing=2), lost(100, 0.3, 0.4)]
    assert _failover.row(samples) == ["100", "0.200", "0.400", "0.900", "0.50", "2", "60", "30", "40"]


def test_rates_are_shown_with_what_one_item_takes() -> None:
    samples = [_deciding.Rate(900, 1000, 90, 0), _deciding.Rate(1000, 800, 80, 0), _deciding.Rate(1100, 900, 99, 0)]
    assert cluster.rate_row("claim", samples) == ["claim", "1000", "900-1100", "900", "90"]


def test_streams_that_do_not_go_on_refusals_and_nodes_that_are_away_make_a_sample_worthless() -> None:
    assert lost(10, 0.1, 0.2).problem == ""
    assert lost(10, 0.1, 0.2, stuck=1).problem
    assert _deciding.Rate(900, 1000, 90, 3).problem
    assert _deciding.Idle(100, 10_000, 30_000, 50, 100, 2, away=1).problem


def test_a_round_of_rates_is_worthless_with_any_of_them() -> None:
    well, ill = _deciding.Rate(900, 1000, 90, 0), _deciding.Rate(900, 1000, 90, 3)
    assert cluster.Rates({"claim": well, "locate": well}).problem == ""
    assert cluster.Rates({"claim": well, "locate": ill}).problem == "locate: 3 were refused"


def test_units_that_are_lost_with_an_origin_are_a_missed_bar() -> None:
    plan = Namespace(streams=(10, 100, 1000), rounds=2, seconds=5)
    found: Found[cluster.Sample] = Found(
        {
            "rates": [cluster.Rates({"claim": _deciding.Rate(900, 1000, 90, 0)}), None],
            "failover-10": [lost(10, 0.1, 0.2), lost(10, 0.1, 0.2)],
            "failover-100": [lost(100, 0.1, 0.2, missing=2), None],
            "failover-1000": [None, None],
        }
    )
    assert [each.verdict for each in cluster.judge(plan, found)] == ["met", "missed", "not measured"]
    tables = "\n".join(cluster.sections(plan, found))
    assert "claim" in tables
    assert "| 100 " in tables


def sent(*, wrong: int = 0, failed: int = 0, spread: float = 4.0) -> _routing.Found:
    return _routing.Found(
        asked_per_s=2000, routed=100, no_room=0, failed=failed, p50_ms=1, p99_ms=9, worst_ms=20, percent=60, changes={"join": 3},
        wrong={"drain": wrong}, overfull=0, spread_percent=spread, end_spread_percent=2.0, used_percent=42,
    )  # fmt: skip


def test_routes_are_judged_by_who_was_sent_wrong_and_how_evenly_edges_fill() -> None:
    plan = Namespace(full=(2, 100, 7), per_s=2000, seconds=40, calm_s=40, rounds=2, edges=24)
    found = Found({"full-2": [sent(), sent(spread=9)], "full-100": [sent(), sent(wrong=1, failed=2, spread=11.5)]})
    judged = routing.judge(plan, found)
    assert [each.verdict for each in judged] == ["met"] * 3 + ["missed"] * 3
    assert [each.found for each in judged[3:]] == [2, 1, 11.5]
    assert "6 join in 2 rounds" in routing.introduction(plan, found.of("full-2"))
    assert dict(zip(routing.HEAD, routing.row(2, found.of("full-2")), strict=True))["not answered"] == "0"
