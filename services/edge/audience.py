"""The players of one fan-out: who gets the next block, who waits, who is too slow.

```
waiting ──random access point──► live ──transport full──► lagging ──over its bound──► skipping
   ▲                              ▲                          │                           │
   │                              └────────── drained ───────┘                           │
   └───────────────────────────────────────── drained ───────────────────────────────────┘
```
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from lalmesh.media import TrackSet
from lalmesh.remux import Packager, Parts
from lalmesh.runtime.each_alone import for_each_alone
from services.edge.direct import DirectSockets
from services.edge.feed import NOT_CLOSED, WRITE_HIGH_WATER_BYTES, FeedState, PlayerFeed
from services.edge.held_bursts import HeldBursts
from services.edge.join_cache import JoinPoint

if TYPE_CHECKING:
    from services.edge.fanout import FanOutCounters, FanOutSettings


class _Targets:
    """The live players as a flush wants them: no look at a player that took everything."""

    __slots__ = ("direct", "sockets", "through_transport")

    def __init__(self, live: Iterable[PlayerFeed]) -> None:
        reached = [(feed, feed.socket) for feed in live if feed.socket is not None]
        self.direct = [feed for feed, _ in reached]
        self.sockets = DirectSockets([sock for _, sock in reached])  # of those, in the same order
        self.through_transport = [feed for feed in live if feed.socket is None]


class Audience:
    """Everyone who plays one format of one stream."""

    def __init__(
        self,
        packager: Packager,
        settings: FanOutSettings,
        counters: FanOutCounters,
        loop: asyncio.AbstractEventLoop,
        bursts: HeldBursts,
        skipped: Callable[[PlayerFeed, str], None],
    ) -> None:
        """Start without players.

        Args:
            packager: says what a player needs before the block that it begins with.
            settings: when a player is too slow.
            counters: of the fan-out; what goes out is counted here.
            loop: whose time it is.
            bursts: says whether there is room for what a join gives.
            skipped: hears of each player that falls over its bound, with the facts.
        """
        self.told = TrackSet()  #: the tracks at the end of the last block: what whoever got that block knows of
        self._packager = packager
        self._settings = settings
        self._counters = counters
        self._loop = loop
        self._bursts = bursts
        self._skipped = skipped
        self._live: dict[PlayerFeed, None] = {}
        self._targets: _Targets | None = None  # the live ones, as a block wants them; None: not known
        self._others: set[PlayerFeed] = set()  # waiting, lagging or skipping

    def __len__(self) -> int:
        """How many there are."""
        return len(self._live) + len(self._others)

    def join(self, feed: PlayerFeed, burst: bytes | None) -> None:
        """Let a player in: with `burst`, which ends where the last block did, or at the next random access point.

        Where there is no room for it, that is as if there were none.
        """
        self._counters.joins += 1
        if burst is None or not self._bursts.begin(feed, burst):
            self._others.add(feed)
            return
        feed.allowance_bytes = len(burst)
        self._go_live(feed)
        self._write_burst(feed, burst)
        self._bursts.look(feed)

    def remove(self, feed: PlayerFeed) -> None:
        """Forget a player."""
        self._leave_live(feed)
        self._others.discard(feed)

    def paused(self, feed: PlayerFeed) -> None:
        """The player's transport is full, whatever filled it."""
        feed.is_full = True
        if feed.lagging_since is None:
            feed.lagging_since = self._loop.time()
        if self._leave_live(feed):
            if feed.got_more(self._counters.block_bytes):
                feed.allowance_bytes = 0  # it has taken what its join gave it, or nearly all of that
            self._lag(feed)

    def resumed(self, feed: PlayerFeed) -> None:
        """The player's transport has drained; of one that was removed, what was left in it went out."""
        feed.is_full = False
        feed.lagging_since = None
        self._bursts.look(feed)
        self._bursts.copies.drained(feed)
        if feed not in self._others:
            return
        feed.allowance_bytes = 0
        if feed.state is FeedState.LAGGING:
            self._others.discard(feed)
            self._go_live(feed)
        elif feed.state is FeedState.SKIPPING:
            feed.state = FeedState.WAITING

    def _go_live(self, feed: PlayerFeed) -> None:
        """It gets everything from now on, at once or, where its transport is full, behind what waits there."""
        feed.first_us = feed.first_us or time.time_ns() // 1000
        if feed.is_full:
            self._lag(feed)
            return
        feed.state = FeedState.LIVE
        feed.count_from(self._counters.block_bytes)
        self._live[feed] = None
        self._targets = None

    def _lag(self, feed: PlayerFeed) -> None:
        feed.state = FeedState.LAGGING
        feed.tracks = self.told
        self._others.add(feed)

    def _leave_live(self, feed: PlayerFeed) -> bool:
        if feed not in self._live:
            return False
        del self._live[feed]
        self._targets = None
        feed.count_until(self._counters.block_bytes)
        feed.state = FeedState.WAITING
        return True

    def _write_alone(self, feed: PlayerFeed, data: bytes) -> None:
        feed.count(len(data))
        self._counters.sent_bytes += len(data)
        feed.write(data)

    def _write_burst(self, feed: PlayerFeed, burst: bytes) -> None:
        """Write what a player joins with.

        TLS hands one write on, however large it is, and says that nothing waits; only what comes next stays with it until that has
        gone. So the end is a write of its own, as long as makes a transport say that it is full.
        """
        head = max(0, len(burst) - WRITE_HIGH_WATER_BYTES) if feed.socket is None else 0
        if head:
            self._write_alone(feed, burst[:head])
        self._write_alone(feed, burst[head:])

    def sweep(self) -> None:
        """Close the players that have been too slow for too long; call it about once a second."""
        if not self._others:
            return
        limit = self._loop.time() - self._settings.slow_player_s
        slow = [feed for feed in self._others if feed.lagging_since is not None and feed.lagging_since < limit]
        self._counters.slow_closes += len(slow)
        reason = f"too slow: not caught up in {self._settings.slow_player_s:g} s"
        for_each_alone(slow, partial(self._close, reason), NOT_CLOSED)

    # blocks

    def send(self, block: bytes, opens: JoinPoint | None, tracks: TrackSet) -> None:
        """Write a block, which begins at the point `opens` if that is one and ends under `tracks`.

        What a socket does not take goes to its transport, which then says that it is full.
        """
        self.told = tracks
        others = list(self._others)  # before the block is written: whoever falls behind on it has it
        counters = self._counters
        counters.blocks += 1
        counters.block_bytes += len(block)
        counters.sent_bytes += len(block) * len(self._live)
        if self._targets is None:
            self._targets = _Targets(self._live)
        targets, late = self._targets, [(feed, 0) for feed in self._targets.through_transport]
        for place, sent in targets.sockets.send(block, counters.blocks):
            late.append((targets.direct[place], sent))
        for feed, sent in late:
            if feed in self._live:
                feed.write(block[sent:])
        beginnings: dict[TrackSet | None, bytes] = {}
        for feed in others:
            self._write_to_other(feed, block, opens, beginnings)

    def _write_to_other(
        self, feed: PlayerFeed, block: bytes, opens: JoinPoint | None, beginnings: dict[TrackSet | None, bytes]
    ) -> None:
        """Write to a player that is not live; those who have waited under the same tracks share what they begin with."""
        if feed in self._others:  # not removed meanwhile
            if feed.state is FeedState.LAGGING:
                self._write_to_lagging(feed, block)
            elif feed.state is FeedState.WAITING and opens is not None:
                beginning = beginnings.get(feed.tracks)
                if beginning is None:
                    beginning = beginnings[feed.tracks] = self._opening(feed.tracks, opens) + block
                self._others.discard(feed)
                self._go_live(feed)
                self._write_alone(feed, beginning)

    def _opening(self, known: TrackSet | None, opens: JoinPoint) -> bytes:
        """What a waiting player that was told of the tracks `known` needs before a block that begins at a random access point."""
        if known is None:
            return self._packager.start(opens.tracks, opens.dts)
        parts: Parts = []
        if known is not opens.tracks:
            self._packager.change(known, opens.tracks, opens.dts, parts)
        return b"".join(parts)

    def _write_to_lagging(self, feed: PlayerFeed, block: bytes) -> None:
        settings = self._settings
        waiting_bytes = feed.backlog() + self._bursts.copies.handed_bytes(feed)
        lag_s = self._loop.time() - (feed.lagging_since or 0.0)
        over_bytes = waiting_bytes + len(block) > settings.player_queue_bytes + feed.allowance_bytes
        in_time = lag_s <= settings.player_queue_s or feed.allowance_bytes > 0
        over_bytes = over_bytes or (in_time and not self._bursts.copies.begin(feed, len(block)))
        if in_time and not over_bytes:
            feed.tracks = self.told
            self._write_alone(feed, block)
            return
        feed.state = FeedState.SKIPPING
        feed.skips += 1
        self._counters.skips += 1
        if over_bytes:
            self._counters.byte_skips += 1
        else:
            self._counters.time_skips += 1
        self._skipped(feed, f"{waiting_bytes} bytes wait, {lag_s:.1f} s behind")

    def send_last(self, data: bytes) -> None:
        """Write to those who got all so far; the bound of a player that lags is not asked for, as nothing comes after this."""
        for feed in [*self._live, *(feed for feed in self._others if feed.state is FeedState.LAGGING)]:
            if feed in self._live or feed in self._others:  # not removed meanwhile
                self._write_alone(feed, data)

    def dismiss(self, reason: str) -> None:
        """Close every player."""
        for_each_alone([*self._live, *self._others], partial(self._close, reason), NOT_CLOSED)

    def _close(self, reason: str, feed: PlayerFeed) -> None:
        self.remove(feed)
        feed.close(reason)
