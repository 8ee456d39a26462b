"""The benchmarks of publishers, memory, growth and start: what they reckon from what they found."""

import json
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import pytest
from support.process import ProcessError

from bench import _load, fanout, memory, pairs, publish, scaling, start
from bench._load import Players, Published, Usage
from bench._rounds import Found, Subject
from bench.memory import SERVER, Growth
from bench.publish import Climb, Delay, Step, knee
from lalmesh.runtime.config import PublishConfig

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
    delay: Delay | None = None,
) -> Step:
    sent = Published(publishers, KBPS, lowest_kbps, 1, late_ms, 5, 0, 0, load_percent)
    return Step(publishers, Usage(0, 0, percent, 100 + publishers * 1.5), 100, unread_ms, sent, delay)


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


def test_a_load_that_was_full_at_the_step_that_failed_is_what_failed() -> None:
    late = "with 1600 messages left 311 ms late"
    climb = Climb([step(1200, 62, load_percent=76), step(1600, 74, load_percent=96, late_ms=311)], late)
    assert knee(climb) == publish.Knee(1200, f"1200 or more: the publishers have no more to give ({late})")


def test_a_server_that_was_full_at_the_step_that_failed_has_its_knee_before() -> None:
    late = "with 400 messages left 311 ms late"
    climb = Climb([step(200, 90, load_percent=96), step(400, 99, load_percent=97, late_ms=311)], late)
    assert knee(climb) == publish.Knee(200, f"200, at 90% of a core: {late}")


def test_a_server_that_never_kept_up_has_no_knee() -> None:
    assert knee(Climb([], "with 50 it ended")) == publish.Knee(0, "none: with 50 it ended")


def test_publish_is_judged_beside_nginx_and_by_its_memory() -> None:
    found: Found[Step] = Found({"lalmesh": [step(200, 50), step(200, 66)], "nginx-rtmp": [step(200, 25), None]})
    assert [(each.found, each.verdict) for each in publish.judge(found, 200)] == [(2.0, "met"), (1.5, "met")]
    assert publish.judge(Found({"lalmesh": [step(200, 60)]}), 200)[0].verdict == "not measured"


def test_publishers_of_which_each_is_read_at_once_have_a_bar_of_their_own() -> None:
    found: Found[Step] = Found({"lalmesh": [step(200, 50)], publish.AT_ONCE: [step(200, 90)], "nginx-rtmp": [step(200, 25)]})
    judged = {each.what: (each.found, each.bar) for each in publish.judge(found, 200)}
    assert judged["publish, processor time, 200 publishers"] == (2.0, publish.MOST_TIMES_NGINX)
    assert judged["publish, processor time, 200 publishers, each read at once"] == (3.6, publish.MOST_TIMES_NGINX_AT_ONCE)


def test_what_turns_cost_in_delay_stands_beside_what_they_save() -> None:
    turns: list[Step | None] = [step(200, 50, delay=delay) for delay in (Delay(35, 72), Delay(33, 70), Delay(36, 90))]
    found: Found[Step] = Found({"lalmesh": turns, publish.FLOOR: [step(200, 25)]})
    lines = [dict(zip(publish.HEAD, publish.row(name, found), strict=True)) for name in found.samples]
    assert [(line["delay p50 ms"], line["p99 ms"]) for line in lines] == [("35.0", "72.0"), ("", "")]


def delay_report(*faults: str, came: bool = True) -> dict[str, Any]:
    return {"rows": [{"delay_ms": {"count": 700, "p50": 35.5, "p99": 71.0, "worst": 80.0} if came else None}], "faults": faults}


def test_a_delay_that_could_not_be_told_makes_a_sample_worthless() -> None:
    assert publish.delay_of(delay_report()) == Delay(35.5, 71.0)
    with pytest.raises(AssertionError, match="2 units missing"):
        publish.delay_of(delay_report("2 units missing, of 700 looked at"))
    with pytest.raises(AssertionError, match="nothing came"):
        publish.delay_of(delay_report(came=False))


