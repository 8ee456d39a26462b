"""The fan-out: one format of one stream to all its players (docs/design.md §4).

Units are packaged once into *messages*; messages gathered since the last flush become one *block* of bytes; the same block is
written to every player. A block never begins in the middle of a message, and a new one begins at each random access point, so that
the cached blocks from there on are what a player gets when it joins.

```
waiting ──random access point──► live ──transport full──► lagging ──over its bound──► skipping
   ▲                              ▲                          │                           │
   │                              └────────── drained ───────┘                           │
   └───────────────────────────────────────── drained ───────────────────────────────────┘
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lalmesh.media import Track, TrackSet
from lalmesh.remux import Packager, Parts
from lalmesh.runtime.ring import Run, join_track
from services.edge.direct import DirectSockets
from services.edge.feed import FeedState, PlayerFeed
from services.edge.join_cache import JoinCache, JoinCacheSettings, JoinPoint

OTHER_CONFIGURATION = "the stream has another configuration now, which this format tells at its start only"
MAX_PENDING_BYTES = 1 << 20  #: gathered media is flushed when it passes this, whatever the delay says


@dataclass(slots=True, frozen=True, kw_only=True)
class FanOutSettings(JoinCacheSettings):
    """How a fan-out gathers, what it keeps for joins, and when a player is too slow."""

    max_delay_ms: int = 100  #: the longest that media is gathered, 0: each unit at once
    players_per_delay_ms: int = 5  #: so many players make one millisecond of it
    player_queue_bytes: int = 8 << 20  #: what may wait for one player
    player_queue_s: float = 10.0  #: for how long it may wait
    slow_player_s: float = 30.0  #: a player that has not caught up by then is closed


@dataclass(slots=True)
class FanOutCounters:
    """What went out. Only rises."""

    blocks: int = 0
    block_bytes: int = 0  #: of every block once
    sent_bytes: int = 0  #: of every block as often as it was written
    joins: int = 0
    skips: int = 0  #: times that a player was taken off because it was too slow
    slow_closes: int = 0
    cache_overflows: int = 0  #: times that a part of what is kept for joins was given up


class _Targets:
    """The live players as a flush wants them: no look at a player that took everything."""

    __slots__ = ("direct", "sockets", "through_transport")

    def __init__(self, live: Iterable[PlayerFeed]) -> None:
        reached = [(feed, feed.socket) for feed in live if feed.socket is not None]
        self.direct = [feed for feed, _ in reached]
        self.sockets = DirectSockets([sock for _, sock in reached])  # of those, in the same order
        self.through_transport = [feed for feed in live if feed.socket is None]


class FanOut:
    """Package the units of a stream once, and write them to every player."""

    def __init__(
        self,
        packager: Packager,
        settings: FanOutSettings,
        loop: asyncio.AbstractEventLoop,
        skipped: Callable[[PlayerFeed, str], None],
    ) -> None:
        """Start without players; `skipped` hears of each player that falls over its bound, with the facts."""
        self.counters = FanOutCounters()
        self.left_out: tuple[Track, ...] = ()  #: the tracks now that the format cannot carry
        self._packager = packager
        self._settings = settings
        self._loop = loop
        self._skipped = skipped
        self._tracks = TrackSet()
        self._told = TrackSet()  # the tracks at the end of the last block: what whoever got that block knows of
        self._join_track = -1
        self._cache = JoinCache(packager, settings)
        self._parts: Parts = []  # gathered since the last flush
        self._parts_bytes = 0
        self._opens: JoinPoint | None = None  # the point that the gathered parts begin at, if they begin at one
        self._last_dts = 0
        self._timer: asyncio.TimerHandle | None = None
        self._live: dict[PlayerFeed, None] = {}
        self._targets: _Targets | None = None  # the live ones, as a flush wants them; None: not known
        self._others: set[PlayerFeed] = set()  # waiting, lagging or skipping

    @property
    def players(self) -> int:
        """How many players there are."""
        return len(self._live) + len(self._others)

    # players

    def add(self, feed: PlayerFeed) -> None:
        """Let a player join: with the cache up to the last flush, or at the next random access point."""
        self.counters.joins += 1
        burst = self._cache.burst()
        if burst is None:
            self._others.add(feed)
            return
        feed.allowance_bytes = len(burst)
        self._go_live(feed)
        self._write_alone(feed, burst)

    def remove(self, feed: PlayerFeed) -> None:
        """Forget a player."""
        self._leave_live(feed)
        self._others.discard(feed)

    def sent_bytes(self, feed: PlayerFeed) -> int:
        """What was written to a player so far."""
        return feed.sent(self.counters.block_bytes)

    def paused(self, feed: PlayerFeed) -> None:
        """The player's transport is full, whatever filled it."""
        feed.is_full = True
        if feed.lagging_since is None:
            feed.lagging_since = self._loop.time()
        if self._leave_live(feed):
            if feed.got_more(self.counters.block_bytes):
                feed.allowance_bytes = 0  # it has taken what its join gave it, or nearly all of that
            self._lag(feed)

    def resumed(self, feed: PlayerFeed) -> None:
        """The player's transport has drained; of one that was removed, what was left in it went out."""
        feed.is_full = False
        feed.lagging_since = None
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
        if feed.is_full:
            self._lag(feed)
            return
        feed.state = FeedState.LIVE
        feed.count_from(self.counters.block_bytes)
        self._live[feed] = None
        self._targets = None

    def _lag(self, feed: PlayerFeed) -> None:
        feed.state = FeedState.LAGGING
        feed.tracks = self._told
        self._others.add(feed)

    def _leave_live(self, feed: PlayerFeed) -> bool:
        if feed not in self._live:
            return False
        del self._live[feed]
        self._targets = None
        feed.count_until(self.counters.block_bytes)
        feed.state = FeedState.WAITING
        return True

    def _write_alone(self, feed: PlayerFeed, data: bytes) -> None:
        feed.count(len(data))
        self.counters.sent_bytes += len(data)
        feed.write(data)

    def sweep(self) -> None:
        """Close the players that have been too slow for too long; call it about once a second."""
        if not self._others:
            return
        limit = self._loop.time() - self._settings.slow_player_s
        for feed in [feed for feed in self._others if feed.lagging_since is not None and feed.lagging_since < limit]:
            self.counters.slow_closes += 1
            self.remove(feed)
            feed.close(f"too slow: not caught up in {self._settings.slow_player_s:g} s")

    # media

    def feed(self, run: Run) -> None:
        """Package the units of a run; they go out at once, or gathered with what follows."""
        if run.tracks is not self._tracks:
            self._change_tracks(run)
        package, parts, track = self._packager.package, self._parts, self._join_track
        has_video = run.tracks.has_video
        for unit in run.units:
            if has_video and unit.random_access and unit.track_id == track:
                self._flush()
                self._opens = JoinPoint(run.tracks, unit.dts)
            elif not parts and not has_video:
                self._opens = JoinPoint(run.tracks, unit.dts)
            self._parts_bytes += package(unit, run.tracks, parts)
        self._last_dts = run.units[-1].dts
        self._schedule()

    def _change_tracks(self, run: Run) -> None:
        """Tell players of new configurations, in order; what was cached of a stream that had no video yet is of no use.

        Players of a format that cannot tell them are closed: who asks again gets the new ones.
        """
        old = self._tracks
        goes_on = bool(old.tracks) and self._packager.accepts(old, run.tracks)
        if old.tracks and not (goes_on and run.tracks.has_video == old.has_video):
            self._flush()
            self._cache.clear()
            self._opens = None
        if old.tracks and not goes_on:
            self.dismiss(OTHER_CONFIGURATION)
        self._tracks, self._join_track = run.tracks, join_track(run.tracks)
        self.left_out = self._packager.left_out(run.tracks)
        if not goes_on:
            return
        self._parts_bytes += self._packager.change(old, run.tracks, run.units[0].dts, self._parts)

    @property
    def delay_ms(self) -> int:
        """For how long media is gathered now."""
        return min(self._settings.max_delay_ms, self.players // self._settings.players_per_delay_ms)

    def _schedule(self) -> None:
        delay_ms = self.delay_ms
        if not delay_ms or self._parts_bytes >= MAX_PENDING_BYTES:
            self._flush()
        elif self._timer is None and self._parts:
            self._timer = self._loop.call_later(delay_ms / 1000, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._flush()

    def flush(self) -> None:
        """Send what is gathered now."""
        self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._parts:
            return
        block = b"".join(self._parts)
        self._parts.clear()
        self._parts_bytes = 0
        opens, self._opens = self._opens, None
        self._told = self._tracks
        others = list(self._others)  # before the block is written: whoever falls behind on it has it
        self.counters.blocks += 1
        self.counters.block_bytes += len(block)
        self.counters.sent_bytes += len(block) * len(self._live)
        self._send_to_live(block)
        for feed in others:
            self._write_to_other(feed, block, opens)
        self._cache.add(block, opens, has_video=self._tracks.has_video, dts=self._last_dts)
        self.counters.cache_overflows = self._cache.overflows

    def _send_to_live(self, block: bytes) -> None:
        """One call a player. What a socket does not take goes to its transport, which then says that it is full."""
        if self._targets is None:
            self._targets = _Targets(self._live)
        targets, late = self._targets, [(feed, 0) for feed in self._targets.through_transport]
        for place, sent in targets.sockets.send(block):
            late.append((targets.direct[place], sent))
        for feed, sent in late:
            if feed in self._live:
                feed.write(block[sent:])

    def _write_to_other(self, feed: PlayerFeed, block: bytes, opens: JoinPoint | None) -> None:
        if feed in self._others:  # not removed meanwhile
            if feed.state is FeedState.LAGGING:
                self._write_to_lagging(feed, block)
            elif feed.state is FeedState.WAITING and opens is not None:
                opening = self._opening(feed, opens)
                self._others.discard(feed)
                self._go_live(feed)
                self._write_alone(feed, opening + block)

    def _opening(self, feed: PlayerFeed, opens: JoinPoint) -> bytes:
        """What a waiting player needs before a block that begins at a random access point."""
        if feed.tracks is None:
            return self._packager.start(opens.tracks, opens.dts)
        parts: Parts = []
        if feed.tracks is not opens.tracks:
            self._packager.change(feed.tracks, opens.tracks, opens.dts, parts)
        return b"".join(parts)

    def _write_to_lagging(self, feed: PlayerFeed, block: bytes) -> None:
        settings = self._settings
        waiting_bytes = feed.backlog()
        lag_s = self._loop.time() - (feed.lagging_since or 0.0)
        over_bytes = waiting_bytes + len(block) > settings.player_queue_bytes + feed.allowance_bytes
        in_time = lag_s <= settings.player_queue_s or feed.allowance_bytes > 0
        if in_time and not over_bytes:
            feed.tracks = self._told
            self._write_alone(feed, block)
            return
        feed.state = FeedState.SKIPPING
        feed.skips += 1
        self.counters.skips += 1
        self._skipped(feed, f"{waiting_bytes} bytes wait, {lag_s:.1f} s behind")

    # the cache

    def close(self) -> None:
        """Stop: nobody plays it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, reason: str) -> None:
        """The stream is over: send what is gathered, tell those who got all so far that its tracks have ended, close every player.

        Whoever waits for a random access point has nothing that could end, or lacks what came before the end.
        """
        self._flush()
        parts: Parts = []
        if self._packager.end(self._told, self._last_dts, parts):
            self._write_last(b"".join(parts))
        self.dismiss(reason)

    def dismiss(self, reason: str) -> None:
        """Close every player."""
        for feed in [*self._live, *self._others]:
            self.remove(feed)
            feed.close(reason)

    def _write_last(self, data: bytes) -> None:
        """The bound of a player that lags is not asked for: nothing comes after this."""
        for feed in [*self._live, *(feed for feed in self._others if feed.state is FeedState.LAGGING)]:
            if feed in self._live or feed in self._others:  # not removed meanwhile
                self._write_alone(feed, data)
