"""All benchmarks together: what goes to which, and what is a failure."""

from dataclasses import asdict

import pytest

from bench import suite
from bench._load import HERE
from bench._report import Judged
from bench.suite import Ran, arguments, counted, rows

KEPT = Judged(what="fan-out", found=1.1, bar=1.2, unit="x floor")
MISSED = Judged(what="rate", found=4900.0, bar=5000, unit="a second", at_least=True)
UNKNOWN = Judged(what="beside nginx", found=None, bar=3.3)


def ran(*judged: Judged, status: int | None = 0, **found: object) -> Ran:
    return Ran("fanout", status, 1.0, {"about": {"commit": "abc"}, "bars": [asdict(each) for each in judged], **found})


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
    assert counted(found) == "3 bars: 1 met, 1 missed, 1 not measured."


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
        (ran(problems=["a route was late"], status=1), "worthless: a route was late"),
        (Ran("fanout", 1, 1.0), "it ended with 1 and kept nothing"),
        (Ran("fanout", None, 0.0), "it has kept nothing"),
    ],
)
def test_what_is_a_failure(found: Ran, failure: str) -> None:
    assert found.failure == failure


def test_every_benchmark_is_there() -> None:
    assert [name for name in suite.BENCHES if not (HERE / f"{name}.py").exists()] == []
