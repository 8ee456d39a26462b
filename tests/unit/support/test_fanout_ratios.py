"""The benchmark compares equal work, and judges by the median."""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench import _load, fanout
from bench._load import Players, Usage
from bench._rounds import Found
from bench.fanout import (
    CROWD_HEAD,
    GATHERED_MS,
    HEAD,
    PROTOCOLS,
    Sample,
    Subject,
    bars,
    crowd_row,
    gathered_ms,
    judged,
    row,
    subjects,
    verdict,
)

CAPTURES, CAPTURE = Path(__file__).resolve().parents[2] / "captures" / "flv", "h264-aac-bframes"
SUBJECTS = {subject.label: subject for subject in subjects((500, 1000), crowd=4000)}
DUE_KBPS = 2600.0
CROWD, CROWD_FLOOR = "crowd-lalmesh-ts-100-4000", "crowd-floor-flv-100-4000"
Samples = list[Sample | None]


def samples(*cpu: float, writes: float = 70, stalled: int = 0, lowest: float = 1.0, may_fall_short: bool = False) -> Samples:
    """One a round."""
    players = Players(500, DUE_KBPS, DUE_KBPS * lowest, 0, stalled, 30.0, 40.0, 20.0)
    return [Sample(Usage(0, percent, percent, 10), players, writes, DUE_KBPS, may_fall_short) for percent in cpu]


def found(**more: Samples) -> Found[Sample]:
    """Two floors, and more by label, with underscores for what is no name."""
    floors = {"floor-flv-0-500": samples(10, 10, 10, writes=72), "floor-flv-100-500": samples(4, 4, 4, writes=9)}
    return Found({**floors, **{label.replace("_", "-"): mine for label, mine in more.items()}})


def subject(label: str) -> Subject:
    return SUBJECTS[label]


def test_the_floor_is_the_one_that_gathers_as_long_for_as_many_players() -> None:
    both = found(lalmesh_flv_0_500=samples(13, 12, 14, writes=72), lalmesh_ts_100_500=samples(6, 5, 7, writes=14))
    told = "1.2 x floor: missed, 1.2 x floor a write: missed, 0.85 x the floor's writes: met"
    assert row(subject("lalmesh-flv-0-500"), both)[5:13] == ["1.30", "1.20-1.40", "", "72", "1.00", "1.30", "", told]
    by_ts = row(subject("lalmesh-ts-100-500"), both)[5:13]
    assert by_ts == ["1.50", "1.25-1.75", "", "14", "1.56", "0.96", "", "1.5 x floor: met"]
    assert row(subject("floor-flv-0-500"), both)[5:13] == ["1.00", "1.00-1.00", "", "72", "1.00", "1.00", "", ""]


