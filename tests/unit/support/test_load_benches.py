"""What the benchmarks of bursts, pairs, edges, HLS under load and of the client make of their samples."""

import math
from argparse import Namespace
from dataclasses import replace
from typing import Any

import pytest
from support.hls_text import read_playlist

from bench import _load, _many_streams, _reloading, burst, client, edges, hls_load, pairs
from bench._joining import Joins
from bench._load import Players, Published, Usage
from bench._reloading import Reloads
from bench._rounds import Found
from bench._stamps import Delays

USED = Usage(10, 20, 30, 200)
PUBLISHED = Published(100, 10_000, 10_000, 0, 1, 2, 0, 0, 5)


def players(number: int, lowest_kbps: float = 10_000, stalled: int = 0) -> Players:
    return Players(number, 10_000, lowest_kbps, 0, stalled)


@pytest.fixture(autouse=True)
def _stream(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_many_streams, _reloading, client, edges, pairs):
        monkeypatch.setattr(module, "stream_kbps", lambda name="bench": 10_000)


def test_players_whose_server_could_not_have_two_descriptors_of_each_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to = list[tuple[int, int]]()
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: set_to.append(limits))
    _load.raise_file_limit(1920)
    assert set_to == [(4096, 4096)]
    with pytest.raises(SystemExit, match="1921 players need 4098 open files, the limit is 4096"):
        _load.raise_file_limit(1921)


# bursts


def burst_of(joined: int, *, missing: int = 0, late_ms: float = 1, within_s: float = 1) -> burst.Sample:
    found = Joins(players=1000, joined=joined, closed=0, p50_ms=100, p99_ms=300, worst_ms=400, late_ms=late_ms, within_s=within_s)
    return burst.Sample(found, USED, Delays(70, 5, 200, 300, missing, 0))


def test_one_player_without_a_first_frame_is_one_too_many() -> None:
    judged = burst.judge(Found({"lalmesh-rtmp": [burst_of(1000), burst_of(999)], "nginx-rtmp": [burst_of(0)]}))
    assert [(each.verdict, each.found) for each in judged] == [("missed", 1), ("met", 0)]
    assert [each.verdict for each in burst.judge(Found({"lalmesh-flv": [burst_of(1000, missing=2)]}))] == ["met", "missed"]


def test_a_burst_that_the_load_could_not_make_is_worthless() -> None:
    assert burst_of(1000).problem == ""
    assert "within 1.50 s" in burst_of(1000, late_ms=500, within_s=1.5).problem


def test_every_server_has_lines_of_its_own_name() -> None:
    names = {label: burst.row(label, [burst_of(1000)])[0] for label in burst.SHOWN}
    assert set(names.values()) == {"lalmesh", "nginx", "node-media-server"}
    assert {pairs.server(name) for name in pairs.SHOWN} == set(names.values())


def test_the_line_of_a_burst_has_a_cell_for_every_head() -> None:
    assert burst.row("lalmesh-flv", [burst_of(1000), burst_of(990)])[:5] == ["lalmesh", "HTTP-FLV", "1000", "990", "0"]
    assert len(burst.row("nginx-rtmp", [burst_of(1000)])) == len(burst.HEAD)


# pairs


def pair(
    cpu_percent: float, *, lowest_kbps: float = 10_000, missing: int = 0, stalled: int = 0, unread_ms: float = 5
) -> pairs.Sample:
    used, got = Usage(0, 0, cpu_percent, 300), players(200, lowest_kbps, stalled)
    return pairs.Sample(200, used, got, PUBLISHED, unread_ms, Delays(700, 3, 9, 12, missing, 0))


def test_pairs_are_judged_by_what_players_miss_with_the_most_of_them() -> None:
    found = Found({"lalmesh-rtmp-200": [pair(50), pair(99, lowest_kbps=8000, missing=3, stalled=4)], "lalmesh-rtmp-100": [pair(1)]})
    assert [(each.found, each.verdict) for each in pairs.judge(found, (100, 200))] == [(1, "missed"), (4, "missed"), (3, "missed")]
    behind = Found({"lalmesh-rtmp-200": [pair(100, unread_ms=500)]})
    assert [each.found for each in pairs.judge(behind, (200,))] == [1, 0, 0]


def test_pairs_are_compared_with_nginx_in_the_same_round() -> None:
    found = Found({"lalmesh-flv-200": [pair(60), pair(50)], "nginx-rtmp-200": [pair(20), pair(25)]})
    assert pairs.row("lalmesh-flv", 200, found)[3:7] == ["55.0", "2.75", "2.50", "300"]
    assert len(pairs.row("nginx-rtmp", 200, found)) == len(pairs.HEAD)


