"""A replica among the others: its key, under a lease of its own, and the duties that go with it.

```
             others stand, or it did a moment ago: key written
  starts ------------------------------------------------------> stands --- lease or key lost ---> starts again
             nobody does: key and `cluster/settling` written together
```
Who finds no other replica cannot know for how long nobody renewed the leases of the nodes: claims of publishers that are there may
be gone. So first claims wait until the nodes had time to come back and say what they hold; and each first claim compares the key
of its replica, so that one which was cut off from the registry for long finds out before it grants anything. One that was cut off
for less than half of a node's lease knows that those of all nodes have lived, for they had been renewed up to then.

The lease is a third of a node's. A key that a dead replica left behind is then there only while most of the nodes' leases is left:
who takes it for a replica that stands does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from lalmesh.errors import Unavailable
from lalmesh.runtime.ownership import new_incarnation
from lalmesh.runtime.registry import Absent, KeyValue, LeaseLost, Put, Registry
from services.scheduler.changes import Change, SchedulerChanged
from services.scheduler.cluster_records import (
    SCHEDULERS,
    SETTLING_KEY,
    duty_key,
    parse_scheduler,
    scheduler_key,
    serialize_duty,
    serialize_settling,
)
from services.scheduler.records import dump
from services.scheduler.view import View

log = logging.getLogger(__name__)

LEAST_LEASE_S = 2  #: etcd lengthens shorter ones
LEAVE_S = 2.0  #: for the registry to take a lease back
RETRY_S = 0.5  #: pause after the registry did not answer


class Presence:
    """Keeps one replica in the registry. Run `run` as a task of the scheduler, unless there can be no other replica."""

    def __init__(self, registry: Registry, view: View, name: str, *, lease_s: int) -> None:
        """Prepare.

        Args:
            registry: where to.
            view: what is known of it.
            name: of the replica; empty: there can be no other, and nothing is written.
            lease_s: seconds that a node lives without being renewed.
        """
        self._registry = registry
        self._view = view
        self._name = name
        self._settle_s = lease_s
        self._lease_s = max(LEAST_LEASE_S, lease_s // 3)
        self._key = scheduler_key(name, new_incarnation())
        self._lease_id = 0
        self._stood_at: float | None = None  # when it was known last that it does
        self._lost = asyncio.Event()
        if name:
            view.directory.cluster.cease_to_stand()

    @property
    def key(self) -> str:
        """Under which the replica is written down while it stands."""
        return self._key

    def handle(self, change: Change) -> None:
        """Begin again at once where the key of this replica is gone."""
        if isinstance(change, SchedulerChanged) and change.now is None and change.before and change.before.key == self._key:
            self._lost.set()

    async def run(self) -> None:
        """Stand, without end."""
        while self._name:
            wait_s: float = self._lease_s / 3
            try:
                await self._keep()
            except Unavailable as exc:
                log.warning("this replica is not written down: %s", exc)
                wait_s = RETRY_S
            except Exception:  # a bug of ours must not end the scheduler
                log.exception("this replica is not written down")
                wait_s = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._lost.wait()

    async def leave(self) -> None:
        """Give duties and key back, so that others take them now, while others stand.

        The last one leaves its key to run out: whoever starts meanwhile knows by it that the leases of the nodes were renewed.
        """
        cluster = self._view.directory.cluster
        if cluster.standing and any(record.key != self._key for record in cluster.schedulers.values()):
            cluster.cease_to_stand()
            try:
                async with asyncio.timeout(LEAVE_S):
                    await self._registry.revoke_lease(self._lease_id)
            except (Unavailable, TimeoutError) as exc:
                log.warning("the lease of this replica is left to run out: %s", exc)

    async def has_duty(self, duty: str) -> bool:
        """Whether this replica is the one that does it; it takes a duty that nobody has.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        if not self._name:
            return True
        held, standing = self._view.directory.cluster.duty(duty), self._view.directory.cluster.standing
        if held is not None or not standing:
            return held is not None and held.holder == self._key
        put = Put(duty_key(duty), serialize_duty(self._key), self._lease_id)
        with contextlib.suppress(LeaseLost):
            result = await self._registry.transact([Absent(put.key), *standing], [put])
            if result.succeeded:
                log.info("duty of %s is taken", duty)
                self._view.learn(KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id))
            return result.succeeded
        return False

    async def _keep(self) -> None:
        """Renew the lease, or begin again where it or the key was lost."""
        cluster = self._view.directory.cluster
        now = self._view.clock()
        if cluster.standing and not self._lost.is_set() and await self._registry.renew_lease(self._lease_id):
            self._stood_at = now
            return
        self._lost.clear()
        cluster.cease_to_stand()
        await self._view.ready.wait()
        self._lease_id = await self._registry.grant_lease(self._lease_s)
        others = [entry for entry in (await self._registry.list(SCHEDULERS)).entries if entry.key != self._key]
        puts = [Put(self._key, dump({"name": self._name}), self._lease_id)]
        if not others and (self._stood_at is None or now - self._stood_at > self._settle_s / 2):
            settling = serialize_settling(f"{self._name} found no other scheduler")
            puts.append(Put(SETTLING_KEY, settling, await self._registry.grant_lease(self._settle_s)))
            log.warning("no other scheduler stands: first claims wait for %d s", self._settle_s)
        result = await self._registry.transact([], puts)
        for put in puts:
            entry = KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id)
            self._view.learn(entry)
            if put.key == self._key:
                cluster.begin_to_stand(parse_scheduler(entry))
                self._stood_at = now
