"""What waits for a target elsewhere: from the newest key frame on, in order, and after a lag from the next one."""

from __future__ import annotations

import asyncio

from support.virtual_time import in_virtual_time

from lalmesh.media import AccessUnit, Codec, Track, TrackSet
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.ring import Run
from services.edge.fanout import FanOutSettings
from services.edge.push_fanout import LOOK_S, PushFanOut

VIDEO = TrackSet((Track(track_id=1, codec=Codec.H264, configuration=b""),), 1)
GOP = 10  #: units
UNIT_US = 40_000


def run(first: int, count: int, *, size: int = 100) -> Run:
    units = []
    for seq in range(first, first + count):
        unit = AccessUnit(1, seq * 3600, 0, seq % GOP == 0, bytes(size))
        unit.seq, unit.wall_us = seq, seq * UNIT_US
        units.append(unit)
    return Run(Epoch(1, 1), b"p" * 16, VIDEO, units)


def fanout(queue_bytes: int = 1 << 20) -> PushFanOut:
    return PushFanOut(FanOutSettings(player_queue_bytes=queue_bytes), lambda tracks: tracks.tracks[1:])


def numbers(given: Run | None) -> list[int]:
    return [unit.seq for unit in given.units] if given is not None else []


def test_a_target_begins_at_the_newest_key_frame() -> None:
    one = fanout()
    one.feed(run(0, 25))
    assert numbers(one.read()) == list(range(20, 25))
    one.feed(run(25, 3))
    assert numbers(one.read()) == [25, 26, 27]
    assert one.read() is None
    assert one.counters.skips == 0


def test_what_comes_while_it_is_dialled_is_passed_over_for_a_newer_key_frame() -> None:
    one = fanout()
    one.feed(run(0, 5))
    one.feed(run(5, 30))
    assert numbers(one.read()) == list(range(30, 35))


def test_a_target_that_lags_goes_on_at_a_key_frame_and_that_is_counted() -> None:
    one = fanout(queue_bytes=2000)
    one.feed(run(0, 5))
    assert numbers(one.read()) == [0, 1, 2, 3, 4]
    for first in range(5, 105, 10):
        one.feed(run(first, 10))
    rest = numbers(one.read())
    assert rest[0] % GOP == 0
    assert rest[-1] == 104
    assert len(rest) <= 20
    assert one.counters.skips == 1


def test_what_is_left_out_is_known_from_the_first_unit_on() -> None:
    one = fanout()
    more = TrackSet((*VIDEO.tracks, Track(track_id=2, codec=Codec.MP2, configuration=b"")), 2)
    given = run(0, 1)
    given.tracks = more
    one.feed(given)
    assert one.left_out == more.tracks[1:]


@in_virtual_time
async def test_who_waits_wakes_for_units_for_the_end_and_from_time_to_time() -> None:
    one, loop = fanout(), asyncio.get_running_loop()
    began = loop.time()
    await one.wait()
    assert loop.time() - began == LOOK_S
    loop.call_later(0.1, one.feed, run(0, 1))
    await one.wait()
    assert numbers(one.read()) == [0]
    loop.call_later(0.1, one.end, "the stream is over")
    await one.wait()
    assert (one.ended, round(loop.time() - began - LOOK_S, 3)) == ("the stream is over", 0.2)


def test_it_is_no_player() -> None:
    one = fanout()
    assert one.players == 0
    one.close()
    assert one.ended
