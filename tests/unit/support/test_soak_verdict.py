"""What the endurance run makes of its samples."""

from __future__ import annotations

import re
from pathlib import Path

from e2e.soak.datagrams import UNSENT
from e2e.soak.runner import NEVER, SHORT, Plan
from e2e.soak.samples import Series, apart, counter, gauges
from e2e.soak.verdict import (
    AT_REST,
    CACHED,
    KEY,
    KEYED,
    MATTERS,
    REMEMBERED,
    TYPE_AT_REST,
    ZERO,
    Rest,
    grown,
    left_over,
    most_left,
    not_zero,
    unjudged,
    untold,
)
from e2e.soak.world import REGISTRY, REMEMBERED_NUM

ROOT = Path(__file__).resolve().parents[3]
ROLES = ("edge", "origin", "hls", "scheduler")
#: how a metric is made in the sources: of which kind, and its name, whose first part may be whatever the role is
MADE = re.compile(r'\b(Gauge|Counter)(?:MetricFamily)?\(\s*(?:f"\{\w+(?:\.\w+)?\}_(\w+)"|"(\w+)")')
#: what is no metric of a process: `World.stores` tells it
STORED = (
    {f"etcd_{kind.rstrip('/')}" for kind in REGISTRY}
    | {"redis_endless_keys"}
    | {f"listed_sessions_{site}" for site in ("cluster", "standalone")}
)

HOUR_S = 3600
EVERY_S = 10
KIND = "services.edge.session.Session"
ASKED = "services.edge.hls_counting.Asked"
FENCE = "lalmesh.runtime.fences.Fence"

METRICS = """# HELP edge_sessions Sessions.
# TYPE edge_sessions gauge
edge_sessions{protocol="rtmp",role="player"} 3.0
edge_sessions{protocol="rtsp",role="player"} 2.0
edge_skips_total{reason="queue_time"} 4.0
edge_skips_total{reason="queue_bytes"} 5.0
lalmesh_tasks 17.0
edge_join_seconds_bucket{le="1"} 9.0
"""