def test_every_server_is_measured_with_every_number_of_pairs_that_it_can_carry() -> None:
    labels = [subject.label for subject in pairs.subjects(Namespace(pairs=(1, 2)))]
    assert len(labels) == len(set(labels)) == 2 * len(pairs.SHOWN)
    most = [subject.label for subject in pairs.subjects(Namespace(pairs=(300,)))]
    assert most == ["lalmesh-rtmp-300", "lalmesh-flv-300", "nginx-rtmp-300"]


# edges


def on_edges(*numbers: int, each_percent: float = 10, origin: float = 5, beside: float = 0, writes: float = 60) -> edges.Sample:
    carried = {f"edge-{at}": edges.Carried(players(number), Usage(0, 0, each_percent, 90)) for at, number in enumerate(numbers)}
    return edges.Sample(carried, Usage(0, 0, origin, 100), 0.5, writes, Usage(0, 0, beside, 40))


def test_the_time_for_a_player_is_that_of_all_edges() -> None:
    assert on_edges(100).us_a_player == 1000
    assert on_edges(90, 110).us_a_player == 1000
    assert on_edges(90, 110).furthest_off == pytest.approx(0.1)


def test_the_supervisor_of_workers_is_counted_with_them() -> None:
    sample = on_edges(50, 50, each_percent=9, beside=2)
    assert (sample.cpu_percent, sample.us_a_player, sample.mb_each) == (20, 2000, 110)
    assert edges._without(Usage(3, 4, 7, 150), [Usage(1, 2, 3, 50), Usage(1, 1, 2, 60)]) == Usage(1, 1, 2, 40)


def test_an_edge_that_no_player_was_sent_to_has_too_few() -> None:
    assert on_edges(100, 100, 100, 0).furthest_off == 1
    empty = {"edge-9": edges.Carried(edges.NOBODY, USED)}
    assert edges.Sample({**on_edges(100).edges, **empty}, USED, 0.5).problem == ""


def test_edges_are_compared_with_one_of_the_same_round_and_have_to_carry_as_many_players() -> None:
    found = Found({"edges-1": [on_edges(100), on_edges(100)], "edges-2": [on_edges(100, 100, each_percent=12), on_edges(80, 120)]})
    assert edges.ratio_to_one("edges-2", "edges-1", found) == pytest.approx(1.1)
    assert [each.verdict for each in edges.judge(found, (1, 2))] == ["met", "met", "missed"]
    seldom = Found({"edges-1": [on_edges(100)], "edges-2": [on_edges(100, 100, writes=50)]})
    assert [each.verdict for each in edges.judge(seldom, (1, 2))] == ["met", "missed", "met"]
    assert len(edges.row(2, "edges-2", "edges-1", found)) == len(edges.head("edge"))


def test_workers_are_compared_with_one_worker_and_may_be_further_from_their_share() -> None:
    one, two = edges.ONE_WORKER.label, edges.TWO_WORKERS.label
    found = Found({one: [on_edges(200, each_percent=18)], two: [on_edges(88, 112), on_edges(80, 120)]})
    judged = edges.judge(found, (1, 2))
    assert [each.found for each in judged] == [pytest.approx(20 / 18), 1, pytest.approx(0.2)]
    assert [each.verdict for each in judged] == ["missed", "met", "missed"]
    assert edges.judge(Found({two: [on_edges(88, 112)]}), (1,))[2].verdict == "met"


def test_workers_that_share_the_players_of_one_have_no_bar_but_for_their_shares_and_a_word_about_it() -> None:
    one, sharing = edges.ONE_WORKER.label, edges.SHARING_WORKERS.label
    found = Found({one: [on_edges(200)], sharing: [on_edges(80, 120, each_percent=7)]})
    [spread] = edges.judge(found, (1,))
    assert spread.found == pytest.approx(0.2)
    assert spread.verdict == "missed"
    told = edges.on_workers(found, 200)
    assert "200 players of one beside 200 for each of two" in told
    assert "1.40 times the processor time" in told
    assert "60 times a second" in told
    assert edges.on_workers(Found(), 200).endswith("for each of two.")


def test_what_each_frame_at_once_means_is_said() -> None:
    plan = Namespace(gather=0, players=250, rounds=1, seconds=5)
    assert "while a block is being sent" in edges.introduction(plan)
    assert "while a block is being sent" not in edges.introduction(Namespace(**{**vars(plan), "gather": 100}))


