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
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from lalmesh.media import TICKS_PER_SECOND, TrackSet
from lalmesh.remux import Packager, Parts
from lalmesh.runtime.ring import Run, join_track
from services.edge.direct import NO_DESCRIPTOR, shared_file

MANY_PLAYERS = 4  #: from so many on, a file that they share is cheaper than a copy for each
MAX_PENDING_BYTES = 1 << 20  #: gathered media is flushed when it passes this, whatever the delay says


@dataclass(slots=True, frozen=True, kw_only=True)
class FanOutSettings:
    """How a fan-out gathers, what it caches, and when a player is too slow."""

    max_delay_ms: int = 100  #: the longest that media is gathered, 0: each unit at once
    players_per_delay_ms: int = 5  #: so many players make one millisecond of it
    gop_num: int = 1  #: random access points back that a join begins at, 0: at the next one
    gop_max_bytes: int = 32 << 20  #: of a longer cache the oldest part is given up; where nothing is left, joins wait
    gop_max_s: float = 60.0
    audio_cache_ms: int = 2_000  #: what a join gets of a stream without video
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
    cache_overflows: int = 0


class FeedState(Enum):
    """Where a player is."""

    WAITING = "waiting"  #: for a random access point
    LIVE = "live"
    LAGGING = "lagging"  #: its transport is full; what is written waits there
    SKIPPING = "skipping"  #: over its bound; nothing is written until it has drained


class PlayerFeed:
    """One player of a fan-out: where its bytes go, and how far it has come."""

    __slots__ = (
        "_live_from",
        "_sent",
        "allowance_bytes",
        "backlog",
        "close",
        "descriptor",
        "is_full",
        "lagging_since",
        "skips",
        "state",
        "tracks",
        "write",
    )

    def __init__(
        self,
        write: Callable[[bytes], None],
        backlog: Callable[[], int],
        close: Callable[[str], None],
        descriptor: int = NO_DESCRIPTOR,
    ) -> None:
        """Make the feed of a transport.

        Args:
            write: takes bytes and never blocks.
            backlog: how many of them wait in user space.
            close: ends the player, with a reason.
            descriptor: of its socket, the feed's own, where blocks may go past the transport while nothing waits in it; the
                transport then reports itself full as soon as anything does.
        """
        self.write = write
        self.backlog = backlog
        self.close = close
        self.descriptor = descriptor
        self.state = FeedState.WAITING
        self.is_full = False  # whether something waits in its transport
        self.tracks: TrackSet | None = None  # those that it was told of, where it is not live; None: it has nothing yet
        self.lagging_since: float | None = None  # when its transport filled and has not drained since
        self.allowance_bytes = 0  # added to its bound until it has drained once: what its join gave it
        self.skips = 0
        self._sent = 0
        self._live_from = 0

    def release(self) -> None:
        """Give the descriptor back; the feed is of no more use."""
        if self.descriptor != NO_DESCRIPTOR:
            os.close(self.descriptor)
            self.descriptor = NO_DESCRIPTOR

    def count(self, size: int) -> None:
        """Note `size` bytes written to this player alone."""
        self._sent += size

    def count_from(self, total: int) -> None:
        """From now on it gets everything; `total` is what everyone got so far."""
        self._live_from = total

    def got_more(self, total: int) -> bool:
        """Whether it got something of everyone's since `count_from`."""
        return total > self._live_from

    def count_until(self, total: int) -> None:
        """It gets everything no more; `total` is what everyone got so far."""
        self._sent += total - self._live_from

    def sent(self, total: int) -> int:
        """All bytes written to this player; `total` is what everyone got so far."""
        return self._sent + (total - self._live_from if self.state is FeedState.LIVE else 0)


@dataclass(slots=True)
class _Gop:
    """Blocks from one point where a player may join up to the next."""

    tracks: TrackSet
    dts: int
    blocks: list[bytes] = field(default_factory=list)
    size_bytes: int = 0