class FakeChild:
    """A process that does nothing; `lalmesh delay` has told `report` at once, unless there is none."""

    report: ClassVar[dict[str, Any] | None] = None
    done: ClassVar[list[str]] = []  #: by all of them

    def __init__(self, command: Sequence[str | Path], *, log: Path) -> None:
        self.pid = 7
        self.done.append(" ".join(map(str, command[1:4])))
        if self.report is not None and "--json" in command:
            Path(command[-1]).write_text(json.dumps(self.report))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.done.append("ended")

    def wait(self, limit_s: float) -> int:
        self.done.append(f"{limit_s:g} s at most")
        return 0

    def terminate(self) -> None:
        self.done.append("asked to end")

    def describe(self) -> str:
        return "lalmesh delay: no such thing"


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done, in order, when a server with publishers is measured, which nobody starts."""
    done: list[str] = []

    def publishers(port: int, number: int, seconds: float, *_: object) -> FakeChild:
        return FakeChild(["", f"{number} publishers", "for", f"{seconds:g} s"], log=tmp_path)

    def usage(pid: int, seconds: float) -> Usage:
        done.append("processor time")
        return Usage(0, 0, 50, 400)

    def published(load: FakeChild, limit_s: float) -> Published:
        done.append("published")
        return step(200, 50).sent

    monkeypatch.setattr(FakeChild, "done", done)
    monkeypatch.setattr(FakeChild, "report", None)
    monkeypatch.setattr(publish, "Child", FakeChild)
    monkeypatch.setattr(publish, "media", lambda name: Path("bench.flv"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    fakes: dict[str, Any] = {
        "rss_mb": lambda pid: 100.0,
        "pin": lambda pid, where: done.append(f"{pid} to its core"),
        "publish": publishers,
        "wait_published": lambda load, limit_s: None,
        "usage": usage,
        "unread_ms": lambda port, kbps: 5.0,
        "published": published,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(_load, name, fake)
    return done


def measured(folder: Path, play_url: str) -> Step:
    plan = Namespace(pin=True, warm_up=8, seconds=10)
    with ExitStack() as stack:
        bench = publish.Bench(plan, lambda folder, stack: publish.Running(3, 1935, play_url), folder, stack)
        return bench.step(200, with_delay=True)


def test_the_delay_is_told_after_processor_time_beside_publishers_that_go_on(
    tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeChild, "report", delay_report())
    url = "http://127.0.0.1:8080/live/delay.flv"
    assert measured(tmp_path, url).delay == Delay(35.5, 71.0)
    assert done == [
        *("3 to its core", "200 publishers for 61 s", "7 to its core", "processor time"),
        *(f"delay rtmp://127.0.0.1:1935/live/delay {url}", "7 to its core", "40 s at most", "ended"),
        *("asked to end", "published", "ended"),
    ]


def test_a_server_that_plays_nothing_has_no_delay_and_its_publishers_end_as_before(tmp_path: Path, done: list[str]) -> None:
    assert measured(tmp_path, "").delay is None
    assert done[1:] == ["200 publishers for 21 s", "7 to its core", "processor time", "published", "ended"]


def test_a_delay_that_nobody_told_says_why(tmp_path: Path, done: list[str]) -> None:
    with pytest.raises(AssertionError, match="no delay was told: lalmesh delay: no such thing"):
        measured(tmp_path, "http://127.0.0.1:8080/live/delay.flv")


def test_that_publishers_of_pairs_are_read_in_turns_is_said_as_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "stream_kbps", lambda: KBPS)
    monkeypatch.setattr(pairs, "PublishConfig", lambda: PublishConfig(max_delay_ms=47, publishers_per_delay_ms=9))
    told = pairs.introduction(Namespace(rounds=1, seconds=10))
    assert "in turns of at most 47 ms (`edge.publish.max_delay_ms`): a millisecond for each 9 of them." in told
    assert "one player, each frame at once" not in told


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


def point(at: float, percent: float, writes: float = 60, gathered_ms: int = 0) -> scaling.Sample:
    return scaling.Sample(at, Usage(0, 0, percent, 100), Players(100, KBPS, KBPS, 0), KBPS, writes, gathered_ms)


def test_a_curve_has_the_points_that_were_measured() -> None:
    found: Found[scaling.Sample] = Found(
        {
            scaling.label("players", "lalmesh", 0, 100): [point(100, 6), point(100, 8)],
            scaling.label("players", "lalmesh", 0, 500): [None, None],
            scaling.label("players", "lalmesh", 0, 1000): [point(1000, 60), None],
            scaling.label("players", "floor", 0, 100): [point(100, 5), point(100, 4)],
            scaling.label("players", "floor", 100, 1000): [point(1000, 10, gathered_ms=100)],
            scaling.label("players", "floor", 100, 100): [None, point(100, 2, gathered_ms=20)],
            scaling.label("players", "lalmesh", 100, 100): [point(100, 5, gathered_ms=20), point(100, 3, gathered_ms=20)],
            scaling.label("rate", "lalmesh", 0, "bench_1m"): [point(0.99, 22)],
        }
    )
    lines = {line.label: list(line.points) for line in scaling.curves("players", found)}
    assert lines == {
        "floor, each frame at once": [(100, 4.5)],
        "floor, gathered 100 ms at most": [(1000, 10), (100, 2)],
        "lalmesh, each frame at once": [(100, 7), (1000, 60)],
        "lalmesh, gathered 100 ms at most": [(100, 4)],
    }
    head, _, *rows = scaling.table("players", found).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in rows] == [
        ["100", "20", "4.5", "2.0", "7.0", "4.0", "1.60", "1.50"],
        ["1000", "100", "", "10.0", "60.0", "", "", ""],
    ]
    heads = [cell.strip() for cell in head.strip("|").split("|")]
    assert (heads[1], *heads[-2:]) == ("gathered, ms", "x floor, each frame at once", "x floor, gathered 100 ms at most")


def test_the_floor_gathers_as_long_as_lalmesh_does_for_as_many_players(monkeypatch: pytest.MonkeyPatch) -> None:
    floors: list[tuple[int, str]] = []
    ours: list[int] = []
    monkeypatch.setattr(fanout, "floor", lambda gather_ms, file: floors.append((gather_ms, file)))
    monkeypatch.setattr(fanout, "lalmesh", lambda protocol, gather_ms: ours.append(gather_ms))
    scaling.subjects(Namespace(players=(4, 100, 499, 2000), streams=()))
    one, all_rates = fanout.STREAM_MEDIA, scaling.MEDIA
    at_most = [0, 20, 99, 100]
    assert [floor for floor in floors if floor[0]] == [*((ms, one) for ms in at_most if ms), *((80, file) for file in all_rates)]
    assert len(floors) == len(ours) == 2 * (len(at_most) + len(all_rates))
    assert set(ours) == {0, 100}


def test_streams_that_share_players_gather_less_and_that_is_said() -> None:
    gathered = {streams: scaling.shared_ms(streams, 100) for streams in scaling.STREAMS}
    assert gathered == {1: 80, 10: 8, 50: 1, 100: 0, 200: 0}
    assert scaling.shared_ms(1, 0) == 0
    samples: dict[str, list[scaling.Sample | None]] = {
        scaling.label("streams", "lalmesh", 100, at): [point(at, 7, gathered_ms=gathered_ms)]
        for at, gathered_ms in gathered.items()
    }
    rows = [line.strip("|").split("|") for line in scaling.table("streams", Found(samples)).splitlines()[2:]]
    assert [(int(at), int(ms)) for at, ms, _ in rows] == list(gathered.items())
    told = scaling.introduction(Namespace(rounds=1, seconds=6))
    assert "one millisecond for each 5 players of a stream, and the floor is started with as long" in told
    assert "Streams have no floor beside them: one process of it has one stream" in told


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
