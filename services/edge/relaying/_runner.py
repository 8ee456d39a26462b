"""One relay for as long as it is wanted: attempts, pauses, and what is said of them."""

from __future__ import annotations

import asyncio
import logging
import time

from lalmesh.errors import LalmeshError
from lalmesh.runtime.scheduling import RelayJob, RelayState, RelayStatus
from lalmesh.runtime.sessions import SessionRole
from services.edge.relaying._attempts import Attempts
from services.edge.relaying._edge import RelayingEdge, client_at
from services.edge.relaying._pull import pull
from services.edge.relaying._push import push
from services.edge.relaying._reasons import shown, shown_reason
from services.edge.session import Session

log = logging.getLogger(__name__)

MAX_ERROR_CHARS = 500  #: of what a status says


class Runner:
    """Runs one job. Cancel its task to end it."""

    def __init__(self, job: RelayJob, edge: RelayingEdge) -> None:
        """Begin at once."""
        self.job = job  #: where only the clusters change that it goes to, a new one takes its place and holds for the next dial
        self._edge = edge
        self._attempts = Attempts(len(job.urls), job.retries, edge.settings.retry, edge.rng)
        self._loop = asyncio.get_running_loop()
        self._state = RelayState.CONNECTING
        self._since_us = _now_us()
        self._url = ""
        self._session: Session | None = None
        self._started_at: float | None = None
        self._error = ""
        self._began_at, self._began_us = self._loop.time(), self._since_us
        self._is_told = False  # by the events of a session, or of the end of a relay that had none
        self.task = self._loop.create_task(self._run(), name=f"relay {job.id}")

    @property
    def status(self) -> RelayStatus:
        """For the report of the edge."""
        return RelayStatus(
            id=self.job.id,
            state=self._state,
            url=self._url,
            session_id=self._session.session_id if self._session is not None else "",
            attempts=self._attempts.failed,
            error=self._error,
            since_us=self._since_us,
        )

    def tell_end(self, reason: str) -> None:
        """The relay is over; of one that never ran no session tells it, so this does."""
        if self._is_told:
            return
        self._is_told = True
        role = SessionRole.RELAY_PUSH if self.job.is_push else SessionRole.RELAY_PULL
        client = client_at(self.job.urls[self._attempts.source], self.job)
        session = Session(client, role, self.job.stream, self._began_at, lambda _: None, self.job.id, self._began_us)
        self._edge.events.closed(session, f"{reason}: {self._error}" if self._error and self._error != reason else reason)

    async def _run(self) -> None:
        while True:
            url = self.job.urls[self._attempts.source]
            self._url, self._started_at = client_at(url, self.job).url, None
            self._enter(RelayState.CONNECTING)
            reason = await self._attempt(url)
            ran_s = self._loop.time() - self._started_at if self._started_at is not None else 0.0
            self._session = None
            pause_s = self._attempts.ended(ran_s)
            self._note(reason, pause_s)
            if pause_s is None:
                self._enter(RelayState.FAILED)
                self.tell_end(self._error)
                return
            if pause_s:
                self._enter(RelayState.PAUSED)
                await asyncio.sleep(pause_s)

    async def _attempt(self, url: str) -> str:
        """One attempt. Gives why it is over, which may be in the words of the other side."""
        work = push if self.job.is_push else pull
        try:
            reason = await work(self._edge, self.job, url, self._started)
        except (LalmeshError, OSError) as error:
            reason = shown_reason(error)
            log.debug("attempt ends: %s", shown(str(error), self.job, url), extra=self._facts)
        except Exception:  # a bug of ours, or a URL of a form that nobody thought of: the others go on
            log.exception("relay failed", extra=self._facts)
            reason = "internal error"
        return shown(reason, self.job, url)

    def _started(self, session: Session) -> None:
        self._session, self._started_at, self._is_told = session, self._loop.time(), True
        self._error = ""
        self._enter(RelayState.RUNNING)
        self._edge.metrics.relay_attempts.labels(self._kind, "started").inc()

    def _note(self, reason: str, pause_s: float | None) -> None:
        """Say it where it is new: a source that is away is tried for days."""
        if self._started_at is None:
            self._edge.metrics.relay_attempts.labels(self._kind, "failed").inc()
        level = logging.DEBUG if reason == self._error and pause_s is not None else logging.WARNING
        after = "no attempt is left" if pause_s is None else f"again in {pause_s:.1f} s"
        log.log(level, "relay %s of %s ends: %s; %s", self._kind, self.job.stream, reason, after, extra=self._facts)
        self._error = reason[:MAX_ERROR_CHARS]

    def _enter(self, state: RelayState) -> None:
        if state is not self._state:
            self._state, self._since_us = state, _now_us()

    @property
    def _kind(self) -> str:
        return "push" if self.job.is_push else "pull"

    @property
    def _facts(self) -> dict[str, object]:
        return {"stream_key": str(self.job.stream), "relay": self.job.id, "url": self._url}


def _now_us() -> int:
    return time.time_ns() // 1000
