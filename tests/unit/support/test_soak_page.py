"""What the endurance run says of itself."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

from e2e.soak import page
from e2e.soak.runner import SHORT, Outcome
from e2e.soak.samples import Series
from e2e.soak.verdict import Grown, Rest
from support.slopes import Slope

MB = 1 << 20


def outcome(*, faults: int = 0, growth: float = 0.0) -> Outcome:
    series = Series()
    for number in range(1000):
        series.add(number * 5.0, "edge-1", 7 if number < 500 else 8, {"rss_bytes": 100.0 * MB})
        series.add(number * 5.0, "stores", 0, {"etcd_keys": 30.0})
    slope = Slope(3600, growth / 3600, growth / 3600, growth / 3600)
    return Outcome(
        SHORT,
        seconds=7200,
        busy_percent=60,
        crowd=300,
        done=Counter({"names": 20_000, "players": 5_000}),
        units=9,
        longest_still_s=1.5,
        faults=[f"fault {number}" for number in range(faults)],
        fault_count=faults,
        grown=[Grown("edge-1", "rss_bytes", slope, 100.0 * MB, 4.0 * MB)],
        sampler=cast(Any, SimpleNamespace(series=series)),
    )


def test_the_page_has_the_figures_the_slopes_and_the_pictures() -> None:
    text = page.text(outcome(), ["![Memory](soak/memory.png)"])
    assert "120 minutes, 60% of the machine busy, 300 players in the crowd; 20000 names of streams" in text
    assert "**0 faults**, 0 of 1 values grew; no player that does nothing wrong stood still for longer than 1.5 s." in text
    row = next(line for line in text.splitlines() if line.startswith("| edge-1"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("edge-1", "rss", "100.0 MiB", "0.0 MiB", "0.0 MiB", "4.0 MiB", "steady"),
    ]
    assert text.endswith("![Memory](soak/memory.png)\n")


def test_a_leak_and_faults_are_told_and_only_so_many_in_words() -> None:
    bad = outcome(faults=page.SHOWN_FAULTS + 5, growth=9.0 * MB)
    assert " grows |" in page.text(bad, [])
    assert page.text(bad, []).count("- fault:") == page.SHOWN_FAULTS
    assert "edge-1 rss_bytes: 9.0 MiB more" in page.told(bad)
    assert not bad.is_well


def test_what_is_in_use_of_the_heap_is_drawn_and_told_at_rest() -> None:
    run = outcome()
    heap = {"lalmesh_heap_used_bytes": 40.0 * MB}
    run.before = run.after = Rest({"edge-1": {**heap, "rss_bytes": 100.0 * MB, "descriptors": 28.0}}, {}, {"edge-1": 7})
    assert run.sampler is not None
    for number in range(10):
        run.sampler.series.add(number * 5.0, "edge-1", 8, heap)
    drawn = next(plot for plot in page.drawn(run) if plot.name == "heap")
    assert drawn.curves[0].points[0] == (0.0, 40.0)
    row = next(line for line in page.text(run, []).splitlines() if "| heap used |" in line.replace("  ", ""))
    assert row.count("40.0 MiB") == 2


def test_the_page_says_how_near_the_bounds_are() -> None:
    run = outcome()
    run.before = Rest({"edge-1": {"descriptors": 28.0}}, {"edge-1": {}}, {"edge-1": 7})
    run.after = Rest({"edge-1": {"descriptors": 31.0}}, {"edge-1": {"services.edge.session.Session": 2}}, {"edge-1": 7})
    for said in (page.text(run, []), page.told(run)):
        assert "at most" in said
        assert "3 descriptors, 0 tasks, 0 threads" in said
        assert "2 objects of a type" in said


def test_a_process_is_one_curve_however_often_it_was_started_and_has_few_points() -> None:
    (memory, registry) = page.drawn(outcome())
    assert [curve.label for curve in memory.curves] == ["edge-1"]
    assert len(memory.curves[0].points) <= page.CURVE_POINTS * 2
    assert memory.curves[0].points[0] == (0.0, 100.0)
    assert registry.curves[0].points[0] == (0.0, 30.0)