def test_what_an_edge_costs_the_origin_is_the_difference_for_each_that_came() -> None:
    found = Found({"edges-1": [on_edges(100, origin=5)], "edges-4": [on_edges(1, 1, 1, 1, origin=8)]})
    assert edges.origin_percent_an_edge((1, 4), found) == 1
    assert edges.origin_percent_an_edge((1,), found) is None


# HLS


def segmented(
    place: str = _many_streams.NODE,
    *,
    late: int = 0,
    given_up: int = 0,
    late_parts: int = 0,
    unread_ms: float = 5,
    closed: int = 0,
    made: int = 600,
) -> _many_streams.Sample:
    sent = replace(PUBLISHED, closed=closed)
    return _many_streams.Sample(place, 200, USED, 40, made, 600, late, given_up, 300, 240, late_parts, unread_ms, sent)


def reloaded(*, per_s: float = 5000, failed: int = 0, missed: int = 0, late_ms: float = 2) -> _reloading.Sample:
    used, sent = dict.fromkeys(("edge", "hls node", "players"), USED), replace(PUBLISHED, late_p99_ms=late_ms)
    return _reloading.Sample(10, 2.25, Reloads(2500, 50_000, per_s, 1, 5, 40, 90, failed, missed), used, 5, sent)


PLAN = Namespace(streams=200, reloaded=(10,), per_s=5000, rounds=1, seconds=10, settle=5)


def test_late_segments_and_late_parts_and_what_is_given_up_are_all_held_against_it() -> None:
    cut = Found({"segmenting-ll": [segmented(), segmented(late=1, late_parts=2, given_up=4)], "segmenting-ts": [segmented()]})
    judged = hls_load.judge(PLAN, cut, Found())
    assert [each.found for each in judged] == [0, 0, 0, 0, 3, 4]


SERVER = _many_streams.SERVER


@pytest.mark.parametrize("behind", [segmented(SERVER, unread_ms=400), segmented(SERVER, closed=1), segmented(SERVER, made=300)])
def test_a_server_that_does_not_read_what_comes_misses_its_bar(behind: _many_streams.Sample) -> None:
    judged = hls_load.judge(PLAN, Found({"alone-ts": [segmented(SERVER), behind]}), Found())
    assert (behind.problem, judged[0].found, judged[0].verdict) == ("", 1, "missed")
    assert judged[0].what.startswith("200 streams, TS, standalone server")
    assert behind.behind in behind.shown


def test_an_hls_node_whose_edge_did_not_keep_up_has_not_shown_what_it_can() -> None:
    assert segmented().problem == ""
    assert "400 ms of the streams lie unread" in segmented(unread_ms=400).problem
    judged = hls_load.judge(PLAN, Found({"segmenting-ts": [segmented(made=300)]}), Found())
    assert (judged[0].found, judged[0].verdict) == (1, "missed")


