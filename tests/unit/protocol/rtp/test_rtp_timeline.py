import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.protocol.rtp import SenderReport, Timeline, TrackClock, unix_us_to_ntp

MS = 1000
START = 90_000


def report(wall_ms: int, rtp_timestamp: int) -> SenderReport:
    ntp = unix_us_to_ntp(1_700_000_000_000_000 + wall_ms * MS)
    return SenderReport(ssrc=1, ntp_timestamp=ntp, rtp_timestamp=rtp_timestamp & 0xFFFFFFFF, packet_count=0, octet_count=0)


def clocks() -> tuple[TrackClock, TrackClock]:
    """Video that leads, at 90 kHz, and sound at 48 kHz."""
    timeline = Timeline()
    sound = timeline.add(48_000)
    return timeline.add(90_000, leads=True), sound


@given(st.integers(0, 0xFFFFFFFF), st.lists(st.integers(-90_000, 900_000), max_size=20))
def test_pictures_keep_their_distances_exactly_over_wraps(first: int, steps: list[int]) -> None:
    video, _ = clocks()
    assert video.ticks(first, 0) == START
    at = first
    for step in steps:
        at += step
        assert video.ticks(at & 0xFFFFFFFF, 0) == START + at - first


def test_other_rates_are_nearest_ticks() -> None:
    sound = Timeline().add(44_100)
    assert [sound.ticks(7 + 1024 * index, 0) - START for index in range(4)] == [0, 2090, 4180, 6269]


def test_tracks_are_placed_by_arrival_without_reports() -> None:
    video, sound = clocks()
    assert video.ticks(1_000_000, 5_000 * MS) == START
    assert sound.ticks(77, 5_250 * MS) == START + 250 * 90


def test_reports_put_tracks_where_their_sender_has_them() -> None:
    video, sound = clocks()
    video.ticks(0, 0)
    sound.ticks(0, 250 * MS)  # came late, though it belongs 100 ms behind the picture
    video.report(report(1_000, 90_000))
    assert sound.ticks(480, 250 * MS) == START + 250 * 90 + 900
    sound.report(report(1_000, 900 * 48))
    assert sound.ticks(960, 260 * MS) == START + 100 * 90 + 1800
    assert video.ticks(3600, 300 * MS) == START + 3600


def test_reports_before_the_first_packet_count() -> None:
    video, sound = clocks()
    video.report(report(0, 123))
    sound.report(report(40, 456))
    assert video.ticks(123, 0) == START
    assert sound.ticks(456, 500 * MS) == START + 40 * 90


def test_what_leads_may_begin_last() -> None:
    video, sound = clocks()
    sound.report(report(40, 456))
    video.report(report(0, 123))
    assert sound.ticks(456, 0) == START
    assert video.ticks(123, 300 * MS) == START - 40 * 90
    assert sound.ticks(456 + 480, 0) == START + 900


def test_a_difference_that_nobody_hears_is_left_alone() -> None:
    video, sound = clocks()
    video.ticks(0, 0)
    sound.ticks(0, 15 * MS)
    video.report(report(0, 0))
    sound.report(report(0, 0))
    assert sound.ticks(0, 0) == START + 15 * 90


def test_wall_clocks_that_have_nothing_to_do_with_each_other_are_ignored() -> None:
    timeline = Timeline()
    video, sound = timeline.add(90_000, leads=True), timeline.add(48_000)
    video.ticks(0, 0)
    sound.ticks(0, 0)
    video.report(report(0, 0))
    sound.report(report(60_000, 0))
    assert sound.ticks(0, 0) == START
    assert timeline.ignored_reports == 1


def test_a_sender_without_a_wall_clock_says_nothing() -> None:
    video, sound = clocks()
    video.ticks(0, 0)
    sound.ticks(0, 100 * MS)
    for clock in (video, sound):
        clock.report(SenderReport(ssrc=1, ntp_timestamp=0, rtp_timestamp=0, packet_count=0, octet_count=0))
    assert sound.ticks(0, 0) == START + 100 * 90


def test_a_new_source_goes_on_at_its_arrival() -> None:
    video, _ = clocks()
    video.ticks(1_000, 0)
    video.restart()
    assert video.ticks(0x80000000, 2_000 * MS) == START + 180_000


@pytest.mark.parametrize("timestamp", [500_000_000, 0xF0000000, 900_000])
def test_a_sender_that_begins_anew_goes_on_at_its_arrival(timestamp: int) -> None:
    video, _ = clocks()
    video.ticks(1_000_000, 0)
    assert video.ticks(1_090_000, 1_000 * MS) == START + 90_000
    assert video.ticks(timestamp, 1_500 * MS) == START + 135_000
    assert video.ticks(timestamp + 3_600, 1_540 * MS) == START + 138_600
    assert video.jumps == 1


def test_what_began_anew_is_later_than_all_before() -> None:
    video, _ = clocks()
    video.ticks(0, 0)
    video.ticks(900_000, 0)  # ten seconds at once, out of the cache of a server
    assert video.ticks(500_000, 100 * MS) == START + 900_000 + 3_600


def test_a_long_silence_is_no_jump() -> None:
    video, _ = clocks()
    video.ticks(0, 0)
    assert video.ticks(60 * 90_000, 60_500 * MS) == START + 60 * 90_000
    assert video.ticks(60 * 90_000 + 3_600, 120_000 * MS) == START + 60 * 90_000 + 3_600  # TCP that was stuck
    assert video.jumps == 0
