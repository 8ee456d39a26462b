"""What the logs of both sides say of a take-over: who was told what, and which epochs each origin let in, in which order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

TOLD = "taken over: "  #: what the reason begins with that closes a publisher whose stream is another's now

Epoch = tuple[int, int]  #: term and revision

_CLOSED = re.compile(r"publisher closed: (.*)", re.DOTALL)
_MISSING = re.compile(r"(\d+) units missing")
_LET_IN = re.compile(r"publication of epoch (\d+)\.(\d+)")


def closings(log: str, stream: str) -> list[str]:
    """The reason of each publisher of `stream` that an edge closed, in order."""
    return [match[1] for entry in _entries(log, stream) if (match := _CLOSED.fullmatch(entry["event"]))]


def missing_units(log: str, stream: str) -> int:
    """How many units of `stream` an edge says that its relay never got."""
    return sum(int(match[1]) for entry in _entries(log, stream) if (match := _MISSING.fullmatch(entry["event"])))


def wrong_ends(stream: str, loser: str, winner: str) -> list[str]:
    """What is wrong with the logs of the two edges: the loser says once that it was taken over, the winner lets nobody go."""
    faults = list[str]()
    told = closings(loser, stream)
    if len(told) != 1 or not told[0].startswith(TOLD):
        faults.append(f"{stream}: the loser was told {told}, not once '{TOLD}...'")
    if let_go := closings(winner, stream):
        faults.append(f"{stream}: the winner was told {let_go}")
    if not any(entry["event"] == "publisher opened" for entry in _entries(winner, stream)):
        faults.append(f"{stream}: the winner does not say that it has a publisher")
    return faults


def wrong_epochs(stream: str, origins: Mapping[str, str], edges: Mapping[str, Epoch]) -> list[str]:
    """What is wrong with the logs of the origins, by name: each edge got in, under its epoch alone, and at none did that fall."""
    faults, seen = list[str](), set[str]()
    for name, log in origins.items():
        let_in = list(_let_in(log, stream))
        for edge, epoch in let_in:
            seen.add(edge)
            if edges.get(edge) != epoch:
                faults.append(f"{stream}: {name} let in {edge} under {epoch}, which has {edges.get(edge)}")
        for (before, higher), (edge, epoch) in pairwise(let_in):
            if epoch < higher:
                faults.append(f"{stream}: {name} let in {edge} under {epoch} after {before} under {higher}")
    return faults + [f"{stream}: no origin let in {edge}" for edge in edges if edge not in seen]


def _let_in(log: str, stream: str) -> Iterator[tuple[str, Epoch]]:
    """The edge and the epoch of each publication that an origin took, in order."""
    for entry in _entries(log, stream):
        if match := _LET_IN.fullmatch(entry["event"]):
            yield str(entry["peer"]), (int(match[1]), int(match[2]))


def _entries(log: str, stream: str) -> Iterator[dict[str, Any]]:
    """The lines of a log that are about a stream. What else a process writes is passed over, and so is a line not yet whole."""
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("stream_key") == stream:
            yield entry
