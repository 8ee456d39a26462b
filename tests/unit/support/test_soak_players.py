"""What the endurance run makes of what its players got, and when its crowd comes."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import socket
import struct
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from e2e.soak import crowd, encoders, runner
from e2e.soak.comers import ALWAYS, DROPPED, RENAMED_BY, UNDROPPED, WAYS, judge, judge_datagrams, judge_so_far, published_at
from e2e.soak.datagrams import SO_MEMINFO, DatagramRecorder, between_sockets, dropped_by
from e2e.soak.encoders import Film
from e2e.soak.run import Run
from support.clip import Clip, Got, digest
from support.flv_captures import FOLDER
from support.recorder import Recorder, recorder
from support.virtual_time import in_virtual_time
from support.wire import file_of_tags

from lalmesh.container.flv import TAG_AUDIO, Tag
from lalmesh.media import TICKS_PER_MS, AccessUnit, Codec, Kind

FRAMES, STEP_MS = 40, 23
URL = "http://here/always/on.flv"


def payload(number: int) -> bytes:
    return bytes((number, 1, 2, 3))


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Sound of which no unit comes twice."""
    head = Tag(TAG_AUDIO, 0, bytes.fromhex("af001210"))
    tags = [Tag(TAG_AUDIO, number * STEP_MS, b"\xaf\x01" + payload(number)) for number in range(FRAMES)]
    made = Film.__new__(Film)
    made.clip = Clip(file_of_tags([head, *tags], tmp_path / "sound.flv"))
    return made


@pytest.fixture
def run() -> Run:
    return Run(cast(Any, None), cast(Any, None), runner.SHORT.pace, random.Random(1))


def got(first: int, count: int) -> list[Got]:
    """What a faultless player gets."""
    names = [digest(AccessUnit(2, 0, 0, True, payload(number % FRAMES)), Codec.AAC) for number in range(first, first + count)]
    times_ms = [number * STEP_MS for number in range(first, first + count)]
    return [Got(ms / 1000, Kind.AUDIO, name, ms * TICKS_PER_MS, True) for ms, name in zip(times_ms, names, strict=True)]


def just_now(units: list[Got]) -> list[Got]:
    """They have come now."""
    return [dataclasses.replace(one, at_s=time.monotonic()) for one in units]


def by_udp(units: list[Got]) -> DatagramRecorder:
    player = DatagramRecorder("udp", "rtsp://here/datagrams/1")
    player.got = units
    return player


class Stays(Recorder):
    """A player that is given units by the test."""

    async def _play(self) -> None:
        await asyncio.Event().wait()


# streams by RTSP


def test_of_the_renamed_streams_some_are_published_by_each_way_for_each_kind_of_player() -> None:
    for way in WAYS:
        assert {kind for by, kind in RENAMED_BY if by == way} == set(ALWAYS)
    node: Any = SimpleNamespace(rtmp_url=lambda stream: f"rtmp://{stream}", rtsp_url=lambda stream: f"rtsp://{stream}")
    assert {published_at(node, way, "a/b") for way in WAYS} == {"rtmp://a/b", "rtsp://a/b"}


def test_no_film_has_pictures_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "media", lambda _: FOLDER / "h264-aac-bframes.flv")
    with pytest.raises(AssertionError, match="another order"):
        Film("any")


# players by UDP


def test_a_unit_that_is_missing_though_nothing_was_dropped_is_a_fault(run: Run, film: Film) -> None:
    judge_datagrams(run, by_udp([*got(0, 9), *got(10, 9)]), film, 0, has_last=True)
    assert "not the next" in run.faults[0]
    judge_datagrams(run, by_udp(got(0, 9)), film, 0, has_last=False)
    assert "the last units did not come" in run.faults[-1]
    assert run.done[UNDROPPED] == run.done["players"] == 2