def test_the_floor_gathers_as_lalmesh_does_where_there_are_few_players(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(fanout, "floor", lambda gather_ms, file="": started.append(gather_ms))
    few = subjects((4, 200, 499, 500), crowd=300)
    assert started == [0, 0, 0, 40, 0, 99, 0, 100, 60]
    told = {each.players: each.gathered_ms for each in few if each.gather_ms}
    assert told == {4: 0, 200: 40, 499: 99, 500: 100, 300: 60}
    assert [gathered_ms(1000, ms) for ms in (0, 100, 300)] == [0, 100, 200]
    [short] = [each for each in few if each.label == "lalmesh-flv-100-200"]
    alone = Found({short.label: samples(5)})
    assert row(short, alone)[3] == "40 ms"
    assert "200 players, gathered 40 ms" in judged(short, alone)[0].what


def test_a_median_above_its_bar_is_a_failure_and_a_single_round_is_not() -> None:
    both = found(lalmesh_flv_0_500=samples(12, 12, 20), lalmesh_flv_100_500=samples(7, 8, 8))
    assert verdict(subject("lalmesh-flv-0-500"), both).startswith("1.2 x floor: met")
    assert [each.told for each in judged(subject("lalmesh-flv-100-500"), both)] == [
        "fan-out, HTTP-FLV, 500 players, gathered 100 ms: 2 x floor, at most 1.5: missed"
    ]


def test_processor_time_is_not_bought_with_fewer_writes() -> None:
    rarely = found(lalmesh_flv_0_500=[*samples(8, writes=60), *samples(8, 8, writes=61)])
    assert [each.told for each in judged(subject("lalmesh-flv-0-500"), rarely)] == [
        "fan-out, HTTP-FLV, 500 players, each frame at once: 0.8 x floor, at most 1.2: met",
        "fan-out, HTTP-FLV, 500 players, each frame at once: each write: 0.944 x floor a write, at most 1.2: met",
        "fan-out, HTTP-FLV, 500 players, each frame at once: writes: 0.847 x the floor's writes, at least 0.85: missed",
    ]
    often = found(lalmesh_flv_0_500=samples(8, 8, 8, writes=62))
    assert [each.met for each in judged(subject("lalmesh-flv-0-500"), often)] == [True, True, True]


def test_processor_time_is_judged_for_each_write_too_in_the_same_round() -> None:
    dear = found(lalmesh_flv_0_500=samples(11.9, writes=62))
    assert [(each.unit, each.met) for each in judged(subject("lalmesh-flv-0-500"), dear)] == [
        ("x floor", True),
        ("x floor a write", False),
        ("x the floor's writes", True),
    ]
    assert row(subject("lalmesh-flv-0-500"), dear)[10] == "1.38"
    one_in_three = found(lalmesh_flv_0_500=[*samples(11.9, 10, writes=62), *samples(10, writes=72)])
    assert judged(subject("lalmesh-flv-0-500"), one_in_three)[1].found == pytest.approx(72 / 62)
    assert [each.unit for each in judged(subject("lalmesh-flv-100-500"), dear)] == ["x floor"]


def test_a_server_that_has_written_nothing_is_not_cheap() -> None:
    [never] = samples(1, writes=0)
    assert never is not None
    assert fanout.us_a_write(never) == float("inf")
    [often] = samples(15, writes=60)
    assert often is not None
    assert fanout.us_a_write(often) == pytest.approx(5)  # 150,000 us a second for 500 players


def test_what_is_gathered_for_many_players_has_a_lower_bar() -> None:
    most = {
        label: [bar.most for bar in bars(each)] for label, each in SUBJECTS.items() if each.protocol == "ws" and not each.is_crowd
    }
    assert most == {
        "lalmesh-ws-0-500": [1.2, 1.2],
        "lalmesh-ws-100-500": [1.5],
        "lalmesh-ws-0-1000": [1.2, 1.2],
        "lalmesh-ws-100-1000": [1.25],
    }


def test_rtmp_with_each_frame_at_once_is_compared_with_nginx_too() -> None:
    nginx, node = samples(12, writes=112), samples(30, may_fall_short=True)
    both = found(lalmesh_rtmp_0_500=samples(13), nginx_rtmp_0_500=nginx, node_media_server_rtmp_0_500=node)
    told = verdict(subject("lalmesh-rtmp-0-500"), both)
    bars_of = ("1.2 x floor: missed", "1.2 x floor a write: missed", "1.25 x nginx-rtmp: met", "0.85 x the floor's writes: met")
    assert told == ", ".join(bars_of)
    labels = ("floor-flv-0-500", "lalmesh-rtmp-0-500", "nginx-rtmp-0-500", "node-media-server-rtmp-0-500")
    assert [row(subject(label), both)[11] for label in labels] == ["", "1.73", "1.00", "4.00"]


def test_what_was_not_measured_is_not_judged() -> None:
    alone: Found[Sample] = Found({"lalmesh-rtmp-0-500": samples(20)})
    bars_of = ("1.2 x floor", "1.2 x floor a write", "1.25 x nginx-rtmp", "0.85 x the floor's writes")
    assert verdict(subject("lalmesh-rtmp-0-500"), alone) == ", ".join(f"{bar}: not measured" for bar in bars_of)
    assert verdict(subject("lalmesh-flv-0-500"), alone) == verdict(subject("floor-flv-0-500"), alone) == ""
    assert [each.met for each in judged(subject("lalmesh-flv-0-500"), alone)] == [None, None, None]


def test_one_player_of_a_crowd_that_stalls_is_one_too_many() -> None:
    crowd = Found({CROWD: [*samples(60), None, *samples(61, stalled=1)]})
    assert [each.met for each in judged(subject(CROWD), crowd)] == [False, True, True]
    line = ["lalmesh", "HTTP-TS", "4000", "100 ms", "60.5", "", "1", "0", "30", "40", "100%"]
    assert crowd_row(subject(CROWD), crowd)[:11] == line
    assert [each.met for each in judged(subject(CROWD), Found({CROWD: samples(60)}))] == [True, True, True]


def test_a_crowd_is_compared_with_the_floor_that_sends_the_same_to_as_many_and_has_no_bar_for_that() -> None:
    beside = Found({CROWD_FLOOR: samples(20, 30), CROWD: samples(30, 60)})
    labels = [label for label in SUBJECTS if label.startswith("crowd-")]
    assert labels == [CROWD_FLOOR, *(f"crowd-lalmesh-{protocol}-100-4000" for protocol in PROTOCOLS)]
    assert (subject(CROWD_FLOOR).media, subject(CROWD_FLOOR).may_fall_short) == (subject(CROWD).media, False)
    assert crowd_row(subject(CROWD), beside)[5] == "1.75"
    assert crowd_row(subject(CROWD_FLOOR), beside)[:6] == ["floor", "HTTP-FLV", "4000", "100 ms", "25.0", "1.00"]
    assert verdict(subject(CROWD_FLOOR), beside) == ""
    assert judged(subject(CROWD_FLOOR), beside) == []
    assert "x floor" not in {each.unit for each in judged(subject(CROWD), beside)}
    short = Found({CROWD_FLOOR: samples(20), CROWD: samples(30, lowest=0.9, may_fall_short=True)})
    assert crowd_row(subject(CROWD), short)[5] == ""


def test_a_crowd_that_gets_half_of_its_stream_is_not_served_though_nobody_stalls() -> None:
    crowd = Found({CROWD: [*samples(99, lowest=0.97), *samples(99, lowest=0.5, may_fall_short=True)]})
    assert [each.told for each in judged(subject(CROWD), crowd)] == [
        "fan-out, players that stalled of 4,000 by HTTP-TS, gathered 100 ms: 0 players, at most 0: met",
        "fan-out, longest gap of a player while others came, 4,000 by HTTP-TS, gathered 100 ms: 40 ms, at most 1000: met",
        "fan-out, least that a player got of 4,000 by HTTP-TS, gathered 100 ms: 0.5 of its stream, at least 0.95: missed",
    ]
    assert crowd_row(subject(CROWD), crowd)[10] == "50%"


def test_a_player_that_got_too_little_makes_a_sample_worthless_but_where_that_is_to_be_found() -> None:
    [sample], [shown] = samples(50, lowest=0.5), samples(50, lowest=0.5, may_fall_short=True)
    assert sample is not None
    assert shown is not None
    assert (sample.problem, shown.problem) == ("one player got 1300 kbit/s of 2600, the mean is 2600", "")
    assert {each.name for each in SUBJECTS.values() if each.may_fall_short and not each.is_crowd} == {"node-media-server"}
    assert all(each.may_fall_short for each in SUBJECTS.values() if each.is_crowd and each.name == "lalmesh")


@pytest.mark.parametrize(("lowest", "is_served"), [(0.951, True), (0.949, False)])
def test_a_player_has_to_get_nearly_all_of_its_stream(lowest: float, is_served: bool) -> None:
    [sample] = samples(50, lowest=lowest)
    assert sample is not None
    assert (sample.problem == "") == is_served


def test_another_server_that_cannot_serve_all_says_so_and_is_not_compared() -> None:
    label = "node-media-server-flv-0-500"
    short = row(subject(label), found(node_media_server_flv_0_500=samples(99, 99, lowest=0.7, may_fall_short=True)))
    assert short[4:13] == ["99.0", "", "", "", "70", "", "", "", "cannot serve all, one got 70%"]
    assert row(subject(label), found(node_media_server_flv_0_500=samples(60)))[5] == "6.00"
    assert {each.players for each in SUBJECTS.values() if each.name == "node-media-server"} == {500, 1000}


def test_every_line_has_a_cell_for_every_head() -> None:
    assert len(row(subject("floor-flv-0-500"), found())) == len(HEAD)
    assert len(crowd_row(subject(CROWD), Found({CROWD: samples(60)}))) == len(CROWD_HEAD)


def test_the_figures_for_a_write_are_in_the_json_and_in_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(subject: Subject, plan: object, folder: Path, stack: ExitStack) -> Sample:
        cpu, often = (9, 50) if subject.name == "lalmesh" else (10, 100)
        [sample] = samples(cpu, writes=often)
        assert sample is not None
        return sample

    kept = tmp_path / "fanout.json"
    mine = [replace(each, missing="") for each in subjects((500,), crowd=4000) if each.name in ("floor", "lalmesh", "nginx")]
    monkeypatch.setattr(fanout, "subjects", lambda numbers, crowd: mine)
    monkeypatch.setattr(fanout, "measured", measured)
    monkeypatch.setattr(fanout, "stream_kbps", lambda name="bench": DUE_KBPS)
    monkeypatch.setattr(_load, "raise_file_limit", lambda connections: None)
    only = "floor-flv-0,lalmesh-rtmp-0,nginx,crowd-floor,crowd-lalmesh-flv"
    monkeypatch.setattr("sys.argv", ["fanout", "--rounds", "1", "--json", str(kept), "--only", only])
    with pytest.raises(SystemExit) as ended:
        fanout.main()
    told = json.loads(kept.read_text())
    assert ended.value.code == 1
    assert [(bar["unit"], bar["found"], bar["met"]) for bar in told["bars"][:4]] == [
        ("x floor", 0.9, True),
        ("x floor a write", pytest.approx(1.8), False),
        ("x nginx-rtmp", 0.9, True),
        ("x the floor's writes", 0.5, False),
    ]
    one, crowd = ([dict(zip(table["head"], cells, strict=True)) for cells in table["rows"]] for table in told["tables"])
    a_write = [(line["x floor a write"], line["x nginx-rtmp a write"]) for line in one]
    assert a_write == [("1.00", ""), ("1.80", "1.80"), ("1.00", "1.00")]
    assert [(line["server"], line["x floor"]) for line in crowd] == [("floor", "1.00"), ("lalmesh", "0.90")]
    assert "nginx-rtmp writes more often, as it sends message by message" in capsys.readouterr().out


def test_every_bar_and_every_gathering_time_has_what_it_is_compared_with() -> None:
    assert {bar.beside for each in SUBJECTS.values() for bar in bars(each)} <= set(SUBJECTS)
    ours = {(each.protocol, each.gather_ms, each.players) for each in SUBJECTS.values() if bars(each)}
    assert ours == {(protocol, ms, players) for protocol in PROTOCOLS for ms in GATHERED_MS for players in (500, 1000)}


def test_a_player_of_ts_is_due_what_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "media", lambda name: CAPTURES / f"{name}.flv")
    fanout.due_kbps.cache_clear()
    assert fanout.due_kbps("rtmp", CAPTURE) == fanout.stream_kbps(CAPTURE)
    whole = fanout.due_kbps("ts", CAPTURE) * 30 * 1000 / 8
    assert whole == pytest.approx(round(whole / 188) * 188)
    assert whole > (CAPTURES / f"{CAPTURE}.flv").stat().st_size
