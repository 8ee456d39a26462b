"""The benchmarks of publishers, memory, growth and start: what they reckon from what they found."""

import json
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.process import ProcessError

from bench import _load, fanout, memory, publish, scaling, start
from bench._load import Players, Published, Usage
from bench._rounds import Found, Subject
from bench.memory import SERVER, Growth
from bench.publish import Climb, Step, knee

KBPS = 2600.0


@pytest.fixture(autouse=True)
def _stream(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (publish, scaling, fanout):
        monkeypatch.setattr(module, "stream_kbps", lambda name="bench": KBPS)


def step(
    publishers: int,
    percent: float,
    *,
    unread_ms: float = 5,
    load_percent: float = 20,
    lowest_kbps: float = KBPS,
    late_ms: float = 2,
) -> Step:
    sent = Published(publishers, KBPS, lowest_kbps, 1, late_ms, 5, 0, 0, load_percent)
    return Step(publishers, Usage(0, 0, percent, 100 + publishers * 1.5), 100, unread_ms, sent)


def test_a_publisher_costs_its_share_of_what_the_server_took_more() -> None:
    assert (step(200, 50).percent_each, step(200, 50).mb_each) == (0.25, 1.5)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (step(200, 50), ""),
        (step(200, 50, unread_ms=101), "101 ms of the streams lie unread"),
        (step(200, 50, lowest_kbps=2400), "one publisher got rid of 2400 kbit/s of 2600"),
        (step(200, 50, late_ms=150), "messages left 150 ms late"),
    ],
)
def test_who_does_not_keep_up_is_found_out(found: Step, problem: str) -> None:
    assert found.problem == problem


def test_the_knee_is_the_last_step_that_was_kept_up_with() -> None:
    climb = Climb([step(50, 25), step(100, 52), step(150, 99, unread_ms=400)], "with 150 400 ms of the streams lie unread")
    assert knee(climb) == publish.Knee(100, "100, at 52% of a core: with 150 400 ms of the streams lie unread")


def test_a_load_that_is_full_is_not_taken_for_a_server_that_is() -> None:
    climb = Climb([step(200, 30), step(400, 60, load_percent=97)], "with 600 messages left 300 ms late")
    assert knee(climb).told == "400 or more: the publishers have no more to give (with 600 messages left 300 ms late)"


def test_a_server_that_never_kept_up_has_no_knee() -> None:
    assert knee(Climb([], "with 50 it ended")) == publish.Knee(0, "none: with 50 it ended")


def test_publish_is_judged_beside_nginx_and_by_its_memory() -> None:
    found: Found[Step] = Found({"lalmesh": [step(200, 50), step(200, 66)], "nginx-rtmp": [step(200, 25), None]})
    assert [(each.found, each.verdict) for each in publish.judge(found, 200)] == [(2.0, "met"), (1.5, "met")]
    assert publish.judge(Found({"lalmesh": [step(200, 60)]}), 200)[0].verdict == "not measured"


def test_lalmesh_is_measured_without_turns_too_and_that_is_said() -> None:
    assert [each.label for each in publish.subjects(Namespace())] == [*publish.servers(), publish.AT_ONCE]
    line = publish.row(publish.AT_ONCE, Found({publish.AT_ONCE: [step(200, 50)], publish.FLOOR: [step(200, 25)]}))
    assert dict(zip(publish.HEAD, line, strict=True))["server"] == "lalmesh, max_delay_ms 0"
    assert dict(zip(publish.HEAD, line, strict=True))["x floor"] == "2.00"


def grown(number: int, mb: float) -> memory.Sample:
    return memory.Sample({SERVER: Growth(number, 100, 100 + mb)})


def test_memory_is_judged_for_each_publisher_and_player_of_ours() -> None:
    found = Found(
        {
            "publisher-lalmesh": [grown(200, 240)],
            "publisher-nginx-rtmp": [grown(200, 20)],
            "player-lalmesh-ws-0": [grown(1000, 25)],
            "player-node-media-server-rtmp-0": [grown(1000, 90)],
        }
    )
    judged = memory.judge(found)
    assert [(each.what, each.found, each.verdict) for each in judged] == [
        ("memory of a publisher, RTMP", 1200, "met"),
        ("memory of a player, WS-FLV", 25, "missed"),
    ]
    assert memory.each_rows(found, judged)[2:] == [
        ["player, WS-FLV", "lalmesh", "1000", "25.0", "100", "missed"],
        ["player, RTMP", "node-media-server", "1000", "90.0", "100", ""],
    ]


def test_memory_of_a_stream_is_told_by_process() -> None:
    published = memory.Sample({"origin": Growth(100, 90, 190), "playing edge": Growth(100, 100, 100)})
    played = memory.Sample({"origin": Growth(100, 190, 190.5), "playing edge": Growth(100, 100, 110)})
    found = Found({"stream-published": [published], "stream-played": [played]})
    assert memory.stream_rows(found) == [["origin", "90", "1000", "5"], ["playing edge", "100", "0", "100"]]


def test_imports_are_told_by_package() -> None:
    text = """\
import time: self [us] | cumulative | imported package
import time:       120 |        120 |   _io
import time:      2000 |       2120 |     aiohttp.client
import time:       500 |        500 | lalmesh.runtime.config
import time:       250 |        250 | lalmesh.runtime
{"event": "ready"}
"""
    assert start.imports(text) == {"aiohttp": 2.0, "lalmesh.runtime": 0.75, "Python's own": 0.12}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("ended before publishers: bin/publishers 1935 x\n(ended with 1); its output ends:\nno Start, but: BadName\n",
         "ended before publishers: no Start, but: BadName"),
        ("no publishers within 9 s: bin/publishers 1935 x\n(running); its output ends:\n", "no publishers within 9 s"),
        ("", "ProcessError"),
    ],
)  # fmt: skip
def test_why_no_more_were_tried_fits_its_table(error: str, told: str) -> None:
    assert publish.short(ProcessError(error)) == told