def series(leak_per_hour: float, what: str = "rss_bytes", process: str = "edge-1") -> Series:
    seen = Series()
    for number in range(HOUR_S // EVERY_S):
        at_s = number * EVERY_S
        seen.add(at_s, process, 7, {what: 1e8 + number % 5 * 1000 + leak_per_hour * at_s / HOUR_S})
    return seen


def rest(pid: int = 7, *, kinds: dict[str, int] | None = None, **values: float) -> Rest:
    return Rest({"edge-1": values}, {"edge-1": kinds or {}}, {"edge-1": pid})


def made() -> dict[str, set[str]]:
    """The names of all metrics that the sources make, by kind, as a process tells them."""
    found: dict[str, set[str]] = {"Gauge": set(), "Counter": set()}
    for file in (file for folder in ("lalmesh", "services") for file in (ROOT / folder).rglob("*.py")):
        for kind, of_a_role, whole in MADE.findall(file.read_text(encoding="utf-8")):
            names = [whole] if whole else [f"{role}_{of_a_role}" for role in ROLES]
            found[kind].update(f"{name}_total" if kind == "Counter" else name for name in names)
    return found


def test_what_is_looked_at_is_a_metric_that_there_is() -> None:
    metrics = made()
    assert {"origin_ring_bytes", "edge_links", "hls_links"} <= metrics["Gauge"]
    assert {*ZERO, *(what for what in MATTERS if what.startswith("lalmesh_"))} - STORED - metrics["Gauge"] == set()
    assert {*NEVER, UNSENT} - metrics["Counter"] == set()


def test_what_no_process_tells_of_is_told() -> None:
    values = {"edge-1": dict.fromkeys(ZERO[1:], 0.0), "stores": {"etcd_keys": 9.0}}
    assert untold(values) == [f"no process tells of {ZERO[0]}"]
    assert untold({**values, "edge-2": {ZERO[0]: 0.0}}) == []
    assert untold({"edge-1": {NEVER[0]: 0.0}}, NEVER[:2]) == [f"no process tells of {NEVER[1]}"]


def test_what_is_now_is_summed_over_labels_and_what_was_is_left_out() -> None:
    assert gauges(METRICS) == {"edge_sessions": 5, "lalmesh_tasks": 17}
    assert counter(METRICS, "edge_skips_total") == 9


def test_memory_that_grows_is_a_leak() -> None:
    (found,) = grown(series(32e6))
    assert (found.process, found.what, found.is_leak) == ("edge-1", "rss_bytes", True)
    assert not grown(series(1e6))[0].is_leak
    assert grown(series(1e9, process="etcd"))[0].is_leak


def test_descriptors_of_connections_are_told_apart() -> None:
    assert apart({"descriptors": 40, "edge_connections": 7}) == {"connections": 7, "other_descriptors": 26}
    assert apart({"descriptors": 26}) == {"connections": 0, "other_descriptors": 26}


def test_only_the_longest_life_of_a_process_is_looked_at() -> None:
    seen = series(0)
    for number in range(100):
        seen.add(HOUR_S + number, "edge-1", 8, {"rss_bytes": number * 1e6})
    assert [each.is_leak for each in grown(seen)] == [False]


def test_descriptors_and_keys_that_stay_are_found() -> None:
    assert grown(series(60, "connections"))[0].is_leak
    assert grown(series(60, "other_descriptors"))[0].is_leak
    assert grown(series(60, "descriptors", "etcd"))[0].is_leak
    assert grown(series(60, "etcd_keys", "stores"))[0].is_leak
    assert grown(series(60, "redis_hits", "stores")) == []
    assert grown(series(60, "connections"), but=("connections",)) == []


def test_what_was_not_seen_often_enough_is_told() -> None:
    missing = unjudged(grown(series(0)), ["edge-1"])
    assert "edge-1: other_descriptors" in missing
    assert "etcd: rss_bytes" in missing
    assert "stores: redis_keys" in missing
    assert "edge-1: rss_bytes" not in missing
    assert "edge-1: other_descriptors" not in unjudged(grown(series(0)), ["edge-1"], but=("other_descriptors",))
    few = Series()
    for number in range(5):
        few.add(number, "edge-1", 7, {"rss_bytes": 1.0})
    assert "edge-1: rss_bytes" in unjudged(grown(few), ["edge-1"])


def test_counts_have_to_be_0_at_rest() -> None:
    values = {"edge-1": {"edge_sessions": 1.0, "lalmesh_tasks": 9.0}, "stores": {"etcd_claims": 0.0, "etcd_hls": 2.0}}
    assert not_zero(values) == ["edge-1: edge_sessions is 1", "stores: etcd_hls is 2"]
    assert not_zero(values, ("etcd_hls",)) == ["edge-1: edge_sessions is 1"]


def test_what_is_left_over_is_told_of_processes_that_have_lived_on() -> None:
    more = AT_REST["descriptors"] + 1
    before, after = rest(descriptors=20), rest(descriptors=20 + more)
    assert left_over(before, after) == [f"edge-1: {20 + more:g} descriptors at rest, 20 before"]
    assert left_over(rest(6, descriptors=20), after) == []
    assert left_over(before, rest(descriptors=20 + AT_REST["descriptors"])) == []


def test_a_task_or_a_connection_of_each_trouble_is_left_over() -> None:
    """In two hours an origin is killed dozens of times, and all else happens by the hundred."""
    values = {"descriptors": 28.0, "lalmesh_tasks": 22.0, "threads": 14.0, "timers": 12.0}
    before = Rest({"edge-1": values}, {}, {"edge-1": 7})
    for what, most in (("descriptors", 4), ("lalmesh_tasks", 2), ("threads", 6), ("timers", 4)):
        after = Rest({"edge-1": {**values, what: values[what] + most + 1}}, {}, {"edge-1": 7})
        assert len(left_over(before, after)) == 1


def test_a_run_that_has_warmed_up_for_seconds_may_have_more_in_its_pools_and_no_more_of_anything_else() -> None:
    long = Plan(120.0, 7200.0, 90.0, 5.0, 30.0, 60.0, SHORT.pace)
    assert long.at_rest == AT_REST
    assert {what for what in AT_REST if SHORT.at_rest[what] > long.at_rest[what]} == {
        "descriptors",
        "lalmesh_tasks",
        "threads",
        "timers",
    }
    before, after = rest(descriptors=20), rest(descriptors=20 + SHORT.at_rest["descriptors"])
    assert left_over(before, after, at_rest=SHORT.at_rest) == []
    assert left_over(before, after) != []


def test_how_near_the_bounds_are_is_told() -> None:
    before = rest(descriptors=20, lalmesh_tasks=9, kinds={KIND: 2, ASKED: 0})
    after = rest(descriptors=23, lalmesh_tasks=8, kinds={KIND: 5, ASKED: CACHED[ASKED]})
    most = most_left(before, after)
    assert (most["descriptors"], most["lalmesh_tasks"], most["objects of a type"]) == (3, 0, 3)
    assert most_left(before, after, (KIND,))["objects of a type"] == 0
    assert set(most_left(rest(6), after).values()) == {0}


def test_objects_of_a_type_of_ours_may_not_stay_but_what_is_remembered_of_names() -> None:
    count = TYPE_AT_REST + 3
    before = rest(kinds={KIND: 2})
    assert left_over(before, rest(kinds={KIND: 2 + TYPE_AT_REST})) == []
    assert left_over(before, rest(kinds={KIND: count})) == [f"edge-1: {count} of {KIND} at rest, 2 before"]
    remembered = REMEMBERED[FENCE] * REMEMBERED_NUM + TYPE_AT_REST
    assert left_over(before, rest(kinds={FENCE: remembered})) == []
    assert left_over(before, rest(kinds={FENCE: remembered + 1})) != []
    keys = REMEMBERED[KEY] * REMEMBERED_NUM + TYPE_AT_REST + 1
    assert left_over(before, rest(kinds={KEY: keys, KEYED[0]: 1})) == []
    assert left_over(before, rest(kinds={KEY: keys})) != []


def test_a_log_or_a_cache_may_be_full_and_no_more() -> None:
    kind, most = ASKED, CACHED[ASKED] + TYPE_AT_REST
    assert left_over(rest(), rest(kinds={kind: most})) == []
    assert left_over(rest(), rest(kinds={kind: most + 1})) != []


def test_an_object_of_each_stream_and_two_blocks_of_each_session_are_leaks() -> None:
    streams_an_hour = 4_500
    assert grown(series(2 * streams_an_hour, "own_objects"))[0].is_leak
    assert grown(series(2 * streams_an_hour, "objects"))[0].is_leak
    assert grown(series(4 * streams_an_hour, "lalmesh_python_blocks"))[0].is_leak
    assert grown(series(4 * streams_an_hour * 500, "lalmesh_heap_used_bytes"))[0].is_leak