class _Targets:
    """The live players as a flush wants them: a list of numbers to run down, and no look at a player that took everything."""

    __slots__ = ("by_descriptor", "descriptors", "through_transport")

    def __init__(self, live: Iterable[PlayerFeed]) -> None:
        self.by_descriptor = {feed.descriptor: feed for feed in live if feed.descriptor != NO_DESCRIPTOR}
        self.descriptors = list(self.by_descriptor)
        self.through_transport = [feed for feed in live if feed.descriptor == NO_DESCRIPTOR]


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
        self._packager = packager
        self._settings = settings
        self._loop = loop
        self._skipped = skipped
        self._tracks = TrackSet()
        self._told = TrackSet()  # the tracks at the end of the last block: what whoever got that block knows of
        self._join_track = -1
        self._gops: deque[_Gop] = deque()
        self._cached_bytes = 0
        self._burst: bytes | None = None  # what a join gets, until the cache changes
        self._parts: Parts = []  # gathered since the last flush
        self._parts_bytes = 0
        self._opens: _Gop | None = None  # the point that the gathered parts begin at, if they begin at one
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
        if not self._gops or not self._settings.gop_num:
            self._others.add(feed)
            return
        burst = self._join_burst()
        feed.allowance_bytes = len(burst)
        self._go_live(feed)
        self._write_alone(feed, burst)

    def _join_burst(self) -> bytes:
        """What a join gets: headers and the cache, as one object for all who join between two flushes."""
        if self._burst is None:
            first = self._gops[0]
            blocks = [block for gop in self._gops for block in gop.blocks]
            self._burst = b"".join([self._packager.start(first.tracks, first.dts), *blocks])
        return self._burst

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
                self._opens = _Gop(run.tracks, unit.dts)
            elif not parts and not has_video:
                self._opens = _Gop(run.tracks, unit.dts)
            self._parts_bytes += package(unit, run.tracks, parts)
        self._last_dts = run.units[-1].dts
        self._schedule()

    def _change_tracks(self, run: Run) -> None:
        """Tell players of new configurations, in order; what was cached of a stream that had no video yet is of no use."""
        old = self._tracks
        if old.tracks and run.tracks.has_video != old.has_video:
            self._flush()
            self._drop_cache()
            self._opens = None
        self._tracks, self._join_track = run.tracks, join_track(run.tracks)
        if not old.tracks:
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
        self._cache(block, opens)

    def _send_to_live(self, block: bytes) -> None:
        """One call a player."""
        file = shared_file(block) if len(self._live) >= MANY_PLAYERS else NO_DESCRIPTOR
        if file == NO_DESCRIPTOR:
            for feed in list(self._live):
                feed.write(block)
            return
        try:
            self._send_file(file, block)
        finally:
            os.close(file)

    def _send_file(self, file: int, block: bytes) -> None:
        """What a socket does not take goes to its transport, which then says that it is full."""
        if self._targets is None:
            self._targets = _Targets(self._live)
        targets, size, sendfile = self._targets, len(block), os.sendfile
        late: list[tuple[PlayerFeed, int]] = [(feed, 0) for feed in targets.through_transport]
        for descriptor in targets.descriptors:
            try:
                sent = sendfile(descriptor, file, 0, size)
            except OSError:  # nothing goes now, or ever again: the transport finds out
                sent = 0
            if sent != size:
                late.append((targets.by_descriptor[descriptor], sent))
        for feed, sent in late:
            if feed in self._live:
                feed.write(block[sent:])

    def _write_to_other(self, feed: PlayerFeed, block: bytes, opens: _Gop | None) -> None:
        if feed in self._others:  # not removed meanwhile
            if feed.state is FeedState.LAGGING:
                self._write_to_lagging(feed, block)
            elif feed.state is FeedState.WAITING and opens is not None:
                opening = self._opening(feed, opens)
                self._others.discard(feed)
                self._go_live(feed)
                self._write_alone(feed, opening + block)

    def _opening(self, feed: PlayerFeed, opens: _Gop) -> bytes:
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

    def _cache(self, block: bytes, opens: _Gop | None) -> None:
        settings = self._settings
        if not settings.gop_num:
            return
        self._burst = None
        if opens is not None:
            self._gops.append(opens)
        elif not self._gops:
            return
        gop = self._gops[-1]
        gop.blocks.append(block)
        gop.size_bytes += len(block)
        self._cached_bytes += len(block)
        if self._tracks.has_video:
            while len(self._gops) > settings.gop_num:
                self._drop_oldest()
        else:
            oldest = self._last_dts - settings.audio_cache_ms * TICKS_PER_SECOND // 1000
            while len(self._gops) > 1 and self._gops[0].dts < oldest:
                self._drop_oldest()
        while self._gops and self._is_over_bounds():
            self.counters.cache_overflows += 1
            self._drop_oldest()

    def _is_over_bounds(self) -> bool:
        settings = self._settings
        over_time = self._last_dts - self._gops[0].dts > settings.gop_max_s * TICKS_PER_SECOND
        return over_time or self._cached_bytes > settings.gop_max_bytes

    def _drop_oldest(self) -> None:
        self._cached_bytes -= self._gops.popleft().size_bytes

    def _drop_cache(self) -> None:
        self._burst = None
        self._gops.clear()
        self._cached_bytes = 0

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
        feeds = [*self._live, *self._others]
        self._live.clear()
        self._others.clear()
        for feed in feeds:
            feed.close(reason)

    def _write_last(self, data: bytes) -> None:
        """The bound of a player that lags is not asked for: nothing comes after this."""
        for feed in [*self._live, *(feed for feed in self._others if feed.state is FeedState.LAGGING)]:
            if feed in self._live or feed in self._others:  # not removed meanwhile
                self._write_alone(feed, data)
