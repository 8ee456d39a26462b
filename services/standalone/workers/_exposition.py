"""Metrics of several processes as those of one: the text of each, with a label that says whose a series is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Family:
    comments: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)


def merged(texts: Iterable[tuple[str, str]]) -> str:
    """One text of many, in Prometheus' format of version 0.0.4: each metric once, with the series of all.

    Args:
        texts: each with the label that its series get, such as ``worker="1"``; empty: none.
    """
    families: dict[str, _Family] = {}
    for label, text in texts:
        for name, line in _lines(text):
            family = families.setdefault(name, _Family())
            if not line.startswith("#"):
                family.samples.append(_labelled(line, label) if label else line)
            elif line not in family.comments:  # what a metric means every process says
                family.comments.append(line)
    lines = [line for family in families.values() for line in (*family.comments, *family.samples)]
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Each line with the metric that it belongs to: the one that was named last."""
    metric = ""
    for line in text.split("\n"):  # nothing else ends a line there, whatever is in the names of streams
        if line.startswith(("# HELP ", "# TYPE ")):
            metric = line.split(" ", 3)[2]
        if line and (metric or not line.startswith("#")):
            yield metric, line


def _labelled(line: str, label: str) -> str:
    """A sample with one label more, in front of those that it has. Names of metrics hold neither blanks nor braces."""
    name, brace, rest = line.partition("{")
    if not brace or " " in name:
        name, _, value = line.partition(" ")
        return f"{name}{{{label}}} {value}"
    return f"{name}{{{label}{'' if rest.startswith('}') else ','}{rest}"
