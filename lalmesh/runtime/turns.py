"""How much of what is asked is done each time that the loop goes round, so that whatever else there is to do comes in between.

A loop answers what is ready before it looks at anything else: connections that all have a request ready, or one that has sent
many without waiting for answers, would keep it for as long as all of them take. So each request, and each part of a long one, waits
for a turn, and there is room for a few in each round.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Gives turns, to those first who wait. Of one loop; whoever uses it bounds how many wait."""

    def __init__(self, room: int) -> None:
        """Do `room` of weight 1 in each round of the loop."""
        self.room = room
        self._left = room
        self._is_called = False  # whether the next round is called for
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def wait(self, weight: int = 1) -> None:
        """Wait for a turn; where nobody waits and there is room left, it is at once.

        Args:
            weight: how much of a round it takes, from 1; all of one at most.
        """
        loop, weight = asyncio.get_running_loop(), min(weight, self.room)
        if not self._is_called:
            self._is_called = True
            loop.call_soon(self._next, loop)
        if weight <= self._left and not self._waiting:
            self._left -= weight
            return
        turn = loop.create_future()
        self._waiting.append((turn, weight))
        await turn

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop has been round."""
        self._left, self._is_called = self.room, bool(self._waiting)
        while self._waiting:
            turn, weight = self._waiting[0]
            if not turn.done():  # else whoever asked has gone
                if weight > self._left:
                    break
                self._left -= weight
                turn.set_result(None)
            self._waiting.popleft()
        if self._is_called:
            loop.call_soon(self._next, loop)
