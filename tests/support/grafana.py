"""Dashboards as Grafana reads them: their variables filled in, and what each panel then asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "charts" / "lalmesh" / "dashboards"
ALL = "$__all"
_VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<selector>.+), *)?(?P<label>\w+)\)")

Values = Mapping[str, str | Sequence[str]]  #: what is chosen, by variable; a sequence where several may be


@dataclass(frozen=True)
class Asked:
    """A query of a panel, an annotation or a variable."""

    where: str  #: for messages
    model: Mapping[str, Any]  #: as the dashboard has it
    kind: str = ""  #: of data source

    @property
    def expr(self) -> str:
        """The expression of PromQL."""
        return str(self.model["expr"])

    @property
    def legend_labels(self) -> list[str]:
        """Labels that series are called by."""
        return re.findall(r"\{\{ *(\w+) *\}\}", str(self.model.get("legendFormat", "") or self.model.get("titleFormat", "")))


@dataclass(frozen=True)
class Variable:
    """A variable whose values Prometheus is asked for."""

    name: str
    label: str
    selector: str
    multiple: bool
    all_value: str


class Dashboard:
    """One file."""

    def __init__(self, path: Path) -> None:
        """Read it."""
        self.name = path.stem
        self.model: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))

    def panels(self) -> Iterator[Mapping[str, Any]]:
        """Every panel, those of folded rows too."""
        for panel in self.model["panels"]:
            yield panel
            yield from panel.get("panels", ())

    def queries(self, kind: str = "prometheus") -> Iterator[Asked]:
        """What panels ask of data sources of a kind."""
        for panel in self.panels():
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == kind:
                    yield Asked(f"{self.name}: {panel['title']}", target, kind)

    def annotations(self) -> Iterator[Asked]:
        """What marks on all panels are asked for by."""
        for annotation in self.model["annotations"]["list"]:
            yield Asked(f"{self.name}: annotation {annotation['name']}", annotation, "prometheus")

    def variables(self) -> Iterator[Variable]:
        """In the order in which they depend on each other."""
        for each in self.model["templating"]["list"]:
            if each["type"] == "query":
                found = _LABEL_VALUES.fullmatch(each["query"]["query"])
                assert found is not None, f"{self.name}: {each['query']}"
                several = each["multi"], each.get("allValue") or ""
                yield Variable(each["name"], found["label"], found["selector"] or "", *several)

    def texts(self) -> dict[str, str]:
        """What stands in fields that are typed into."""
        return {each["name"]: each["query"] for each in self.model["templating"]["list"] if each["type"] == "textbox"}


def dashboards() -> list[Dashboard]:
    """Those of the chart."""
    return [Dashboard(path) for path in sorted(FOLDER.glob("*.json"))]


def filled(text: str, values: Values) -> str:
    """`text` with the values of variables, several as a regular expression.

    Raises:
        KeyError: it names a variable that there is not.
    """
    return _VARIABLE.sub(lambda found: _shown(values[found[1] or found[2]]), text)


def _shown(value: str | Sequence[str]) -> str:
    """As Grafana's data source for Prometheus writes it: values of a choice are escaped, texts are not."""
    if isinstance(value, str):
        return value
    escaped = [re.sub(r"[\\^$*+?.()|\[\]{}]", r"\\\\\g<0>", each) for each in value]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
