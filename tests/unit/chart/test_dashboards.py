"""The dashboards of the chart: written from tools/dashboards, as Grafana has them, and fit to be read by whoever is on call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard
from support.grafana import Dashboard, dashboards, filled

from tools.dashboards.__main__ import FOLDER, generated
from tools.dashboards.grafana import RUNBOOKS, WIDTH

DOCS = Path(__file__).resolve().parents[3] / "docs"
#: What Grafana knows and its library of version 10.1 does not: of annotations of Prometheus, of Tempo since 10.2, and what is
#: written beside a variable's query.
BEYOND_THE_LIBRARY = {
    *(f".annotations.list[].{name}" for name in ("step", "titleFormat", "useValueForTime")),
    ".panels[].targets[].tableType",
    ".templating.list[].definition",
}
#: Names that queries may use beside the variables of their dashboard.
GRAFANAS_OWN = {"__rate_interval": "1m", "__range": "1h"}


@pytest.fixture(scope="module", params=dashboards(), ids=lambda dashboard: dashboard.name)
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    assert isinstance(request.param, Dashboard)
    return request.param


def test_they_are_what_is_written_of_them() -> None:
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == {path.name: text for path, text in generated().items()}


def test_all_seven_are_there_under_addresses_of_their_own() -> None:
    names = {"cluster", "stream", "edge", "origin", "control-plane", "hls", "traces"}
    assert {each.name for each in dashboards()} == names
    assert len({each.model["uid"] for each in dashboards()}) == len({each.model["title"] for each in dashboards()}) == len(names)


def test_grafanas_own_library_knows_all_that_they_say(dashboard: Dashboard) -> None:
    register_default_plugins()
    read = json.loads(json.dumps(GrafanaDashboard.from_json(dashboard.model), cls=JSONEncoder))
    assert set(lost(dashboard.model, read)) <= BEYOND_THE_LIBRARY


def lost(had: Any, has: Any, path: str = "") -> Iterator[str]:
    """What is not there any more, or is another."""
    if isinstance(had, dict) and isinstance(has, dict):
        for name, value in had.items():
            if value is not None:
                yield from lost(value, has[name], f"{path}.{name}") if name in has else [f"{path}.{name}"]
    elif isinstance(had, list) and isinstance(has, list) and len(had) == len(has):
        for one, other in zip(had, has, strict=True):
            yield from lost(one, other, f"{path}[]")
    elif had != has:
        yield path


def test_panels_lie_beside_each_other(dashboard: Dashboard) -> None:
    panels = [panel["gridPos"] for panel in dashboard.panels()]
    assert all(place["x"] + place["w"] <= WIDTH for place in panels)
    assert not [pair for pair in combinations(panels, 2) if overlap(*pair)]
    numbers = [panel["id"] for panel in dashboard.panels()]
    assert len(numbers) == len(set(numbers))


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two places have a cell in common."""
    along = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return along and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


def test_every_panel_says_what_it_shows_and_its_series_have_names(dashboard: Dashboard) -> None:
    for panel in dashboard.panels():
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["description"].endswith((".", "?")), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        named = panel["type"] != "timeseries" or all(target["legendFormat"] != "__auto" for target in panel["targets"])
        assert named, panel["title"]


def test_what_they_ask_with_can_be_chosen(dashboard: Dashboard) -> None:
    known = {each["name"]: "x" for each in dashboard.model["templating"]["list"]} | GRAFANAS_OWN
    for asked in dashboard.queries():
        assert filled(asked.expr, known)
    for kind in ("prometheus", "tempo", "jaeger"):
        for asked in dashboard.queries(kind):
            assert filled(asked.model["datasource"]["uid"], known)
    for variable in dashboard.variables():
        assert filled(variable.selector, known)


def test_what_each_scheduler_has_a_part_of_is_added_up(dashboard: Dashboard) -> None:
    of_one = re.compile(r"(\w+)(?: by \([^)]*\))? *\((?:scheduler_nodes_with_room|scheduler_webhook_backlog)\b")
    assert {found for asked in dashboard.queries() for found in of_one.findall(asked.expr)} <= {"sum"}


def test_runbooks_that_they_lead_to_are_there(dashboard: Dashboard) -> None:
    urls = [link["url"] for panel in dashboard.panels() for link in panel.get("links", ())]
    urls += [link["url"] for link in dashboard.model["links"] if link["type"] == "link"]
    assert urls or dashboard.name == "traces"
    for url in urls:
        page = filled(url, dashboard.texts()).removeprefix(f"{RUNBOOKS}/").removesuffix(".html")
        assert (DOCS / "runbooks" / f"{page}.md").exists(), url


def test_links_between_them_lead_somewhere(dashboard: Dashboard) -> None:
    known = {f"/d/{each.model['uid']}" for each in dashboards()} | {
        f"/d/lalmesh-${{{role}}}" for role in ("__value.raw", "__data.fields.Role")
    }
    text = json.dumps(dashboard.model)
    urls = [part.partition("?")[0].partition('"')[0] for part in text.split('"url": "')[1:]]
    assert {url for url in urls if url.startswith("/d/")} <= known
