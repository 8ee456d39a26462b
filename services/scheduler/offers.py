"""What nodes may be given: origins for groups, hls nodes for streams. The part of the directory that placement looks at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.candidates import Candidate
from services.scheduler.loads import Loads
from services.scheduler.records import NodeRecord


class Offers:
    """Candidates, as loaded as they are known to be."""

    def __init__(
        self,
        nodes: Callable[[], Collection[NodeRecord]],
        *,
        state_of: Callable[[NodeRecord], str],
        carried: Callable[[NodeRecord], int],
        now: Callable[[], float],
    ) -> None:
        """Offer `nodes`.

        Args:
            nodes: those whose leases live.
            state_of: see `Directory.state_of`.
            carried: groups that an origin has, or streams that an hls node segments.
            now: seconds, as of the newest thing that was told.
        """
        self._nodes = nodes
        self._state_of = state_of
        self._carried = carried
        self._now = now
        #: reports and reservations
        self.loads = Loads()

    def origins(self) -> Iterator[Candidate]:
        """Every origin that new groups may go to."""
        return self._offered(Role.ORIGIN)

    def workers(self) -> Iterator[Candidate]:
        """Every hls node that streams may be given to."""
        return self._offered(Role.HLS)

    def draining(self) -> Collection[NodeId]:
        """Origins that give their groups away."""
        return {record.node for record in self._nodes() if record.role is Role.ORIGIN and self._state_of(record) == "draining"}

    def candidate(self, record: NodeRecord) -> Candidate:
        """A node as placement sees it, whether or not it may be given anything."""
        return Candidate(
            address=record.address,
            machine=record.machine,
            zone=record.zone,
            streams=self._carried(record) + self.loads.under_way(record.node),
            unseen=self.loads.unseen(record.node, self._now()),
            capacity=record.capacity,
            load=self.loads.of(record.node) or record.load,
            lease_id=record.lease_id,
        )

    def _offered(self, role: Role) -> Iterator[Candidate]:
        for record in self._nodes():
            if record.role is role and self._state_of(record) == "joined":
                yield self.candidate(record)
