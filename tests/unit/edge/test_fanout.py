"""The fan-out: joins, gathering, the cache, slow players."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import AUDIO, BOTH, audio, gop, run_of, video

from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.remux import Parts
from lalmesh.runtime.durations import Durations
from services.edge import fanout as fanout_module
from services.edge.fanout import FanOut, FanOutSettings
from services.edge.feed import WRITE_HIGH_WATER_BYTES, FeedState, PlayerFeed
from services.edge.held_bursts import MAX_HELD_BYTES, HeldBursts
from services.edge.held_copies import EMPTY_LOOKS, MAX_COPIED_BYTES, HeldCopies
from services.edge.join_cache import JoinPoint

SOUND = TrackSet((AUDIO,), 1)
NEWER = TrackSet((Track(track_id=1, codec=Codec.VP9, configuration=b"vpcC-2"), AUDIO), 2)


class WordPackager:
    """Writes words: ``H`` with the version of the tracks, ``C`` with old and new, ``E`` at the end, units as track and number."""

    def __init__(self, *, goes_on: bool = True) -> None:
        self.goes_on = goes_on

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        return b"H%d " % tracks.version

    def change(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        return self._add(b"C%d-%d " % (old.version, new.version), parts)

    def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
        return self._add(b"E%d-%d " % (tracks.version, dts // 3600), parts)

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        track = tracks.get(unit.track_id)
        if track is None or track.codec is Codec.OPAQUE:
            return 0
        return self._add(b"%s%d%s " % (b"va"[unit.track_id - 1 : unit.track_id], unit.seq, unit.payload[1:]), parts)

    def left_out(self, tracks: TrackSet) -> tuple[Track, ...]:
        return tuple(track for track in tracks.tracks if track.codec is Codec.OPAQUE)

    def accepts(self, old: TrackSet, new: TrackSet) -> bool:
        return self.goes_on

    def _add(self, word: bytes, parts: Parts) -> int:
        parts.append(word)
        return len(word)


class FakeTimer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class FakeLoop:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self.now + delay, call)
        self._timers.append(timer)
        return timer

    @property
    def timers(self) -> list[FakeTimer]:
        """Those that are to fire."""
        return [timer for timer in self._timers if timer.call is not None]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due, self._timers = [t for t in self._timers if t.at <= self.now], [t for t in self._timers if t.at > self.now]
        for timer in due:
            if timer.call is not None:
                timer.call()


class SendingClock:
    """Stands in for `time`, where each look at it is `step_s` later."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self._now_s = 0.0

    def monotonic(self) -> float:
        self._now_s += self.step_s
        return self._now_s


class SendingTime:
    """Stands in for `time`, by the clock of a stage, on which each block takes `took_s` to send."""

    def __init__(self, stage: Stage, took_s: float) -> None:
        self.sent_s = 0.0
        self.began_s: dict[str, float] = {}  #: when each word went out
        self._loop = stage.loop
        self._took_s = took_s
        self._send = stage.fanout._audience.send
        stage.fanout._audience.send = self._sends  # type: ignore[method-assign]

    def _sends(self, block: bytes, opens: JoinPoint | None, tracks: TrackSet) -> None:
        self.began_s |= dict.fromkeys(block.decode().split(), self._loop.now)
        self._send(block, opens, tracks)
        self._loop.now += self._took_s
        self.sent_s += self._took_s

    def monotonic(self) -> float:
        return self._loop.now


class Player:
    """A transport that is emptied by `drain` only, where it is slow."""

    def __init__(self, stage: Stage, *, slow: bool = False, high: int = 0) -> None:
        self.got = b""
        self.writes: list[bytes] = []
        self.waiting = 0
        self.closed = ""
        self.slow = slow
        self._stage = stage
        self._high = high
        self._paused = False
        self.feed = PlayerFeed(self._write, lambda: self.waiting, self._close)

    def _write(self, data: bytes) -> None:
        self.got += data
        self.writes.append(data)
        if self.slow:
            self.waiting += len(data)
            if self.waiting > self._high and not self._paused:
                self._paused = True
                self._stage.fanout.paused(self.feed)

    def drain(self) -> None:
        self.waiting = 0
        if self._paused:
            self._paused = False
            self._stage.fanout.resumed(self.feed)

    def _close(self, reason: str) -> None:
        self.closed = reason

    @property
    def words(self) -> list[str]:
        return self.got.decode().split()


class TlsPlayer(Player):
    """A slow one, of whose bytes those of the first write wait where nobody is told of them, until all is drained."""

    def __init__(self, stage: Stage) -> None:
        self._is_below = False
        super().__init__(stage, slow=True, high=WRITE_HIGH_WATER_BYTES - 1)

    def _write(self, data: bytes) -> None:
        super()._write(data if self._is_below else b"")
        self._is_below = True


