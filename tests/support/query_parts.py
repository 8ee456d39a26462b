"""What is in queries of PromQL and TraceQL, as the grammars of Prometheus' and Grafana's own editors read them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import npm
from support.otlp_collector import Seen

FOLDER = Path(__file__).parent / "queries"
INSTALLED = npm.TOOLS / "queries"
LIMIT_S = 60.0
_NS = {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}


class ParseError(AssertionError):
    """A query that its grammar does not take, with the place."""


@dataclass(frozen=True)
class Selector:
    """Which series a part of an expression is about."""

    text: str
    metric: str  #: empty: by its labels alone
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Metrics:
    """What an expression of PromQL names."""

    selectors: tuple[Selector, ...]
    labels: tuple[str, ...]  #: by which it groups and joins
    made: tuple[str, ...]  #: labels that it makes itself


@dataclass(frozen=True)
class Spans:
    """What a query of TraceQL looks for, and what it shows of that."""

    condition: Any
    selected: tuple[str, ...]

    def fields(self) -> set[str]:
        """All that it names: what it looks at and what it shows."""
        return {*self.selected, *_fields(self.condition)}

    def holds(self, span: Seen) -> bool:
        """Whether it finds `span`."""
        return bool(_value(self.condition, span))


def parsed(promql: Sequence[str] = (), traceql: Sequence[str] = ()) -> tuple[list[Metrics], list[Spans]]:
    """What is in each of them.

    Raises:
        ParseError: a grammar does not take one.
    """
    npm.install(FOLDER, INSTALLED)
    asked = json.dumps({"promql": promql, "traceql": traceql})
    command = ["node", str(FOLDER / "parse.cjs")]
    done = subprocess.run(command, input=asked, cwd=INSTALLED, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    found = json.loads(done.stdout)
    errors = [each["error"] for each in (*found["promql"], *found["traceql"]) if each["error"]]
    if errors:
        raise ParseError("\n".join(errors))
    return [_metrics(each) for each in found["promql"]], [
        Spans(each["condition"], tuple(each["selected"])) for each in found["traceql"]
    ]


def _metrics(found: dict[str, Any]) -> Metrics:
    selectors = [Selector(each["text"], each["metric"], tuple(each["labels"])) for each in found["selectors"]]
    return Metrics(tuple(selectors), tuple(found["labels"]), tuple(found["made"]))


def _fields(condition: Any) -> set[str]:
    if isinstance(condition, list):
        return _fields(condition[1]) | _fields(condition[2])
    return {condition["field"]} if "field" in condition else set()


def _value(condition: Any, span: Seen) -> Any:
    if isinstance(condition, dict):
        return of_span(condition["field"], span) if "field" in condition else _static(condition["value"])
    operator, left, right = condition[0], _value(condition[1], span), _value(condition[2], span)
    match operator:
        case "&&":
            return left and right
        case "||":
            return left or right
        case _ if left is None:
            return False  # of what a span does not have nothing is found
        case "=":
            return left == right
        case "!=":
            return left != right
        case "=~":
            return re.fullmatch(str(right), str(left)) is not None
        case ">":
            return left > right
        case _:
            raise ParseError(f"no test knows the operator {operator}")


def of_span(field: str, span: Seen) -> Any:
    """What a field of TraceQL is of a span; None: it has none."""
    match field.partition("."):
        case ("name", _, ""):
            return span.name
        case ("status", _, ""):
            return "error" if span.error else "unset"
        case ("duration", _, ""):
            return span.ended_ns - span.begun_ns
        case ("span", _, attribute):
            return span.attributes.get(attribute)
        case ("resource", _, "service.name"):
            return span.service
        case ("resource", _, "service.instance.id"):
            return span.node
        case _:
            raise ParseError(f"no test knows the field {field}")


def _static(text: str) -> Any:
    if text.startswith('"'):
        return json.loads(text)
    if text in ("true", "false"):
        return text == "true"
    if duration := re.fullmatch(r"([0-9.]+)([a-zµ]+)", text):
        return float(duration[1]) * _NS[duration[2]]
    return float(text) if re.fullmatch(r"-?[0-9.]+", text) else text
