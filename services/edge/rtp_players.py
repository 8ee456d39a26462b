"""The players of a stream by UDP: who gets the next block, who is on the way to it, who waits.

```
waiting ──random access point──► live ◄──nothing is left──┐
                                                      replaying ◄── joined with what is cached
```

Nobody is slow here: what the kernel or the way does not take is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.remux import RtpDatagrams
from lalmesh.runtime.each_alone import for_each_alone
from services.edge.feed import NOT_CLOSED
from services.edge.rtp_blocks import Block, RecentBlocks
from services.edge.udp_sockets import Routes

if TYPE_CHECKING:
    from services.edge.fanout import FanOutCounters
    from services.edge.rtp_ports import RtpPair
    from services.edge.udp_sockets import UdpSender

REPLAY_SPEED: Final = 4  #: times real time, at most, for what is cached: a burst at once would be lost on the way
REPLAY_TICK_S: Final = 0.01  #: at four times real time, one picture of 25 a second
MAX_REPLAYING: Final = 64  #: players at a time, who together take up to half a core; others begin at the next random access point


class DatagramPlayer:
    """One player: the way of each of its tracks."""

    __slots__ = ("close", "counted_from", "sent_alone_bytes", "ways")

    def __init__(self, ways: Mapping[int, RtpPair], close: Callable[[str], None]) -> None:
        """Send on `ways`, by track index; `close` ends the player, with a reason."""
        self.ways = ways
        self.close = close
        self.sent_alone_bytes = 0  #: while it was not live
        self.counted_from: dict[int, int] | None = None  #: what was sent by track when it became live; None: it is not


@dataclass(slots=True)
class _Replay:
    """How far a player is in what is cached."""

    position: int
    first_dts: int
    since_s: float


class _Targets:
    """The ways of one track to some players, as a block wants them."""

    __slots__ = ("routes", "ways")

    def __init__(self, ways: list[RtpPair]) -> None:
        self.ways = ways
        self.routes = Routes([way.route for way in ways])


def _targets(players: Iterable[DatagramPlayer]) -> dict[int, _Targets]:
    ways: dict[int, list[RtpPair]] = {}
    for player in players:
        for index, way in player.ways.items():
            ways.setdefault(index, []).append(way)
    return {index: _Targets(found) for index, found in ways.items()}


class DatagramAudience:
    """Everyone who plays one stream by UDP."""

    def __init__(self, recent: RecentBlocks, counters: FanOutCounters, sender: UdpSender, loop: asyncio.AbstractEventLoop) -> None:
        """Start without players, who may begin with `recent`; what goes out by `sender` is counted in `counters`."""
        self._recent = recent
        self._sender = sender
        self._counters = counters
        self._loop = loop
        self._live: dict[DatagramPlayer, None] = {}
        self._targets: dict[int, _Targets] | None = None  # the live ones by track index; None: not known
        self._totals: dict[int, int] = {}  # bytes that went to live players, by track index
        self._waiting: dict[DatagramPlayer, None] = {}
        self._replays: dict[DatagramPlayer, _Replay] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self._live) + len(self._waiting) + len(self._replays)

    @property
    def needed(self) -> int | None:
        """The position of the oldest block that somebody still has to get."""
        return min((replay.position for replay in self._replays.values()), default=None)

    def joins_at(self, *, from_cache: bool) -> int | None:
        """Where a player would begin now; None: at the next random access point."""
        return self._recent.join_position if from_cache and len(self._replays) < MAX_REPLAYING else None

    def join(self, player: DatagramPlayer, *, from_cache: bool) -> None:
        """Let a player in: with what is cached, or at the next random access point."""
        self._counters.joins += 1
        position = self.joins_at(from_cache=from_cache)
        if position is None:
            self._waiting[player] = None
            return
        now = self._loop.time()
        self._replays[player] = _Replay(position, self._recent.at(position).dts, now)
        self._replay(now)

    def remove(self, player: DatagramPlayer) -> None:
        """Forget a player."""
        if player in self._live:
            player.sent_alone_bytes = self.sent_bytes(player)
            player.counted_from = None
            del self._live[player]
            self._targets = None
        self._waiting.pop(player, None)
        self._replays.pop(player, None)

    def sent_bytes(self, player: DatagramPlayer) -> int:
        """What was sent to a player so far."""
        begun = player.counted_from
        live = sum(self._totals.get(index, 0) - begun.get(index, 0) for index in player.ways) if begun is not None else 0
        return player.sent_alone_bytes + live

    def send(self, block: Block) -> None:
        """Send the newest block to who is live, and who has waited for one like it: a run goes to each at once."""
        if block.opens and self._waiting:
            for player in self._waiting:
                self._go_live(player)
            self._waiting.clear()
        self._counters.blocks += 1
        self._counters.block_bytes += block.size_bytes
        if self._live:
            self.send_live(block.groups)

    def send_live(self, groups: Iterable[RtpDatagrams]) -> None:
        """Send to who is live."""
        if self._targets is None:
            self._targets = _targets(self._live)
        for group in groups:
            targets = self._targets.get(group.track_index)
            if targets is not None:
                self._totals[group.track_index] = self._totals.get(group.track_index, 0) + group.size_bytes
                self._send(group, targets)

    def dismiss(self, reason: str) -> None:
        """Close every player."""
        for_each_alone([*self._live, *self._waiting, *self._replays], partial(self._close, reason), NOT_CLOSED)

    def _close(self, reason: str, player: DatagramPlayer) -> None:
        self.remove(player)
        player.close(reason)

    def stop(self) -> None:
        """Nobody is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_live(self, player: DatagramPlayer) -> None:
        player.counted_from = dict(self._totals)
        self._live[player] = None
        self._targets = None

    # what is cached, at a pace

    def _tick(self) -> None:
        self._timer = None
        self._replay(self._loop.time())

    def _replay(self, now: float) -> None:
        for player, replay in list(self._replays.items()):
            if self._is_replayed(player, replay, now):
                del self._replays[player]
                self._go_live(player)
        if self._replays and self._timer is None:
            self._timer = self._loop.call_later(REPLAY_TICK_S, self._tick)

    def _is_replayed(self, player: DatagramPlayer, replay: _Replay, now: float) -> bool:
        """Send what is due to a player; whether it has everything now."""
        recent = self._recent
        if replay.position < recent.start:  # the cache passed a bound: what it misses is lost, as on the way
            replay.position = recent.start
        due = replay.first_dts + int((now - replay.since_s) * TICKS_PER_SECOND) * REPLAY_SPEED
        while replay.position < recent.end:
            block = recent.at(replay.position)
            if block.dts > due:
                return False
            self._send_alone(player, block)
            replay.position += 1
        return True

    def _send_alone(self, player: DatagramPlayer, block: Block) -> None:
        for group in block.groups:
            way = player.ways.get(group.track_index)
            if way is not None:
                player.sent_alone_bytes += group.size_bytes
                self._send(group, _Targets([way]))

    def _send(self, group: RtpDatagrams, targets: _Targets) -> None:
        """Send packets of one track on each way."""
        self._counters.sent_bytes += group.size_bytes * len(targets.ways)
        for packet in group.rtcp:
            for way in targets.ways:
                way.send_rtcp(packet)
        self._sender.send(group.runs, targets.routes)