def test_units_may_be_missing_where_something_was_dropped_but_not_all_and_nobody_is_closed(run: Run, film: Film) -> None:
    judge_datagrams(run, by_udp([*got(0, 9), *got(10, 9)]), film, 1, has_last=False)
    assert (run.faults, run.done[DROPPED], run.units) == ([], 1, 0)
    player = by_udp([])
    player.ended = "closed by the server"
    judge_datagrams(run, player, film, 1, has_last=False)
    assert [fault.partition(" s: ")[2] for fault in run.faults] == ["udp: nothing came", "udp: closed: closed by the server"]


def test_sound_may_go_back_bit_by_bit_by_udp_and_step_once_among_the_messages(run: Run, film: Film) -> None:
    units = got(0, 20)
    late = [dataclasses.replace(one, dts=one.dts + max(0, 900 - 450 * number)) for number, one in enumerate(units)]
    judge_datagrams(run, by_udp(late), film, 0, has_last=True)
    assert run.faults == []
    player = recorder("tcp", "rtsp://here/a/b")
    player.got = late
    judge(run, player, [film])
    assert [": time is " in fault for fault in run.faults] == [True]


def test_what_a_socket_had_no_room_for_is_the_last_number_that_the_kernel_tells() -> None:
    asked: list[tuple[int, int, int]] = []

    def getsockopt(*option: int) -> bytes:
        asked.append(cast(Any, option))
        return struct.pack("=9I", 6912, 8192, 0, 212_992, 1280, 0, 0, 0, 47)

    assert dropped_by(cast(Any, SimpleNamespace(fileno=lambda: 3, getsockopt=getsockopt))) == 47
    assert asked == [(socket.SOL_SOCKET, SO_MEMINFO, 36)]
    assert dropped_by(cast(Any, SimpleNamespace(fileno=lambda: -1))) == 0


def test_what_was_dropped_between_sockets_is_summed_over_processors() -> None:
    assert between_sockets("007ce4a3 00000010 00000008\n007e7300 00000001 0000000b\n") == 17


# the crowd, and who looks at all of it


def test_a_unit_that_is_missing_between_two_looks_is_found_though_what_was_before_is_forgotten(run: Run, film: Film) -> None:
    player = Stays("p", URL)
    player.got = just_now(got(0, 30))
    judge_so_far(run, player, film)
    assert len(player.got) == 1
    player.got += just_now(got(30, 30))
    judge_so_far(run, player, film)
    assert (run.faults, len(player.got)) == ([], 1)
    player.got += just_now(got(61, 9))
    judge_so_far(run, player, film)
    assert "not the next" in run.faults[0]
    judge(run, player, [film])
    assert (run.units, run.done["players"]) == (69, 1)


@in_virtual_time
async def test_a_player_that_stays_is_looked_at_again_and_again_and_at_the_end() -> None:
    looks = list[str]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(crowd, "judge_so_far", lambda *_: looks.append("so far"))
        patched.setattr(crowd, "judge", lambda *_, **__: looks.append("at the end"))
        async with crowd.watched(cast(Any, None), Stays("p", URL), cast(Any, None)):
            await asyncio.sleep(2.5 * crowd.JUDGED_S)
    assert looks == ["so far", "so far", "at the end"]


@in_virtual_time
async def test_the_crowd_comes_when_as_many_visitors_leave_as_come() -> None:
    loop = asyncio.get_running_loop()
    begun_s, came_s = loop.time(), list[float]()

    class Players:
        players, busy_percent = 0, 0.0

        async def grow(self, load_percent: float) -> None:
            came_s.append(loop.time() - begun_s)

    pace = dataclasses.replace(runner.SHORT.pace, stay_s=40.0)
    plan = dataclasses.replace(runner.SHORT, main_s=7200.0, load_percent=60.0, pace=pace)
    await runner._fill(cast(Any, Players()), plan)
    await runner._fill(cast(Any, Players()), dataclasses.replace(plan, main_s=60.0))
    assert came_s == [40.0, 55.0]
