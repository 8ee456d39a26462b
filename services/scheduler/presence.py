"""A replica among the others: its key, under a lease of its own, and the duties that go with it.

```
             another one stands: it was found, and again a lease later
  starts ------------------------------------------------------------> stands: key written
             nobody does: key and `cluster/settling` written together    |
     ^-------------------------------- lease or key lost ----------------+
```
Who finds no other replica cannot know for how long nobody renewed the leases of the nodes: claims of publishers that are there may
be gone. So first claims wait until the nodes had time to come back and say what they hold; and each first claim compares the key
of its replica, so that one which was cut off from the registry finds out before it grants anything. For how long that was no clock
can tell: a machine that stands still has its clock stand still as well.

A key that is found proves nothing: its replica may be dead, and the store restored from a time at which it was not. A lease later
it is gone, unless somebody renews it. That the cluster settles already is no reason to stand sooner: it may be over before the
nodes had their time, and were it prolonged, a replica that starts again and again would keep it from ever being over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from lalmesh.errors import Unavailable
from lalmesh.runtime.ownership import new_incarnation
from lalmesh.runtime.registry import Absent, Delete, KeyValue, LeaseLost, Put, Registry, Unchanged
from services.scheduler.changes import Change, SchedulerChanged
from services.scheduler.cluster_records import (
    SCHEDULERS,
    SETTLING_KEY,
    DutyRecord,
    SchedulerRecord,
    duty_key,
    scheduler_key,
    serialize_duty,
    serialize_scheduler,
    serialize_settling,
)
from services.scheduler.view import View

log = logging.getLogger(__name__)

LEAST_LEASE_S = 2  #: etcd lengthens shorter ones
LEAVE_S = 2.0  #: for the registry to take a lease back
RETRY_S = 0.5  #: pause after the registry did not answer
MARGIN_S = 0.5  #: before its time a replica that cannot renew its lease takes it for over: who takes its duties must find them done
LATE_S = 1.0  #: after its time a lease is over in any case: etcd looks twice a second


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
        self._renewed_at = 0.0  # at the latest, while it stands
        self._stood_revision = 0  # at which its key was written last
        self._found_at: float | None = None  # when others were found first, while it is not known whether they live
        self._lost = asyncio.Event()
        #: what the others reach this one by, to be known before it stands; empty: not at all
        self.address = ""
        #: whether this one delivers its share of the events, to be known before it stands
        self.delivers = False
        #: set once it stood
        self.stood = asyncio.Event()
        if name:
            view.directory.cluster.cease_to_stand()
        else:
            self.stood.set()

    @property
    def key(self) -> str:
        """Under which the replica is written down while it stands."""
        return self._key

    @property
    def lease_id(self) -> int:
        """What is to vanish with this replica is written under it; 0 where there can be no other replica."""
        return self._lease_id

    def handle(self, change: Change) -> None:
        """Begin again at once where the key of this replica is gone; go by the newest writing of it where there is another."""
        if not isinstance(change, SchedulerChanged):
            return
        if change.now is None and change.before is not None and change.before.key == self._key:
            self._lost.set()
        elif change.now is not None and change.now.key == self._key and self._view.directory.cluster.standing:
            self._view.directory.cluster.begin_to_stand(change.now)

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

        The last one leaves its key to run out: whoever waits to stand knows by it that the leases of the nodes were renewed.
        """
        cluster = self._view.directory.cluster
        if cluster.standing and any(record.key != self._key for record in cluster.schedulers.values()):
            cluster.cease_to_stand()
            try:
                async with asyncio.timeout(LEAVE_S):
                    await self._registry.revoke_lease(self._lease_id)
            except (Unavailable, TimeoutError) as exc:
                log.warning("the lease of this replica is left to run out: %s", exc)

    @property
    def is_cut_off(self) -> bool:
        """Whether its lease may have run out unheard, so that other replicas have its duties by now."""
        others = any(record.key != self._key for record in self._view.directory.cluster.schedulers.values())
        return others and self._view.clock() - self._renewed_at >= self._lease_s - MARGIN_S

    def holds(self, held: DutyRecord) -> bool:
        """Whether a duty is this replica's: it has taken it since it stands, and renews the lease that it is under."""
        stands = bool(self._view.directory.cluster.standing) and not self.is_cut_off
        return stands and held.holder == self._key and held.mod_revision > self._stood_revision

    async def has_duty(self, duty: str) -> bool:
        """Whether this replica is the one that does it; it takes a duty that nobody has.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        if not self._name:
            return True
        held, standing = self._view.directory.cluster.duty(duty), self._view.directory.cluster.standing
        if held is not None or not standing or self.is_cut_off:
            return held is not None and self.holds(held)
        put = Put(duty_key(duty), serialize_duty(self._key), self._lease_id)
        with contextlib.suppress(LeaseLost):
            result = await self._registry.transact([Absent(put.key), *standing], [put])
            if result.succeeded:
                log.info("duty of %s is taken", duty)
                self._view.learn(KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id))
            return result.succeeded
        return False

    async def give_up(self, duty: str) -> None:
        """Let another replica have a duty that this one did, and does not do any more.

        Raises:
            Unavailable: not known whether it is free.
        """
        held = self._view.directory.cluster.duty(duty)
        if held is None or held.holder != self._key:
            return
        key = duty_key(duty)
        result = await self._registry.transact([Unchanged(key, held.mod_revision)], [Delete(key)])
        if result.succeeded:
            log.info("duty of %s is given up", duty)
            self._view.learn_gone([key], result.revision)

    async def _keep(self) -> None:
        """Renew the lease, or begin again where it or the key was lost."""
        cluster = self._view.directory.cluster
        now = self._view.clock()  # it is renewed later than this
        if cluster.standing and not self._lost.is_set() and await self._registry.renew_lease(self._lease_id):
            self._renewed_at = now
            return
        self._lost.clear()
        cluster.cease_to_stand()
        await self._view.ready.wait()
        await self._begin()

    async def _begin(self) -> None:
        """Stand where another replica does, or have the cluster settle where none does; else the next look may tell."""
        since, self._found_at = self._found_at, None  # where the registry fails all begins anew: nobody was renewed meanwhile
        now = self._view.clock()
        if all(entry.key == self._key for entry in (await self._registry.list(SCHEDULERS)).entries):
            log.warning("no other scheduler stands: first claims wait for %d s", self._settle_s)
            settling = serialize_settling(f"{self._name} found no other scheduler")
            await self._stand(Put(SETTLING_KEY, settling, await self._registry.grant_lease(self._settle_s)))
        elif since is not None and now - since >= self._lease_s + LATE_S:
            await self._stand()
        else:
            self._found_at = self._view.clock() if since is None else since

    async def _stand(self, *puts: Put) -> None:
        """Write the key down, and `puts` with it."""
        now = self._view.clock()
        self._lease_id = await self._registry.grant_lease(self._lease_s)
        own = Put(self._key, serialize_scheduler(self._name, self.address, delivers=self.delivers), self._lease_id)
        result = await self._registry.transact([], [own, *puts])
        for put in (own, *puts):
            self._view.learn(KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id))
        self._renewed_at, self._stood_revision = now, result.revision
        cluster = self._view.directory.cluster
        # The registry may have carried it out twice, or an earlier try of it late: the claims compare what is there.
        cluster.begin_to_stand(cluster.schedulers.get(self._key) or SchedulerRecord(key=self._key, mod_revision=result.revision))
        self.stood.set()
