"""A picture as a figure of matplotlib, fit for a paper; no window, no pyplot."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.cli._plot_picture import Events, Picture, Pictures, Signals

__all__ = ["SIZE", "draw", "label_of", "nice_length", "save"]

Array = npt.NDArray[Any]

_LONGEST_LABEL = 24
_LANES = 3
_FONT = 8.0
_DPI = 200
_EM_INCHES = 0.55 * _FONT / 72
"""About how wide a letter is."""
_PANEL_INCHES = (0.8, 6.0)
_CHANNEL_INCHES = 0.3
_STRIP_INCHES = 0.42
_ROW_INCHES = 0.15
_MANY_CHANNELS = 8
_MOST_LABELS = 60
_MOST_ROWS = 16
_WIDTH = 9.0
SIZE = (_WIDTH, 0.0)
"""Width and height in inches; a height of 0 is as much as the panels need."""


@dataclass(frozen=True, slots=True)
class _Ink:
    paper: str
    ink: str
    faint: str
    gap: str
    pause: str
    traces: tuple[str, ...]
    events: tuple[str, ...]


_LIGHT = _Ink(
    "#ffffff", "#1f2933", "#7b8794", "#d1495b", "#9aa5b1",
    ("#0b6e99", "#00798c", "#5f4b8b", "#2e6f40", "#8a4f2a"),
    ("#c8553d", "#2a6f97", "#588157", "#7b2cbf", "#b08900", "#bc4b7b", "#3d5a80", "#6c584c"),
)  # fmt: skip
_DARK = _Ink(
    "#14181d", "#e4e7eb", "#8d99a6", "#ff6b7d", "#7b8794",
    ("#5cc8f2", "#4fd1c5", "#b8a1f5", "#86d993", "#f0b27a"),
    ("#ff8a6b", "#6bb8ff", "#9bd770", "#c792ff", "#ffd166", "#ff8fc0", "#8fb8de", "#d3b89c"),
)  # fmt: skip


def draw(
    picture: Picture,
    *,
    title: str,
    subtitle: str = "",
    size: tuple[float, float] = SIZE,
    dark: bool = False,
) -> Any:
    """Draw a picture.

    Parameters
    ----------
    picture : Picture
        What.
    title, subtitle : str
        Above it, at the left and at the right.
    size : tuple of float
        In inches; a height of 0 is as much as the panels need.
    dark : bool
        For a dark slide.

    Returns
    -------
    matplotlib.figure.Figure
        To be given to :func:`save`.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    ink = _DARK if dark else _LIGHT
    heights = [_height(panel) for panel in picture.panels]
    total = size[1] or sum(heights) + 0.12 * len(heights) + 0.75
    with matplotlib.rc_context(_style(ink)):
        layout = ConstrainedLayoutEngine(h_pad=0.03, hspace=0.02)
        figure = Figure(figsize=(size[0], total), layout=layout, facecolor=ink.paper)
        grid = figure.subplots(
            len(heights), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
        )[:, 0]
        factor, unit = _time_unit(picture.stop - picture.start)
        colours = iter(range(len(heights)))
        width = size[0] * 0.84
        for axis, panel in zip(grid, picture.panels, strict=True):
            if isinstance(panel, Signals):
                colour = ink.traces[next(colours) % len(ink.traces)]
                _draw_signals(axis, panel, colour, ink, factor)
            elif isinstance(panel, Events):
                _draw_events(axis, panel, picture, ink, factor, width)
            else:
                _draw_pictures(axis, panel, ink, factor)
        for panel in picture.panels:
            if isinstance(panel, Events):
                across = [axis for axis, own in zip(grid, picture.panels, strict=True)
                          if isinstance(own, Signals)]  # fmt: skip
                _draw_lines(across, panel, ink, factor)
        grid[0].set_xlim(picture.start * factor, picture.stop * factor)
        for axis in grid[:-1]:
            axis.tick_params(bottom=False, labelbottom=False)
            axis.spines["bottom"].set_visible(False)
        grid[-1].set_xlabel(f"time ({unit})")
        grid[-1].spines["bottom"].set_visible(True)
        grid[-1].tick_params(bottom=True, labelbottom=True)
        # matplotlib would take text between dollars for mathematics.
        grid[0].set_title(title, loc="left", fontweight="bold", color=ink.ink, parse_math=False)
        if subtitle:
            grid[0].set_title(subtitle, loc="right", color=ink.faint, parse_math=False)
    return figure


