"""The road of a stream through processes: the edge that it is published at, an origin, the edges that play it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from support.cluster import PROGRAM, Cluster, Node
from support.ffmpeg import bounded
from support.process import Child

from bench import _load


class Road:
    """A cluster of real processes; the stack that it is made with ends it."""

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        cores: _load.Cores,
        *,
        publishers: int = 1,
        playing: int = 1,
        hls: int = 0,
        settings: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """Start it.

        Args:
            folder: for logs.
            stack: ends it.
            cores: nobody has the server's core until somebody is given it.
            publishers: that there will be; the edge that is published at has room for no more, so routing sends no player there.
            playing: how many edges, beside that one.
            hls: how many hls nodes.
            settings: configuration by role, as `Cluster` has it.
        """
        self._folder, self._stack, self._cores = folder, stack, cores
        self.cluster = stack.enter_context(Cluster(folder, origins=1, edges=playing, hls=hls, settings=settings))
        self.playing = list(self.cluster.edges)
        self.publishing = self.cluster.add("edge", {"edge.capacity.sessions": publishers, "edge.workers": 1}).wait_ready()
        for node in self.cluster.nodes:
            cores.give_load(node.pid)
        cores.give_load(self.cluster.etcd.pid)

    @property
    def origin(self) -> Node:
        """The one origin."""
        return self.cluster.origins[0]

    def pids(self) -> dict[str, int]:
        """The processes on the road: the one playing edge, or all of them."""
        playing = {f"playing edge {number}": edge.pid for number, edge in enumerate(self.playing, 1)}
        first = {"playing edge": self.playing[0].pid} if len(self.playing) == 1 else playing
        return {"publishing edge": self.publishing.pid, "origin": self.origin.pid, **first}

    def load(self, child: Child) -> Child:
        """Let a process be part of the load, and end with the stack."""
        self._stack.enter_context(child)
        self._cores.give_load(child.pid)
        return child

    def push(self, file: Path, stream: str, limit_s: float) -> Child:
        """Publish a file as `stream`, over and over, for `limit_s` at most."""
        command = [PROGRAM, "push", "--loop", "0", str(file), self.publishing.rtmp_url(stream)]
        return self.load(Child(bounded(limit_s, command), log=self._folder / f"{stream.replace('/', '-')}.push.log"))


def flv(node: Node, stream: str) -> tuple[str, ...]:
    """How `players.c` and `joiners.c` are told to play by HTTP-FLV."""
    return ("http", str(node.ports["http"]), f"/{stream}.flv")


def rtmp(node: Node, stream: str) -> tuple[str, ...]:
    """The same by RTMP."""
    return ("rtmp", str(node.ports["rtmp"]), *stream.split("/"))
