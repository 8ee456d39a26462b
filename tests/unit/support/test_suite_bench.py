"""All benchmarks together: what goes to which, and what is a failure."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench import _load, _report, suite
from bench._load import HERE
from bench._report import Judged
from bench.suite import Ran, arguments, counted, rows

KEPT = Judged(what="fan-out", found=1.1, bar=1.2, unit="x floor")
MISSED = Judged(what="rate", found=4900.0, bar=5000, unit="a second", at_least=True)
UNKNOWN = Judged(what="beside nginx", found=None, bar=3.3)


ABOUT = {"command": "make bench-fanout ARGS='--rounds 1'", "machine": "two cores", "date": "2026-11-26 03:14 UTC", "commit": "abc"}


def ran(*judged: Judged, name: str = "fanout", status: int | None = 0, **found: object) -> Ran:
    return Ran(name, status, 1.0, {"about": ABOUT, "bars": [asdict(each) for each in judged], **found})


def test_names_come_first_and_what_is_not_the_suites_goes_to_each() -> None:
    names, plan, others = arguments(["fanout", "publish", "--rounds", "2", "--report"])
    assert (names, plan.kept, others) == (["fanout", "publish"], False, ["--rounds", "2", "--report"])
    assert arguments(["--kept"])[0] == []


def test_every_bar_is_a_line_and_is_counted() -> None:
    found = [ran(KEPT, MISSED), ran(UNKNOWN)]
    assert rows(found) == [
        ["fan-out", "1.1 x floor", "at most 1.2", "met", "fanout", "abc"],
        ["rate", "4900 a second", "at least 5000", "missed", "fanout", "abc"],
        ["beside nginx", "", "at most 3.3", "not measured", "fanout", "abc"],
    ]
    assert counted(found).startswith("3 bars: 1 met, 1 missed, 1 not measured. ")


def test_benchmarks_are_counted_beside_their_bars_with_those_that_lack() -> None:
    whole = [ran(KEPT, name=name) for name in suite.BENCHES]
    assert counted(whole).endswith(f" bars: {len(whole)} met. {len(whole)} benchmarks: {len(whole)} well.")
    found = [
        ran(KEPT),
        ran(KEPT, name="publish", plan={"only": "lalmesh"}),
        ran(MISSED, name="memory"),
        Ran("start", 1, 1.0),
        Ran("pairs", None, 0.0),
    ]
    states = f"1 well, 1 in part, 2 failed, 1 not measured, {len(suite.BENCHES) - len(found)} not asked for"
    assert counted(found) == f"3 bars: 2 met, 1 missed. {len(suite.BENCHES)} benchmarks: {states}."
    assert counted([]) == f"0 bars. {len(suite.BENCHES)} benchmarks: {len(suite.BENCHES)} not asked for."


def test_each_benchmark_says_by_what_and_when_it_was_measured_and_what_is_wrong_with_it() -> None:
    well = "fanout: 2026-11-26 03:14 UTC, commit abc, `make bench-fanout ARGS='--rounds 1'`"
    assert ran(KEPT).told == well
    assert ran(KEPT, UNKNOWN).told == f"{well}; not measured: beside nginx"
    assert Ran("fanout", None, 0.0).told == "fanout: it has not been measured"
    assert Ran("fanout", 1, 1.0).told == "fanout: it ended with 1 and kept nothing"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite with nothing kept, and a page that is not there yet."""
    monkeypatch.setattr(_load, "BUILT", tmp_path)
    monkeypatch.setattr(suite, "RESULTS", tmp_path / "suite.json")
    monkeypatch.setattr(_report, "FIGURES", tmp_path / "docs" / "performance")
    monkeypatch.setattr(suite, "BENCHES", ("fanout", "publish", "memory"))
    monkeypatch.setattr(_report, "PAGE", tmp_path / "docs" / "performance.md")
    return tmp_path


def test_the_table_is_of_what_the_sections_are_of_with_command_and_date_of_each_and_files_of_older_date_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = folder / "docs" / "performance"
    shown.mkdir(parents=True)
    (folder / "publish.json").write_text(json.dumps({"about": ABOUT, "bars": [asdict(MISSED)]}))  # no section tells of it
    old: dict[str, Any] = {"about": ABOUT, "bars": [asdict(KEPT)], "samples": {"us": [{}, None]}, "problems": {"us": "it was late"}}
    (shown / "fanout.json").write_text(json.dumps({**old, "plan": {"only": ""}, "left_out": {}}))
    new = {"about": ABOUT | {"commit": "def"}, "bars": [{**asdict(KEPT), "met": True}], "tables": [{"head": ["a"], "rows": []}]}
    (shown / "memory.json").write_text(json.dumps({**new, "problems": {"us": ["it was late", "it fell"]}, "measured_again": 2}))
    monkeypatch.setattr("sys.argv", ["suite", "--kept", "--report"])
    with pytest.raises(SystemExit) as ended:
        suite.main()
    page = (folder / "docs" / "performance.md").read_text()
    assert ended.value.code == 1
    assert "2 bars: 2 met. 3 benchmarks: 2 failed, 1 not measured.\n" in page
    assert [line for line in page.splitlines() if line.startswith("- ")] == [
        "- fanout: 2026-11-26 03:14 UTC, commit abc, `make bench-fanout ARGS='--rounds 1'`; worthless: us: it was late",
        "- publish: it has not been measured",
        "- memory: 2026-11-26 03:14 UTC, commit def, `make bench-fanout ARGS='--rounds 1'`; worthless: us: it was late; "
        "worthless: us: it fell",
    ]
    assert json.loads((folder / "suite.json").read_text())["benches"]["memory"]["tables"] == new["tables"]


@pytest.mark.parametrize(
    ("found", "failure"),
    [
        (ran(KEPT), ""),
        (ran(KEPT, UNKNOWN), "not measured: beside nginx"),
        (ran(KEPT, UNKNOWN, plan={"only": "fan"}, samples={"nginx": []}), ""),
        (
            ran(KEPT, samples={"us": [{}], "nginx": []}, left_out={"nginx": "it is not installed"}),
            "left out: nginx: it is not installed",
        ),
        (ran(KEPT, samples={"us": [None], "nginx": []}), "left out: nginx"),
        (ran(samples={}), "it measured nothing"),
        (ran(MISSED, UNKNOWN, status=1), "missed: rate: 4900 a second, at least 5000: missed; not measured: beside nginx"),
        (ran(KEPT, status=None), ""),
        (ran(KEPT, status=2), "it ended with 2"),
        (ran(MISSED, status=1), "missed: rate: 4900 a second, at least 5000: missed"),
        (ran(problems={"nginx": "it ended:\nmore"}, status=1), "worthless: nginx: it ended:"),
        (ran(problems={"us": ["it was late", "it fell"]}, status=1), "worthless: us: it was late; worthless: us: it fell"),
        (ran(problems=["a route was late"], status=1), "worthless: a route was late"),
        (Ran("fanout", 1, 1.0), "it ended with 1 and kept nothing"),
        (Ran("fanout", None, 0.0), "it has not been measured"),
    ],
)
def test_what_is_a_failure(found: Ran, failure: str) -> None:
    assert found.failure == failure


def test_every_benchmark_is_there() -> None:
    assert [name for name in suite.BENCHES if not (HERE / f"{name}.py").exists()] == []
