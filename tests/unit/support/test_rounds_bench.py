"""Subjects take turns; a ratio is formed within a round, and a sample that shows nothing counts for none."""

import json
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from bench import _report, _rounds
from bench._host import Host, Times
from bench._report import Judged
from bench._rounds import Found, Subject, choose, conclude, joined, run


@dataclass(slots=True, frozen=True)
class Sample:
    value: float
    problem: str = ""
    shown: str = ""


def subject(label: str, values: list[float | str], turns: list[str]) -> Subject[Sample]:
    """Gives its values in turn; a text is a problem, and an empty one an error."""

    def measure(folder: Path, stack: ExitStack) -> Sample:
        turns.append(label)
        assert folder.is_dir()
        value = values.pop(0)
        if not value:
            raise OSError("it broke")
        return Sample(0, str(value)) if isinstance(value, str) else Sample(value)

    return Subject(label, measure)


def test_subjects_take_turns_and_what_is_worthless_is_told() -> None:
    turns: list[str] = []
    found = run([subject("a", [1, "it was late", 3], turns), subject("b", [4, 5, ""], turns)], 3)
    assert turns == ["a", "b", "b", "a", "a", "b"]  # every second round backwards
    assert [found.samples[label] for label in "ab"] == [[Sample(1), None, Sample(3)], [Sample(4), Sample(5), None]]
    assert found.problems == {"a": ["it was late"], "b": ["it broke"]}


def test_every_problem_of_a_label_is_kept_and_the_section_says_in_how_many_rounds_it_had_one_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values: list[float | str] = ["it was late:\nby 3 s", 2, "it was late:\nby 4 s", "it fell"]
    lacking = Subject("peer", subject("peer", [], []).measure, "no program")
    found = run([subject("a", values, []), subject("b", [1, 2, 3, 4], []), lacking], 4)
    found.fail("cluster", "no etcd")
    kept = concluded(found, tmp_path, status=1)
    assert kept["problems"] == {"a": ["it was late:\nby 3 s", "it was late:\nby 4 s", "it fell"], "cluster": ["no etcd"]}
    section = capsys.readouterr().out
    assert section.rstrip().endswith(
        "Words.\n\nNot all of it could be measured:\n\n"
        "- `a`: worthless in 3 of 4 rounds: it was late:; it fell\n"
        "- `cluster`: worthless in 1 of 4 rounds: no etcd\n"
        "- `peer`: left out: no program"
    )


def test_where_all_is_well_the_section_says_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    concluded(run([subject("a", [1, 2], [])], 2), tmp_path)
    assert capsys.readouterr().out.endswith("\n\nWords.\n\n")


def test_an_error_without_words_is_a_problem_too() -> None:
    def measure(folder: Path, stack: ExitStack) -> Sample:
        raise TimeoutError

    assert run([Subject("a", measure)], 1).problems == {"a": ["TimeoutError"]}


def test_tables_are_kept_and_how_often_was_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([0, 50, 50, 50])
    host = Host(lambda: Times(100, next(taken)), lambda: 0.0, lambda seconds: None)
    monkeypatch.setattr(_rounds, "HOST", host)
    found: Found[Sample] = Found({"a": [host.watch(lambda: Sample(1))]})
    kept = concluded(found, tmp_path, paragraphs=["Words.", _report.table(["us"], [["1.0"]])])
    assert (kept["measured_again"], kept["tables"]) == (1, [{"head": ["us"], "rows": [["1.0"]]}])
    assert kept["about"]["host"] == host.told


def test_what_the_page_says_is_kept_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report, "PAGE", tmp_path / "performance.md")
    monkeypatch.setattr(_report, "FIGURES", tmp_path / "performance")
    kept = concluded(Found({"a": [Sample(1)]}), tmp_path, report=True)
    assert json.loads((tmp_path / "performance" / "name.json").read_text()) == kept
    assert "Words." in (tmp_path / "performance.md").read_text()


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    found: Found[Sample] = Found(
        {"a": [Sample(10), Sample(30), None, Sample(4)], "b": [Sample(5), Sample(10), Sample(1), Sample(4)]}
    )
    assert found.ratio("a", "b", lambda sample: sample.value) == 2
    assert found.ratio("a", "c", lambda sample: sample.value) is None
    assert found.median("a", lambda sample: sample.value) == 10
    assert found.median("c", lambda sample: sample.value) is None


def test_what_is_wanted_is_chosen() -> None:
    subjects = [subject("one", [], []), subject("other", [], []), subject("one-more", [], [])]
    assert [each.label for each in choose(subjects, "one")] == ["one", "one-more"]
    assert [each.label for each in choose(subjects, "")] == ["one", "other", "one-more"]


def test_what_is_missing_is_left_out_and_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turns: list[str] = []
    lacking = Subject("peer", subject("peer", [1], turns).measure, "no program")
    found = run([lacking, subject("us", [2], turns)], 1)
    assert (turns, found.samples, found.left_out) == (["us"], {"peer": [], "us": [Sample(2)]}, {"peer": "no program"})
    assert concluded(found, tmp_path)["left_out"] == {"peer": "no program"}
    assert "left out: peer: no program" in capsys.readouterr().err


def test_what_was_found_of_different_subjects_is_one() -> None:
    cut = Found({"a": [Sample(1)]}, {"a": ["it was late"]}, {"c": "no program"})
    assert joined(cut, Found({"b": [Sample(2)]})) == Found(
        {"a": [Sample(1)], "b": [Sample(2)]}, {"a": ["it was late"]}, {"c": "no program"}
    )


def test_both_of_a_round_can_run_at_the_same_time() -> None:
    both = Barrier(2, timeout=10)

    def measure(folder: Path, stack: ExitStack) -> Sample:
        both.wait()
        return Sample(1)

    assert run([Subject("a", measure), Subject("b", measure)], 2, together=True).samples == {
        "a": [Sample(1)] * 2,
        "b": [Sample(1)] * 2,
    }


def test_each_bar_says_on_which_side_of_it_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = [Judged(what="time", found=1.3, bar=1.2, unit="x floor"), Judged(what="share", found=0.95, bar=0.9, at_least=True)]
    concluded(Found({"a": [Sample(1)]}), tmp_path, judged, status=1)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert lines[2:] == [["time", "1.3 x floor", "at most 1.2", "missed"], ["share", "0.95", "at least 0.9", "met"]]


def concluded(
    found: Found[Sample],
    folder: Path,
    judged: Sequence[Judged] = (),
    *,
    status: int = 0,
    paragraphs: Sequence[str] = ("Words.",),
    report: bool = False,
) -> dict[str, Any]:
    """What is kept of it."""
    plan = Namespace(json=folder / "found.json", report=report, verdict=True, only="", rounds=4, players=(500, 1000))
    assert conclude("name", "Title", paragraphs, plan, found, judged=judged) == status
    kept: dict[str, Any] = json.loads(plan.json.read_text())
    assert kept["plan"] == {"report": report, "verdict": True, "only": "", "rounds": 4, "players": [500, 1000]}
    return kept
