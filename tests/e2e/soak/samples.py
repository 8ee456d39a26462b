"""What each process holds, looked at every few seconds: memory, descriptors, tasks, threads, timers, objects; etcd, Redis, storage.

Each look is one line of JSON in a file, so that a run that is ended early tells what it has seen.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from support.slopes import Point

ANSWER_S = 5.0
OURS = ("lalmesh.", "services.")  #: types of the project
CONNECTION_DESCRIPTORS = 2  #: of an edge for each connection: the loop's, and one that writes to it past the loop, or looks at it
CHANNEL = "grpc.aio._channel.Channel"
_VALUE = re.compile(r"^([a-z_]+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
_SUMS = ("_total", "_count", "_sum", "_bucket")  #: what counts what was; not what is

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Watched:
    """One process, as it runs now."""

    name: str
    pid: Callable[[], int]
    url: Callable[[], str] = str  #: of its port for metrics; empty: it has none


@dataclass
class Series:
    """All that was seen."""

    #: by name of the process, its pid and the value
    points: dict[tuple[str, int, str], list[Point]] = field(default_factory=lambda: defaultdict(list))

    def add(self, at_s: float, name: str, pid: int, values: Mapping[str, float]) -> None:
        """One look at a process."""
        for what, value in values.items():
            self.points[name, pid, what].append((at_s, value))


class Sampler:
    """Looks at processes. Every method runs in the loop that made it."""

    def __init__(self, file: Path, watched: list[Watched], token: str, extra: Callable[[], Values]) -> None:
        """Write to `file`.

        Args:
            file: JSON lines.
            watched: the processes.
            token: that shows what a node holds.
            extra: what else there is to look at; called in a thread.
        """
        self.series = Series()
        self.newest: dict[str, Values] = {}  #: by name of the process, of the last look
        self.unseen: list[str] = []  #: processes that could not be looked at then
        self.types: dict[str, dict[str, int]] = {}  #: of ours, likewise
        self._file = file
        self._watched = watched
        self._headers = {"Authorization": f"Bearer {token}"}
        self._extra = extra
        self._begun_s = time.monotonic()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S))

    async def close(self) -> None:
        """Look no more."""
        await self._session.close()

    async def look(self, *, deep: bool) -> None:
        """Look at all; `deep` counts objects too, for which each process stands still for a moment."""
        at_s = time.monotonic() - self._begun_s
        found = await asyncio.gather(*(self._look_at(one, deep=deep) for one in self._watched), asyncio.to_thread(self._extra))
        seen = {one.name: values for one, values in zip(self._watched, found[:-1], strict=True) if values}
        seen["stores"] = found[-1]
        for one in self._watched:
            if one.name in seen:
                self.series.add(at_s, one.name, one.pid(), seen[one.name])
        self.series.add(at_s, "stores", 0, seen["stores"])
        self.newest, self.unseen = seen, [one.name for one in self._watched if one.name not in seen]
        with self._file.open("a") as out:
            out.write(json.dumps({"at_s": round(at_s, 3), "processes": seen}) + "\n")

    async def _look_at(self, one: Watched, *, deep: bool) -> Values:
        """Nothing where it does not run, or not yet."""
        try:
            values = of_process(one.pid())
            if url := one.url():
                values |= gauges(await self._text(f"{url}/metrics"))
                values |= apart(values)
                if deep:
                    values |= self._held(one.name, json.loads(await self._text(f"{url}/debug/objects")))
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError, KeyError):
            return {}
        return values

    async def _text(self, url: str) -> str:
        async with self._session.get(url, headers=self._headers) as answer:
            answer.raise_for_status()
            return await answer.text()

    def _held(self, name: str, told: dict[str, Any]) -> Values:
        types: dict[str, int] = told["types"]
        self.types[name] = {kind: count for kind, count in types.items() if kind.startswith(OURS)}
        return {
            "objects": told["objects"],
            "timers": told["timers"],
            "channels": types.get(CHANNEL, 0),
            "own_objects": sum(self.types[name].values()),
        }


def of_process(pid: int) -> Values:
    """What the kernel says of a process: bytes, descriptors, threads."""
    folder = Path(f"/proc/{pid}")
    fields = dict(_lines((folder / "smaps_rollup").read_text()))
    return {
        "rss_bytes": fields["Rss"] * 1024,
        "descriptors": len(os.listdir(folder / "fd")),
        "threads": len(os.listdir(folder / "task")),
    }


def apart(values: Values) -> Values:
    """Connections, and the descriptors that are not of connections: of these there are as many as players are there just then."""
    connections = values.get("edge_connections", 0)
    return {"connections": connections, "other_descriptors": values["descriptors"] - CONNECTION_DESCRIPTORS * connections}


def _lines(text: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and rest.endswith("kB"):
            yield name, float(rest.split()[0])


def sums(text: str) -> Values:
    """All that a process says, each summed over its labels."""
    found: Values = defaultdict(float)
    for name, value in _VALUE.findall(text):
        found[name] += float(value)
    return dict(found)


def gauges(text: str) -> Values:
    """What of it there is now."""
    return {name: value for name, value in sums(text).items() if not name.endswith(_SUMS)}


def counter(text: str, name: str) -> float:
    """A counter, summed over its labels; 0 where it is not told."""
    return sums(text).get(name, 0.0)
