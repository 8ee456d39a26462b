"""An edge that drains: nobody new is let in, and whoever can be told where to go is told.

```
 open ──begun──> draining ──all have gone────────────> stops
                    └───────its time is over─────────> stops, and closes who is left
```
New requests are refused (`entrance.py`), and those who wait for a stream. Of those who are here, RTMP clients that said that they
understand it are asked to reconnect (Enhanced RTMP v2); the others stay until they go by themselves or the time is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lalmesh.runtime.each_alone import for_each_alone
from services.edge.entrance import Entrance
from services.edge.metrics import EdgeMetrics
from services.edge.session import Sessions

log = logging.getLogger(__name__)

HEAR_S = 1.0  #: for the scheduler to say where others are, before those who are here are told
LOOK_S = 0.1  #: between two looks whether all have gone
HLS_QUIET_S = 10.0  #: without a request for HLS, after which nobody plays it here: longer than players wait between two


async def until_all_have_gone(
    entrance: Entrance, sessions: Sessions, hls_asked_at: Callable[[], float], metrics: EdgeMetrics, limit_s: float
) -> None:
    """Tell those who are here, and wait until they have gone, or for `limit_s`.

    Args:
        entrance: lets nobody in; it knows where others are.
        sessions: of the edge.
        hls_asked_at: when it answered a request for HLS last, by the time of the loop.
        metrics: where those are counted that are left.
        limit_s: seconds.
    """
    try:
        async with asyncio.timeout(limit_s):
            await _hear_where(entrance)
            told = sum(for_each_alone(sessions, lambda session: session.ask_to_reconnect(), "session could not be asked to leave"))
            log.info("draining: %d sessions, %d of them asked to reconnect", len(sessions), told)
            await _none_left(sessions, hls_asked_at)
    except TimeoutError:
        log.warning("drained for %g s: %d sessions are closed", limit_s, len(sessions))
        for session in sessions:
            metrics.drained.labels(session.protocol, session.role.value).inc()
    else:
        log.info("drained: all sessions have gone")


async def _hear_where(entrance: Entrance) -> None:
    """Wait until the scheduler has named others, or for `HEAR_S`."""
    for _ in range(round(HEAR_S / LOOK_S)):
        if entrance.knows_others:
            return
        await asyncio.sleep(LOOK_S)


async def _none_left(sessions: Sessions, hls_asked_at: Callable[[], float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        if not len(sessions) and loop.time() - hls_asked_at() > HLS_QUIET_S:
            return
        await asyncio.sleep(LOOK_S)
