"""The streams of each node: an index of records by who has them. A pure core."""

from __future__ import annotations

from collections.abc import Collection

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId

Holding = tuple[NodeId, StreamKey]


class StreamsOfNodes:
    """Streams by node."""

    def __init__(self) -> None:
        """Begin with none."""
        self._streams: dict[NodeId, set[StreamKey]] = {}

    def of(self, node: NodeId) -> Collection[StreamKey]:
        """The streams of a node."""
        return self._streams.get(node, ())

    def replace(self, before: Holding | None, now: Holding | None) -> None:
        """What a node had, it or another has now; None: nobody."""
        if before == now:
            return
        if before is not None:
            node, stream = before
            self._streams[node].discard(stream)
            if not self._streams[node]:
                del self._streams[node]
        if now is not None:
            node, stream = now
            self._streams.setdefault(node, set()).add(stream)
