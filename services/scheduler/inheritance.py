"""Groups without a living heir get one: when an heir's lease ends, or it drains, and when an origin joins where there was no other.

The replica that has the duty names them, some at a time. It waits a moment first: an origin that was lost just now is not known to
be away yet, and would be named.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling.model import Refused, Role
from services.scheduler.changes import Change, ClaimChanged, DrainChanged, DutyChanged, GroupChanged, NodeChanged, SettlingChanged
from services.scheduler.heirs import lacks_heir
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.ownership import Ownership
from services.scheduler.parallel import for_each
from services.scheduler.presence import Presence
from services.scheduler.view import View

log = logging.getLogger(__name__)

DUTY = "heirs"
HEIRS_AT_ONCE = 8  #: that are being named together: an heir does nothing yet, but everybody is told
PAUSE_S = 0.05  #: between two rounds of them
TIME_S = 5.0  #: for one; the registry's own deadline is shorter
RETRY_S = 1.0  #: pause after a registry that does not answer, or where another replica has the duty
ROOM_S = 5.0  #: until groups that no origin can inherit are looked at again: another may have room by then


class Inheritance:
    """Names heirs. Run `run` as a task of the scheduler."""

    def __init__(self, view: View, ownership: Ownership, presence: Presence, metrics: SchedulerMetrics, *, calm_s: float) -> None:
        """Look into `view`, name by `ownership` where `presence` has the duty, `calm_s` seconds after what calls for it."""
        self._view = view
        self._ownership = ownership
        self._presence = presence
        self._metrics = metrics
        self._calm_s = calm_s
        self._wake = asyncio.Event()
        self._failure = ""  # why one of the present look has none

    def handle(self, change: Change) -> None:
        """Look soon if a change may leave a group without an heir, or bring one."""
        match change:
            case NodeChanged(before, now):
                if any(record is not None and record.role is Role.ORIGIN for record in (before, now)):
                    self._wake.set()
            case DrainChanged() | DutyChanged() | SettlingChanged():
                self._wake.set()
            case ClaimChanged(_, now) | GroupChanged(_, now) if now is not None:
                if self._is_wanting(now.stream):
                    self._wake.set()
            case _:
                pass

    async def run(self) -> None:
        """Look without end."""
        wait_s: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            if self._wake.is_set():
                await asyncio.sleep(self._calm_s)
            self._wake.clear()
            try:
                wait_s = await self._look()
            except Unavailable as exc:
                log.warning("heirs cannot be named: %s", exc)
                wait_s = RETRY_S
            except Exception:  # a bug of ours must not leave every group without
                log.exception("groups without an heir could not be looked after")
                wait_s = RETRY_S

    def _is_wanting(self, stream: StreamKey) -> bool:
        directory = self._view.directory
        group = directory.group(stream)
        return group is not None and directory.claim(stream) is not None and lacks_heir(group, directory)

    async def _look(self) -> float | None:
        """Name what is to be named; seconds until the next look, None: not before something changes."""
        directory = self._view.directory
        if directory.cluster.settling is not None or len({each.machine for each in directory.offers.origins()}) < 2:
            return None
        wanting = [stream for stream in directory.streams() if self._is_wanting(stream)]
        if not wanting:
            return None
        if not await self._presence.has_duty(DUTY):
            return RETRY_S
        machines = {each.machine for each in directory.offers.origins() if each.has_room}
        streams = [stream for stream in wanting if machines - {self._machine_of(stream)}]
        named, self._failure = 0, ""
        for start in range(0, len(streams), HEIRS_AT_ONCE):
            named += sum(await for_each(streams[start : start + HEIRS_AT_ONCE], self._name))
            await asyncio.sleep(PAUSE_S)
        if named:
            log.info("%d of %d groups without a living heir have one again", named, len(wanting))
        if self._failure:
            log.warning("groups are left without an heir: %s", self._failure)
            return RETRY_S
        return None if named == len(wanting) else ROOM_S

    def _machine_of(self, stream: StreamKey) -> str:
        """Where the group is."""
        group = self._view.directory.group(stream)
        record = self._view.directory.node(group.origin.node) if group is not None else None
        return record.machine if record is not None else ""

    async def _name(self, stream: StreamKey) -> bool:
        """Whether the group has got one; one that had it by another's hand, or is gone, is left out by the next look."""
        answer = await self._ownership.name_heir(stream, asyncio.get_running_loop().time() + TIME_S)
        if isinstance(answer, Refused):
            self._failure = answer.detail
            return False
        self._metrics.heirs_named.inc(answer is not None)
        return answer is not None