class Stage:
    """A fan-out with its surroundings."""

    def __init__(
        self, *, goes_on: bool = True, held_bytes: int = MAX_HELD_BYTES, copied_bytes: int = MAX_COPIED_BYTES, **settings: float
    ) -> None:
        self.loop = FakeLoop()
        self.bursts = HeldBursts(held_bytes)
        self.bursts.copies = HeldCopies(copied_bytes)
        self.skipped: list[str] = []
        made = FanOutSettings(**{"players_per_delay_ms": 1000, **settings})  # type: ignore[arg-type]
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.fanout = FanOut(
            WordPackager(goes_on=goes_on), made, loop, self.bursts, lambda _feed, facts: self.skipped.append(facts)
        )

    def join(self, *, slow: bool = False, high: int = 0) -> Player:
        player = Player(self, slow=slow, high=high)
        self.fanout.add(player.feed)
        return player

    def send(self, units: Iterable[AccessUnit], tracks: TrackSet = BOTH) -> None:
        self.fanout.feed(run_of(units, tracks=tracks))

    def hold(self, *runs: Iterable[AccessUnit]) -> None:
        """Announce runs that are fed when they go out."""

        def go_out() -> None:
            for units in runs:
                self.send(units)
            self.fanout.flush()

        self.fanout.go_out = go_out
        for _ in runs:
            assert self.fanout.expect()

    @property
    def skips_by_reason(self) -> tuple[int, int]:
        """For too many bytes, and for too long."""
        return self.fanout.counters.byte_skips, self.fanout.counters.time_skips

    def sent(self, player: Player) -> int:
        return self.fanout.sent_bytes(player.feed)


def words(text: str) -> list[str]:
    return text.split()


# joins


def test_a_player_joins_with_the_cache_and_then_gets_what_follows() -> None:
    stage = Stage()
    stage.send([*gop(0, 3), audio(3)])
    player = stage.join()
    stage.send([video(4)])
    assert player.words == words("H1 v0 v1 v2 a3 v4")


def test_who_plays_again_before_it_has_taken_what_it_joined_with_waits_for_a_random_access_point() -> None:
    stage = Stage()
    stage.send(gop(0, 3))
    first, again = stage.join(slow=True), Player(stage, slow=True)
    stage.fanout.remove(first.feed)
    again.feed.taker, again.waiting = first.feed.taker, first.waiting  # it paused, and is on the same connection
    stage.fanout.add(again.feed)
    assert (first.words, again.words) == (words("H1 v0 v1 v2"), [])
    stage.send(gop(3, 2))
    assert again.words == words("H1 v3 v4")


def test_a_player_that_comes_first_waits_for_a_random_access_point() -> None:
    stage = Stage()
    player = stage.join()
    stage.send([video(0), audio(1), *gop(2, 2)])
    assert player.words == words("H1 v2 v3")


def test_without_a_cache_a_player_waits_for_the_next_random_access_point() -> None:
    stage = Stage(gop_num=0)
    stage.send(gop(0, 3))
    player = stage.join()
    stage.send([video(3), *gop(4, 2)])
    assert player.words == words("H1 v4 v5")


@pytest.mark.parametrize(("gop_num", "first"), [(1, 6), (2, 3), (9, 0)])
def test_a_join_goes_back_as_many_random_access_points_as_are_asked_for(gop_num: int, first: int) -> None:
    stage = Stage(gop_num=gop_num)
    stage.send(gop(0, 3) + gop(3, 3) + gop(6, 2))
    assert stage.join().words == ["H1", *(f"v{seq}" for seq in range(first, 8))]


def test_of_a_stream_without_video_a_join_gets_the_last_seconds() -> None:
    stage = Stage(audio_cache_ms=400)
    for seq in range(30):
        stage.send([audio(seq)], SOUND)
    player = stage.join()
    stage.send([audio(30)], SOUND)
    assert player.words == ["H1", *(f"a{seq}" for seq in range(19, 31))]


def test_a_player_of_a_stream_without_video_starts_at_once() -> None:
    stage = Stage()
    player = stage.join()
    stage.send([audio(0)], SOUND)
    assert player.words == words("H1 a0")


def test_video_that_appears_later_is_announced_and_joins_begin_with_it() -> None:
    stage = Stage()
    stage.send([audio(0)], SOUND)
    early = stage.join()
    stage.send([audio(1), video(2, key=True), video(3)], TrackSet(BOTH.tracks, 2))
    assert early.words == words("H1 a0 C1-2 a1 v2 v3")
    assert stage.join().words == words("H2 v2 v3")


def test_who_joins_between_the_announcement_of_video_and_its_first_picture_waits_for_that() -> None:
    stage = Stage()
    stage.send([audio(0)], SOUND)
    stage.send([audio(1)], TrackSet(BOTH.tracks, 2))
    late = stage.join()
    stage.send([video(2), video(3, key=True)], TrackSet(BOTH.tracks, 2))
    assert late.words == words("H2 v3")


