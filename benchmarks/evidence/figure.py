"""Figures of the page: means over seeds with their intervals, as SVG that is the same for the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.intervals import Interval


@dataclass(frozen=True)
class Line:
    """Points of one series: x, and an interval over seeds."""

    label: str
    points: Sequence[tuple[float, Interval]]
    joined: bool = True


def panels(file: Path, by_panel: Mapping[str, Sequence[Line]], *, x: str, log: bool = False) -> bool:
    """Panels beside each other with the same axis x, each titled by its y; whether there was anything to draw."""
    drawn = {
        name: [line for line in series if line.points]
        for name, series in by_panel.items()
        if any(len(line.points) > 1 for line in series)
    }
    if not drawn:
        return False

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, len(drawn), squeeze=False)[0]
        for axis, (name, series) in zip(axes, drawn.items(), strict=True):
            for line in series:
                points = sorted(line.points, key=lambda point: point[0])
                xs, ys = [point[0] for point in points], [point[1].mean for point in points]
                halves = [point[1].half or 0.0 for point in points]
                style = "o-" if line.joined else "o"
                axis.errorbar(xs, ys, yerr=halves, fmt=style, capsize=3, markersize=4, linewidth=1.2, label=line.label)
            if log:
                axis.set_xscale("log", base=2)
                axis.set_xticks(sorted({point[0] for line in series for point in line.points}))
                axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set(xlabel=x, title=name)
            axis.grid(alpha=0.3)
        if any(len(series) > 1 for series in drawn.values()):
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)

    _saved(file, draw, (3.6 * len(drawn), 3.4))
    return True


def matrix(file: Path, names: Sequence[str], values: Mapping[tuple[str, str], float], *, title: str) -> bool:
    """Shares of a row's name against a column's; whether there was anything to draw."""
    if not values:
        return False

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        table = [[values.get((row, column), float("nan")) for column in names] for row in names]
        shown = axis.imshow(table, cmap="RdBu_r", vmin=0, vmax=1)
        axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axis.set_yticks(range(len(names)), names)
        for i, row in enumerate(table):
            for j, value in enumerate(row):
                if value == value:
                    axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8)
        axis.set_title(title)
        figure.colorbar(shown, shrink=0.8)

    _saved(file, draw, (6.2, 5.2))
    return True


def _saved(file: Path, draw: Callable[[Any], None], size: tuple[float, float]) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "evidence", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Date": None, "Creator": None})
