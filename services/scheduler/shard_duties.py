"""Which shards of events a replica delivers: as many as the others, however they come and go.

Each shard is a duty, so one replica at a time has it. Replicas that deliver say so in their keys, and are ranked by them: all that
know of the same ones agree on how many each has. What one has beyond that it gives back, for those that have too few to take. Where
they know of different ones for a moment, a shard is left, or given back, a look later. Who cannot reach the registry for so long
that its lease may be over delivers nothing, while there are others.
"""

from __future__ import annotations

from collections.abc import Collection

from lalmesh.runtime.event_log import SHARDS
from services.scheduler.cluster_state import ClusterState
from services.scheduler.presence import Presence

DUTY = "events-{}"  #: of a shard


def share_of(replica: str, replicas: Collection[str], duties: int) -> int:
    """How many of `duties` a replica has; where they cannot be divided evenly the first ones have one more."""
    ranked = sorted({*replicas, replica})
    each, more = divmod(duties, len(ranked))
    return each + (ranked.index(replica) < more)


class ShardDuties:
    """Those of one replica."""

    def __init__(self, presence: Presence, cluster: ClusterState) -> None:
        """Take what is free in `cluster`, as `presence`."""
        self._presence = presence
        self._cluster = cluster

    def surplus(self, busy: Collection[int]) -> list[int]:
        """Those to be given back: first such as are not `busy`, for nothing is under way there."""
        held = self._held()
        return sorted(held, key=lambda shard: (shard in busy, shard))[: max(0, len(held) - self._share())]

    async def give_up(self, shard: int) -> None:
        """Let another replica have a shard, of which nothing is delivered here any more; see `Presence.give_up`."""
        await self._presence.give_up(DUTY.format(shard))

    async def take(self) -> set[int]:
        """Those that this replica has, once it has taken its share of what nobody has.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        held, share = self._held(), self._share()
        for shard in range(SHARDS):
            if len(held) < share and shard not in held and await self._presence.has_duty(DUTY.format(shard)):
                held.add(shard)
        return held

    def _held(self) -> set[int]:
        found = {shard: self._cluster.duty(DUTY.format(shard)) for shard in range(SHARDS)}
        return {shard for shard, record in found.items() if record is not None and self._presence.holds(record)}

    def _share(self) -> int:
        return share_of(self._presence.key, [record.key for record in self._cluster.schedulers.values() if record.delivers], SHARDS)
