"""Who segments which streams, as the registry told it last: the part of the directory that is about HLS. A pure core."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.hls import HlsEndpoint
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.changes import HlsChanged
from services.scheduler.hls_records import HlsRecord, hls_key, parse_hls
from services.scheduler.kept import Kept
from services.scheduler.records import NodeRecord

HLS_PROTOCOL = "http"  #: the endpoint of an hls node that edges proxy to


def hls_endpoints(joined: Iterable[NodeRecord]) -> tuple[HlsEndpoint, ...]:
    """Where the hls nodes among those that have `joined` answer HTTP; those that drain only where no other is left."""
    nodes = [record for record in joined if record.role is Role.HLS]
    return tuple(
        HlsEndpoint(record.node.name, endpoint.host, endpoint.port)
        for record in [each for each in nodes if not each.draining] or nodes
        for endpoint in record.endpoints
        if endpoint.protocol == HLS_PROTOCOL
    )


class HlsDirectory:
    """Owners by stream, and streams by owner."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        #: by key
        self.records = Kept(parse_hls, self._told)
        self._owned: dict[NodeId, set[StreamKey]] = {}

    def __len__(self) -> int:
        """How many streams have an owner."""
        return sum(map(len, self._owned.values()))

    def record(self, stream: StreamKey) -> HlsRecord | None:
        """What is known of the stream."""
        return self.records.get(hls_key(stream))

    def owners(self) -> Iterator[NodeId]:
        """Every node that segments something, alive or not."""
        return iter(self._owned)

    def owned(self, node: NodeId) -> Collection[StreamKey]:
        """The streams that a node segments."""
        return self._owned.get(node, ())

    def _told(self, before: HlsRecord | None, now: HlsRecord | None) -> list[HlsChanged]:
        if before is not None and before.owner is not None:
            self._disown(before.owner.node, before.stream)
        if now is not None and now.owner is not None:
            self._owned.setdefault(now.owner.node, set()).add(now.stream)
        return [HlsChanged(before, now)]

    def _disown(self, node: NodeId, stream: StreamKey) -> None:
        self._owned[node].discard(stream)
        if not self._owned[node]:
            del self._owned[node]
