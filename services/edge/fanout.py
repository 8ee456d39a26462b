"""The fan-out: one format of one stream to all its players (docs/design.md §4).

Units are packaged once into *messages*; messages gathered since the last flush become one *block* of bytes; the same block is
written to every player. A block never begins in the middle of a message, and a new one begins at each random access point, so that
the cached blocks from there on are what a player gets when it joins. Whom blocks go to is the `Audience`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from lalmesh.media import Track, TrackSet
from lalmesh.remux import Packager, Parts
from lalmesh.runtime.durations import Durations
from lalmesh.runtime.ring import TRIM_US, RingLimits, Run, join_track
from services.edge.audience import Audience
from services.edge.feed import PlayerFeed
from services.edge.held_bursts import HeldBursts
from services.edge.join_cache import JoinCache, JoinCacheSettings, JoinPoint

OTHER_CONFIGURATION = "the stream has another configuration now, which this format tells at its start only"
MAX_PENDING_BYTES = 1 << 20  #: gathered media is flushed when it passes this, whatever the delay says
LOOK_AT_DELAY_S = 1.0  #: between two blocks whose delay is looked at: nothing is measured a unit
GATHERED_PER_SENDING = 1.25  #: media is gathered for so many times what a block takes to send, which leaves others their part
MAX_SENDING_MS = 8  #: media is gathered for no longer on account of sending
PROMPT_SENDING_MS = 7  #: what came while a block was sent that took longer is gathered too: sending is most of what the core does
REST_PER_SENDING = 0.67  #: around a block, of what it took, before another goes out at once: sending is 3/4 of the time at most
SENDING_WEIGHT = 0.2  #: of the last block in what one takes to send: one that somebody else held up is none to go by
LEAST_PLAYERS_PER_SENDING_MS = 50  #: sending to fewer takes no millisecond; where it did, something else had the processor


@dataclass(slots=True, frozen=True, kw_only=True)
class FanOutSettings(JoinCacheSettings):
    """How a fan-out gathers, what it keeps for joins, and when a player is too slow."""

    max_delay_ms: int = 100  #: the longest that media is gathered, 0: each unit at once, or for as long as sending one takes
    players_per_delay_ms: int = 5  #: so many players make one millisecond of it
    player_queue_bytes: int = 8 << 20  #: what may wait for one player
    player_queue_s: float = 10.0  #: for how long it may wait
    slow_player_s: float = 30.0  #: a player that has not caught up by then is closed

    def ring_limits(self) -> RingLimits:
        """What a packager that comes later starts from."""
        return RingLimits(
            gop_num=max(1, self.gop_num),
            audio_cache_us=self.audio_cache_ms * 1000,
            trim_us=TRIM_US,
            max_us=int(self.gop_max_s * 1e6),
            max_bytes=self.gop_max_bytes,
        )


@dataclass(slots=True)
class FanOutCounters:
    """What went out. Only rises."""

    blocks: int = 0
    block_bytes: int = 0  #: of every block once
    sent_bytes: int = 0  #: of every block as often as it was written
    joins: int = 0
    skips: int = 0  #: times that a player was taken off because it was too slow
    byte_skips: int = 0  #: of those, because too many bytes waited
    time_skips: int = 0  #: of those, because they waited too long
    slow_closes: int = 0
    cache_overflows: int = 0  #: times that a part of what is kept for joins was given up


class FanOut:
    """Package the units of a stream once, and write them to every player."""

    def __init__(
        self,
        packager: Packager,
        settings: FanOutSettings,
        loop: asyncio.AbstractEventLoop,
        bursts: HeldBursts,
        skipped: Callable[[PlayerFeed, str], None],
    ) -> None:
        """Start without players; all of an edge share `bursts`.

        `skipped` hears of each player that falls over its bound, with the facts.
        """
        self.counters = FanOutCounters()
        self.left_out: tuple[Track, ...] = ()  #: the tracks now that the format cannot carry
        self._packager = packager
        self.settings = settings
        self._loop = loop
        self._audience = Audience(packager, settings, self.counters, loop, bursts, skipped)
        self._tracks = TrackSet()
        self._join_track = -1
        self._cache = JoinCache(packager, settings)
        self._bursts = bursts
        self._parts: Parts = []  # gathered since the last flush
        self._parts_bytes = 0
        self._opens: JoinPoint | None = None  # the point that the gathered parts begin at, if they begin at one
        self._last_dts = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sending_s = self._sent_s = 0.0  # what a block takes to send, and when the last had gone out
        self._rested_s = 0.0  # when there has been rest enough for another to go out at once
        self._is_prompt = False  # whether what came meanwhile goes out next
        self.delay_ms = 0  #: for how long media is gathered now, see `_set_delay`
        self.go_out: Callable[[], None] = self.flush  #: called in time: is to feed what was only announced (`expect`), and to flush
        self.delays: Durations | None = None  #: from a unit's arrival at its publisher's edge until players were written to
        self._oldest_wall_us = 0  # of the oldest run of what is gathered, by its publisher's edge
        self._next_look_s = 0.0

    @property
    def players(self) -> int:
        """How many players there are."""
        return len(self._audience)

    # players

    def burst_for(self, feed: PlayerFeed) -> bytes | None:
        """What a player would get at once if it joined now; None: nothing before the next random access point."""
        burst = self._cache.burst()
        return burst if burst is not None and self._bursts.has_room(feed, burst) else None

    def add(self, feed: PlayerFeed, *, from_cache: bool = True) -> None:
        """Let a player join: with the cache up to the last flush, or at the next random access point."""
        self._audience.join(feed, self._cache.burst() if from_cache else None)
        self._set_delay()

    def remove(self, feed: PlayerFeed) -> None:
        """Forget a player."""
        self._audience.remove(feed)
        self._set_delay()

    def sent_bytes(self, feed: PlayerFeed) -> int:
        """What was written to a player so far."""
        return feed.sent(self.counters.block_bytes)

    def paused(self, feed: PlayerFeed) -> None:
        """The player's transport is full, whatever filled it."""
        self._audience.paused(feed)

    def resumed(self, feed: PlayerFeed) -> None:
        """The player's transport has drained; of one that was removed, what was left in it went out."""
        self._audience.resumed(feed)

    def sweep(self) -> None:
        """Close the players that have been too slow for too long; call it about once a second."""
        self._audience.sweep()

    # media

    def expect(self) -> bool:
        """Units have come: whether they may be fed later, when this calls `go_out`; else they are to be fed now.

        What is packaged only when it goes out is packaged at one go, which costs a fraction of doing so as each unit comes.
        """
        delay_ms = self.delay_ms
        if not delay_ms:
            return False
        if self._timer is None:
            if self._is_prompt and self._rested_s <= time.monotonic() < self._sent_s + delay_ms / 1000:
                return False
            self._timer = self._loop.call_later(delay_ms / 1000, self._timer_fired)
        return True

    @property
    def due_s(self) -> float:
        """When what is gathered goes out, by the clock of the loop; 0: nothing is."""
        return self._timer.when() if self._timer is not None else 0.0

    def feed(self, run: Run) -> None:
        """Package the units of a run; they go out at once, or gathered with what follows."""
        if not self._parts:
            self._oldest_wall_us = run.units[0].wall_us
        if run.tracks is not self._tracks:
            self._change_tracks(run)
        package, parts, track = self._packager.package, self._parts, self._join_track
        has_video = run.tracks.has_video
        for unit in run.units:
            if has_video and unit.random_access and unit.track_id == track:
                self._send()  # what comes after goes out when that would have
                self._oldest_wall_us = run.units[0].wall_us
                self._opens = JoinPoint(run.tracks, unit.dts)
            elif not parts and not has_video:
                self._opens = JoinPoint(run.tracks, unit.dts)
            self._parts_bytes += package(unit, run.tracks, parts)
        self._last_dts = run.units[-1].dts
        if self._parts_bytes >= MAX_PENDING_BYTES or (self._parts and not self.expect()):
            self.flush()

    def _change_tracks(self, run: Run) -> None:
        """Tell players of new configurations, in order; what was cached of a stream that had no video yet is of no use.

        Players of a format that cannot tell them are closed: who asks again gets the new ones.
        """
        old = self._tracks
        goes_on = bool(old.tracks) and self._packager.accepts(old, run.tracks)
        if old.tracks and not (goes_on and run.tracks.has_video == old.has_video):
            self.flush()
            self._oldest_wall_us = run.units[0].wall_us
            self._cache.clear()
            self._opens = None
        if old.tracks and not goes_on:
            self.dismiss(OTHER_CONFIGURATION)
        self._tracks, self._join_track = run.tracks, join_track(run.tracks)
        self.left_out = self._packager.left_out(run.tracks)
        if not goes_on:
            return
        self._parts_bytes += self._packager.change(old, run.tracks, run.units[0].dts, self._parts)

    def _set_delay(self) -> None:
        """Media is gathered by the players, and at least a little longer than a block takes to send.

        Who waits so long anyway, for being last in a block, loses nothing; what comes meanwhile costs no block of its own. What
        comes as soon after a block has mostly waited for that to be sent, and goes out next, unless sending is most of the work, by
        the time that it takes (`PROMPT_SENDING_MS`) or the rest that it leaves (`REST_PER_SENDING`).
        """
        players = len(self._audience)
        asked_ms = min(self.settings.max_delay_ms, players // self.settings.players_per_delay_ms)
        took_ms = self._sending_s * 1000
        sending_ms = min(math.ceil(took_ms * GATHERED_PER_SENDING), MAX_SENDING_MS, players // LEAST_PLAYERS_PER_SENDING_MS)
        self.delay_ms = max(asked_ms, sending_ms)
        self._is_prompt = asked_ms <= sending_ms and took_ms <= PROMPT_SENDING_MS

    def _timer_fired(self) -> None:
        fired = self._timer
        try:
            self.go_out()
        finally:
            if self._timer is fired:
                self._timer = None

    def flush(self) -> None:
        """Send what is gathered now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send()

    def _send(self) -> None:
        if not self._parts:
            return
        block = b"".join(self._parts)
        self._parts.clear()
        self._parts_bytes = 0
        opens, self._opens = self._opens, None
        began_s, before_s = time.monotonic(), self._sent_s
        self._audience.send(block, opens, self._tracks)
        self._sent_s = time.monotonic()
        took_s = self._sent_s - began_s
        self._sending_s += (took_s - self._sending_s) * (SENDING_WEIGHT if self._sending_s else 1.0)
        self._rested_s = self._sent_s + took_s * REST_PER_SENDING - (began_s - before_s)
        self._set_delay()
        if self._sent_s >= self._next_look_s:
            self._look_at_delay()
        self._cache.add(block, opens, has_video=self._tracks.has_video, dts=self._last_dts)
        self.counters.cache_overflows = self._cache.overflows

    def _look_at_delay(self) -> None:
        """Once a second: how long the oldest run of a block took from its publisher's edge to players here."""
        self._next_look_s = self._sent_s + LOOK_AT_DELAY_S
        if self.delays is not None and self.players:
            self.delays.add(time.time() - self._oldest_wall_us / 1e6)

    # the end

    def close(self) -> None:
        """Stop: nobody plays it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, reason: str) -> None:
        """The stream is over: send what is gathered, tell those who got all so far that its tracks have ended, close every player.

        Whoever waits for a random access point has nothing that could end, or lacks what came before the end.
        """
        self.flush()
        parts: Parts = []
        if self._packager.end(self._audience.told, self._last_dts, parts):
            self._audience.send_last(b"".join(parts))
        self.dismiss(reason)

    def dismiss(self, reason: str) -> None:
        """Close every player."""
        self._audience.dismiss(reason)
