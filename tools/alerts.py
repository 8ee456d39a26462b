"""Rules of the chart in the runbooks of their alerts: ``python -m tools.alerts``; ``--check`` says whether they are up to date."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lalmesh.runtime.marked import with_marked

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "lalmesh"
RUNBOOKS = ROOT / "docs" / "runbooks"
BEGIN, END = "<!-- rules: begin, written by python -m tools.alerts -->", "<!-- rules: end -->"
#: What the chart fills in that is no value of an alert, as runbooks have it.
COMMON = {"edges": "EDGES", "origins": "ORIGINS", "hlsNodes": "HLS_NODES", "schedulers": "SCHEDULERS"}


class Rule(NamedTuple):
    """One rule, with the values that ship."""

    alert: str
    severity: str
    expression: str  #: of all pods, whosever they are
    for_: str  #: how long it has to hold; empty: at once
    values: str  #: where its times and thresholds stand

    @property
    def after(self) -> str:
        """When it fires once its expression gives something."""
        return f"once it holds for {self.for_}" if self.for_ else "at once"

    @property
    def page(self) -> Path:
        """Its runbook."""
        return RUNBOOKS / f"{slug(self.alert)}.md"


def slug(alert: str) -> str:
    """The page of an alert: ``LalmeshNodeAway`` has ``node-away``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert.removeprefix("Lalmesh")).lower()


@cache
def rules() -> tuple[Rule, ...]:
    """All of them, in the order of the files."""
    return tuple(_read())


def _read() -> Iterator[Rule]:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["monitoring"]["prometheusRule"]["alerts"]
    for file in sorted((CHART / "alerts").glob("*.yaml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield _rule(rule, values)


def _rule(rule: dict[str, Any], values: dict[str, dict[str, object]]) -> Rule:
    name = rule["alert"].removeprefix("Lalmesh")
    key = name[0].lower() + name[1:]
    text = re.sub(r"\{\$\{pods\}\}|,\$\{pods\}|\$\{pods\},", "", rule["expr"])
    given = {**COMMON, **{name: str(value) for name, value in values[key].items()}}
    return Rule(rule["alert"], rule["labels"]["severity"], _filled(text, given), _filled(rule.get("for", ""), given), key)


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)


def block(alert: str) -> str:
    """What stands in the runbook of an alert."""
    found = [rule for rule in rules() if rule.alert == alert]
    queries = "\n\n".join(f"# {rule.severity}, {rule.after}\n{rule.expression}" for rule in found)
    where = f"`monitoring.prometheusRule.alerts.{found[0].values}`"
    return (
        f"\n\nIt fires by this, of the pods of the release; in the chart the values are {where}:\n\n```promql\n{queries}\n```\n\n"
    )


def pages() -> dict[Path, str]:
    """The texts that the runbooks of all alerts have to have."""
    found = {rule.page: rule.alert for rule in rules()}
    return {page: with_marked(page.read_text(encoding="utf-8"), BEGIN, END, block(alert)) for page, alert in found.items()}


def main() -> None:
    """Write the pages, or with ``--check`` exit with 1 where one is not as it should be."""
    outdated = [path for path, text in pages().items() if path.read_text(encoding="utf-8") != text]
    for path in outdated:
        print(f"{path}: " + ("outdated, run `make docs`" if "--check" in sys.argv else "written"))
        if "--check" not in sys.argv:
            path.write_text(pages()[path], encoding="utf-8")
    sys.exit("--check" in sys.argv and bool(outdated))


if __name__ == "__main__":
    main()
