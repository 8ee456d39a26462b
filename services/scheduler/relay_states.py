"""How far relays are: what edges report to one replica, written to the registry where it changes, so that all of them can tell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lalmesh.runtime.registry import Delete, KeyValue, LeaseLost, Put, Registry
from lalmesh.runtime.scheduling.control import RelayState, RelayStatus
from services.scheduler.members import Members, Session
from services.scheduler.parallel import for_each
from services.scheduler.relay_records import RelayRecord, RelayStateRecord, serialize_state, state_key
from services.scheduler.view import View

MOST_WRITES = 256  #: of one look, a second: the rest waits for the next
Change = tuple[RelayStateRecord, int]  #: with the lease of the edge


class RelayStates:
    """Writes the states of the relays whose edges report here."""

    def __init__(self, registry: Registry, view: View, members: Members) -> None:
        """Write to `registry` what `members` report and `view` does not show."""
        self._registry = registry
        self._view = view
        self._relays = view.directory.relaying
        self._members = members
        self._written: set[str] = set()  # ids that have a key, as far as it was written here
        self._ended: set[str] = set()  # ids of relays that were over at the last look, and had a key

    def status(self, record: RelayRecord) -> RelayStatus | None:
        """What the edge of a relay reported last, where it reports here."""
        session = self._members.of(record.edge.node) if record.edge is not None else None
        return next((status for status in session.report.relays if status.id == record.id), None) if session is not None else None

    def statuses(self) -> dict[str, RelayStatus]:
        """What edges reported last that report here, by the ids of relays that they are to run."""
        return {status.id: status for _, status in self._reported()}

    async def write(self) -> None:
        """Write what has changed, and remove what is over: at once what was written here, the rest at the second look.

        Whoever wrote that removes it before then, unless it has ended: then all others do, and all but one find nothing.

        Raises:
            Unavailable: some of it may not have been.
        """
        changes = [change for _, change in zip(range(MOST_WRITES), self._changes(), strict=False)]
        await for_each(changes, self._put)
        before, self._ended = self._ended, set(self._relays.ended())
        await for_each([relay_id for relay_id in self._ended if relay_id in self._written or relay_id in before], self._delete)
        self._written = {relay_id for relay_id in self._written if self._relays.state(relay_id) is not None}

    async def _delete(self, relay_id: str) -> None:
        result = await self._registry.transact([], [Delete(state_key(relay_id))])
        self._view.learn_gone([state_key(relay_id)], result.revision)

    def _changes(self) -> Iterator[Change]:
        for session, status in self._reported():
            node = self._view.directory.node(session.node)
            now, known = coarse(status), self._relays.state(status.id)
            if node is not None and (known is None or _told(known) != _told(now)):
                yield now, node.lease_id

    def _reported(self) -> Iterator[tuple[Session, RelayStatus]]:
        for session in self._members:
            for status in session.report.relays:
                record = self._relays.relay(status.id)
                if record is not None and record.edge is not None and record.edge.node == session.node:
                    yield session, status

    async def _put(self, change: Change) -> None:
        record, lease_id = change
        key, value = state_key(record.id), serialize_state(record)
        with contextlib.suppress(LeaseLost):  # the edge is gone, and its relays go to another
            result = await self._registry.transact([], [Put(key, value, lease_id)])
            self._view.learn(KeyValue(key, value, result.revision, result.revision, lease_id))
            self._written.add(record.id)


def coarse(status: RelayStatus) -> RelayStateRecord:
    """A status without what changes with each attempt: who tries again and again is paused, though it dials just now."""
    trying = status.state is RelayState.CONNECTING and status.attempts
    return RelayStateRecord(
        id=status.id,
        state=RelayState.PAUSED if trying else status.state,
        url=status.url if status.state is RelayState.RUNNING else "",
        session_id=status.session_id,
        error=status.error,
        since_us=status.since_us,
    )


def _told(record: RelayStateRecord) -> tuple[RelayState, str, str, str]:
    return record.state, record.url, record.session_id, record.error
