"""RTP to players by UDP: joins at a pace, runs, changes of tracks, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import NoReturn, cast

import pytest
from support.edge_fakes import AUDIO, run_of
from support.packaging import BOTH, H264
from support.rtp_fakes import FakeWay, picture, pictures, sound

from lalmesh.media import AccessUnit, TrackSet
from lalmesh.protocol.rtp import Goodbye, parse_compound
from lalmesh.remux import InterleavedPackager, RtpStream, plain_channels
from lalmesh.runtime.ring import Ring, RingLimits
from services.edge import rtp_players
from services.edge.fanout import OTHER_CONFIGURATION, FanOutSettings
from services.edge.packetizing import Packetizing
from services.edge.rtp_fanout import DatagramFanOut
from services.edge.rtp_players import REPLAY_SPEED, DatagramPlayer
from services.edge.udp_sockets import UdpCounters, UdpSender

SOUND = TrackSet((AUDIO,), 1)


class FakeLoop:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> FakeTimer:
        self.timers.append((self.now + delay, call))
        return FakeTimer(self, self.timers[-1])

    def advance(self, seconds: float) -> None:
        """Step by step, as timers set further ones."""
        end = self.now + seconds
        while self.timers and min(self.timers, key=lambda timer: timer[0])[0] <= end:
            due = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(due)
            self.now = due[0]
            due[1]()
        self.now = end


class FakeTimer:
    def __init__(self, loop: FakeLoop, timer: tuple[float, Callable[[], None]]) -> None:
        self._loop = loop
        self._timer = timer

    def cancel(self) -> None:
        self._loop.timers.remove(self._timer)


class Player:
    """A player of both tracks, or of some."""

    def __init__(self, stage: Stage, tracks: Iterable[int] = (0, 1), *, from_cache: bool = True) -> None:
        self.ways = {index: FakeWay() for index in tracks}
        self.closed = ""
        self._stage = stage
        self.feed = DatagramPlayer(self.ways, self._close)
        self.first = stage.fanout.first_packets(self.feed, from_cache=from_cache)
        stage.fanout.add(self.feed, from_cache=from_cache)

    def _close(self, reason: str) -> None:
        self.closed = reason
        self._stage.fanout.remove(self.feed)

    @property
    def pictures(self) -> list[int]:
        """The pictures that it got, once each."""
        packets = self.ways[0].packets
        return sorted({packet.payload[-1] for packet in packets if packet.marker})

    @property
    def numbers(self) -> list[int]:
        """Of the packets of its pictures."""
        return [packet.sequence_number for packet in self.ways[0].packets]

    @property
    def sent_bytes(self) -> int:
        return self._stage.fanout.sent_bytes(self.feed)


class Stage:
    """A fan-out with its surroundings."""

    def __init__(self, tracks: TrackSet = BOTH, **settings: int) -> None:
        self.loop = FakeLoop()
        self.stream = RtpStream(tracks, Random(1).randbytes)
        self._packets = Packetizing(self.stream, RingLimits(), Ring(RingLimits()))
        packager = InterleavedPackager(self.stream, plain_channels(self.stream))
        made = FanOutSettings(**settings)
        sender = UdpSender(UdpCounters())
        self.fanout = DatagramFanOut(packager, made, sender, cast(asyncio.AbstractEventLoop, self.loop))
        self._tracks = tracks

    def send(self, units: Iterable[AccessUnit], tracks: TrackSet | None = None) -> None:
        self.fanout.feed(self._packets.convert(run_of(units, tracks=tracks or self._tracks)))


def going_on(numbers: list[int]) -> bool:
    """Whether no number is missing or comes twice."""
    return numbers == [numbers[0] + index & 0xFFFF for index in range(len(numbers))]


def test_live_players_get_each_run_in_one_call() -> None:
    stage = Stage()
    players = [Player(stage) for _ in range(3)]
    stage.send([*pictures(0, 1), sound(0)])
    for player in players:
        assert player.pictures == [0]
        assert player.ways[0].calls == 2  # the parameter sets and the fragments
        assert (player.ways[1].calls, len(player.ways[1].packets)) == (1, 1)
        assert (len(player.ways[0].rtcp), len(player.ways[1].rtcp)) == (2, 1)  # that of the pictures is said again


def test_all_players_get_the_same_packets() -> None:
    stage = Stage()
    one, other = Player(stage), Player(stage)
    stage.send(pictures(0, 5))
    assert one.ways[0].packets == other.ways[0].packets
    assert going_on(one.numbers)


def test_a_player_that_wants_the_next_random_access_point_waits_for_it() -> None:
    stage = Stage()
    stage.send(pictures(0, 3))
    player = Player(stage, from_cache=False)
    assert player.first == {}
    stage.send([picture(3), sound(3), *pictures(4, 2)])
    assert player.pictures == [4, 5]
    assert player.ways[1].packets == []


def test_what_is_cached_comes_at_four_times_real_time_at_most() -> None:
    stage = Stage()
    stage.send(pictures(0, 26))
    player = Player(stage)
    assert player.pictures == [0]
    stage.loop.advance(0.1)
    assert 5 < len(player.pictures) <= 1 + 0.1 * 25 * REPLAY_SPEED
    stage.loop.advance(0.2)
    assert player.pictures == list(range(26))
    assert stage.loop.timers == []
    stage.send([picture(26)])
    assert player.pictures[-1] == 26
    assert going_on(player.numbers)


def test_what_comes_meanwhile_comes_in_order() -> None:
    stage = Stage()
    stage.send(pictures(0, 26))
    player = Player(stage)
    for number in range(26, 40):
        stage.send([picture(number)])
        stage.loop.advance(0.04)
    assert player.pictures == list(range(40))
    assert going_on(player.numbers)
    assert stage.fanout.players == 1


def test_a_new_random_access_point_leaves_no_hole_for_who_is_on_the_way() -> None:
    stage = Stage()
    stage.send(pictures(0, 26))
    player = Player(stage)
    stage.send(pictures(26, 10))
    later = Player(stage)
    stage.loop.advance(1.0)
    assert player.pictures == list(range(36))
    assert going_on(player.numbers)
    assert later.pictures == list(range(26, 36))


def test_one_timer_serves_all_who_join() -> None:
    stage = Stage()
    stage.send(pictures(0, 26))
    players = [Player(stage) for _ in range(5)]
    assert len(stage.loop.timers) == 1
    stage.loop.advance(1.0)
    assert {len(player.pictures) for player in players} == {26}


def test_more_who_join_than_are_served_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtp_players, "MAX_REPLAYING", 1)
    stage = Stage()
    stage.send(pictures(0, 26))
    Player(stage)
    late = Player(stage)
    assert late.first == {}
    stage.send(pictures(26, 1))
    assert late.pictures == [26]


def test_the_first_packets_are_those_that_a_player_gets() -> None:
    stage = Stage()
    stage.send([*pictures(0, 3), sound(2, seq=3), picture(3)])
    player = Player(stage)
    stage.loop.advance(1.0)
    for index in (0, 1):
        packet = player.ways[index].packets[0]
        assert player.first[index] == (packet.sequence_number, packet.timestamp)


def test_a_player_of_one_track_gets_that_one() -> None:
    stage = Stage()
    stage.send([*pictures(0, 3), sound(2, seq=3)])
    player = Player(stage, tracks=(1,))
    stage.loop.advance(1.0)
    stage.send([picture(4), sound(4, seq=5)])
    assert len(player.ways[1].packets) == 2
    assert player.first.keys() == {1}


def test_sound_alone_begins_with_the_newest_frame() -> None:
    stage = Stage(SOUND)
    stage.send([sound(number) for number in range(10)])
    player = Player(stage, tracks=(0,))
    assert [packet.payload[-1] for packet in player.ways[0].packets] == [9]
    stage.send([sound(10)])
    assert [packet.payload[-1] for packet in player.ways[0].packets] == [9, 10]


def test_a_cache_over_its_bound_costs_packets_and_nothing_else() -> None:
    stage = Stage(gop_max_bytes=50_000)
    stage.send(pictures(0, 10))
    player = Player(stage)
    stage.send([picture(number) for number in range(10, 20)])
    stage.loop.advance(1.0)
    assert player.pictures[0] == 0
    assert player.pictures[-1] == 19
    assert stage.fanout.counters.cache_overflows > 0
    assert Player(stage).first == {}


def test_without_a_cache_everyone_waits() -> None:
    stage = Stage(gop_num=0)
    stage.send(pictures(0, 10))
    player = Player(stage)
    assert (player.first, player.pictures) == ({}, [])


def test_bytes_are_counted_by_player_and_in_all() -> None:
    stage = Stage()
    stage.send(pictures(0, 3))
    both, one = Player(stage), Player(stage, tracks=(1,))
    stage.loop.advance(1.0)
    stage.send([picture(3), sound(3, seq=4)])
    got = [sum(len(packet.serialize()) for packet in way.packets) + sum(map(len, way.rtcp)) for way in both.ways.values()]
    assert both.sent_bytes == sum(got)
    assert stage.fanout.counters.sent_bytes == both.sent_bytes + one.sent_bytes
    before = both.sent_bytes
    stage.fanout.remove(both.feed)
    stage.send([picture(4)])
    assert both.sent_bytes == before


def test_other_tracks_close_the_players_with_a_reason() -> None:
    stage = Stage()
    player = Player(stage)
    stage.send(pictures(0, 2))
    stage.send([picture(2)], TrackSet((H264,), 2))
    assert (player.closed, stage.fanout.players) == (OTHER_CONFIGURATION, 0)
    assert player.pictures == [0, 1]


def test_a_player_that_cannot_be_closed_keeps_no_other() -> None:
    def failing_by_a_bug(_reason: str) -> NoReturn:
        raise IndexError("a bug")

    stage = Stage()
    stage.send(pictures(0, 2))
    broken, other = Player(stage), Player(stage)
    broken.feed.close = failing_by_a_bug
    stage.fanout.dismiss("over")
    assert (other.closed, stage.fanout.players) == ("over", 0)


def test_new_parameter_sets_close_nobody() -> None:
    stage = Stage()
    player = Player(stage)
    stage.send(pictures(0, 2))
    other = H264.configuration.replace(bytes.fromhex("68efbcb0"), bytes.fromhex("68efbcb1"))
    stage.send([picture(2, key=True)], BOTH.with_latest(replace(H264, configuration=other)))
    assert (player.closed, player.pictures) == ("", [0, 1, 2])


def test_the_end_is_said_and_closes_the_players() -> None:
    stage = Stage()
    player = Player(stage)
    stage.send([*pictures(0, 1), sound(0)])
    stage.fanout.end("it is over")
    assert player.closed == "it is over"
    assert all(isinstance(parse_compound(way.rtcp[-1]).packets[-1], Goodbye) for way in player.ways.values())


def test_a_fan_out_that_nobody_plays_keeps_no_timer() -> None:
    stage = Stage()
    stage.send(pictures(0, 26))
    player = Player(stage)
    stage.fanout.remove(player.feed)
    stage.fanout.close()
    assert stage.loop.timers == []
