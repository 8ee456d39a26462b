"""An edge that drains: nobody new is let in, and whoever can be told where to go is told.

```
 open ──begun──> draining ──all have gone────────────> stops
                    └───────its time is over─────────> stops, and closes who is left
```
New requests are refused in the words of their protocol, and sent to another edge where the scheduler knows one that speaks it and
the protocol has a word for that: HTTP 302, the redirect of RTMP's connect. Of those who are here, RTMP clients that said that they
understand it are asked to reconnect (Enhanced RTMP v2); the others stay until they go by themselves or the time is over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from lalmesh.errors import Unavailable
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.scheduling import Endpoint
from services.edge.metrics import EdgeMetrics
from services.edge.session import Sessions

log = logging.getLogger(__name__)

REASON = "the edge drains"
TIME_OVER = "the edge drains, and its time is over"
RETRY_AFTER_S = 1.0  #: what clients are told that cannot be sent elsewhere: whoever spreads them has others at hand
HEAR_S = 1.0  #: for the scheduler to say where others are, before those who are here are told
LOOK_S = 0.1  #: between two looks whether all have gone
HLS_QUIET_S = 10.0  #: without a request for HLS, after which nobody plays it here: longer than players wait between two


class Draining:
    """Whether an edge drains, and where others are."""

    def __init__(self, elsewhere: Callable[[], Sequence[Endpoint]] = tuple) -> None:
        """Not yet; `elsewhere` gives the listeners of other edges."""
        self.has_begun = False
        self._elsewhere = elsewhere

    def begin(self) -> None:
        """Let nobody in from now on."""
        self.has_begun = True

    def check(self) -> None:
        """Let a new session pass.

        Raises:
            Unavailable: the edge drains.
        """
        if self.has_begun:
            raise Unavailable(REASON, retry_after_s=RETRY_AFTER_S)

    def url(self, protocol: str, path: str) -> str:
        """Where to ask for `path` (with a slash in front) instead; empty where nothing is known or nobody is to go."""
        known = [endpoint for endpoint in self._elsewhere() if endpoint.protocol == protocol] if self.has_begun else []
        if not known:
            return ""
        other = random.choice(known)
        return f"{protocol}://{host_port(other.host, other.port)}{path}"

    async def hear_where(self) -> None:
        """Wait until the scheduler has named others, or for `HEAR_S`."""
        for _ in range(round(HEAR_S / LOOK_S)):
            if self._elsewhere():
                return
            await asyncio.sleep(LOOK_S)


async def until_all_have_gone(
    draining: Draining, sessions: Sessions, hls_asked_at: Callable[[], float], metrics: EdgeMetrics, limit_s: float
) -> None:
    """Tell those who are here, and wait until they have gone, or for `limit_s`.

    Args:
        draining: has begun.
        sessions: of the edge.
        hls_asked_at: when it answered a request for HLS last, by the time of the loop.
        metrics: where those are counted that are left.
        limit_s: seconds.
    """
    try:
        async with asyncio.timeout(limit_s):
            await draining.hear_where()
            told = sum(session.ask_to_reconnect() for session in sessions)
            log.info("draining: %d sessions, %d of them asked to reconnect", len(sessions), told)
            await _none_left(sessions, hls_asked_at)
    except TimeoutError:
        log.warning("drained for %g s: %d sessions are closed", limit_s, len(sessions))
        for session in sessions:
            metrics.drained.labels(session.protocol, session.role.value).inc()
    else:
        log.info("drained: all sessions have gone")


async def _none_left(sessions: Sessions, hls_asked_at: Callable[[], float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        if not len(sessions) and loop.time() - hls_asked_at() > HLS_QUIET_S:
            return
        await asyncio.sleep(LOOK_S)