def test_the_floor_climbs_too() -> None:
    labels = [each.label for each in publish.climbs(Namespace())]
    assert labels == [f"climb-{name}" for name in publish.servers()]
    assert publish.FLOOR in publish.servers()


def test_players_that_got_too_little_make_their_memory_worthless() -> None:
    assert memory._short(Players(1000, KBPS, KBPS, 0)) == ""
    assert "the slowest got 2000 kbit/s of 2600" in memory._short(Players(1000, KBPS, 2000, 0))
    assert "3 players were closed" in memory._short(Players(1000, KBPS, KBPS, 3))


def point(at: float, percent: float, writes: float = 60) -> scaling.Sample:
    return scaling.Sample(at, Usage(0, 0, percent, 100), Players(100, KBPS, KBPS, 0), KBPS, writes)


def test_a_curve_has_the_points_that_were_measured() -> None:
    found: Found[scaling.Sample] = Found(
        {
            scaling.label("players", "lalmesh", 0, 100): [point(100, 6), point(100, 8)],
            scaling.label("players", "lalmesh", 0, 500): [None, None],
            scaling.label("players", "lalmesh", 0, 1000): [point(1000, 60), None],
            scaling.label("players", "floor", 0, 100): [point(100, 5), point(100, 4)],
            scaling.label("players", "floor", 100, 1000): [point(1000, 10)],
            scaling.label("rate", "lalmesh", 0, "bench_1m"): [point(0.99, 22)],
        }
    )
    lines = {line.label: list(line.points) for line in scaling.curves("players", found)}
    assert lines == {
        "floor, each frame at once": [(100, 4.5)],
        "floor, gathered 100 ms": [(1000, 10)],
        "lalmesh, each frame at once": [(100, 7), (1000, 60)],
    }
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in scaling.table("players", found).splitlines()[2:]] == [
        ["100", "4.5", "", "7.0", "1.60"],
        ["1000", "", "10.0", "60.0", ""],
    ]


def test_what_is_compared_follows_each_other_in_a_round() -> None:
    labels = [each.label for each in scaling.subjects(Namespace(players=(100, 250), streams=(1, 10)))]
    floors = [at for at, name in enumerate(labels) if "-floor-" in name]
    assert [labels[at + 1] for at in floors] == [labels[at].replace("floor", "lalmesh") for at in floors]
    assert len(set(labels)) == len(labels) == 2 * 2 * (2 + len(scaling.MEDIA)) + 2 * 2


def short(percent: float, *, closed: int = 0) -> scaling.Sample:
    return scaling.Sample(2000, Usage(0, 0, percent, 100), Players(2000, KBPS, 2000, closed), KBPS)


def test_players_that_get_too_little_are_a_failure_unless_the_server_had_no_more_to_give() -> None:
    assert [point(100, 99).problem, short(99).problem] == ["", ""]
    assert [point(100, 99).is_beyond, short(99).is_beyond] == [False, True]
    assert short(60).problem == "one player got 2000 kbit/s of 2600"
    assert short(99, closed=3).problem == "3 players were closed"


def test_a_point_beyond_what_is_carried_has_no_figure_and_is_named() -> None:
    one, other, far = (scaling.label("players", "lalmesh", 0, players) for players in (1000, 1500, 2000))
    found: Found[scaling.Sample] = Found({one: [point(1000, 60), None], other: [None, None], far: [point(2000, 94), short(99)]})
    assert [line.points for line in scaling.curves("players", scaling.carried(found))] == [[(1000, 60)]]
    assert scaling.beyond(found) == [
        "Beyond what the server's core carries, and so without a figure: `players-lalmesh-0-2000` (99.0% of a core, the players "
        "0%, one player got 2000 kbit/s of 2600, in 1 of 2 rounds)."
    ]
    assert scaling.beyond(scaling.carried(found)) == []


@pytest.mark.parametrize(("ill", "status"), [([short(60)], 1), ([OSError("it ended")], 1), ([short(99)], 0), ([], 0)])
def test_one_round_that_failed_is_kept_and_told_and_makes_the_exit_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ill: list[scaling.Sample | OSError],
    status: int,
) -> None:
    turns: list[scaling.Sample | OSError] = [*ill, point(2000, 90)]

    def measure(folder: Path, stack: ExitStack) -> scaling.Sample:
        turn = turns.pop(0)
        if isinstance(turn, OSError):
            raise turn
        return turn

    name, kept = scaling.label("players", "lalmesh", 0, 2000), tmp_path / "scaling.json"
    monkeypatch.setattr(scaling, "subjects", lambda plan: [Subject(name, measure)])
    monkeypatch.setattr(_load, "raise_file_limit", lambda connections: None)
    monkeypatch.setattr("sys.argv", ["scaling", "--rounds", str(len(turns)), "--json", str(kept)])
    with pytest.raises(SystemExit) as ended:
        scaling.main()
    found, section = json.loads(kept.read_text()), capsys.readouterr().out
    assert ended.value.code == status
    assert list(found["problems"]) == ([name] if status else [])
    assert (f"`{name}`: worthless in 1 of 2 rounds" in section) == bool(status)


def test_how_often_is_written_is_told_as_it_was_found() -> None:
    name = [scaling.label("players", "lalmesh", 0, players) for players in (100, 1000)]
    told = scaling.limits(Found({name[0]: [point(100, 7, writes=66)], name[1]: [point(1000, 60, writes=41)]}))
    assert "its writes (41 to 66 a second, the fewer the more players)" in told
    assert "there are fewer writes, and" in told
