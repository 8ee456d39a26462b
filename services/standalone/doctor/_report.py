"""What was found, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

import lalmesh
from services.standalone.doctor._finding import Status
from services.standalone.doctor._place import Place
from services.standalone.doctor._run import Examined

_WIDTH = 14  #: of the column of checks


def exit_status(examined: Examined) -> int:
    """1 where something failed, else 0: warnings are for people."""
    return int(any(each.status is Status.FAILED for found in examined.findings.values() for each in found))


def as_text(place: Place, node: str, examined: Examined, *, quiet: bool = False) -> str:
    """One line a finding, and its remedy below it; `quiet` leaves out what is well."""
    return "\n".join([f"lalmesh {lalmesh.__version__}, {place.role}: {node}", *_lines(examined, quiet=quiet), _summary(examined)])


def _lines(examined: Examined, *, quiet: bool) -> Iterator[str]:
    for name, found in examined.findings.items():
        for each in found:
            if quiet and each.status is Status.OK:
                continue
            yield f"{each.status:<8} {name:<{_WIDTH}} {each.subject}: {each.found}"
            if each.remedy:
                yield f"{'':<8} {'':<{_WIDTH}} -> {each.remedy}"


def _summary(examined: Examined) -> str:
    counts = Counter(each.status for found in examined.findings.values() for each in found)
    return ", ".join(f"{counts[status]} {status}" for status in reversed(Status))


def as_json(place: Place, node: str, examined: Examined) -> str:
    """One object: who was looked at, and the findings in order."""
    findings = [{"check": name, **asdict(each)} for name, found in examined.findings.items() for each in found]
    told = {
        "version": lalmesh.__version__,
        "role": place.role,
        "node": node,
        "ok": exit_status(examined) == 0,
        "findings": findings,
    }
    return json.dumps(told, indent=2)
