"""What a chaos scenario says of gaps: each player is looked at until it plays on, and each has a bound."""

from __future__ import annotations

import time

from e2e.chaos.stage import CALM_S, HLS_MORE_S, Report
from support.clip import Got, GotSegment
from support.recorder import HlsRecorder, Recorder, TagRecorder

from lalmesh.media import TICKS_PER_SECOND, Kind

LATER_S = 3600.0  #: of units that are there already when they are waited for


def standing_for(gap_s: float, player: Recorder | None = None) -> Recorder:
    """A player that had something so long ago, and gets more when it is waited for."""
    player = player or TagRecorder("p", "rtmp://here/live/a")
    now = time.monotonic()
    player.got = [Got(at_s, Kind.AUDIO, b"", 0, random_access=True) for at_s in (now - gap_s, now + LATER_S)]
    return player


def standing_hls(gap_s: float) -> Recorder:
    player = HlsRecorder("h", "http://here/hls/live/a.m3u8")
    player.segments.append(GotSegment(time.monotonic() - gap_s - 1.0, 0, TICKS_PER_SECOND))
    return standing_for(gap_s, player)


async def test_a_gap_over_the_bound_is_a_fault_of_the_player_that_has_it() -> None:
    report = Report("test", bound_s=2.0)
    await report.take_gaps([standing_for(1.5), standing_for(2.5)], time.monotonic() - 5.0)
    assert len(report.gaps_s) == 2
    (fault,) = report.faults
    assert fault.startswith("p stood still for 2.5")


async def test_a_player_to_which_nothing_is_done_has_a_bound_of_its_own_and_is_not_in_the_median() -> None:
    report = Report("test", bound_s=5.0)
    await report.take_gaps([], time.monotonic() - 5.0, calm=[standing_for(CALM_S - 0.5), standing_for(CALM_S + 0.5)])
    assert (report.gaps_s, len(report.calm_gaps_s), len(report.faults)) == ([], 2, 1)
    assert report.worst_s > CALM_S


async def test_a_player_of_hls_has_a_bound_too() -> None:
    report = Report("test", bound_s=2.0)
    late_s = 2.0 + HLS_MORE_S
    await report.take_gaps([standing_hls(late_s - 0.1), standing_hls(late_s + 0.1)], time.monotonic() - 5.0)
    assert (report.gaps_s, len(report.hls_gaps_s), len(report.faults)) == ([], 2, 1)


async def test_without_a_bound_a_gap_is_only_told() -> None:
    report = Report("test", bound_s=0.0)
    await report.take_gaps([standing_for(9.0), standing_hls(9.0)], time.monotonic() - 10.0)
    assert report.faults == []


async def test_a_player_that_gets_nothing_more_is_a_fault() -> None:
    report, player = Report("test"), standing_for(0.0)
    del player.got[1:]
    await report.check_playing([player], limit_s=0.0)
    player.ended = "closed by the server"
    await report.check_playing([player])
    assert report.faults == ["p plays no more: not all kinds of units in 0 s", "p plays no more: closed by the server"]


async def test_a_player_that_gets_only_one_of_its_kinds_does_not_play_on() -> None:
    player = standing_for(0.0)
    player.got.insert(0, Got(0.0, Kind.VIDEO, b"", 0, random_access=True))
    assert not await player.plays_on(time.monotonic(), 0.0)
    assert not await TagRecorder("p", "rtmp://here/live/a").plays_on(0.0, 0.0)
