"""The looks at what has come to the players of a load generator."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lalmesh.client.load._reckoning import Flow
from lalmesh.client.load._sweep import GROUPS, Sweep

LIMIT_S = 30.0


class Player:
    """Notes that its connection was looked at."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.flow = Flow(0.0)
        self.seen = asyncio.Event()

    def over(self, reason: str) -> None:
        raise AssertionError(reason)

    def discard(self) -> int:
        self.seen.set()
        return 1


@contextmanager
def watched(sweep: Sweep, count: int) -> Iterator[list[Player]]:
    """So many players, to each of whom something has come."""
    players, pairs = [Player() for _ in range(count)], [socket.socketpair() for _ in range(count)]
    for player, (here, there) in zip(players, pairs, strict=True):
        there.send(b"x")
        sweep.add(here.fileno(), player.discard, player)
    try:
        yield players
    finally:
        sweep.close()
        for sock in sum(pairs, ()):
            sock.close()


async def test_a_call_that_fails_keeps_nobody_from_being_looked_at() -> None:
    def fails(now_s: float) -> None:
        raise ValueError(now_s)

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    sweep = Sweep()
    sweep.each_time.append(fails)
    with watched(sweep, GROUPS) as players:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*(player.seen.wait() for player in players))