def test_parts_are_looked_at_in_turn_all_the_while(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def look(_: object, number: int) -> float:
        looked.append(number)
        return 0.2

    monkeypatch.setattr(_many_streams, "_newest_part_age_s", look)
    monkeypatch.setattr(_many_streams, "LOOK_S", 0.002)
    assert _many_streams._ages_s(Any, 6, 0.05) == [0.2] * len(looked)  # type: ignore[arg-type]
    assert set(looked) == set(range(6))


def test_a_playlist_that_fails_and_a_rate_that_is_not_reached_in_one_round_are_held_against_it() -> None:
    judged = hls_load.judge(
        PLAN, Found(), Found({"reloading-10": [reloaded(), reloaded(failed=1, per_s=4990), reloaded(missed=2)]})
    )
    assert [(each.found, each.verdict) for each in judged] == [(1, "missed"), (2, "missed"), (4990, "missed")]
    assert [each.verdict for each in hls_load.judge(PLAN, Found(), Found({"reloading-10": [reloaded()]}))] == ["met"] * 3


def test_playlists_of_streams_that_came_late_are_worthless() -> None:
    assert reloaded().problem == ""
    assert "messages left 300 ms late" in reloaded(late_ms=300).problem


def test_there_are_as_many_players_as_parts_ask_for_and_some_more() -> None:
    assert _reloading.players_for(5000, 2.25) == math.ceil(5000 / 2.25 * 1.03)
    assert _reloading.players_for(5000, 2.25) * 2.25 > 5000
    assert _reloading.most_players(5000) >= _reloading.players_for(5000, 2.25)


PARTS = 4 * '#EXT-X-PART:DURATION=0.46,URI="p"\n' + '#EXT-X-PART:DURATION=0.16,URI="p"\n'
LISTED = f"#EXTM3U\n#EXTINF:2,\nold.m4s\n{PARTS}#EXTINF:2,\na.m4s\n{PARTS}#EXTINF:2,\nb.m4s\n{PARTS[:35]}"


def test_how_many_parts_are_made_is_read_from_whole_segments_alone() -> None:
    assert _reloading.parts_per_s(read_playlist("/hls/a/live.m3u8", LISTED)) == 2.5
    assert _reloading.parts_per_s(read_playlist("/hls/a/live.m3u8", "#EXTM3U\n#EXTINF:2,\nold.m4s\n")) is None


def test_the_lines_of_hls_have_a_cell_for_every_head() -> None:
    assert len(_many_streams.row("both", [segmented()])) == len(_many_streams.HEAD)
    assert len(_many_streams.row("ts", [segmented(SERVER)])) == len(_many_streams.HEAD)
    assert len(_reloading.row([reloaded()])) == len(_reloading.HEAD)
    assert "5000 playlists a second" in _reloading.introduction(PLAN, [reloaded()])
    assert "200 streams" in _many_streams.introduction(PLAN)


WHOLE = """\
#EXTM3U
#EXT-X-TARGETDURATION:4
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:40.000Z
#EXTINF:4,
a.m4s
"""


@pytest.mark.parametrize(
    ("more", "age_s"),
    [
        ("", 16.0),
        ('#EXT-X-PART:DURATION=0.5,URI="b"\n#EXT-X-PART:DURATION=0.5,URI="c"\n', 15.0),
        ('#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:50.000Z\n#EXT-X-PART:DURATION=0.5,URI="b"\n', 9.5),
    ],
)
def test_how_old_a_playlist_is_counts_from_the_end_of_its_newest_part(more: str, age_s: float) -> None:
    assert _many_streams.age_s(read_playlist("/hls/a/live.m3u8", WHOLE + more), 120.0) == pytest.approx(age_s)


# the client


def loading(client_percent: float, server_percent: float = 10) -> client.Sample:
    return client.Sample(500, Usage(0, 0, client_percent, 60), Usage(0, 0, server_percent, 120), client.Fared(10_000, 4.0))


def test_a_client_is_judged_beside_the_server_that_it_loads_in_the_same_seconds() -> None:
    found = Found(
        {"players-flv-lalmesh": [loading(9), loading(12), loading(20)], "players-flv-c": [loading(30)], "publishers-lalmesh": []}
    )
    judged = client.judge(found, {"players-flv": 500, "players-rtmp": 500, "publishers": 200})
    assert [(each.found, each.verdict) for each in judged] == [(1.2, "missed"), (None, "not measured")]


def test_telling_a_delay_may_take_little_and_has_no_program_in_c_beside_it() -> None:
    found = Found({"delay-lalmesh": [loading(6), loading(11), loading(9)]})
    [judged] = client.judge(found, {})
    assert (judged.found, judged.verdict) == (9, "met")
    line = dict(zip(client.HEAD, client.row(client.DELAY, client.OURS, found), strict=True))
    assert (line["client"], line["x program in C"]) == ("lalmesh delay", "")
    assert (client.DELAY, client.IN_C) not in client.CLIENTS
    told = client.of_report({"rows": [], "client": {"late_ms": {"p99": 2.5}}, "faults": ["one was lost"]})
    assert (told.lowest_kbps, told.late_p99_ms, told.problem) == (None, 2.5, "one was lost")


def test_a_client_is_shown_beside_the_program_in_c_of_the_same_round() -> None:
    found = Found({"players-flv-lalmesh": [loading(8), loading(6)], "players-flv-c": [loading(2), loading(3)]})
    assert client.row("players-flv", client.OURS, found)[2:8] == ["lalmesh bench", "7.0", "6.0-8.0", "10.0", "0.70", "3.00"]
    assert client.row("players-flv", client.IN_C, found)[2] == "players.c"
    assert len(client.row("players-flv", client.IN_C, found)) == len(client.HEAD)


def reported(
    *, publishers: dict[str, Any] | None = None, lowest_bps: int = 10_000_000, faults: tuple[str, ...] = ()
) -> client.Fared:
    own = {"late_ms": {"p99": 7.0}}
    return client.of_report({"publishers": publishers, "players": [{"lowest_bps": lowest_bps}], "client": own, "faults": faults})


def test_a_load_that_did_not_go_well_is_worthless() -> None:
    assert reported() == client.Fared(10_000, 7.0)
    assert reported(publishers={"lowest_bps": 9_900_000, "late_ms": {"p99": 3.0}}) == client.Fared(9_900, 3.0)
    assert "8000 kbit/s of 10000" in reported(lowest_bps=8_000_000).problem
    assert reported(faults=("1 player ended: reset",)).problem == "1 player ended: reset"