def save(figure: Any, path: Path, dpi: int = _DPI) -> None:
    """Write a figure; its ending says the format. The same figure makes the same file."""
    import matplotlib

    # Text stays text in an SVG, so that it can be changed there.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rigmesh"}):
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        figure.savefig(path, dpi=dpi, metadata=metadata.get(path.suffix.lower()))


def label_of(text: str) -> str:
    """Return what is written beside an event: one short line.

    Examples
    --------
    >>> label_of('{"unit": 3, "channel": 7}')
    'unit 3, channel 7'
    >>> label_of("a rather long text, longer than the room there is")
    'a rather long text, lon…'
    """
    if text[:1] in "{[":
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if isinstance(told, dict):
            text = ", ".join(f"{key} {value}" for key, value in told.items())
        elif isinstance(told, list):
            text = ", ".join(map(str, told))
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST_LABEL else line[: _LONGEST_LABEL - 1] + "…"


def nice_length(most: float) -> float:
    """Return the greatest of 1, 2 and 5 times a power of ten that is not more.

    Examples
    --------
    >>> nice_length(73.0), nice_length(0.3), nice_length(1.0)
    (50.0, 0.2, 1.0)
    """
    if not (math.isfinite(most) and most > 0):
        return 1.0
    exponent = math.floor(math.log10(most) + 1e-9)
    step = max(m for m in (1, 2, 5) if m * 10.0**exponent <= most * (1 + 1e-9))
    return float(f"{step}e{exponent}")


# --- panels --------------------------------------------------------------------------------------


def _height(panel: Signals | Events | Pictures) -> float:
    if isinstance(panel, Signals):
        low, high = _PANEL_INCHES
        return min(high, low + _CHANNEL_INCHES * (len(panel.channels) - 1))
    if isinstance(panel, Events) and _is_raster(panel):
        return max(_STRIP_INCHES, _ROW_INCHES * len(set(panel.texts)))
    return _STRIP_INCHES if isinstance(panel, Events) else _STRIP_INCHES / 2


def _draw_signals(axis: Any, panel: Signals, colour: str, ink: _Ink, factor: float) -> None:
    from matplotlib.transforms import blended_transform_factory

    n = len(panel.channels)
    middles, spans = _middles_and_spans(panel)
    units = set(panel.units)
    is_common = len(units) == 1 and (n == 1 or np.ptp(np.log10(spans)) < 2)
    scales = np.full(n, max(float(np.median(spans)), 1e-300)) if is_common else spans
    exact = panel.minimum is panel.maximum
    dots = panel.rate == 0 and len(panel.times) < 500
    times = panel.times * factor if exact else np.repeat(panel.times * factor, 2)
    for number in range(n):
        lows = (panel.minimum[:, number] - middles[number]) / scales[number] - number
        if exact:
            values = lows
        else:
            highs = (panel.maximum[:, number] - middles[number]) / scales[number] - number
            values = np.column_stack((lows, highs)).ravel()
        axis.plot(
            times, values, color=colour, linewidth=0.6 if n > 1 else 0.8, solid_joinstyle="round",
            marker="." if dots else None, markersize=3, clip_on=True,
        )  # fmt: skip
    room = 0.62 if n > 1 else 0.55
    axis.set_ylim(-(n - 1) - room, room)
    labels = list(panel.channels)
    if not is_common:
        labels = [f"{name} ({_span_told(span, unit)})" for name, span, unit in
                  zip(labels, spans, panel.units, strict=True)]  # fmt: skip
    size = min(_FONT, max(3.5, 72 * 0.8 * _height(panel) / n))
    axis.set_yticks(-np.arange(n), [label_of(label) for label in labels], fontsize=size)
    for label in axis.get_yticklabels():
        label.set_parse_math(False)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    more = f"{n} of {panel.n_channels} channels" if n < panel.n_channels else ""
    rate = f"{panel.rate:g} Hz" if panel.rate else "irregular"
    _name(axis, panel.name, ", ".join(part for part in (rate, more) if part), ink)
    if is_common:
        length = nice_length(float(scales[0]) * (0.9 if n > 1 else 0.6))
        place = blended_transform_factory(axis.transAxes, axis.transData)
        half = length / scales[0] / 2
        middle = -(n - 1) / 2
        axis.plot(
            [1.008, 1.008], [middle - half, middle + half], color=ink.ink, linewidth=1.6,
            transform=place, clip_on=False, solid_capstyle="butt",
        )  # fmt: skip
        axis.text(
            1.016, middle, f"{length:g} {_unit(panel.units[0])}".strip(), transform=place,
            va="center", color=ink.ink, parse_math=False,
        )  # fmt: skip
    _draw_holes(axis, panel, ink, factor)


