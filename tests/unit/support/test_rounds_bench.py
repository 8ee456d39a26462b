"""Subjects take turns; a ratio is formed within a round, and a sample that shows nothing counts for none."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench._rounds import Found, Subject, choose, run


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
    assert found.problems == {"a": "it was late", "b": "it broke"}


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    found: Found[Sample] = Found(
        {"a": [Sample(10), Sample(30), None, Sample(4)], "b": [Sample(5), Sample(10), Sample(1), Sample(4)]}
    )
    assert found.ratio("a", "b", lambda sample: sample.value) == 2
    assert found.ratio("a", "c", lambda sample: sample.value) is None
    assert found.median("a", lambda sample: sample.value) == 10
    assert found.median("c", lambda sample: sample.value) is None


def test_what_is_wanted_is_chosen_and_what_is_missing_told(capsys: pytest.CaptureFixture[str]) -> None:
    subjects = [subject("one", [], []), subject("other", [], []), Subject("one-more", subject("", [], []).measure, "no program")]
    assert [each.label for each in choose(subjects, "one")] == ["one"]
    assert [each.label for each in choose(subjects, "")] == ["one", "other"]
    assert capsys.readouterr().err.splitlines() == ["left out: one-more: no program"] * 2
