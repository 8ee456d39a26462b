"""Histograms that are read at each scrape, and series of single streams up to a bound."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lalmesh.runtime.durations import Durations, durations_metric
from lalmesh.runtime.stream_series import StreamSeries


class Shown(Collector):
    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def text_of(*metrics: Metric) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Shown(*metrics))
    return generate_latest(registry).decode().splitlines()


def test_what_took_as_long_as_a_bound_is_within_it() -> None:
    durations = Durations((0.1, 1.0))
    for seconds in (0.1, 0.5, 2.0, -0.5):
        durations.add(seconds)
    lines = text_of(durations_metric("some_delay_seconds", "A delay.", durations))
    assert lines[2:] == [
        'some_delay_seconds_bucket{le="0.1"} 2.0',
        'some_delay_seconds_bucket{le="1.0"} 3.0',
        'some_delay_seconds_bucket{le="+Inf"} 4.0',
        "some_delay_seconds_count 4.0",
        "some_delay_seconds_sum 2.6",
    ]
    assert durations.count == 4


def test_the_first_streams_keep_their_series_and_the_others_are_counted() -> None:
    series = StreamSeries("edge", 2)
    assert series.choose(["a", "b", "c"]) == ["a", "b"]
    assert series.choose(["c", "b", "a"]) == ["b", "a"]
    assert text_of(*series.left_out(3))[-1] == "edge_streams_left_out 1.0"
    assert series.choose(["c", "b", "d"]) == ["c", "b"]
    assert series.choose([]) == []


def test_without_a_bound_nothing_is_told_of_streams() -> None:
    series = StreamSeries("edge", 0)
    assert series.choose(["a"]) == []
    assert list(series.left_out(1)) == []
