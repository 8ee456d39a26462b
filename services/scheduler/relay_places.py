"""Where relays may run, and where they may lead: not back to the cluster itself. A pure core."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from heapq import nlargest
from urllib.parse import urlsplit

from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.recording import RuleError
from lalmesh.runtime.relay_rules import DEFAULT_PORTS, without_secrets
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.candidates import weight
from services.scheduler.directory import Directory
from services.scheduler.records import NodeRecord
from services.scheduler.relay_records import RelayRecord

AN_EDGE = "an edge with room"
A_PUBLISHER = "a publisher"


class RelayLoopError(RuleError):
    """A source or a target is this cluster."""

    def __init__(self, urls: Collection[str]) -> None:
        """Say which."""
        shown = ", ".join(without_secrets(url) for url in urls)
        super().__init__("urls", f"a relay from this cluster to itself: {shown}")


class RelayPlaces:
    """The edges that run relays, and the endpoints of this cluster."""

    def __init__(self, directory: Directory) -> None:
        """Find them in `directory`."""
        self._directory = directory

    def placed(self, record: RelayRecord, edges: Sequence[NodeRecord]) -> RelayRecord:
        """The relay at the one of the first two of `edges` by hash that runs fewer; at none where none has room.

        One that no edge has had says that it waits for something; it is this then.
        """
        ranked = nlargest(2, edges, key=lambda node: weight(record.stream, node.node.name))
        fewest = min(ranked, key=lambda node: len(self._directory.relaying.of_edge(node.node)), default=None)
        if fewest is None:
            return replace(record, edge=None, waits_for=record.waits_for and AN_EDGE)
        return replace(record, edge=NodeAddress(*fewest.address), waits_for="")

    def edges(self) -> list[NodeRecord]:
        """Edges that may be given a relay."""
        directory = self._directory
        edges = [node for node in directory.nodes() if node.role is Role.EDGE and directory.state_of(node) == "joined"]
        return [node for node in edges if directory.offers.candidate(node).has_room]

    def others(self, urls: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `urls` that do not lead to this cluster.

        Raises:
            RelayLoopError: all do.
        """
        nodes = self._directory.nodes()
        own = {(end.host.lower(), end.port) for node in nodes for end in node.endpoints}
        own |= {_place_of(f"rtmp://{node.address.address}") for node in nodes}  # of their gRPC
        others = tuple(url for url in urls if _place_of(url) not in own)
        if not others:
            raise RelayLoopError(urls)
        return others


def _place_of(url: str) -> tuple[str, int]:
    """Host and port."""
    try:
        parts = urlsplit(url, allow_fragments=False)
        return parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme.lower(), 0)
    except ValueError:  # its reader finds out
        return "", 0
