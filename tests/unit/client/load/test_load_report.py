"""Plans that can be, lateness, and what is said of a run."""

import json
import resource
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.client import InvalidUrl
from lalmesh.client.load import NotPossible, Plan, Report, Spread, as_text, made_media, raise_file_limit
from lalmesh.client.load._delay import DelayReport, DelayRow, delay_as_text, row_faults
from lalmesh.client.load._matching import MAX_NOTED_UNITS
from lalmesh.client.load._pacing import BUCKET_S, Lateness
from lalmesh.client.load._plan import SPARE_FILES, is_playlist, url_of
from lalmesh.client.load._report import LATE_MS, Client, Looks, Players, Publishers, count_reasons
from services.standalone.load_cli import bits

LOOKS = Looks(players=1, units=100, missing=0, doubled=0, disordered=0, gaps=None, foreign=0, delay_ms=Spread(90, 1.0, 2.0, 3.0))
PLAYERS = Players(
    url="http://h/live/{}.flv",
    wanted=10,
    joined=10,
    refused={},
    lost={},
    faults={},
    join_ms=Spread(10, 5.0, 9.0, 9.0),
    bitrate_bps=26_000_000,
    mean_bps=2_600_000,
    lowest_bps=900_000,
    stalls=0,
    stalled=0,
    longest_pause_ms=40.0,
    looks=LOOKS,
)
PUBLISHERS = Publishers(
    url="rtmp://h/live/{}",
    wanted=2,
    published=2,
    refused={},
    lost={},
    bitrate_bps=5_200_000,
    mean_bps=2_600_000,
    lowest_bps=2_600_000,
    late_ms=Spread(1000, 1.0, 2.0, 10.0),
    held=0,
    held_longest_ms=0.0,
)
CLIENT = Client(cpu_percent=12.0, late_ms=Spread(100, 0.5, 1.0, 2.0), slept_ms=0.0, rss_mb=60.0)


def judged(
    players: Players = PLAYERS, publishers: Publishers | None = PUBLISHERS, client: Client = CLIENT, *, whole: bool = True
) -> Report:
    report = Report(
        version="1", began="now", measured_s=10.0, is_whole=whole, publishers=publishers, players=[players], client=client
    )
    report.judge()
    return report


def test_a_run_without_fault_says_so() -> None:
    report = judged()
    assert (report.faults, report.remarks) == ([], [])
    text = as_text(report)
    assert "no faults" in text
    assert "10 of 10, 26.00 Mbit/s in all, 2.60 Mbit/s each, lowest 900 kbit/s" in text
    assert "100 units, missing 0, doubled 0, disordered 0" in text
    assert json.loads(json.dumps(report.as_object()))["players"][0]["join_ms"] == {
        "count": 10,
        "p50": 5.0,
        "p99": 9.0,
        "worst": 9.0,
    }


@pytest.mark.parametrize(
    ("players", "said"),
    [
        (replace(PLAYERS, refused={"HTTP 404": 3}), "3 players got nothing: HTTP 404"),
        (replace(PLAYERS, joined=8), "2 players had not begun when it ended"),
        (replace(PLAYERS, lost={"closed": 1}), "1 player ended: closed"),
        (replace(PLAYERS, faults={"HTTP 404 for media": 2}), "2 times met: HTTP 404 for media"),
        (replace(PLAYERS, stalls=4, stalled=2, longest_pause_ms=1500.0), "4 stalls of 2 players, up to 1.5 s"),
        (replace(PLAYERS, looks=replace(LOOKS, missing=7)), "7 units missing, of 100 looked at"),
        (replace(PLAYERS, looks=replace(LOOKS, units=0)), "nothing was seen by who looked"),
        (replace(PLAYERS, looks=replace(LOOKS, missing=None, gaps=2)), "2 gaps in the times of 100 units looked at"),
    ],
)
def test_each_fault_of_players_is_said(players: Players, said: str) -> None:
    assert judged(players).faults == [f"http://h/live/{{}}.flv: {said}"]
    assert f"FAULT: http://h/live/{{}}.flv: {said}" in as_text(judged(players))


def test_each_fault_of_publishers_is_said() -> None:
    faulty = replace(PUBLISHERS, wanted=4, refused={"no": 1}, lost={"gone": 2}, held=3, held_longest_ms=2500.0)
    assert judged(publishers=faulty).faults == [
        "1 publisher not let in: no",
        "1 publisher had not begun when it ended",
        "2 publishers ended: gone",
        "3 publishers kept up to 2.5 s behind by the server",
    ]


def test_a_client_that_is_late_is_not_taken_for_a_slow_server() -> None:
    late = Spread(100, 1.0, LATE_MS + 1, 400.0)
    report = judged(publishers=replace(PUBLISHERS, late_ms=late), client=replace(CLIENT, late_ms=late, slept_ms=20.0), whole=False)
    assert [remark.split()[0] for remark in report.remarks] == ["this", "units", "this", "ended"]
    assert report.faults == []


def test_reasons_are_counted_the_most_frequent_first() -> None:
    assert list(count_reasons(["a", "", "b", "b"]).items()) == [("b", 2), ("a", 1)]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=300))