def test_a_new_configuration_comes_between_the_units_that_it_parts() -> None:
    stage = Stage()
    player = stage.join()
    stage.send(gop(0, 2))
    stage.send([video(2), *gop(3, 2)], NEWER)
    assert player.words == words("H1 v0 v1 C1-2 v2 v3 v4")
    assert stage.join().words == words("H2 v3 v4")


def test_a_cache_over_a_new_configuration_begins_with_the_old_one() -> None:
    stage = Stage(gop_num=2)
    stage.send(gop(0, 2))
    stage.send(gop(2, 2), NEWER)
    assert stage.join().words == words("H1 v0 v1 C1-2 v2 v3")


def test_units_that_the_format_cannot_carry_are_left_out() -> None:
    stage = Stage()
    opaque = TrackSet((*BOTH.tracks, Track(track_id=3, codec=Codec.OPAQUE)), 1)
    player = stage.join()
    stage.send([*gop(0, 1), AccessUnit(3, 0, 0, True, b"x", 1), video(2)], opaque)
    assert player.words == words("H1 v0 v2")


def test_where_a_format_cannot_tell_a_new_configuration_its_players_are_closed_and_new_ones_get_it() -> None:
    stage = Stage(goes_on=False)
    waiting = stage.join()
    stage.send(gop(0, 2))
    early, lagging = stage.join(), stage.join(slow=True)
    stage.send([video(2), *gop(3, 2)], NEWER)
    assert [player.words for player in (waiting, early, lagging)] == [words("H1 v0 v1")] * 3
    assert all("another configuration" in player.closed for player in (waiting, early, lagging))
    assert stage.fanout.players == 0
    assert stage.join().words == words("H2 v3 v4")


def test_after_another_configuration_a_join_waits_for_a_picture_of_it() -> None:
    stage = Stage(goes_on=False, gop_num=9)
    stage.send(gop(0, 2))
    stage.send([video(2)], NEWER)
    late = stage.join()
    stage.send(gop(3, 2), NEWER)
    assert late.words == words("H2 v3 v4")


def test_the_tracks_that_are_left_out_are_those_of_now() -> None:
    stage = Stage()
    opaque = Track(track_id=3, codec=Codec.OPAQUE)
    stage.send(gop(0, 1), TrackSet((*BOTH.tracks, opaque), 1))
    assert stage.fanout.left_out == (opaque,)
    stage.send(gop(1, 1), TrackSet(BOTH.tracks, 2))
    assert not stage.fanout.left_out


# gathering


@pytest.mark.parametrize(
    ("players", "per_ms", "limit", "delay"), [(499, 5, 100, 99), (1000, 5, 100, 100), (4, 5, 100, 0), (500, 5, 0, 0)]
)
def test_the_delay_grows_with_the_players_up_to_its_limit(players: int, per_ms: int, limit: int, delay: int) -> None:
    stage = Stage(players_per_delay_ms=per_ms, max_delay_ms=limit)
    for _ in range(players):
        stage.join()
    assert stage.fanout.delay_ms == delay


def test_what_is_gathered_goes_out_together_when_its_time_comes() -> None:
    stage = Stage(players_per_delay_ms=1, max_delay_ms=100)
    players = [stage.join() for _ in range(10)]
    stage.send(gop(0, 1))
    stage.send([video(1)])
    assert players[0].got == b""
    stage.loop.advance(0.011)
    assert [player.words for player in players] == [words("H1 v0 v1")] * 10
    assert stage.fanout.counters.blocks == 1


def test_who_joins_while_media_is_gathered_gets_every_unit_once() -> None:
    stage = Stage(players_per_delay_ms=1)
    first = stage.join()
    stage.send(gop(0, 2))
    stage.loop.advance(0.01)
    stage.send([video(2)])
    second = stage.join()
    assert second.words == words("H1 v0 v1")
    stage.loop.advance(0.01)
    assert first.words == second.words == words("H1 v0 v1 v2")


def test_a_random_access_point_ends_what_was_gathered() -> None:
    stage = Stage(players_per_delay_ms=1)
    first = stage.join()
    stage.send(gop(0, 2))
    stage.loop.advance(0.01)
    stage.send([video(2), *gop(3, 1)])
    assert first.words == words("H1 v0 v1 v2")
    assert stage.join().words == words("H1 v0 v1 v2")
    stage.loop.advance(0.01)
    assert stage.join().words == words("H1 v3")


def test_much_media_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_module, "MAX_PENDING_BYTES", 10)
    stage = Stage(players_per_delay_ms=1)
    player = stage.join()
    stage.send(gop(0, 4))
    assert player.words == words("H1 v0 v1 v2 v3")


def test_what_is_fetched_at_the_flush_leaves_no_timer_behind() -> None:
    stage = Stage(players_per_delay_ms=1, max_delay_ms=1)
    stage.send(gop(0, 1))
    stage.join()
    stage.hold([video(1), *gop(2, 2)])  # a block ends before the random access point
    stage.loop.advance(0.001)
    assert stage.fanout.counters.blocks == 3
    assert not stage.loop.timers


