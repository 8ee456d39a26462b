"""Plots of what benchmarks have found: drawn from their JSON, as PNG files beside `docs/performance.md`.

A benchmark keeps its plots with its samples (`_report.keep`), so that they can be drawn again without measuring again:
``python -m bench._plots docs/performance/*.json``. matplotlib is of the group `bench` of pyproject.toml, and imported to draw only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "performance"
SIZE_INCHES = (8.0, 4.5)
DPI = 100
MOST_MARKED = 40  #: points of a curve that are marked each; more make a line


@dataclass(slots=True, frozen=True, kw_only=True)
class Curve:
    """One line of a plot."""

    label: str
    points: Sequence[tuple[float, float]]  #: in the order in which they are joined
    dashed: bool = False  #: what others are compared with


@dataclass(slots=True, frozen=True, kw_only=True)
class Plot:
    """One picture."""

    name: str  #: of the file, without its ending
    title: str
    x: str  #: what the axis across says, with its unit
    y: str  #: what the axis up says, with its unit
    curves: Sequence[Curve]
    limit: float | None = None  #: a line across, such as a bar or a whole core
    limit_label: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(curve.points for curve in self.curves)


def read(found: Mapping[str, Any]) -> list[Plot]:
    """The plots that a benchmark has kept in its JSON."""
    plots = []
    for kept in found.get("plots", ()):
        curves = [Curve(**{**curve, "points": [(x, y) for x, y in curve["points"]]}) for curve in kept["curves"]]
        plots.append(Plot(**{**kept, "curves": curves}))
    return plots


def draw(plot: Plot, folder: Path = FOLDER) -> Path:
    """Write the picture; its file."""
    import matplotlib  # not there where nothing is drawn

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    try:
        for curve in plot.curves:
            marker = "o" if len(curve.points) <= MOST_MARKED else None
            across, up = [x for x, _ in curve.points], [y for _, y in curve.points]
            axes.plot(across, up, label=curve.label, marker=marker, markersize=4, linestyle="--" if curve.dashed else "-")
        if plot.limit is not None:
            axes.axhline(plot.limit, color="grey", linestyle=":", label=plot.limit_label or None)
        axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        path = folder / f"{plot.name}.png"
        figure.savefig(path, metadata={"Software": None})  # the same figures make the same file
    finally:
        pyplot.close(figure)
    return path


def shown(plot: Plot, folder: Path = FOLDER) -> str:
    """The Markdown that shows the picture in `docs/performance.md`."""
    return f"![{plot.title}]({folder.name}/{plot.name}.png)"


def main(files: Sequence[str]) -> None:
    """Draw again what was kept."""
    for file in files:
        for plot in read(json.loads(Path(file).read_text(encoding="utf-8"))):
            print(draw(plot))


if __name__ == "__main__":
    main(sys.argv[1:])
