"""A run: publishers come, then players, then all is measured for a while."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import lalmesh
from lalmesh.client._options import ClientOptions
from lalmesh.client.load._crowd import Crowd
from lalmesh.client.load._hls_player import HlsPlayer
from lalmesh.client.load._matching import Matched, match_kinds
from lalmesh.client.load._media import Media
from lalmesh.client.load._pacing import Lateness
from lalmesh.client.load._plan import Plan, is_playlist, url_of
from lalmesh.client.load._player import LoadPlayer, StreamPlayer
from lalmesh.client.load._publisher import LoadPublisher, load_publisher
from lalmesh.client.load._reckoning import Spread, spread
from lalmesh.client.load._report import Client, Looks, Players, Publishers, Report, count_reasons, counted

MIN_WINDOW_S: Final = 0.1  #: shorter, processor time is not told: it comes in ticks of 10 ms

Run: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Bench:
    """One run of a plan."""

    def __init__(self, plan: Plan, options: ClientOptions, media: Media | None, *, say: Callable[[str], None]) -> None:
        """Publishers, if there are any, send `media`; `say` hears how far it is."""
        self._plan = plan
        self._options = options
        self._media = media
        self._say = say
        self._lateness = Lateness()
        self._publishers: list[LoadPublisher] = []
        self.players: list[LoadPlayer] = []  #: one of each URL in turn
        self.since_s = 0.0  #: when it began to be measured
        self.until_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._playing: list[asyncio.Task[None]] = []
        self._measured: _Window | None = None

    async def run(self) -> Report:
        """Do it all. Cancelled, it ends what it began and tells what was measured; cancelled again, it waits for no goodbye."""
        began = datetime.now(UTC)
        self._crowd = Crowd(self._options, self._media, udp=self._plan.udp, stall_s=self._plan.stall_s)
        is_whole = False
        try:
            with suppress(asyncio.CancelledError):
                is_whole = await self._come_and_stay()
            window = self._measured or _Window(self)  # of no length where nothing was measured
            self.since_s, self.until_s = window.began_s, time.monotonic()
            if self._measured is not None:
                window.end()
            try:
                await self._leave()
            except asyncio.CancelledError:  # told so while they say goodbye, which ends that: all was measured
                await self._leave()
            return self._report(began, window, is_whole=is_whole)
        finally:
            self._crowd.close()

    def looked_until_s(self, player: LoadPlayer) -> float:
        """When `player` saw the last of what was measured, and noted, or asked for the last of it."""
        until_s = min(self.until_s, self._crowd.noting.until_s, player.asked_until_s)
        return until_s if player.ended_s is None else min(until_s, player.ended_s)

    # what happens

    async def _come_and_stay(self) -> bool:
        """Whether it was measured for as long as it was to be: there was something to measure till the end."""
        plan = self._plan
        if plan.publish_url:
            self._say(f"{counted(plan.streams, 'publisher')} within {plan.publish_within_s:g} s")
            await self._publish()
            if not any(publisher.is_sending for publisher in self._publishers):
                return False  # there is nothing to play
            await asyncio.sleep(plan.settle_s)
        if plan.play_urls:
            count = plan.streams * plan.players * len(plan.play_urls)
            self._say(f"{counted(count, 'player')} within {plan.play_within_s:g} s")
            await self._play()
        if not self._running():
            return False  # nobody came, or nobody is left
        self._say(f"measuring for {plan.duration_s:g} s")
        self._measured = _Window(self)
        _, left = await asyncio.wait(self._running(), timeout=plan.duration_s, return_when=asyncio.ALL_COMPLETED)
        return bool(left)

    async def _publish(self) -> None:
        plan = self._plan
        for number in range(plan.streams):
            publisher = load_publisher(url_of(plan.publish_url, number), self._crowd, self._lateness)
            if plan.play_urls and number < plan.looking:
                publisher.watch()
            self._publishers.append(publisher)
        self._crowd.each_second(self._forget)
        await _spread_out([publisher.run for publisher in self._publishers], plan.publish_within_s, self._tasks)
        for publisher in self._publishers:
            await publisher.published.wait()

    def _forget(self, now_s: float) -> None:
        """What all publishers have sent is needed no more, once all have begun."""
        if all(publisher.published.is_set() for publisher in self._publishers):
            sending = [publisher.number for publisher in self._publishers if publisher.is_sending]
            self._crowd.forget(min(sending, default=0))

    async def _play(self) -> None:
        plan = self._plan
        for number in range(plan.streams * plan.players):
            stream = number % plan.streams
            for url in plan.play_urls:
                make = HlsPlayer if is_playlist(url) else StreamPlayer
                self.players.append(make(url_of(url, stream), stream, self._crowd, looks=number < plan.looking))
        await _spread_out([player.run for player in self.players], plan.play_within_s, self._playing)
        for player in self.players:
            await player.settled.wait()

    def _running(self) -> list[asyncio.Task[None]]:
        """Publishers and players that are there."""
        return [task for task in (*self._tasks, *self._playing) if not task.done()]

    async def _leave(self) -> None:
        """Players first: that their publishers leave is nothing that happens to them."""
        for tasks in (self._playing, self._tasks):
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            for result in done:
                if isinstance(result, Exception):
                    raise result

    # what came of it

    def _report(self, began: datetime, window: _Window, *, is_whole: bool) -> Report:
        urls = self._plan.play_urls
        report = Report(
            version=lalmesh.__version__,
            began=began.isoformat(timespec="seconds"),
            measured_s=round(window.length_s, 2),
            is_whole=is_whole,
            publishers=self._of_publishers(window) if self._publishers else None,
            players=[self._of_players(url, self.players[place :: len(urls)], window) for place, url in enumerate(urls)],
            client=self._of_client(window),
            matched_s=max(self._crowd.noting.until_s - self.since_s, 0.0) if self._crowd.noting.is_full else None,
        )
        report.judge()
        return report

    def _of_publishers(self, window: _Window) -> Publishers:
        publishers = self._publishers
        rates = [window.rate_bps(publisher) for publisher in publishers if publisher.began_s is not None]
        held = [publisher for publisher in publishers if publisher.held_s > self._plan.stall_s]
        return Publishers(
            url=self._plan.publish_url,
            wanted=len(publishers),
            published=len(rates),
            refused=count_reasons(publisher.refused for publisher in publishers),
            lost=count_reasons(publisher.lost for publisher in publishers),
            bitrate_bps=round(sum(rates)),
            mean_bps=round(sum(rates) / max(len(rates), 1)),
            lowest_bps=round(min(rates, default=0)),
            late_ms=_of_lateness(self._lateness),
            held=len(held),
            held_longest_ms=round(1000 * max((publisher.held_s for publisher in publishers), default=0.0), 1),
        )

    def _of_players(self, url: str, players: Sequence[LoadPlayer], window: _Window) -> Players:
        rates = [window.rate_bps(player) for player in players if player.joined_s is not None]
        joins = [player.joined_s - player.began_s for player in players if player.joined_s is not None]
        faults: dict[str, int] = {}
        for player in players:
            for reason, number in player.faults.items():
                faults[reason] = faults.get(reason, 0) + number
        return Players(
            url=url,
            wanted=self._plan.streams * self._plan.players,
            joined=len(joins),
            refused=count_reasons(player.refused for player in players),
            lost=count_reasons(player.lost for player in players),
            faults=faults,
            join_ms=spread(joins, scale=1000),
            bitrate_bps=round(sum(rates)),
            mean_bps=round(sum(rates) / max(len(rates), 1)),
            lowest_bps=round(min(rates, default=0)),
            stalls=sum(player.flow.stalls for player in players),
            stalled=sum(player.flow.stalls > 0 for player in players),
            longest_pause_ms=round(1000 * max((player.flow.longest_s for player in players), default=0.0), 1),
            looks=self._of_looks([player for player in players if player.looked is not None]),
        )

    def _of_looks(self, players: Sequence[LoadPlayer]) -> Looks:
        found, units, gaps, disordered = Matched(), 0, 0, 0
        knows = bool(self._publishers)
        for player in players:
            if player.looked is None or player.joined_s is None:
                continue
            units += player.looked.units
            gaps += player.looked.order.gaps
            disordered += player.looked.order.disordered
            if knows:
                since_s = max(player.joined_s, self.since_s)
                sent = self._publishers[player.stream].sent_logs()
                found.add(match_kinds(sent, player.looked.logs, since_s=since_s, until_s=self.looked_until_s(player)))
        return Looks(
            players=len(players),
            units=units,
            missing=found.missing if knows else None,
            doubled=found.doubled if knows else None,
            disordered=found.disordered if knows else disordered,
            gaps=None if knows else gaps,
            foreign=found.foreign if knows else None,
            delay_ms=spread(found.delays_s, scale=1000) if knows else None,
        )

    def _of_client(self, window: _Window) -> Client:
        return Client(
            cpu_percent=round(window.cpu_percent, 1),
            late_ms=_of_lateness(self._crowd.sweep.lateness),
            slept_ms=round(1000 * self._crowd.sweep.attention.slept_s, 1),
            rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
        )

    def counters(self) -> dict[int, int]:
        """Bytes of everyone so far, by identity."""
        sent = {id(publisher): publisher.sent_bytes for publisher in self._publishers}
        return sent | {id(player): player.received_bytes for player in self.players}


class _Window:
    """The time that is measured."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.began_s = time.monotonic()
        self.length_s = 0.0
        self.cpu_percent = 0.0
        self._before = bench.counters()
        self._after = self._before
        self._times = os.times()

    def end(self) -> None:
        """Measure no more."""
        times = os.times()
        self.length_s = time.monotonic() - self.began_s
        self._after = self._bench.counters()
        spent_s = times.user + times.system - self._times.user - self._times.system
        self.cpu_percent = 100 * spent_s / self.length_s if self.length_s >= MIN_WINDOW_S else 0.0

    def rate_bps(self, one: LoadPublisher | LoadPlayer) -> float:
        """Bits a second of a publisher or a player."""
        size_bytes = self._after.get(id(one), 0) - self._before.get(id(one), 0)
        return size_bytes * 8 / self.length_s if self.length_s > 0 else 0.0


async def _spread_out(runs: Sequence[Run], within_s: float, tasks: list[asyncio.Task[None]]) -> None:
    """Begin `runs` evenly over a time; those that are due at one look begin together."""
    began_s = time.monotonic()
    for number, run in enumerate(runs):
        wait_s = began_s + within_s * number / len(runs) - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        tasks.append(asyncio.ensure_future(run()))


def _of_lateness(lateness: Lateness) -> Spread | None:
    if not lateness.count:
        return None
    p50, p99 = (round(1000 * lateness.quantile_s(share), 1) for share in (0.5, 0.99))
    return Spread(lateness.count, p50, p99, round(1000 * lateness.worst_s, 1))
