from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.protocol.rtp import SenderReport, Timeline, TrackClock, unix_us_to_ntp
from lalmesh.protocol.rtp._timeline import SEAM_TICKS

MS = 1000
START = 11 * 90_000


def report(wall_ms: int, rtp_timestamp: int) -> SenderReport:
    ntp = unix_us_to_ntp(1_700_000_000_000_000 + wall_ms * MS)
    return SenderReport(ssrc=1, ntp_timestamp=ntp, rtp_timestamp=rtp_timestamp & 0xFFFFFFFF, packet_count=0, octet_count=0)


def clocks() -> tuple[TrackClock, TrackClock]:
    """Video that leads, at 90 kHz, and sound at 48 kHz."""
    timeline = Timeline()
    sound = timeline.add(48_000)
    return timeline.add(90_000, leads=True), sound


def align(video: TrackClock, sound: TrackClock) -> None:
    """Reports that put the timestamps 0 of both tracks beside each other."""
    video.report(report(0, 0))
    sound.report(report(0, 0))


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
    sound.ticks(0, 50 * MS)  # came early, though it belongs 100 ms behind the picture
    video.report(report(1_000, 90_000))
    assert sound.ticks(480, 50 * MS) == START + 50 * 90 + 900
    sound.report(report(1_000, 900 * 48))
    assert sound.ticks(960, 60 * MS) == START + 100 * 90 + 1800
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


