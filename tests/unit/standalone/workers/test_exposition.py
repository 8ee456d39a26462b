"""Metrics of several processes as one text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.standalone.workers._exposition import merged

FIRST, SECOND = 'worker="1"', 'worker="2"'


def text(clients: int = 0) -> str:
    registry = CollectorRegistry()
    Gauge("up", "Whether\nit is.", registry=registry).set(1)
    Counter("refused", "By reason.", ("reason",), registry=registry).labels('a "{b} c').inc(2)
    Histogram("delay", "Seconds.", registry=registry, buckets=(1.0,)).observe(0.5)
    counter = Counter("clients", "By name.", ("name",), registry=registry)
    for number in range(clients):
        counter.labels(f"client {number}").inc()
    return generate_latest(registry).decode()


def series(exposed: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_each_series_says_whose_it_is_and_that_of_the_supervisor_does_not() -> None:
    found = series(merged([("", text()), (FIRST, text(1)), (SECOND, text(2))]))
    for labels in (frozenset(), frozenset({("worker", "1")}), frozenset({("worker", "2")})):
        assert found[("up", labels)] == 1
        assert found[("refused_total", labels | {("reason", 'a "{b} c')})] == 2
        assert found[("delay_bucket", labels | {("le", "1.0")})] == 1
    assert found[("clients_total", frozenset({("worker", "2"), ("name", "client 1")}))] == 1
    assert ("clients_total", frozenset({("worker", "1"), ("name", "client 1")})) not in found


def test_each_metric_stands_once_with_the_series_of_all_behind_it() -> None:
    exposed = merged([("", text()), (FIRST, text(1)), (SECOND, text())])
    kinds = [line for line in exposed.splitlines() if line.startswith("# TYPE ")]
    assert len(kinds) == len(set(kinds))
    assert {family.name for family in text_string_to_metric_families(exposed)} >= {"up", "refused", "delay", "clients"}
    blocks = exposed.split("# HELP ")
    assert next(block for block in blocks if block.startswith("up ")).splitlines()[2:] == [
        "up 1.0",
        'up{worker="1"} 1.0',
        'up{worker="2"} 1.0',
    ]


def test_what_ends_a_line_elsewhere_is_a_part_of_a_label() -> None:
    registry = CollectorRegistry()
    name = "live/a\u2028b\x85c\rd\x0ce"
    Gauge("players", "By name.", ("stream",), registry=registry).labels(name).set(3)
    exposed = merged([(FIRST, generate_latest(registry).decode())])
    assert f'players{{worker="1",stream="{name}"}} 3.0\n' in exposed
    assert exposed.count("\n") == 3


def test_what_a_process_says_alone_is_as_it_was() -> None:
    said = text(3)
    assert merged([("", said)]) == said
    assert merged([]) == ""
