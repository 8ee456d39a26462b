"""What a benchmark says of itself: bars, its section in the page, and plots that can be drawn again."""

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from bench import _plots, _report
from bench._plots import Curve, Plot
from bench._report import Judged

PLOT = Plot(
    name="cost",
    title="Cost",
    x="players",
    y="% of a core",
    curves=[Curve(label="us", points=[(1.0, 2.0), (2.0, 3.0)], dashed=True)],
)


@pytest.mark.parametrize(
    ("found", "at_least", "verdict"),
    [(1.2, False, "met"), (1.21, False, "missed"), (1.2, True, "met"), (1.1, True, "missed"), (None, False, "not measured")],
)
def test_a_bar_is_kept_up_to_itself(found: float | None, at_least: bool, verdict: str) -> None:
    assert Judged(what="fan-out", found=found, bar=1.2, at_least=at_least).verdict == verdict


def test_a_bar_says_on_which_side_of_it_is_well() -> None:
    both = [Judged(what="share", found=None, bar=0.9, at_least=True), Judged(what="rate", found=12345.6, bar=5000, unit="a second")]
    assert [each.cells for each in both] == [
        ["share", "", "at least 0.9", "not measured"],
        ["rate", "12346 a second", "at most 5000", "missed"],
    ]
    assert both[0].told == "share: nothing, at least 0.9: not measured"
    assert len(both[0].cells) == len(_report.BARS_HEAD)


def test_what_was_missed_is_told_and_makes_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    judged = [
        Judged(what="a", found=1, bar=2),
        Judged(what="b", found=2.5, bar=2, unit="x floor"),
        Judged(what="c", found=None, bar=2),
    ]
    assert _report.missed(judged) == ["b: 2.5 x floor, at most 2: missed"]
    assert [_report.end({}, judged[:1]), _report.end({}, judged), _report.end({"x": ["it ended", "late"]}, [])] == [0, 1, 1]
    told = "missed: b: 2.5 x floor, at most 2: missed\nworthless: x: it ended\nworthless: x: late\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(("problem", "short"), [("it ended:\nmore", "it ended:"), ("", ""), ("word " * 100, f"{'word ' * 31}...")])
def test_a_problem_fits_a_line(problem: str, short: str) -> None:
    assert _report.short(problem) == short


def test_a_section_takes_the_place_of_the_one_before() -> None:
    page = _report.with_section(_report.with_section("# Title\n\nWords.\n", "b", "## B"), "c", "## C")
    page = _report.with_section(page, "a", "## A", first=True)
    assert [line for line in page.splitlines() if line.startswith("#")] == ["# Title", "## A", "## B", "## C"]
    again = _report.with_section(page, "b", "## B\n\nanew")
    assert again == page.replace("## B\n", "## B\n\nanew\n")


@pytest.mark.skipif(shutil.which("git") is None, reason="it asks git")
def test_what_benchmarks_write_themselves_is_no_change_of_the_tree_and_all_else_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_report, "ROOT", tmp_path)
    monkeypatch.setattr(_report, "PAGE", tmp_path / "docs" / "performance.md")
    assert _report.revision() == "unknown"
    code = tmp_path / "code.py"
    code.write_text("1")
    _report.publish("a", "A", "Words.")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, timeout=10, stdin=subprocess.DEVNULL)
    _report.publish("a", "A", "Other words.")
    assert (_report.revision()[-6:] != "-dirty", capsys.readouterr().err) == (True, "")
    code.write_text("2")
    _report.publish("a", "A", "More words.")
    assert _report.revision().endswith("-dirty")
    assert capsys.readouterr().err == "warning: the tree has changes that are not committed\n"


def test_plots_are_kept_with_what_was_found(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "found.json"
    empty = Plot(name="none", title="", x="", y="", curves=[Curve(label="us", points=[])])
    _report.keep(file, {"date": "now"}, {"rounds": 1}, {"samples": [1]}, plots=[PLOT, empty])
    found = json.loads(file.read_text())
    assert _plots.read(found) == [PLOT]
    assert (found["samples"], found["tables"]) == ([1], [])


def test_bars_are_kept_with_their_verdict_and_tables_as_they_are_printed(tmp_path: Path) -> None:
    judged = [Judged(what=what, found=found, bar=2) for what, found in (("a", 1), ("b", 3), ("c", None))]
    one = _report.table(["server", "%"], [["us", "1.20"], ["a peer", ""]])
    other = _report.table(["knee"], [["none: it ended"]])
    file = tmp_path / "found.json"
    _report.keep(file, {}, {}, {}, text=f"Words.\n\n{one}\n\nMore | words.\n\n{other}", judged=judged)
    found = json.loads(file.read_text())
    assert found["bars"] == [{**asdict(each), "met": met} for each, met in zip(judged, (True, False, None), strict=True)]
    assert found["tables"] == [
        {"head": ["server", "%"], "rows": [["us", "1.20"], ["a peer", ""]]},
        {"head": ["knee"], "rows": [["none: it ended"]]},
    ]