def test_a_shift_back_is_taken_in_parts_of_at_most_half_a_distance() -> None:
    video, sound = clocks()
    video.ticks(0, 0)
    sound.ticks(0, 30 * MS)  # belongs beside the picture
    align(video, sound)
    assert [(sound.ticks(960 * at, 0) - START) // 90 for at in range(1, 6)] == [40, 50, 60, 80, 100]
    assert [(sound.ticks(960 * at, 0) - START) // 90 for at in range(6, 8)] == [120, 140]


def test_a_shift_forward_ends_one_back_that_is_under_way() -> None:
    video, sound = clocks()
    video.ticks(0, 0)
    sound.ticks(0, 90 * MS)
    align(video, sound)
    assert sound.ticks(960, 0) == START + 100 * 90  # 80 ms later than it belongs
    sound.report(report(0, -70 * 48))  # it belongs 70 ms later than had been said
    video.report(report(0, 0))
    assert sound.ticks(1920, 0) == START + 110 * 90  # 110 ms is its place now, for 10 ms were taken back again
    assert sound.ticks(2880, 0) == START + 130 * 90


def test_what_has_been_put_right_is_left_alone_where_nobody_hears_the_difference() -> None:
    video, sound = clocks()
    video.ticks(0, 0)
    sound.ticks(0, 15 * MS)
    align(video, sound)
    assert [sound.ticks(48 * at, 0) - START for at in (100, 120)] == [100 * 90, 120 * 90]
    sound.report(report(0, -19 * 48))
    assert sound.ticks(48 * 140, 0) == START + 140 * 90
    sound.report(report(0, -21 * 48))
    assert sound.ticks(48 * 160, 0) == START + 181 * 90


def test_after_a_restart_of_what_leads_reports_are_exact_again() -> None:
    video, sound = clocks()
    video.ticks(0, 0)
    sound.ticks(0, 15 * MS)
    align(video, sound)
    video.restart()
    assert video.ticks(0, 1_000 * MS) == START + 90_000
    video.report(report(990, 0))
    assert sound.ticks(48 * 1_200, 0) == START + 1_210 * 90


def test_tracks_follow_what_leads_and_not_each_other() -> None:
    timeline = Timeline()
    video, sound, other = timeline.add(90_000, leads=True), timeline.add(48_000), timeline.add(48_000)
    for at, clock in enumerate((video, sound, other)):
        clock.ticks(0, 5 * at * MS)
    for clock in (other, sound):
        clock.report(report(0, 0))
    assert [clock.ticks(48_000, 0) - START for clock in (sound, other)] == [90_000 + 450, 90_000 + 900]
    video.report(report(0, 0))
    assert [clock.ticks(96_000, 0) - START for clock in (sound, other)] == [180_000, 180_000]


def test_a_track_whose_other_never_reports_stays_as_it_arrived() -> None:
    for reporting in (0, 1):
        both = clocks()
        both[0].ticks(0, 0)
        both[1].ticks(0, 15 * MS)
        both[reporting].report(report(5_000, 7))
        assert both[1].ticks(960, 0) == START + 35 * 90


def test_a_track_that_began_again_is_put_back_without_falling() -> None:
    video, sound = clocks()
    video.ticks(0, 0)
    sound.ticks(0, 0)
    align(video, sound)
    sound.restart()
    sound.report(report(0, 0))  # comes before the first packet of the new source
    assert sound.ticks(0, 100 * MS) == START + 50 * 90  # belongs at 0
    assert [(sound.ticks(1_920 * at, 0) - START) // 90 for at in (1, 2, 3, 4)] == [70, 90, 120, 160]


class Camera:
    """Pictures and sound in step, with reports every second, of a sender whose wall clock may be set. 20 ms a packet."""

    def __init__(self, tracks: int = 2) -> None:
        timeline = Timeline()
        self.clocks = [timeline.add(90_000, leads=True), *(timeline.add(48_000) for _ in range(tracks - 1))]
        self.at_ms = 0
        self.apart: set[int] = set()  # ticks of sound less ticks of the picture, of each packet

    def send(self, ms: int) -> None:
        for _ in range(ms // 20):
            shown, *heard = [clock.ticks(self.rtp(number), self.at_ms * MS) for number, clock in enumerate(self.clocks)]
            self.apart |= {ticks - shown for ticks in heard}
            self.at_ms += 20

    def rtp(self, number: int) -> int:
        return self.at_ms * (48 if number else 90)

    def report(self, number: int, step_ms: int) -> None:
        self.clocks[number].report(report(self.at_ms + step_ms, self.rtp(number)))


@pytest.mark.parametrize("step_ms", [3_000, -3_000, 25, -9_000, 60_000])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0, 1), (1, 1, 0)])
def test_a_wall_clock_that_is_set_shifts_nothing(order: tuple[int, ...], step_ms: int) -> None:
    camera = Camera()
    for stepped in (0, step_ms, step_ms, 0, 0):
        for number in order:
            camera.report(number, stepped)
            camera.send(400)
    assert camera.apart == {0}


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_wall_clock_that_is_set_shifts_none_of_three_tracks(order: tuple[int, ...]) -> None:
    camera = Camera(3)
    for stepped in (0, 3_000, 3_000, 1_000):
        for number in order:
            camera.report(number, stepped)
            camera.send(400)
    assert camera.apart == {0}


@pytest.mark.parametrize("moved", [0, 1])
def test_a_track_that_is_put_right_alone_waits_for_a_report_of_the_other(moved: int) -> None:
    camera = Camera()
    for number in (0, 1):
        camera.report(number, 0)
    camera.send(400)
    camera.report(moved, 500 if moved else -500)
    camera.send(400)
    camera.report(moved, 500 if moved else -500)
    camera.send(400)
    assert camera.apart == {0}
    camera.report(1 - moved, 0)
    camera.send(20)
    assert camera.apart == {0, 500 * 90}


def test_a_report_that_was_wrong_once_shifts_nothing() -> None:
    camera = Camera()
    for stepped in (0, 0, 4_000, 0):
        camera.report(0, stepped)
        camera.send(400)
        if not stepped:
            camera.report(1, 0)
    assert camera.apart == {0}


def test_reports_that_move_both_tracks_differently_are_taken_together() -> None:
    camera = Camera()
    for number, stepped in ((0, 0), (1, 0), (0, 3_000), (1, 3_100)):
        camera.report(number, stepped)
    camera.send(20)
    assert camera.apart == {100 * 90}


def test_a_track_that_begins_again_is_beside_one_whose_clock_was_set() -> None:
    camera = Camera()
    for number in (0, 1):
        camera.report(number, 0)
    camera.send(400)
    camera.report(0, 3_000)
    camera.clocks[1].restart()
    camera.report(1, 3_000)  # before the first packet of the new source
    camera.send(400)
    assert camera.apart == {0}


def test_a_report_that_comes_before_the_jump_it_speaks_of_shifts_no_sound() -> None:
    # RTCP of a connection is taken before the packets that were read along with it
    camera = Camera()
    for number in (0, 1):
        camera.report(number, 0)
    camera.send(400)
    video, sound = camera.clocks
    video.report(report(camera.at_ms, camera.rtp(0) - 4_000 * 90))
    camera.send(200)
    for at in range(3):
        now_us = (camera.at_ms + 20 * at) * MS
        shown, heard = video.ticks(camera.rtp(0) - 3_980 * 90 + 1_800 * at, now_us), sound.ticks(camera.rtp(1) + 960 * at, now_us)
        assert abs(heard - shown) <= SEAM_TICKS
    assert camera.apart == {0}


@given(
    st.lists(st.tuples(st.integers(2, 4_000), st.none() | st.tuples(st.booleans(), st.integers(-12_000, 12_000))), max_size=60),
    st.integers(0, 500),
)
def test_sound_rises_whatever_reports_say_of_it(steps: list[tuple[int, tuple[bool, int] | None]], late_ms: int) -> None:
    """Late, wrong and contradicting reports of either track; two samples at 48 kHz are the least distance."""
    video, sound = clocks()
    video.ticks(0, 0)
    given_at, at = [sound.ticks(0, late_ms * MS)], 0
    for step, told in steps:
        if told is not None:
            clock, wall_ms = (video, sound)[told[0]], told[1]
            clock.report(report(wall_ms, at * (90 if told[0] else 48) // 48))
        at += step
        given_at.append(sound.ticks(at, 0))
    assert all(one < two for one, two in pairwise(given_at))


@given(st.lists(st.integers(-30, 300), max_size=40), st.integers(0, 40), st.integers(0, 40), st.integers(-200, 200))
def test_right_reports_give_right_times_whatever_the_jitter_and_whenever_they_come(
    jitter_ms: list[int], video_report_at: int, sound_report_at: int, sound_late_ms: int
) -> None:
    """Both tracks send 20 ms a packet; 200 ms are taken back in twenty of them."""
    video, sound = clocks()
    for at in range(80):
        now_us = (400 + 20 * at + (jitter_ms[at] if at < len(jitter_ms) else 0)) * MS
        if at == video_report_at:
            video.report(report(20 * at, 1_800 * at))
        if at == sound_report_at:
            sound.report(report(20 * at + sound_late_ms, 960 * at))
        shown, heard = video.ticks(1_800 * at, now_us), sound.ticks(960 * at, now_us + sound_late_ms // 2 * MS)
    assert heard - shown == sound_late_ms * 90


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


@pytest.mark.parametrize("ppm", [-50, 50])
@pytest.mark.parametrize("hours", [12, 72])
@pytest.mark.parametrize("reports", [False, True])
@pytest.mark.parametrize("again", [0, 1])
def test_a_track_that_begins_anew_is_beside_the_other_however_long_its_clock_has_drifted(
    again: int, reports: bool, hours: int, ppm: int
) -> None:
    timeline = Timeline()
    both = timeline.add(90_000, leads=True), timeline.add(48_000)

    def send(now_s: int) -> int:
        """By how much sound is later than the picture."""
        media_ms = now_s * 1_000 * (1_000_000 + ppm) // 1_000_000
        shown, heard = [
            clock.ticks(media_ms * rate & 0xFFFFFFFF, now_s * 10**6) for clock, rate in zip(both, (90, 48), strict=True)
        ]
        for clock, rate in zip(both, (90, 48), strict=True):
            if reports and not now_s % 60:
                clock.report(report(now_s * 1_000, media_ms * rate))
        return heard - shown

    for now_s in range(0, hours * 3_600, 60):
        assert abs(send(now_s)) <= 4
    both[again].restart()
    assert all(abs(send(hours * 3_600 + at)) < 50 * 90 for at in range(120))
    assert timeline.ignored_reports == 0


def test_a_track_that_begins_late_is_beside_the_one_that_runs() -> None:
    video, sound = clocks()
    for at in range(0, 3_600, 5):
        video.ticks(at * 90_000, at * 1_000_100)  # 100 ppm slow
    late = 3_595 * 1_000_100 + 20 * MS
    assert sound.ticks(77, late) == START + 3_595 * 90_000 + 20 * 90


def test_what_a_server_sends_at_once_does_not_put_sound_behind_it() -> None:
    video, sound = clocks()
    for at in range(8):
        video.ticks(at * 90_000, 0)  # out of its cache
    assert sound.ticks(0, 20 * MS) == START + 20 * 90


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
