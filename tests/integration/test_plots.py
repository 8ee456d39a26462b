"""Plots of benchmarks, as the library draws them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import _plots
from bench._plots import Curve, Plot

PLOT = Plot(
    name="cost",
    title="Cost",
    x="players",
    y="% of a core",
    curves=[Curve(label="us", points=[(1.0, 2.0), (2.0, 3.0)], dashed=True)],
)


def test_a_plot_is_drawn_alike_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="only what draws installs it")
    first, second = (_plots.draw(PLOT, tmp_path / folder).read_bytes() for folder in ("a", "b"))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert _plots.shown(PLOT) == "![Cost](performance/cost.png)"
