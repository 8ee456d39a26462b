"""The benchmark of the control plane shows medians, the worst loss, and which samples are worthless."""

from bench import _deciding, _failover, cluster


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
