"""How ``rigmesh latency`` shows what it has measured: tables, bars, a figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from rich.bar import Bar
from rich.console import JustifyMethod, RenderableType
from rich.markup import escape
from rich.table import Table

from rigmesh.cli._latency_report import PERCENTILES, Measurement, Place, told
from rigmesh.errors import GraphError, Unsupported
from rigmesh.node.histogram import Histogram

__all__ = ["check_plot", "plot", "shown"]

_MOST_ROWS = 16
_BAR = 48
_FORMATS = (".svg", ".png", ".pdf")
_INK, _BARS, _LIMIT = "#1f2933", "#0b6e99", "#d1495b"


# --- on the terminal -----------------------------------------------------------------------------


def shown(measured: Measurement) -> Iterator[RenderableType]:
    """Yield what is to be printed, one after the other."""
    limited = [place for place in measured.nodes if place.limits]
    yield _places("node", "chunks", measured.nodes)
    if measured.links:
        yield _links(measured)
    if measured.trips:
        yield _places("round trip", "messages", measured.trips)
    yield _loads(measured)
    for place in [*limited, *measured.trips]:
        if place.histogram.total:
            yield _bars(place)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_left = column in (columns[0], "limits", "verdict", "busiest")
        justify: JustifyMethod = "left" if is_left else "right"
        table.add_column(column, justify=justify, no_wrap=not is_left, overflow="fold")
    return table


def _places(what: str, counted: str, places: list[Place]) -> Table:
    """Draw a row for each place, and below it one of its limits."""
    table = _table(what, counted, *PERCENTILES, "")
    for place in places:
        times = [_cell(place.histogram, p, failed=p in place.broken) for p in PERCENTILES]
        verdict = ""
        if place.limits or place.missing:
            verdict = "[green]ok[/]" if place.is_ok else "[bold red]FAILED[/]"
        missing = f"[bold red]{place.missing:,} missing[/]" if place.missing else ""
        table.add_row(escape(place.name), f"{place.histogram.total:,}", *times, verdict)
        if place.limits or place.missing:
            limits = [told(place.limits[p]) if p in place.limits else "" for p in PERCENTILES]
            table.add_row("  limit", missing, *limits, style="dim")
    return table


def _cell(histogram: Histogram, percentile: str, *, failed: bool = False) -> str:
    if not histogram.total:
        return ""
    text = told(histogram.percentile(PERCENTILES[percentile]))
    return f"[bold red]{text}[/]" if failed else text


def _links(measured: Measurement) -> Table:
    table = _table("link", "chunks", *PERCENTILES, "lost")
    for link in measured.links:
        name = f"{link.stream} → {link.reader}" if link.reader else f"{link.stream}, its source"
        lost = ", ".join(f"{count:,} {escape(cause)}" for cause, count in link.lost.items())
        table.add_row(
            escape(name),
            f"{link.histogram.total:,}",
            *(_cell(link.histogram, p) for p in PERCENTILES),
            f"[bold red]{lost}[/]" if lost else "0",
        )
    return table


def _loads(measured: Measurement) -> Table:
    table = _table("process", "load", "busiest", "switched out", "deadline missed")
    for load in measured.loads:
        busiest = f"{escape(load.busiest)} {load.busiest_load:.1%}" if load.busiest else ""
        table.add_row(
            escape(load.process),
            f"{load.load:.1%}",
            busiest,
            f"{load.switches:,}",
            f"[red]{load.misses:,}[/]" if load.misses else "0",
        )
    return table


def _bars(place: Place) -> Table:
    """Draw a histogram: a row for each part of a doubling, the limits where they are."""
    rows = _rows(place.histogram)
    most = max(count for _, _, count in rows)
    table = Table(box=None, pad_edge=False, show_header=False, title=escape(place.name),
                  title_justify="left", title_style="bold")  # fmt: skip
    for justify in ("right", "left", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    for begin, end, count in rows:
        marks = [f"{p} limit" for p, limit in place.limits.items() if begin <= limit < end]
        colour = "red" if begin >= max(place.limits.values(), default=math.inf) else "cyan"
        table.add_row(
            f"≤ {told(end)}",
            Bar(most, 0, count, width=_BAR, color=colour),
            f"{count:,}",
            f"[dim]← {', '.join(marks)}[/]" if marks else "",
        )
    return table


def _rows(histogram: Histogram) -> list[tuple[float, float, int]]:
    """Return lower edge, upper edge and count for at most so many rows, evenly on a log axis."""
    bins = histogram.bins()
    first, last = math.log2(bins[0][1] * 1e6), math.log2(bins[-1][1] * 1e6)
    per_octave = next((n for n in (4, 2) if (last - first) * n < _MOST_ROWS), 1)
    counts: dict[int, int] = {}
    for _, end, count in bins:
        # The edges of the bins are powers of two among them, and to be found as such.
        row = math.ceil(math.log2(end * 1e6) * per_octave - 1e-9)
        counts[row] = counts.get(row, 0) + count
    edges = range(min(counts), max(counts) + 1)
    return [
        (2 ** ((n - 1) / per_octave) / 1e6, 2 ** (n / per_octave) / 1e6, counts.get(n, 0))
        for n in edges
    ]


# --- as a figure ---------------------------------------------------------------------------------


def check_plot(path: Path) -> None:
    """See that a figure can be drawn, before anything is measured.

    Raises
    ------
    GraphError
        If it is asked for in a format there is not.
    Unsupported
        If matplotlib is missing.
    """
    if path.suffix.lower() not in _FORMATS:
        raise GraphError(f"--plot {path}: a figure is {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}")
    if find_spec("matplotlib") is None:
        raise Unsupported("--plot needs matplotlib: pip install 'rigmesh[plot]'")


def plot(measured: Measurement, path: Path) -> None:
    """Draw the histograms: of what has limits, or of every node if nothing has."""
    from matplotlib.figure import Figure

    places = [place for place in measured.nodes if place.limits] + measured.trips
    places = [place for place in places or measured.nodes if place.histogram.total]
    figure = Figure(figsize=(7, 0.6 + 1.6 * max(1, len(places))), layout="constrained")
    figure.suptitle(
        f"{measured.graph}: latencies of {measured.duration:.0f} s", fontsize=10, color=_INK
    )
    axes = figure.subplots(max(1, len(places)), 1, squeeze=False, sharex=True)[:, 0]
    for axis, place in zip(axes, places, strict=False):
        bins = place.histogram.bins()
        begins = [max(begin, 1e-7) * 1e3 for begin, _, _ in bins]
        widths = [end * 1e3 - begin for (_, end, _), begin in zip(bins, begins, strict=True)]
        axis.bar(begins, [n for *_, n in bins], widths, align="edge", color=_BARS, linewidth=0)
        for percentile, limit in place.limits.items():
            axis.axvline(limit * 1e3, color=_LIMIT, linewidth=1)
            axis.annotate(
                f" {percentile} ≤ {told(limit)}", (limit * 1e3, 0.95), color=_LIMIT, fontsize=7,
                xycoords=("data", "axes fraction"), va="top",
            )  # fmt: skip
        axis.set(xscale="log", yscale="log")
        axis.set_ylim(bottom=0.7)
        axis.set_title(place.name, loc="left", fontsize=9, color=_INK)
        axis.set_ylabel("chunks", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    axes[-1].set_xlabel("ms", fontsize=8)
    try:
        figure.savefig(path)
    except OSError as error:
        raise GraphError(f"cannot write the figure {path}: {error.strerror}") from error
