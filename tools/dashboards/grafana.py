"""Dashboards as Grafana 10 and later read them: a few words for what they are made of, and how that is written as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from string import ascii_uppercase
from typing import Any, Literal

Json = dict[str, Any]

SCHEMA = 36  #: of Grafana 10.0; later ones bring it up to theirs as they load it
WIDTH = 24  #: of Grafana's grid
TAG = "lalmesh"  #: by which dashboards find each other
#: Where runbooks are, until whoever installs the dashboards says where that is: the chart puts its value there.
RUNBOOKS = "https://lalmesh.invalid/runbooks"
PER_SECOND, FRAMES_PER_SECOND = "suffix: /s", "suffix: fps"  #: units that Grafana has no name for
GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
Step = tuple[float | None, str]  #: from which value on which colour
#: What should be none at all.
NONE_BUT_RED: tuple[Step, ...] = ((None, GREEN), (1, RED))
NONE_BUT_ORANGE: tuple[Step, ...] = ((None, GREEN), (1, ORANGE))
NO_STEPS: tuple[Step, ...] = ((None, GREEN),)


def warn_at(warning: float, bad: float) -> tuple[Step, ...]:
    """Orange from `warning` on, red from `bad`."""
    return ((None, GREEN), (warning, ORANGE), (bad, RED))


@dataclass(frozen=True)
class Source:
    """A data source, chosen by the variable of its name."""

    name: str
    kind: str  #: of plugin
    label: str

    def reference(self) -> Json:
        """As panels and queries name it."""
        return {"type": self.kind, "uid": f"${{{self.name}}}"}

    def variable(self) -> Json:
        """By which it is chosen."""
        shown = {"name": self.name, "label": self.label, "type": "datasource", "query": self.kind}
        return {**shown, "refresh": 1, "regex": "", "hide": 0, "multi": False, "includeAll": False, "options": [], "current": {}}


PROMETHEUS = Source("datasource", "prometheus", "Prometheus")


@dataclass(frozen=True)
class Variable:
    """What is chosen among the values that a label has."""

    name: str
    query: str
    everything: str = ""  #: what "All" stands for; empty: all values that there are
    multiple: bool = True
    hidden: bool = False

    def variable(self) -> Json:
        """As Grafana has it."""
        choice: Json = {"multi": self.multiple, "includeAll": self.multiple, "options": [], "current": {}}
        if self.multiple:
            choice["current"] = {"selected": True, "text": ["All"], "value": ["$__all"]}
            choice["allValue"] = self.everything or None
        asked = {"query": {"query": self.query, "refId": "Values"}, "definition": self.query, "refresh": 2, "sort": 1, "regex": ""}
        shown = {"name": self.name, "label": self.name.capitalize(), "type": "query", "hide": 2 if self.hidden else 0}
        return {**shown, "datasource": PROMETHEUS.reference(), **asked, **choice}


@dataclass(frozen=True)
class Text:
    """What is typed in, or stands there for links."""

    name: str
    label: str
    value: str
    hidden: bool = False

    def variable(self) -> Json:
        """As Grafana has it."""
        value = {"query": self.value, "current": {"selected": True, "text": self.value, "value": self.value}, "options": []}
        return {"name": self.name, "label": self.label, "type": "textbox", "hide": 2 if self.hidden else 0, **value}


@dataclass(frozen=True)
class Query:
    """An expression of PromQL, and what its series are called."""

    expr: str
    legend: str = ""

    def target(self, kind: str) -> Json:
        """As a panel of a `kind` asks it."""
        is_instant = kind == "table"
        how = {"range": not is_instant, "instant": is_instant, "format": "table" if is_instant else "time_series"}
        return {"expr": self.expr, "legendFormat": self.legend or "__auto", "editorMode": "code", **how}


@dataclass(frozen=True)
class Search:
    """A search for traces; what it says is of the data source."""

    model: Json

    def target(self, kind: str) -> Json:
        """As a panel asks it."""
        return self.model


@dataclass(frozen=True)
class Column:
    """A column of a table; those that are not named are left out."""

    field: str  #: as the query gives it; with several queries ``Value #A`` and so on
    title: str
    unit: str = ""
    url: str = ""  #: where a click leads
    steps: Sequence[Step] = ()

    def override(self) -> Json:
        """How it is shown."""
        properties: list[Json] = [{"id": "unit", "value": self.unit}] if self.unit else []
        if self.url:
            link = {"title": self.title, "url": self.url, "targetBlank": False}
            properties.append({"id": "links", "value": [link]})
        if self.steps:
            properties.append({"id": "thresholds", "value": thresholds(self.steps)})
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
        return {"matcher": {"id": "byName", "options": self.title}, "properties": properties}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel; its size is in units of the grid."""

    title: str
    about: str  #: what it shows, and what to think of it
    queries: Sequence[Query | Search]
    kind: Literal["timeseries", "stat", "table", "traces"] = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    steps: Sequence[Step] = ()
    stacked: bool = False
    least: float | None = 0  #: of the axis
    decimals: int | None = None
    otherwise: str = ""  #: shown where there is nothing
    words: dict[str, str] = field(default_factory=dict)  #: shown in place of values
    columns: Sequence[Column] = ()
    clicks: Sequence[Column] = ()  #: columns among others that are all shown
    runbook: str = ""  #: page that says what to do
    source: Source = PROMETHEUS

    def to_json(self, number: int, x: int, y: int) -> Json:
        """As Grafana has it, at a place of the grid."""
        targets = [
            {"refId": letter, "datasource": self.source.reference(), **query.target(self.kind)}
            for letter, query in zip(ascii_uppercase, self.queries, strict=False)
        ]
        page = f"${{runbooks}}/{self.runbook}.html"
        links = [{"title": f"Runbook: {self.runbook}", "url": page, "targetBlank": True}] if self.runbook else []
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "datasource": self.source.reference(),
            "links": links,
            "targets": targets,
            "fieldConfig": {
                "defaults": self._defaults(),
                "overrides": [column.override() for column in (*self.columns, *self.clicks)],
            },
            "options": self._options(),
            "transformations": self._transformations(),
        }

    def _defaults(self) -> Json:
        defaults: Json = {"unit": self.unit, "thresholds": thresholds(self.steps or NO_STEPS)}
        if self.words:
            shown = {value: {"text": text, "index": index} for index, (value, text) in enumerate(self.words.items())}
            defaults["mappings"] = [{"type": "value", "options": shown}]
        if self.decimals is not None:
            defaults["decimals"] = self.decimals
        if self.otherwise:
            defaults["noValue"] = self.otherwise
        if self.kind == "timeseries":
            defaults |= {"color": {"mode": "palette-classic"}, "custom": self._drawn()}
            if self.least is not None:
                defaults["min"] = self.least
        elif self.kind == "stat":
            defaults["color"] = {"mode": "thresholds"}
        return defaults

    def _drawn(self) -> Json:
        stacking = {"mode": "normal" if self.stacked else "none", "group": "A"}
        how = {"lineWidth": 1, "fillOpacity": 25 if self.stacked else 8, "showPoints": "never", "spanNulls": False}
        return {**how, "stacking": stacking, "thresholdsStyle": {"mode": "dashed" if self.steps else "off"}}

    def _options(self) -> Json:
        match self.kind:
            case "timeseries":
                legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]}
                legend |= {"sortBy": "Last *", "sortDesc": True}  # what is 0 comes last
                return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
            case "stat":
                shown = {"calcs": ["lastNotNull"], "fields": "", "values": False}
                how = {"colorMode": "background" if self.steps else "value", "graphMode": "area", "justifyMode": "auto"}
                return {**how, "reduceOptions": shown, "textMode": "auto", "orientation": "auto"}
            case "table":
                return {"showHeader": True, "cellHeight": "sm"}
            case _:
                return {}

    def _transformations(self) -> list[Json]:
        if not self.columns:
            return []
        names = [column.field for column in self.columns]
        renamed = {column.field: column.title for column in self.columns}
        chosen = {"id": "filterFieldsByName", "options": {"include": {"names": names}}}
        order = {"indexByName": {name: index for index, name in enumerate(names)}, "renameByName": renamed, "excludeByName": {}}
        merged = [{"id": "merge", "options": {}}] if len(self.queries) > 1 else []
        return [*merged, chosen, {"id": "organize", "options": order}]