def test_a_delay_that_falls_to_nothing_flushes_with_the_next_unit() -> None:
    stage = Stage(players_per_delay_ms=2)
    first, second = stage.join(), stage.join()
    stage.send(gop(0, 1))
    stage.fanout.remove(second.feed)
    stage.send([video(1)])
    assert (first.words, second.words) == (words("H1 v0 v1"), [])
    stage.loop.advance(1)
    assert stage.fanout.counters.blocks == 1


@pytest.mark.parametrize(
    ("players", "took_s", "delay"), [(500, 0.0049, 7), (500, 0.0009, 2), (500, 0.5, 8), (120, 0.5, 2), (49, 0.5, 0)]
)
def test_media_is_gathered_for_as_long_as_a_block_takes_to_send(
    players: int, took_s: float, delay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(players_per_delay_ms=1, max_delay_ms=0)
    everyone = [stage.join() for _ in range(players)]
    monkeypatch.setattr(fanout_module, "time", SendingClock(took_s))
    stage.send(gop(0, 1))
    assert (everyone[0].words, stage.fanout.delay_ms) == (words("H1 v0"), delay)
    stage.send([video(1)])
    stage.loop.advance(delay / 1000)
    assert everyone[0].words == words("H1 v0 v1")


def clocked(monkeypatch: pytest.MonkeyPatch, step_s: float) -> tuple[Stage, Player, SendingClock]:
    """500 players, whom the first block was sent to in `step_s`; one of them, and the clock."""
    stage = Stage(players_per_delay_ms=1, max_delay_ms=0)
    player, *_ = [stage.join() for _ in range(500)]
    clock = SendingClock(step_s)
    monkeypatch.setattr(fanout_module, "time", clock)
    stage.send(gop(0, 1))
    return stage, player, clock


@pytest.mark.parametrize(
    ("took_s", "later_s", "got"),
    [
        (0.0049, 0.0004, "H1 v0 v1"),
        pytest.param(0.0049, 0.0071, "H1 v0", id="it did not wait"),
        pytest.param(0.0071, 0.0004, "H1 v0", id="sending takes much of the time"),
    ],
)
def test_what_came_while_a_block_was_sent_has_waited(
    took_s: float, later_s: float, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, player, clock = clocked(monkeypatch, took_s)
    clock.step_s = later_s
    stage.send([video(1)])
    assert player.words == words(got)


def test_one_block_that_was_held_up_holds_up_none_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, player, clock = clocked(monkeypatch, 0.0039)
    clock.step_s = 0.0139
    stage.send([video(1)])
    stage.loop.advance(0.1)
    assert stage.fanout.delay_ms == 8
    clock.step_s = 0.0004
    stage.send([video(2)])
    assert player.words == words("H1 v0 v1 v2")


def test_runs_that_go_out_together_are_two_blocks_around_a_random_access_point(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, player, clock = clocked(monkeypatch, 0.0049)
    clock.step_s = 0.0071
    stage.hold([video(1)], [video(2, key=True)], [audio(3)], [video(4)])
    clock.step_s = 0.0004
    stage.loop.advance(0.1)
    assert (player.words, stage.fanout.counters.blocks) == (words("H1 v0 v1 v2 a3 v4"), 3)


EVERY_FRAME = sorted([k / 30 for k in range(60)] + [0.003 + k * 1024 / 48_000 for k in range(93)])  #: pictures and sound, of 2 s


@pytest.mark.parametrize(
    ("frames_s", "most", "most_wait_s"),
    [
        pytest.param(EVERY_FRAME, 0.33, 0.004, id="30 pictures a second and sound"),
        pytest.param([k * 0.006 for k in range(300)], 0.6, 0.004, id="one each 6 ms"),
        pytest.param([k * 0.004 for k in range(500)], 0.6, 0.008, id="one each 4 ms"),
    ],
)
def test_sending_at_once_leaves_others_their_part_of_the_time(
    frames_s: list[float], most: float, most_wait_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(players_per_delay_ms=1, max_delay_ms=0)
    for _ in range(500):
        stage.join()
    sending = SendingTime(stage, 0.005)
    monkeypatch.setattr(fanout_module, "time", sending)
    stage.send(gop(0, 1))
    came_s = [stage.loop.now + at_s for at_s in frames_s]
    for seq, at_s in enumerate(came_s, 1):
        while stage.loop.now < at_s:
            stage.loop.advance(max(0.0, min([at_s, *(timer.at for timer in stage.loop.timers)]) - stage.loop.now))
        stage.send([video(seq)])
    stage.loop.advance(0.01)
    waits_s = [sending.began_s[f"v{seq}"] - at_s for seq, at_s in enumerate(came_s, 1)]
    assert sum(waits_s) / len(waits_s) < most_wait_s
    assert sending.sent_s / (came_s[-1] - came_s[0]) < most


# how late players get what they get


class LatenessStage(Stage):
    """One player, and how late it got what was looked at; the clocks are those of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, players_per_delay_ms: int = 1000, max_delay_ms: int = 100) -> None:
        super().__init__(players_per_delay_ms=players_per_delay_ms, max_delay_ms=max_delay_ms)
        self.wall_s = 0.0  #: ahead of the loop's clock
        self.late_s: list[float] = []
        monkeypatch.setattr(fanout_module, "time", self)
        self.join()
        self.fanout.delays = cast(Durations, self)

    def monotonic(self) -> float:
        return self.loop.now

    def time(self) -> float:
        return self.loop.now + self.wall_s

    def add(self, seconds: float) -> None:
        self.late_s.append(round(seconds, 6))

    def come(self, unit: AccessUnit) -> None:
        """It arrives now."""
        self.send([replace(unit, wall_us=round(self.time() * 1e6))])


def test_of_what_was_gathered_the_oldest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = LatenessStage(monkeypatch, players_per_delay_ms=1, max_delay_ms=100)
    for _ in range(99):
        stage.join()
    stage.come(video(0, key=True))
    stage.loop.advance(0.09)
    stage.come(video(1))
    stage.loop.advance(0.01)
    assert stage.late_s == [0.1]


def test_what_goes_out_ahead_of_a_random_access_point_is_not_the_oldest_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_module, "LOOK_AT_DELAY_S", 0.0)
    stage = LatenessStage(monkeypatch, players_per_delay_ms=1, max_delay_ms=10)
    for _ in range(9):
        stage.join()
    stage.come(video(0, key=True))
    stage.loop.advance(0.008)
    stage.come(video(1, key=True))
    stage.loop.advance(0.003)
    assert stage.late_s == [0.008, 0.003]


def test_a_wall_clock_that_steps_back_does_not_stop_the_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = LatenessStage(monkeypatch)
    for seq in range(100):
        stage.loop.advance(0.04)
        stage.come(video(seq, key=not seq))
        if seq == 49:
            stage.wall_s = -3600.0
    assert stage.late_s == [0.0] * 4


# the cache


def test_a_cache_over_its_bytes_is_given_up_and_joins_wait() -> None:
    stage = Stage(gop_max_bytes=20)
    stage.send(gop(0, 10))
    player = stage.join()
    assert (player.words, stage.fanout.counters.cache_overflows) == ([], 1)
    stage.send([video(10), *gop(11, 2)])
    assert player.words == words("H1 v11 v12")


def test_of_a_cache_over_its_bytes_the_newest_part_stays() -> None:
    stage = Stage(gop_num=3, gop_max_bytes=20)
    stage.send(gop(0, 4) + gop(4, 4))
    assert stage.join().words == words("H1 v4 v5 v6 v7")


def test_a_cache_over_its_time_is_given_up() -> None:
    stage = Stage(gop_max_s=1.0)
    for seq in range(30):
        stage.send([video(seq, key=seq == 0)])
    assert stage.join().words == []


# slow players


def test_a_slow_player_gets_everything_while_it_is_within_its_bound() -> None:
    stage = Stage()
    stage.send(gop(0, 1))
    slow = stage.join(slow=True, high=8)
    stage.send([video(1), video(2)])
    assert slow.feed.state is FeedState.LAGGING
    stage.send([video(3)])
    slow.drain()
    stage.send([video(4)])
    assert slow.words == words("H1 v0 v1 v2 v3 v4")


def test_a_block_that_fills_the_transport_comes_once() -> None:
    stage = Stage()
    stage.send(gop(0, 1))
    slow = stage.join(slow=True, high=6)
    stage.send([video(1)])  # its write says that the transport is full
    assert slow.words == words("H1 v0 v1")


def test_a_player_over_its_bound_skips_to_the_next_random_access_point() -> None:
    stage = Stage(player_queue_bytes=12)
    stage.send(gop(0, 1))
    slow = stage.join(slow=True, high=6)
    stage.send([video(1)])
    for seq in range(2, 6):
        stage.send([video(seq)])
    assert (slow.feed.state, slow.feed.skips, len(stage.skipped)) == (FeedState.SKIPPING, 1, 1)
    assert stage.skips_by_reason == (1, 0)
    slow.drain()
    stage.send([video(6)])
    stage.send(gop(7, 1))
    assert slow.words == words("H1 v0 v1 v2 v7")


def test_a_player_that_has_not_drained_stays_away_at_the_random_access_point() -> None:
    stage = Stage(player_queue_bytes=1)
    stage.send(gop(0, 1))
    slow = stage.join(slow=True)
    slow.drain()
    stage.send([video(1)])
    stage.send([video(2)])
    stage.send(gop(3, 2))
    assert slow.words == words("H1 v0 v1")


def test_a_player_that_lags_for_too_long_skips() -> None:
    stage = Stage(player_queue_s=5.0)
    stage.send(gop(0, 1))
    slow = stage.join(slow=True)
    slow.drain()
    stage.send([video(1)])
    stage.loop.advance(4)
    stage.send([video(2)])
    stage.loop.advance(2)
    stage.send([video(3)])
    assert (slow.words, slow.feed.state) == (words("H1 v0 v1 v2"), FeedState.SKIPPING)
    assert stage.skips_by_reason == (0, 1)


def test_configurations_that_a_player_skipped_over_come_before_it_goes_on() -> None:
    stage = Stage(player_queue_bytes=1)
    stage.send(gop(0, 1))
    slow = stage.join(slow=True)
    slow.drain()
    stage.send([video(1)])
    stage.send([video(2)])
    stage.send(gop(3, 1), NEWER)
    slow.drain()
    stage.send(gop(4, 1), NEWER)
    assert slow.words == words("H1 v0 v1 C1-2 v4")


def test_a_configuration_that_is_gathered_when_a_player_falls_behind_is_not_lost() -> None:
    stage = Stage(player_queue_bytes=1, players_per_delay_ms=1)
    slow = stage.join(slow=True)
    stage.send(gop(0, 1))
    stage.loop.advance(0.01)
    slow.drain()
    stage.send([video(1)], NEWER)  # gathered
    stage.fanout.paused(slow.feed)
    slow.waiting = 10
    stage.loop.advance(0.01)  # over its bound: skipped
    stage.fanout.resumed(slow.feed)
    stage.send(gop(2, 1), NEWER)
    stage.loop.advance(0.01)
    assert slow.words == words("H1 v0 C1-2 v2")


def test_video_that_appears_while_a_player_lags_is_announced_to_it() -> None:
    stage = Stage(player_queue_bytes=8, players_per_delay_ms=1)
    slow = stage.join(slow=True)
    stage.send([audio(0)], SOUND)
    stage.loop.advance(0.01)
    slow.drain()
    stage.send([audio(1)], SOUND)
    stage.loop.advance(0.01)
    stage.send([audio(2)], SOUND)  # gathered
    stage.send([audio(3)], TrackSet(BOTH.tracks, 2))
    stage.loop.advance(0.01)
    slow.drain()
    stage.send(gop(4, 1), TrackSet(BOTH.tracks, 2))
    stage.loop.advance(0.01)
    assert "C1-2" in slow.words


def test_a_player_that_stays_too_slow_is_closed() -> None:
    stage = Stage(slow_player_s=30.0)
    stage.send(gop(0, 1))
    slow, good = stage.join(slow=True), stage.join()
    stage.loop.advance(29)
    stage.fanout.sweep()
    assert not slow.closed
    stage.loop.advance(2)
    stage.fanout.sweep()
    assert slow.closed.startswith("too slow")
    assert (good.closed, stage.fanout.players, stage.fanout.counters.slow_closes) == ("", 1, 1)


def test_a_player_that_drains_in_time_is_not_closed() -> None:
    stage = Stage(slow_player_s=30.0)
    stage.send(gop(0, 1))
    slow = stage.join(slow=True)
    stage.loop.advance(29)
    slow.drain()
    stage.loop.advance(29)
    stage.fanout.sweep()
    assert not slow.closed


def test_what_a_join_gave_does_not_count_until_it_has_drained() -> None:
    stage = Stage(player_queue_bytes=12, player_queue_s=1.0)
    stage.send(gop(0, 20))
    slow = stage.join(slow=True)
    stage.loop.advance(2)
    stage.send([video(20)])
    assert slow.words[-1] == "v20"
    slow.drain()
    for seq in range(21, 30):
        stage.send([video(seq)])
    assert slow.feed.state is FeedState.SKIPPING


def test_a_join_that_the_transport_took_gives_no_allowance_later() -> None:
    stage = Stage(player_queue_bytes=12)
    stage.send(gop(0, 20))
    slow = stage.join()
    stage.send([video(20)])
    slow.slow = True
    for seq in range(21, 30):
        stage.send([video(seq)])
    assert slow.feed.state is FeedState.SKIPPING


# what joins hold


def test_what_slow_players_joined_with_is_bounded_over_all() -> None:
    stage, slow = Stage(held_bytes=200_000), list[Player]()
    stage.send(gop(0, 1))
    for seq in range(1, 81):
        stage.send([video(seq, payload=b"v" + b"-" * 1130)])
        stage.fanout.flush()
        slow.append(stage.join(slow=True))
        assert stage.bursts.size_bytes <= 200_000
    late = [player for player in slow if not player.got]
    assert len(slow) - len(late) > 10
    assert stage.bursts.refused == len(late) > 10
    stage.send(gop(81, 1))
    stage.fanout.flush()
    assert [player.words for player in late] == [words("H1 v81")] * len(late)
    for player in slow:
        player.drain()
    assert stage.bursts.size_bytes == 0


def test_who_finds_no_room_is_told_that_it_has_to_wait() -> None:
    stage = Stage(held_bytes=10)
    stage.send(gop(0, 3))
    second = Player(stage)
    assert stage.fanout.burst_for(second.feed) == b"H1 v0 v1 v2 "
    stage.join(slow=True)
    assert stage.fanout.burst_for(second.feed) is None
    stage.fanout.add(second.feed)
    stage.send([video(3), *gop(4, 1)])
    assert second.words == words("H1 v4")


def test_what_a_player_took_at_once_is_not_held() -> None:
    stage = Stage(held_bytes=10)
    stage.send(gop(0, 3))
    assert [stage.join().words for _ in range(2)] == [words("H1 v0 v1 v2")] * 2
    assert stage.bursts.size_bytes == 0


def test_those_who_wait_share_what_they_begin_with() -> None:
    stage = Stage()
    first, second = stage.join(), stage.join()
    stage.send(gop(0, 1))
    assert first.words == words("H1 v0")
    assert first.writes[0] is second.writes[0]


def test_what_tls_hides_counts() -> None:
    stage = Stage()
    stage.send([video(0, key=True, payload=b"v" + b"-" * 100_000)])
    player = TlsPlayer(stage)
    stage.fanout.add(player.feed)
    assert (player.feed.state, stage.bursts.size_bytes) == (FeedState.LAGGING, player.feed.allowance_bytes)
    player.drain()
    assert (player.feed.state, stage.bursts.size_bytes) == (FeedState.LIVE, 0)


def test_what_waits_for_slow_players_that_have_copies_is_bounded_over_all() -> None:
    stage = Stage(copied_bytes=40)
    slow = [stage.join(slow=True) for _ in range(4)]
    stage.send(gop(0, 1))
    for seq in range(1, 5):
        stage.send([video(seq)])
        assert stage.bursts.copies.size_bytes <= 40
    assert {player.feed.state for player in slow} == {FeedState.LAGGING, FeedState.SKIPPING}
    assert stage.skips_by_reason == (sum(player.feed.state is FeedState.SKIPPING for player in slow), 0)
    for player in slow:
        player.drain()
        player.slow = False
    stage.send(gop(5, 1))
    assert {player.words[-1] for player in slow} == {"v5"}
    for _ in range(EMPTY_LOOKS):
        stage.bursts.sweep()
    assert stage.bursts.copies.size_bytes == 0


def test_what_tls_has_handed_on_is_of_what_may_wait_for_a_player() -> None:
    stage = Stage(player_queue_bytes=12)
    slow = stage.join(slow=True)
    stage.send(gop(0, 1))
    stage.send([video(1), video(2)])
    slow.drain()
    stage.send([video(3)])
    assert slow.feed.state is FeedState.LAGGING
    for seq in range(4, 7):
        stage.send([video(seq)])
    assert (slow.feed.state, slow.words[-1]) == (FeedState.SKIPPING, "v4")


# removing and ending


def test_a_player_that_is_removed_gets_nothing_more() -> None:
    stage = Stage(players_per_delay_ms=1)
    player = stage.join()
    stage.send(gop(0, 1))
    stage.fanout.remove(player.feed)
    stage.loop.advance(1)
    assert (player.words, stage.fanout.players) == ([], 0)


def test_a_player_that_drains_after_it_was_removed_does_not_come_back() -> None:
    stage = Stage()
    stage.send(gop(0, 1))
    slow = stage.join(slow=True)
    stage.fanout.remove(slow.feed)
    slow.drain()
    stage.send([video(1)])
    assert (slow.words, stage.fanout.players) == (words("H1 v0"), 0)


def test_a_player_that_is_removed_by_its_own_write_stays_away() -> None:
    stage = Stage()
    stage.send(gop(0, 1))
    player = stage.join()
    player.feed = PlayerFeed(lambda _: stage.fanout.remove(player.feed), lambda: 0, lambda _: None)
    stage.fanout.add(player.feed)
    stage.send([video(1)])
    stage.send(gop(2, 1))
    assert stage.fanout.players == 1


def test_a_waiting_player_that_another_ones_write_removes_stays_away() -> None:
    stage = Stage()
    other = stage.join()
    breaker = PlayerFeed(lambda _: stage.fanout.remove(other.feed), lambda: 0, lambda _: None)
    stage.send(gop(0, 1))
    stage.fanout.remove(other.feed)
    stage.fanout.add(breaker)
    stage.fanout.counters.joins = 0
    stage.fanout._audience._others.add(other.feed)
    stage.send(gop(1, 1))
    assert stage.fanout.players == 1


def test_the_end_of_the_stream_sends_what_is_gathered_and_closes_everyone() -> None:
    stage = Stage(players_per_delay_ms=1)
    player, slow = stage.join(), stage.join(slow=True)
    stage.send(gop(0, 1))
    stage.fanout.end("the stream has ended")
    assert (player.words, player.closed) == (words("H1 v0 E1-0"), "the stream has ended")
    assert (slow.closed, stage.fanout.players) == ("the stream has ended", 0)


def test_who_got_all_so_far_is_told_that_the_tracks_have_ended() -> None:
    stage = Stage(player_queue_bytes=12)
    stage.send(gop(0, 1))
    live, lagging, skipping = stage.join(), stage.join(slow=True, high=27), stage.join(slow=True)
    for seq in range(1, 9):
        stage.send([video(seq)])
    waiting = PlayerFeed(lambda _: pytest.fail("it has nothing that could end"), lambda: 0, lambda _: None)
    stage.fanout._audience._others.add(waiting)
    assert [player.feed.state for player in (live, lagging)] == [FeedState.LIVE, FeedState.LAGGING]
    assert skipping.feed.state is FeedState.SKIPPING
    stage.fanout.end("over")
    assert (live.words[-2:], lagging.words[-1], skipping.words[-1]) == (words("v8 E1-8"), "E1-8", "v4")
    assert stage.sent(live) == len(live.got)


def test_a_timer_whose_call_fails_is_over_all_the_same() -> None:
    def go_out() -> None:
        raise KeyError("a bug")

    stage = Stage(players_per_delay_ms=1)
    player = stage.join()
    stage.send(gop(0, 1))
    stage.fanout.go_out, goes_out = go_out, stage.fanout.go_out
    with pytest.raises(KeyError):
        stage.loop.advance(0.01)
    assert stage.fanout.due_s == 0
    stage.fanout.go_out = goes_out
    stage.send([video(1)])
    stage.loop.advance(0.01)
    assert player.words == words("H1 v0 v1")


def test_the_end_of_a_stream_that_nobody_got_anything_of_says_nothing() -> None:
    stage = Stage()
    player = stage.join()
    stage.fanout.end("over")
    assert (player.words, player.closed) == ([], "over")


# the books


def test_sent_bytes_are_what_was_written() -> None:
    stage = Stage(player_queue_bytes=12)
    stage.send(gop(0, 2))
    players = [stage.join(), stage.join(slow=True), stage.join(slow=True, high=8)]
    stage.send([video(2)])
    players[1].drain()
    stage.send([*gop(3, 2), audio(5)])
    stage.fanout.remove(players[0].feed)
    stage.send([video(6), video(7)])
    assert [stage.sent(player) for player in players] == [len(player.got) for player in players]
    assert stage.fanout.counters.sent_bytes == sum(len(player.got) for player in players)


_ACTIONS = st.lists(
    st.sampled_from(["unit", "key", "audio", "tracks", "join", "slow", "drain", "pass", "leave"]), min_size=5, max_size=60
)


@given(_ACTIONS, st.sampled_from([1, 1000]), st.sampled_from([0, 1, 2]))
def test_no_player_gets_a_unit_twice_or_one_that_it_cannot_decode(actions: list[str], per_ms: int, gop_num: int) -> None:
    stage = Stage(players_per_delay_ms=per_ms, gop_num=gop_num, player_queue_bytes=30)
    players: list[Player] = []
    tracks, keys, sent = BOTH, set[int](), list[int]()
    for seq, action in enumerate(actions):
        if action in ("unit", "key", "audio"):
            sent.append(seq)
            keys |= {seq} if action == "key" else set()
            stage.send([audio(seq) if action == "audio" else video(seq, key=action == "key")], tracks)
        elif action == "tracks":
            tracks = TrackSet(BOTH.tracks, tracks.version + 1)
        elif action in ("join", "slow"):
            players.append(stage.join(slow=action == "slow", high=10))
        elif action == "drain":
            for player in players:
                player.drain()
        elif action == "pass":
            stage.loop.advance(0.2)
        elif players:
            stage.fanout.remove(players[seq % len(players)].feed)
    stage.fanout.flush()
    for player in players:
        _check(player, keys, sent)
        assert stage.sent(player) == len(player.got)
    assert stage.fanout.counters.sent_bytes == sum(len(player.got) for player in players)


def _check(player: Player, keys: set[int], sent: list[int]) -> None:
    """A header first; units rise; each gap begins again at a random access point; versions of tracks follow each other."""
    last, version = -1, -1
    for number, word in enumerate(player.words):
        if word[0] == "H":
            assert number == 0
            version = int(word[1:])
        elif word[0] == "C":
            old, new = word[1:].split("-")
            assert int(old) == version
            version = int(new)
        else:
            assert int(word[1:]) > last
            last = int(word[1:])
    got = [sent.index(int(word[1:])) for word in player.words if word[0] in "va"]
    begins = [at for before, at in zip([-2, *got], got, strict=False) if at != before + 1]
    assert len(begins) <= player.feed.skips + 1
    assert all(sent[at] in keys for at in begins)
