"""The cluster of the chaos tests: 13 processes, each on a machine of its own as far as the network can tell."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.cluster import Node
from support.isolated_servers import IsolatedEtcd, IsolatedRedis
from support.netns import Namespace, Network

LEASE_S = 4  #: of a node; short, so that an outage outlasts it
ANSWER_S = 2.0  #: of a scheduler
COUNTS = {"scheduler": 2, "origin": 3, "edge": 3, "hls": 2}
SETTINGS: dict[str, dict[str, object]] = {
    "hls": {"hls.segment_ms": 1000, "hls.list_num": 20},
    "scheduler": {"scheduler.redis.port": 6379},
}

Item = dict[str, Any]


class ChaosCluster:
    """etcd, Redis, two schedulers, three origins, three edges, two hls nodes. A context manager."""

    def __init__(self, folder: Path) -> None:
        """Describe it; entering the block starts it."""
        self.folder = folder
        self.network = Network()
        self.nodes: dict[str, Node] = {}
        self.places: dict[str, Namespace] = {}  #: by name of the node; ``etcd`` and ``redis`` too
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(self.network)
            for name in ("etcd", "redis", *(f"{role}-{number + 1}" for role, count in COUNTS.items() for number in range(count))):
                self.places[name] = self.network.add()
            self.etcd = IsolatedEtcd(self.places["etcd"], self.folder / "etcd")
            self.redis = IsolatedRedis(self.places["redis"], self.folder / "redis")
            self._stack.enter_context(self.etcd)
            self._stack.enter_context(self.redis)
            self._start("scheduler")
            self._start("origin", "edge", "hls")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for node in self.nodes.values():
            node.kill()  # chaos has no need of an orderly end, and what is cut off could not leave in order
        self._stack.close()

    def _start(self, *roles: str) -> None:
        started = [self._node(role, f"{role}-{number + 1}") for role in roles for number in range(COUNTS[role])]
        for node in started:
            node.wait_ready()

    def _node(self, role: str, name: str) -> Node:
        place = self.places[name]
        own: dict[str, object] = {"cluster.node": name, "cluster.machine": f"machine-of-{name}", "cluster.lease_s": LEASE_S}
        if role == "scheduler":
            own |= {"scheduler.etcd.endpoints": [self.etcd.address], "scheduler.redis.host": self.redis.at.address}
        else:
            own["cluster.schedulers"] = [node.grpc_address for node in self.of("scheduler")]
        settings = {**own, **SETTINGS.get(role, {})}
        node = self.nodes[name] = Node(role, name, self.folder, settings, host=place.address, inside=place.inside)
        return node

    def of(self, role: str) -> list[Node]:
        """All nodes of a role."""
        return [node for node in self.nodes.values() if node.role == role]

    def edge(self, number: int) -> Node:
        """An edge, from 1."""
        return self.nodes[f"edge-{number}"]

    async def restart(self, *nodes: Node) -> None:
        """Start them again, all at once, each under a new incarnation, and wait until they are ready."""
        for node in nodes:
            node.restart()
        await asyncio.gather(*(asyncio.to_thread(node.wait_ready) for node in nodes))

    # What the cluster says of itself

    async def streams(self) -> dict[str, Item]:
        """All streams as a scheduler that answers shows them; none where none does."""
        for node in self.of("scheduler"):
            if items := await asyncio.to_thread(_items, node, "streams"):
                return {item["stream"]: item for item in items}
        return {}

    async def unreachable(self, origin: Node) -> float:
        """How often readers have said so far that they cannot reach `origin`, to whichever scheduler that runs."""
        texts = await asyncio.gather(*(asyncio.to_thread(node.metrics) for node in self.of("scheduler")))
        counted = re.compile(rf'^scheduler_unreachable_total\{{origin="{origin.name}"\}} (\S+)$', re.MULTILINE)
        return sum(float(match[1]) for text in texts for match in counted.finditer(text))

    async def registry(self, prefix: str) -> dict[str, Item]:
        """What etcd holds under the prefix, by the rest of the key."""
        return {name: value for name, (value, _) in (await self._entries(prefix)).items()}

    async def pointed(self) -> dict[str, tuple[int, int]]:
        """The place that each stream was pointed to, as term and revision: any move raises it, another heir alone does not."""
        pointed = dict[str, tuple[int, int]]()
        for stream, (group, revision) in (await self._entries("groups/")).items():
            place = group.get("pointed") or {"term": group["term"], "revision": revision}
            pointed[stream] = place["term"], place["revision"]
        return pointed

    async def _entries(self, prefix: str) -> dict[str, tuple[Item, int]]:
        """What etcd holds under the prefix, by the rest of the key, each with the revision that wrote it."""
        prefix = f"/lalmesh/{prefix}"
        answer = json.loads(await asyncio.to_thread(self.etcd.control, "get", "--prefix", prefix, "--write-out=json"))
        return {
            base64.b64decode(each["key"]).decode().removeprefix(prefix): (
                json.loads(base64.b64decode(each["value"])),
                int(each["mod_revision"]),
            )
            for each in answer.get("kvs", ())
        }

    async def is_steady(self, stream: str, *, heir: bool = False) -> bool:
        """Whether the registry names for the stream an edge and an origin, and an `heir`, that are members as they run now."""
        nodes = await self.registry("nodes/")
        claim, group = (await self.registry("claims/")).get(stream), (await self.registry("groups/")).get(stream)
        if claim is None or group is None:
            return False
        members = {(name, node["incarnation"]) for name, node in nodes.items() if not node["away"]}
        named = [claim["edge"], group["origin"], *([group["heir"] or {"name": "", "incarnation": ""}] if heir else [])]
        return all((one["name"], one["incarnation"]) in members for one in named)

    async def steady(self, *streams: str, heir: bool = False, limit_s: float = 20.0) -> float:
        """Wait until all are, with an `heir` that lives each where that is asked for; how many seconds that took."""
        begun = time.monotonic()
        what = "owner and heir" if heir else "owner"
        for stream in streams:
            await until(f"{what} of {stream}", partial(self.is_steady, stream, heir=heir), limit_s)
        return time.monotonic() - begun

    async def owner(self, stream: str) -> Node:
        """The origin that the registry names."""
        group = (await self.registry("groups/"))[stream]
        return self.nodes[group["origin"]["name"]]


def _items(scheduler: Node, what: str) -> list[Item]:
    """What its API lists; nothing where it does not answer."""
    try:
        with urllib.request.urlopen(f"{scheduler.api_url}/v1/{what}", timeout=ANSWER_S) as answer:
            return list(json.load(answer)["items"])
    except OSError:
        return []


async def until(what: str, holds: Callable[[], Any], limit_s: float, *, every_s: float = 0.1) -> None:
    """Wait until what `holds` gives, awaited, is true.

    Raises:
        AssertionError: it is not within `limit_s`.
    """
    end = time.monotonic() + limit_s
    while not await holds():
        assert time.monotonic() < end, f"no {what} within {limit_s} s"
        await asyncio.sleep(every_s)


def others(nodes: Sequence[Node], *left_out: Node) -> list[Node]:
    """`nodes` without some."""
    return [node for node in nodes if node not in left_out]
