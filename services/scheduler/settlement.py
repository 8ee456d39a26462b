"""How long the cluster settles: a lease, and longer while what it settles for is still going on.

A claim that is written again costs a scheduler about a millisecond, so 10,000 of them take longer than a lease, and the last ones
would meet first claims of others. So a replica that has granted one a moment ago, or has seen that one is still missing, renews the
lease of `cluster/settling`, once half of it is over. That has a bound: a publication that can never be claimed again, such as one
whose edge has no place among the members, must not keep everybody else out.
"""

from __future__ import annotations

import asyncio
import logging
import math

from lalmesh.errors import Unavailable
from lalmesh.runtime.registry import Registry
from services.scheduler.changes import Change, SettlingChanged
from services.scheduler.view import View

log = logging.getLogger(__name__)

LOOK_S = 0.25  #: between two looks while the cluster settles
RECENT_S = 1.0  #: something goes on if it did within this: nodes report each second
MAX_LEASES = 6  #: after so many the lease is not renewed any more: a minute with 10 s, enough for 40,000 claims at the slowest


class Settlement:
    """Keeps the cluster settling while it has to. Run `run` as a task of the scheduler."""

    def __init__(self, registry: Registry, view: View, *, lease_s: int) -> None:
        """Look into `view`; `lease_s`: seconds that the cluster settles for."""
        self._registry = registry
        self._view = view
        self._lease_s = lease_s
        self._noted_at = -math.inf
        self._begun_at = self._renewed_at = 0.0
        self._wake = asyncio.Event()

    def note(self) -> None:
        """A claim was written again, or is to be."""
        self._noted_at = self._view.clock()

    def handle(self, change: Change) -> None:
        """Look from when the cluster begins to settle, or begins anew."""
        match change:
            case SettlingChanged(_, now) if now is not None:
                self._begun_at = self._renewed_at = self._view.clock()
                self._wake.set()
            case _:
                pass

    async def run(self) -> None:
        """Look without end."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._view.directory.cluster.settling is not None:
                try:
                    await self._look()
                except Unavailable as exc:
                    log.warning("the cluster may settle too early: %s", exc)
                except Exception:  # a bug of ours must not end the looking
                    log.exception("the cluster may settle too early")
                await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        """Renew the lease where that is needed, and may be."""
        settling, now = self._view.directory.cluster.settling, self._view.clock()
        is_needed = now - self._noted_at <= RECENT_S and now - self._renewed_at >= self._lease_s / 2
        if settling is None or not is_needed or now - self._begun_at > MAX_LEASES * self._lease_s:
            return
        if await self._registry.renew_lease(settling.lease_id):
            self._renewed_at = now
            log.info("publications are still being claimed again: first claims wait for %d s more", self._lease_s)
