"""What is wanted at one replica, as the registry shows it to the others: a key a stream, under the lease of the replica."""

from __future__ import annotations

import contextlib

from lalmesh.names import StreamKey
from lalmesh.runtime.registry import Delete, KeyValue, LeaseLost, Put, Registry
from services.scheduler.parallel import for_each
from services.scheduler.presence import Presence
from services.scheduler.relay_demand import Wants
from services.scheduler.relay_records import serialize_wanted, wanted_key
from services.scheduler.view import View

ALONE = "-"  #: what a replica without a name is called in keys: there is no other


class RelayNotes:
    """The keys of one replica."""

    def __init__(self, registry: Registry, view: View, presence: Presence, name: str) -> None:
        """Write to `registry` what `view` does not show, under the lease of `presence`."""
        self._registry = registry
        self._view = view
        self._presence = presence
        self._name = name or ALONE

    def note(self, stream: StreamKey, via: tuple[str, ...]) -> Put:
        """What is to be written of a stream that is wanted."""
        return Put(wanted_key(self._name, stream), serialize_wanted(via), self._presence.lease_id)

    async def write(self, wants: Wants) -> None:
        """Have the registry show `wants`, all of them and nothing else.

        Raises:
            Unavailable: some of it may not be shown.
        """
        known = self._view.directory.relaying.wanted_at(self._name)
        new = [stream for stream, via in wants.items() if stream not in known or known[stream].via != via]
        await for_each(new, lambda stream: self._put(self.note(stream, wants[stream])))
        await for_each(sorted(known.keys() - wants.keys()), self._delete)

    async def _delete(self, stream: StreamKey) -> None:
        key = wanted_key(self._name, stream)
        result = await self._registry.transact([], [Delete(key)])
        self._view.learn_gone([key], result.revision)

    async def _put(self, put: Put) -> None:
        with contextlib.suppress(LeaseLost):  # the replica begins anew, and then notes anew
            result = await self._registry.transact([], [put])
            self._view.learn(KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id))
