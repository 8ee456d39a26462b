"""From when a node is told to end until it has given away what it has.

```
 runs --- signal ------------------------> drains for `drain_s` at most -----------------------------------> over
   |                                             ^
   |                                     signal: begins again, ends no later than it would have
   |                                             |
   +--- its scheduler has it drain ------> drains for as long as it was told -------------------------------> over
```
Whoever sends a signal waits for no longer than the configuration says, however long the scheduler would have let the node drain.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol


class Drainable(Protocol):
    """A node, as far as it ends."""

    failed: asyncio.Future[str]  #: done once it cannot go on
    drain_asked: asyncio.Future[float]  #: done once its scheduler has it drain, with the seconds for that; 0: `drain_s`

    @property
    def drain_s(self) -> float:
        """Seconds to drain where nobody says how long."""
        ...

    async def drain(self, limit_s: float) -> None:
        """Give away what it has, within `limit_s` seconds. It may be cancelled and asked again."""
        ...


async def until_drained(node: Drainable, stop: asyncio.Event) -> None:
    """Wait until the node is told to end, by `stop` or its scheduler, and has given away what it has; or until it cannot go on."""
    signalled = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((signalled, node.drain_asked, node.failed), return_when=asyncio.FIRST_COMPLETED)
        left_s = node.drain_s
        if node.drain_asked.done():
            time = asyncio.get_running_loop().time
            ends_at = time() + (node.drain_asked.result() or node.drain_s)
            if await _drain(node, ends_at - time(), signalled):
                return
            left_s = min(node.drain_s, ends_at - time())
        await _drain(node, left_s)
    finally:
        signalled.cancel()


async def _drain(node: Drainable, limit_s: float, *ends: asyncio.Task[bool]) -> bool:
    """Drain; False where one of `ends` comes first, or the node cannot go on."""
    if node.failed.done():
        return False
    draining = asyncio.ensure_future(node.drain(limit_s))
    awaited: list[asyncio.Future[Any]] = [draining, node.failed, *ends]
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    has_drained = draining.done()
    draining.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await draining
    return has_drained
