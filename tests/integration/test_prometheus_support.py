"""The Prometheus that tests use: it scrapes, answers, evaluates rules, takes others, and is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.ports import is_open
from support.prometheus import Alert, Prometheus, QueryError, Target

LABELS = {"job": "media/lalmesh", "namespace": "media", "pod": "lalmesh-edge-0"}


def rule(folder: Path, name: str, expression: str) -> Path:
    """A file with one alert."""
    file = folder / f"{name}.yaml"
    file.write_text(f"groups: [{{name: {name}, rules: [{{alert: {name}, expr: '{expression}', labels: {{severity: page}}}}]}}]")
    return file


def test_it_scrapes_answers_and_alerts(tmp_path: Path) -> None:
    with Prometheus(tmp_path) as prometheus:
        own = Target(prometheus.url.removeprefix("http://"), LABELS)
        assert prometheus.query("up") == []
        prometheus.reload([own], [rule(tmp_path, "Up", "up == 1")])
        prometheus.wait_scraped()
        assert prometheus.value("up") == 1
        assert prometheus.value("1 + 1") == 2
        [series] = prometheus.series("up")
        assert series == {"__name__": "up", "instance": own.address, **LABELS}
        assert prometheus.label_values("pod", 'up{namespace="media"}') == ["lalmesh-edge-0"]
        prometheus.wait_for("an alert", lambda: bool(prometheus.alerts()))
        labels = {"alertname": "Up", "severity": "page", "instance": own.address, **LABELS}
        assert prometheus.alerts() == [Alert("Up", "firing", labels, {})]
        assert [each["health"] for each in prometheus.rules()] == ["ok"]
        with pytest.raises(QueryError, match="parse error"):
            prometheus.query("up{")
        with pytest.raises(QueryError, match="failed to reload"):
            prometheus.reload(rules=[rule(tmp_path, "Wrong", "up{")])
        prometheus.reload(rules=[])
        prometheus.wait_for("no alert", lambda: not prometheus.alerts())
    assert not is_open(prometheus.port)