def thresholds(steps: Sequence[Step]) -> Json:
    """As Grafana has them."""
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for value, colour in steps]}


@dataclass(frozen=True)
class Row:
    """Panels under a heading; where it is folded they ask for nothing until somebody opens it."""

    title: str
    panels: Sequence[Panel]
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard."""

    uid: str
    title: str
    about: str
    variables: Sequence[Source | Variable | Text]
    rows: Sequence[Row]
    annotations: Sequence[tuple[str, str, str]] = ()  #: name, expression, text
    span: str = "now-1h"

    def to_json(self) -> Json:
        """As Grafana has it."""
        runbooks = Text("runbooks", "Runbooks", RUNBOOKS, hidden=True)
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "timezone": "browser",
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": self.span, "to": "now"},
            "links": [_runbooks(), _others()],
            "annotations": {"list": [_annotation(*each) for each in self.annotations]},
            "templating": {"list": [variable.variable() for variable in (*self.variables, runbooks)]},
            "panels": list(self._panels()),
        }

    def _panels(self) -> Iterator[Json]:
        numbers, y = count(1), 0
        for row in self.rows:
            number = next(numbers)
            placed = list(_placed(row.panels, numbers, y + 1))
            heading = {"id": number, "type": "row", "title": row.title, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}
            yield {**heading, "collapsed": row.folded, "panels": placed if row.folded else []}
            if not row.folded:
                yield from placed
            y = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in placed)


def _placed(panels: Sequence[Panel], numbers: Iterator[int], y: int) -> Iterator[Json]:
    """From left to right, in lines as high as their highest."""
    x = height = 0
    for panel in panels:
        if x + panel.width > WIDTH:
            x, y, height = 0, y + height, 0
        yield panel.to_json(next(numbers), x, y)
        x, height = x + panel.width, max(height, panel.height)


def _annotation(name: str, expr: str, text: str) -> Json:
    asked = {"expr": expr, "titleFormat": text, "step": "60s", "useValueForTime": False}
    return {"name": name, "datasource": PROMETHEUS.reference(), "enable": True, "hide": False, "iconColor": RED, **asked}


def _runbooks() -> Json:
    how = {"icon": "doc", "tags": [], "asDropdown": False, "targetBlank": True, "includeVars": False, "keepTime": False}
    return {"title": "Runbooks", "type": "link", "url": "${runbooks}/index.html", "tooltip": "What to do about alerts", **how}


def _others() -> Json:
    how = {"icon": "dashboard", "tags": [TAG], "asDropdown": True, "targetBlank": False, "includeVars": True, "keepTime": True}
    return {"title": "lalmesh", "type": "dashboards", "url": "", "tooltip": "The other dashboards", **how}
