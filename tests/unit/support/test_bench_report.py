"""What a benchmark says of itself: bars, its section in the page, and plots that can be drawn again."""

import json
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


def test_what_was_missed_is_told_and_makes_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    judged = [
        Judged(what="a", found=1, bar=2),
        Judged(what="b", found=2.5, bar=2, unit="x floor"),
        Judged(what="c", found=None, bar=2),
    ]
    assert _report.missed(judged) == ["b: 2.5 x floor, at most 2: missed"]
    assert [_report.end({}, judged[:1]), _report.end({}, judged), _report.end({"x": "it ended"}, [])] == [0, 1, 1]
    assert capsys.readouterr().err == "missed: b: 2.5 x floor, at most 2: missed\nworthless: x: it ended\n"


def test_a_section_takes_the_place_of_the_one_before() -> None:
    page = _report.with_section(_report.with_section("# Title\n\nWords.\n", "b", "## B"), "c", "## C")
    page = _report.with_section(page, "a", "## A", first=True)
    assert [line for line in page.splitlines() if line.startswith("#")] == ["# Title", "## A", "## B", "## C"]
    again = _report.with_section(page, "b", "## B\n\nanew")
    assert again == page.replace("## B\n", "## B\n\nanew\n")


def test_plots_are_kept_with_what_was_found(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "found.json"
    empty = Plot(name="none", title="", x="", y="", curves=[Curve(label="us", points=[])])
    judged = [Judged(what="a", found=1, bar=2)]
    _report.keep(file, {"date": "now"}, {"rounds": 1}, {"samples": [1]}, judged=judged, plots=[PLOT, empty])
    found = json.loads(file.read_text())
    assert _plots.read(found) == [PLOT]
    assert (found["samples"], found["bars"]) == ([1], [asdict(judged[0])])


def test_a_plot_is_drawn_alike_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="only what draws installs it")
    first, second = (_plots.draw(PLOT, tmp_path / folder).read_bytes() for folder in ("a", "b"))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert _plots.shown(PLOT) == "![Cost](performance/cost.png)"
