"""How a stream looks in a window of given settings: rows, labels, and what its title says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.streams import StreamInfo
from rigmesh.viewers.trace_scales import Scale, overlaid, shown_unit, stacked, ticks
from rigmesh.viewers.trace_sinks import names_of
from rigmesh.viewers.trace_theme import Theme, rgb
from rigmesh.viewers.traces import Rows

__all__ = [
    "Label", "Look", "analog_look", "changed_entry", "digital_look", "shown_number", "shown_rate",
]  # fmt: skip

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Label:
    """A text beside the traces.

    Parameters
    ----------
    text : str
        What it says.
    y, height : float
        Its middle, and the room it has, in pixels.
    colour : int
        As 0xRRGGBB.
    name : str
        What parameters call the channel; empty for a tick.
    channel : int
        Its index; -1 for a tick.
    """

    text: str
    y: float
    height: float
    colour: int
    name: str = ""
    channel: int = -1


@dataclass(frozen=True, slots=True)
class Look:
    """How a stream is drawn.

    Parameters
    ----------
    rows : Rows
        Of the traces.
    labels : sequence of Label
        Beside them.
    title : str
        What is said about it besides its name.
    units : sequence of str
        Of each row.
    legend : sequence of (str, int)
        Names and colours, where there are no labels of channels.
    """

    rows: Rows = field(default_factory=Rows.none)
    labels: Sequence[Label] = ()
    title: str = ""
    units: Sequence[str] = ()
    legend: Sequence[tuple[str, int]] = ()


def analog_look(
    info: StreamInfo,
    stream: str,
    settings: Any,
    theme: Theme,
    found: Scale | None,
    height: float,
) -> Look:
    """Return how an analog signal looks.

    Parameters
    ----------
    info : StreamInfo
        The stream.
    stream : str
        What parameters call it.
    settings : Oscilloscope
        The window's parameters, by attribute.
    theme : Theme
        Colours.
    found : Scale or None
        What an automatic scale found; it counts where the settings say nothing.
    height : float
        In pixels.
    """
    n = info.n_channels
    found = found or Scale(np.zeros(n), np.ones(n))
    names = names_of(info.channel_names, stream)
    units = [shown_unit(channel.unit) for channel in info.channels] or [""] * n
    shown, colours = _chosen(names, settings, theme)
    unit = units[shown[0]] if len({units[c] for c in shown}) == 1 else ""
    if settings.scale == "real":
        low, high = settings.ranges.get(stream) or found.extent
        middle, half = (low + high) / 2, max(high - low, 1e-12) / 2 / settings.gain
        low, high = middle - half, middle + half
        rows = overlaid(shown, height, low=low, high=high, colours=colours)
        values = ticks(low, high, max(2, int(height / 45)))
        labels = [
            Label(f"{shown_number(v)} {unit}".strip(), (high - v) / (high - low) * height, 45,
                  theme.soft)
            for v in values[::-1]
        ]  # fmt: skip
        legend = [(info.channel_names[c], int(colours[c])) for c in shown]
        title = f"{_counted(len(shown), n, 'channel')} on one axis"
        return Look(rows, labels, title, [units[c] for c in shown], legend)
    medians = np.nan_to_num(found.medians)
    offset = np.array(
        [settings.offsets.get(name, -medians[c]) for c, name in enumerate(names)], np.float64
    )
    if settings.scale == "by channel":
        own = np.where(np.isfinite(found.spans) & (found.spans > 0), found.spans, 1.0)
        span = np.array([settings.spans.get(name, own[c]) for c, name in enumerate(names)])
        title = "each channel by itself"
    else:
        common = settings.spans.get(stream, found.common_span)
        span = np.full(n, common)
        title = f"{shown_number(common / settings.gain)} {unit}".strip() + " a row"
    gains = np.array([settings.gains.get(name, 1.0) for name in names])
    span = span / (gains * settings.gain)
    rows = stacked(shown, height, span=span, offset=offset, colours=colours)
    labels = _row_labels(info.channel_names, names, shown, colours, height)
    if settings.scale == "by channel":
        labels = [
            _with(label, f"{label.text}  {shown_number(span[label.channel])} "
                  f"{units[label.channel]}".rstrip())
            for label in labels
        ]  # fmt: skip
    else:
        labels = [
            _with(label, f"{label.text}  ×{gains[label.channel]:.3g}")
            if gains[label.channel] != 1
            else label
            for label in labels
        ]
    title = f"{_counted(len(shown), n, 'channel')} · {title}"
    return Look(rows, labels, title, [units[c] for c in shown])


def digital_look(
    info: StreamInfo, stream: str, settings: Any, theme: Theme, active: Array, height: float
) -> Look:
    """Return how bits look.

    Parameters
    ----------
    info : StreamInfo
        The stream of bits.
    stream : str
        What parameters call it.
    settings : DigitalOscilloscope
        The window's parameters, by attribute.
    theme : Theme
        Colours.
    active : ndarray, shape (n_bits,)
        Which bits have changed.
    height : float
        In pixels.
    """
    names = names_of(info.channel_names, stream)
    shown, colours = _chosen(names, settings, theme)
    n_hidden = 0
    if settings.only_active:
        busy = shown[active[shown]]
        n_hidden = len(shown) - len(busy)
        shown = busy
    row = height / max(1, len(shown))
    # A bit fills seven tenths of its row, whose foot is its 0.
    span, offset = np.full(len(names), 1 / 0.7), np.full(len(names), -0.5)
    rows = stacked(shown, height, span=span, offset=offset, colours=colours)
    feet = (np.arange(len(shown)) + 0.85) * row
    rows = Rows(rows.channels, rows.scale, rows.zero, rows.colours, feet if row >= 8 else feet[:0])
    texts = [settings.names.get(name, text) for name, text in
             zip(names, info.channel_names, strict=True)]  # fmt: skip
    labels = _row_labels(texts, names, shown, colours, height)
    title = _counted(len(shown), len(names), "bit")
    if n_hidden:
        title += f" ({n_hidden} never changed)"
    return Look(rows, labels, title, [""] * len(shown))


def shown_number(value: float) -> str:
    """Return a number as it is written beside axes.

    Examples
    --------
    >>> shown_number(-200.0), shown_number(0.05), shown_number(12345678.0)
    ('−200', '0.05', '1.23e+07')
    """
    text = f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:,.0f}"
    return text.replace("-", "−") if not text.startswith("1e-") else text


def _counted(n: int, of: int, what: str) -> str:
    return f"{n} of {of} {what}s" if n != of else f"{n} {what}{'s' * (n != 1)}"


def shown_rate(rate: float) -> str:
    """Return a sampling rate as people write it.

    Examples
    --------
    >>> shown_rate(250), shown_rate(30_000), shown_rate(0)
    ('250 Hz', '30 kHz', 'irregular')
    """
    if not rate:
        return "irregular"
    return f"{rate / 1000:g} kHz" if rate >= 1000 else f"{rate:g} Hz"


def _chosen(names: Sequence[str], settings: Any, theme: Theme) -> tuple[Array, Array]:
    hidden, own, n = set(settings.hidden), settings.colours, len(names)
    shown = np.array([c for c, name in enumerate(names) if name not in hidden], np.int64)
    colours = np.array(
        [rgb(own[name]) if name in own else theme.trace(c, n) for c, name in enumerate(names)],
        np.int64,
    )
    return shown, colours


def _row_labels(
    texts: Sequence[str], names: Sequence[str], shown: Array, colours: Array, height: float
) -> list[Label]:
    row = height / max(1, len(shown))
    return [
        Label(texts[c], (k + 0.5) * row, row, int(colours[c]), names[c], int(c))
        for k, c in enumerate(shown)
    ]


def _with(label: Label, text: str) -> Label:
    return Label(text, label.y, label.height, label.colour, label.name, label.channel)


def changed_entry(entries: Mapping[str, Any], name: str, value: Any, plain: Any) -> dict[str, Any]:
    """Return settings by channel with one changed; what is as it is anyway is left out."""
    found = {key: entry for key, entry in entries.items() if key != name}
    return found if value == plain else {**found, name: value}