def _middles_and_spans(panel: Signals) -> tuple[Array, Array]:
    """Return the middle of each channel, and how much room it takes; rare extremes aside.

    Many channels may run into each other, and lie at the height of their names.
    """
    is_many = panel.minimum.shape[1] > _MANY_CHANNELS
    rare = 2.0 if is_many else 0.5
    n = panel.minimum.shape[1]
    middles, spans = np.zeros(n), np.ones(n)
    for number in range(n):
        low, high = panel.minimum[:, number], panel.maximum[:, number]
        there = np.isfinite(low) & np.isfinite(high)
        low, high = low[there], high[there]
        if len(low):
            # A few artefacts shall not make all else flat.
            bottom, top = np.percentile(low, rare), np.percentile(high, 100 - rare)
            middles[number] = np.median((low + high) / 2) if is_many else (top + bottom) / 2
            spans[number] = top - bottom
    filled = spans[spans > 0]
    spans[spans <= 0] = float(np.median(filled)) if len(filled) else 1.0
    return middles, spans


def _draw_holes(axis: Any, panel: Signals, ink: _Ink, factor: float) -> None:
    for hole in panel.holes:
        colour = ink.pause if hole.cause == "pause" else ink.gap
        axis.axvspan(
            hole.start * factor, hole.stop * factor, facecolor=colour, alpha=0.16,
            edgecolor="none", zorder=0,
        )  # fmt: skip
        # Even one that is narrower than a pixel shall be seen.
        axis.axvline(hole.start * factor, color=colour, linewidth=0.5, alpha=0.6, zorder=0)


def _draw_events(
    axis: Any, panel: Events, picture: Picture, ink: _Ink, factor: float, width: float
) -> None:
    colours = _colours(panel, ink)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    is_raster = _is_raster(panel)
    rows = {text: number for number, text in enumerate(colours)} if is_raster else {}
    axis.set_ylim(max(rows.values(), default=0) + 1, 0)
    for text, colour in colours.items():
        at = [time * factor for time, own in zip(panel.times, panel.texts, strict=True)
              if own == text]  # fmt: skip
        row, room = rows.get(text, 0), 0.12 if rows else 0
        axis.vlines(at, row + room, row + 1 - room, color=colour, linewidth=0.8)
    told = f"{panel.n:,} events"
    if is_raster:
        labels = [label_of(text) for text in rows]
        axis.set_yticks(np.arange(len(rows)) + 0.5, labels, fontsize=_FONT - 1)
        axis.tick_params(axis="y", length=0)
        for label in axis.get_yticklabels():
            label.set_parse_math(False)
    elif len(panel.texts) <= _MOST_LABELS and _write_labels(
        axis, panel, picture, ink, factor, width
    ):
        told = ""
    _name(axis, panel.name, told, ink)