def test_lateness_is_told_within_a_bucket(late: list[float]) -> None:
    lateness = Lateness()
    for late_s in late:
        lateness.add(late_s)
    assert (lateness.count, lateness.worst_s) == (len(late), max(late))
    within = sorted(min(late_s, 2.0) for late_s in late)
    assert within[(len(late) - 1) // 2] - 1e-9 <= lateness.quantile_s(0.5) + 1e-9
    assert lateness.quantile_s(0.5) <= within[(len(late) - 1) // 2] + BUCKET_S + 1e-9
    assert lateness.quantile_s(1.0) <= max(late)


def test_nothing_was_never_late() -> None:
    assert Lateness().quantile_s(0.99) == 0.0


# plans


def test_a_plan_counts_its_sessions_and_files() -> None:
    plan = Plan(
        publish_url="rtsp://h/live/{}", play_urls=("rtsp://h/live/{}", "http://h/live/{}.flv"), streams=10, players=5, udp=True
    )
    plan.check()
    assert plan.sessions == 10 + 2 * 50
    assert plan.files == 110 + 4 * 10 + 4 * 50 + SPARE_FILES
    sockets = Plan(publish_url="ws://h/live/a", play_urls=("wss://h/live/a?t=1",), udp=True)
    sockets.check()
    assert sockets.files == 2 + SPARE_FILES
    assert url_of("http://h/live/{}.flv", 7) == "http://h/live/7.flv"
    assert is_playlist("http://h/hls/a.m3u8?x=.ts")
    assert not is_playlist("ws://h/hls/a.m3u8")


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(publish_url="live/a"),
        Plan(publish_url="http://h/a.flv"),
        Plan(publish_url="ws://h/live/a.flv"),
        Plan(publish_url="ws://h:99999/live/a"),
        Plan(play_urls=("rtmp://h/live/a",), streams=2),
        Plan(play_urls=("ws://h/hls/a.m3u8",)),
        Plan(play_urls=("rtmp://h",)),
        Plan(play_urls=("rtmp://h:99999/live/a",)),
        Plan(play_urls=("rtsp://",)),
        Plan(publish_url="rtsp://h:99999/live/a"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan: Plan) -> None:
    with pytest.raises(InvalidUrl):
        plan.check()


def test_publishers_cannot_come_over_so_long_that_nobody_can_keep_what_the_last_needs() -> None:
    media = made_media(bitrate_bps=4_000_000, frame_rate=Fraction(25), key_s=1, audio_bps=0)
    Plan(publish_url="rtmp://h/live/a", publish_within_s=600).check_media(media)
    with pytest.raises(NotPossible, match="GB of media to keep"):
        Plan(publish_url="rtmp://h/live/a", publish_within_s=3000).check_media(media)


def test_the_limit_of_files_is_raised_as_far_as_it_goes() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
        raise_file_limit(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100, before[1])
        raise_file_limit(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 100
        if before[1] != resource.RLIM_INFINITY:
            with pytest.raises(NotPossible, match="the limit is"):
                raise_file_limit(before[1] + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("text", "bps"), [("600k", 600_000), ("2.6M", 2_600_000), ("0", 0), ("128000", 128_000), ("1G", 10**9)])
def test_bit_rates_are_read(text: str, bps: int) -> None:
    assert bits(text) == bps


@pytest.mark.parametrize("text", ["", "fast", "-1", "1T", "nan", "1e99"])
def test_what_is_no_bit_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bit rate"):
        bits(text)


def test_delays_are_told_in_columns() -> None:
    rows = [
        DelayRow(
            url="rtmp://h/a", delay_ms=Spread(9, 1.5, 2.0, 13.0), units=9, missing=0, doubled=1, disordered=2, foreign=3, join_ms=1
        ),
        DelayRow(url="http://h/a.flv", delay_ms=None, units=0, missing=0, doubled=0, disordered=0, foreign=0, join_ms=None),
    ]
    lines = delay_as_text(DelayReport(since="rtmp://h/a", measured_s=9.0, rows=rows, client=CLIENT)).splitlines()
    assert lines[0] == "from rtmp://h/a, over 9.0 s"
    assert lines[2].split() == ["1.5", "2", "13", "9", "0", "1", "2", "3", "rtmp://h/a"]
    assert lines[3].split()[:3] == ["never"] * 3
    assert lines[-1].strip() == "no faults"


def test_what_one_player_got_and_another_did_not_is_a_fault() -> None:
    row = DelayRow(url="u", delay_ms=None, units=9, missing=0, doubled=0, disordered=0, foreign=0, join_ms=None)
    assert list(row_faults([row])) == []
    assert list(row_faults([replace(row, missing=1, doubled=2, disordered=3, foreign=4)])) == [
        "u: 1 unit missing, of 9 looked at",
        "u: 2 units doubled, of 9 looked at",
        "u: 3 units disordered, of 9 looked at",
        "u: 4 units foreign, of 9 looked at",
    ]


def test_a_run_that_was_too_long_to_be_matched_as_a_whole_says_so() -> None:
    report = judged()
    report.matched_s = 3.0
    report.judge()
    assert [remark for remark in report.remarks if f"{MAX_NOTED_UNITS}" in remark] == [
        f"units were matched for the first 3 s: no more than {MAX_NOTED_UNITS} of one publisher or player are noted"
    ]
