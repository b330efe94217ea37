"""The picture: medians as bars, p99 as whiskers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.loop.cells import HOPS, LOOPS
from benchmarks.loop.measured import HISTOGRAM, OURS, SPINNING, Figures
from benchmarks.loop.report import Results

__all__ = ["draw"]

INK, SOFT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLOURS = {
    OURS: "#0b6e99",
    SPINNING: "#67b7dc",
    "bare loop": "#b8c0cc",
    "bare ring": "#b8c0cc",
    "bare ring, semaphore": "#98a2b0",
    "Falcon-like": "#d1495b",
    "Pipe": "#8e6c1e",
    "pyzmq": "#3c8d5a",
    "pylsl": "#7d5ba6",
    "ezmsg": "#c77d2e",
}
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "savefig.facecolor": "white",
    "svg.hashsalt": "rigmesh",
}


def draw(results: Results, path: Path) -> None:
    """Draw the latencies of all cells, and the rates beside the bare ring's, into an SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    loops = {cell.name: results.of(cell) for cell in LOOPS}
    hops = {cell.name.partition(" at ")[0]: results.of(cell) for cell in HOPS[:2]}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.6), layout="constrained")
        above, below = figure.subplots(2, 1, gridspec_kw={"height_ratios": (1, 1)})
        _latencies(above, loops, "Closed loop: packet received → byte written, µs")
        left, right = below.get_subplotspec().subgridspec(1, 2).subplots()
        below.remove()
        _latencies(left, hops, "One hop between two processes, µs")
        _rates(right, results)
        handles, labels = _legend(figure.axes)
        figure.legend(handles, labels, loc="outside lower center", ncols=9, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _latencies(axes: Any, cells: dict[str, dict[str, Figures]], title: str) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=10)
    axes.set_yscale("log")
    for at, figures in enumerate(cells.values()):
        shown = {who: one for who, one in figures.items() if who != HISTOGRAM}
        for place, who, width in _places(at, list(shown)):
            one = shown[who]
            axes.bar(place, one.median, width, color=COLOURS[who], label=who)
            axes.plot([place, place], [one.median, one.p99], color=INK, linewidth=0.8)
            axes.text(
                place, one.p99 * 1.1, f"{one.median:.0f}", ha="center", fontsize=7, color=SOFT
            )
    axes.set_xticks(range(len(cells)), list(cells))


def _rates(axes: Any, results: Results) -> None:
    axes.set_title("Throughput, of the bare ring's", loc="left", color=INK, fontsize=10)
    cells = HOPS[2:]
    for at, cell in enumerate(cells):
        figures = results.of(cell)
        if "bare ring" not in figures:
            continue
        for place, who, width in _places(at, list(figures)):
            share = figures[who].rate / figures["bare ring"].rate
            axes.bar(place, share, width, color=COLOURS[who], label=who)
            axes.text(place, share + 0.02, f"{share:.0%}", ha="center", fontsize=7, color=SOFT)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xticks(range(len(cells)), [cell.name.partition(",")[0] for cell in cells])


def _places(at: int, names: list[str]) -> list[tuple[float, str, float]]:
    width = 0.8 / max(1, len(names))
    offsets = (np.arange(len(names)) - (len(names) - 1) / 2) * width
    return [(at + offset, name, 0.9 * width) for offset, name in zip(offsets, names, strict=True)]


def _legend(axes: list[Any]) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