def _is_raster(panel: Events) -> bool:
    """Whether each text gets a row of its own, as there is no room to write it every time."""
    return len(panel.texts) > _MOST_LABELS and len(set(panel.texts)) <= _MOST_ROWS


def _write_labels(
    axis: Any, panel: Events, picture: Picture, ink: _Ink, factor: float, width: float
) -> bool:
    """Write the texts as far as there is room for them; return whether there was for all."""
    colours = _colours(panel, ink)
    free = [-math.inf] * _LANES
    n_left_out = 0
    inches = width / (picture.stop - picture.start)
    for time, text in zip(panel.times.tolist(), panel.texts, strict=True):
        label, left = label_of(text), (time - picture.start) * inches
        needed = len(label) * _EM_INCHES + 0.08
        lane = next((lane for lane in range(_LANES) if free[lane] <= left), None)
        if lane is None or left + needed > width + 0.4:
            n_left_out += 1
            continue
        free[lane] = left + needed
        axis.annotate(
            label, (time * factor, (lane + 0.5) / _LANES), (2, 0),
            textcoords="offset points", va="center", color=colours[text], fontsize=_FONT - 1,
            annotation_clip=False, parse_math=False,
            bbox={"facecolor": ink.paper, "edgecolor": "none", "pad": 0.3, "alpha": 0.75},
        )  # fmt: skip
    return not n_left_out


def _draw_lines(axes: Sequence[Any], panel: Events, ink: _Ink, factor: float) -> None:
    colours = _colours(panel, ink)
    if len(panel.times) > _MOST_LABELS:  # they would be a curtain
        return
    for axis in axes:
        for time, text in zip(panel.times.tolist(), panel.texts, strict=True):
            axis.axvline(time * factor, color=colours[text], linewidth=0.5, alpha=0.45, zorder=1)


def _draw_pictures(axis: Any, panel: Pictures, ink: _Ink, factor: float) -> None:
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.vlines(panel.times * factor, 0.15, 0.85, color=ink.faint, linewidth=0.4)
    _name(axis, panel.name, f"{panel.n:,} pictures", ink)


def _colours(panel: Events, ink: _Ink) -> dict[str, str]:
    """Return a colour for each text, the same one for texts that come last of many."""
    texts = list(dict.fromkeys(panel.texts))
    most = len(ink.events)
    return {text: ink.events[min(n, most - 1)] for n, text in enumerate(texts)}


def _name(axis: Any, name: str, more: str, ink: _Ink) -> None:
    axis.set_ylabel(
        label_of(name) + (f"\n{more}" if more else ""), rotation=0, ha="right", va="center",
        color=ink.ink, labelpad=8, parse_math=False,
    )  # fmt: skip


def _span_told(span: float, unit: str) -> str:
    return f"{span:.2g} {_unit(unit)}".strip()


def _unit(unit: str) -> str:
    return {"uV": "µV", "microvolts": "µV", "us": "µs", "uS": "µS", "volts": "V"}.get(unit, unit)


def _time_unit(seconds: float) -> tuple[float, str]:
    if seconds < 0.5:
        return 1e3, "ms"
    if seconds <= 300:
        return 1.0, "s"
    return (1 / 60, "min") if seconds <= 3 * 3600 else (1 / 3600, "h")


def _style(ink: _Ink) -> dict[str, Any]:
    return {
        "font.size": _FONT,
        "font.family": "sans-serif",
        "axes.facecolor": ink.paper,
        "axes.edgecolor": ink.faint,
        "axes.labelcolor": ink.ink,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": _FONT + 1,
        "xtick.color": ink.ink,
        "ytick.color": ink.ink,
        "xtick.major.width": 0.6,
        "text.color": ink.ink,
        "path.simplify_threshold": 0.2,
    }
