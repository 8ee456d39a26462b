"""How loaded nodes are: what they reported, and what they were given since and cannot have reported yet. A pure core.

A burst of claims comes faster than reports. So a stream counts for a node from the moment that it is decided for it until a report
can show it: while its transaction is under way, and for a while after its group was pointed there, by whichever replica.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque

from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.model import Load

SHOWN_AFTER_S = 2.5  #: a report shows what was granted so long before it: an encoder's start, and a rate over one report interval
RESERVED_S = 10.0  #: nothing is reserved for longer: of a node that reports elsewhere nothing else may be heard


class Loads:
    """Loads and reservations by node. `now` is any clock in seconds that does not step."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._reported: dict[NodeId, Load] = {}
        self._granted: defaultdict[NodeId, deque[float]] = defaultdict(deque)
        self._under_way: Counter[NodeId] = Counter()

    def report(self, node: NodeId, load: Load, now: float) -> None:
        """A node says how loaded it is."""
        self._reported[node] = load
        self.shown(node, now)

    def shown(self, node: NodeId, now: float) -> None:
        """The load that is known of a node is as of `now`: what was granted long before is in it."""
        self._forget(node, before=now - SHOWN_AFTER_S)

    def forget(self, node: NodeId) -> None:
        """The node does not report here any more."""
        self._reported.pop(node, None)

    def reserve(self, node: NodeId) -> None:
        """A stream is about to be pointed to a node; `conclude` follows."""
        self._under_way[node] += 1

    def conclude(self, node: NodeId) -> None:
        """That was done, or was not."""
        self._under_way[node] -= 1
        if not self._under_way[node]:
            del self._under_way[node]

    def granted(self, node: NodeId, now: float) -> None:
        """A group was pointed to the node."""
        if node not in self._granted:  # of those that have gone nobody asks again, and each start of one is another
            for each in [each for each, granted in self._granted.items() if granted[-1] < now - RESERVED_S]:
                del self._granted[each]
        self._granted[node].append(now)

    def of(self, node: NodeId) -> Load | None:
        """What the node reported here last."""
        return self._reported.get(node)

    def under_way(self, node: NodeId) -> int:
        """Streams that are about to be pointed to the node."""
        return self._under_way[node]

    def unseen(self, node: NodeId, now: float) -> int:
        """Streams that are or will be there, and that no report can show yet."""
        self._forget(node, before=now - RESERVED_S)
        return len(self._granted.get(node, ())) + self._under_way[node]

    def _forget(self, node: NodeId, *, before: float) -> None:
        granted = self._granted.get(node)
        while granted and granted[0] < before:
            granted.popleft()
        if granted is not None and not granted:
            del self._granted[node]
