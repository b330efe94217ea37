"""Maps of power over time and frequency, one a channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5 import QtCore

from rigmesh.display import MarkerBuffer, Sink
from rigmesh.node import Node
from rigmesh.viewers.colours import Colours
from rigmesh.viewers.power_axes import unit_text, value_text
from rigmesh.viewers.power_maps import ComputedMap, MapColumns, MapLook, MapSink
from rigmesh.viewers.power_panels import MapPanels
from rigmesh.viewers.power_window import PowerWindow

__all__ = ["TimeFreq"]

Array = npt.NDArray[Any]

_TURN = 1.25
_MAPS = ("viridis", "inferno", "magma", "plasma", "cividis", "turbo", "grey")
_LEAST = np.float32(1e-30)
_LIMITS_FOUND = 40
"""How often the limits are found anew while everything shown is replaced once."""


class TimeFreq(PowerWindow):
    """Draws `viewers.TimeFreq`.

    Attributes
    ----------
    panels : MapPanels
        The maps.
    values : ndarray, shape (n_channels, n_frequencies, n_columns)
        What is drawn, as the colours count it.
    levels : list of (float, float)
        Lowest and highest value of each channel's colours.
    """

    keys = (
        "space: pause · [ ]: time · A: automatic or fixed colours · D: decibels · R: relative to "
        "the median · C: colours · Ctrl+,: settings · wheel: time"
    )

    def __init__(self, settings: Node) -> None:
        super().__init__(settings)
        self.values: Array = np.empty((0, 0, 0), np.float32)
        self.levels: list[tuple[float, float]] = []
        self._sinks: dict[str, MapSink] = {}
        self._streams: dict[str, str] = {}
        self._markers: dict[str, MarkerBuffer] = {}
        self._look: MapLook | None = None
        self._source: MapSink | None = None
        self._chosen: list[int] = []
        self._columns: MapColumns | None = None
        self._n_blocks = 0
        self._limits_at = -math.inf
        self._median: Array | None = None
        self._is_stale = True
        self._marked: tuple[object, ...] = ()

        self.panels = MapPanels()
        self.panels.turned.connect(self.turn_time)
        self.panels.pointed.connect(self._read_out)
        self.panels.limits_moved.connect(
            lambda low, high: self.change(limits="fixed", low=low, high=high)
        )
        self.lay_out(self.panels)
        self._add_controls()
        self._show_empty()

    def _add_controls(self) -> None:
        self._auto = self.add_action("Fix colours", "A", "Keep the colours' limits, or find them")
        self._auto.triggered.connect(self._fix_or_find)
        self._decibels = self.add_action("dB", "D", "Colours for decibels, or for power itself")
        self._decibels.setCheckable(True)
        self._decibels.triggered.connect(
            lambda on: self.change(scale="dB" if on else "linear", limits="percentile")
        )
        self._relative = self.add_action(
            "Relative", "R", "Compare each frequency with its own median"
        )
        self._relative.setCheckable(True)
        self._relative.triggered.connect(lambda on: self.change(relative=on, limits="percentile"))
        colours = self.add_action("Colours", "C", "The next colour map")
        colours.triggered.connect(self._next_colours)
        self.add_action("−t", "[", "Shorter").triggered.connect(lambda: self.turn_time(1))
        self.add_action("+t", "]", "Longer").triggered.connect(lambda: self.turn_time(-1))
        self.add_last_controls("maps", "What is under the mouse")
        self._name_actions()

    # --- what is linked ----------------------------------------------------------------------

    def sink(self, port: str, stream: str) -> Sink:
        """Return what takes the chunks of a stream that is linked from now on."""
        if port == "markers":
            self._markers[stream] = MarkerBuffer()
            return self._markers[stream]
        made: MapSink
        if port == "map":
            made = MapSink(self.settings.seconds)
        else:
            made = ComputedMap(self.settings.seconds, self.settings.parameters)
        self._sinks[port], self._streams[port] = made, stream
        self._choose_source()
        return made

    def drop(self, port: str, stream: str) -> None:
        """Forget a stream that is linked no more."""
        if port == "markers":
            self._markers.pop(stream, None)
        else:
            self._sinks.pop(port, None)
            self._streams.pop(port, None)
        self._choose_source()

    def _choose_source(self) -> None:
        """Take the map from where it is computed already; else compute it here."""
        port = "map" if "map" in self._sinks else "signal"
        self._source = self._sinks.get(port)
        computed = self._sinks.get("signal")
        if isinstance(computed, ComputedMap):
            computed.is_on = port == "signal"
        self._look = None
        self._show_empty()

    # --- drawing -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw what is new."""
        source = self._source
        look = source.look if source is not None else None
        if source is None or look is None or source.problem:
            self._show_empty()
            return
        if look is not self._look or self._columns is None:
            self._begin(look)
        self._take(source)
        if self._columns is None or self._columns.newest < 0:
            self._show_empty()
            return
        self.show_contents()
        if self._is_stale:
            self._draw_maps(look, self._columns)
        self._draw_markers(self._columns)

    def _begin(self, look: MapLook) -> None:
        """Lay out maps for what comes from now on."""
        self._look = look
        names = look.channels
        chosen = self.settings.channels
        # Those that were computed are the chosen ones already, whatever they are numbered here.
        wanted = chosen if all(name in names for name in chosen) else ()
        self._chosen = [names.index(name) for name in wanted] or list(range(len(names)))
        self._n_blocks = 0
        self._limits_at = -math.inf
        self._median = None
        self._columns = MapColumns(
            len(names) * len(look.frequencies), self.settings.seconds, look.period
        )
        self.panels.lay_out(
            [names[i] for i in self._chosen],
            look.frequencies,
            self.settings,
            Colours.now(),
        )
        self._is_stale = True

    def _take(self, source: MapSink) -> None:
        self._n_blocks, blocks = source.since(self._n_blocks)
        if self._columns is not None and blocks:
            times = np.concatenate([times for times, _ in blocks])
            self._columns.add(times, np.concatenate([power for _, power in blocks]))
            self._is_stale = True

    def _draw_maps(self, look: MapLook, columns: MapColumns) -> None:
        n_frequencies = len(look.frequencies)
        power = columns.mean.reshape(len(columns), -1, n_frequencies)[:, self._chosen]
        power = np.ascontiguousarray(power.transpose(1, 2, 0))
        is_due = abs(columns.newest - self._limits_at) >= max(1, len(columns) / _LIMITS_FOUND)
        if self.settings.relative:
            if is_due or self._median is None:
                with np.errstate(all="ignore"):
                    self._median = _medians(power)
            power /= np.maximum(self._median, _LEAST)
        if self.settings.scale == "dB":
            with np.errstate(invalid="ignore"):
                np.maximum(power, _LEAST, out=power)
                np.log10(power, out=power)
            power *= 10
        self.values = power
        if is_due or not self.levels:
            self._find_limits()
            self._limits_at = columns.newest
        self.panels.draw(power, self.levels, columns.step)
        unit = unit_text(
            look.unit, is_db=self.settings.scale == "dB", is_relative=self.settings.relative
        )
        self.panels.show_scale(self.levels[0] if self.settings.same_limits else None, unit)
        self._is_stale = False

    def _find_limits(self) -> None:
        n, settings = len(self.values), self.settings
        if settings.limits == "fixed":
            self.levels = [_in_order(settings.low, settings.high)] * n
        elif settings.same_limits:
            self.levels = [self._found(self.values)] * n
        else:
            self.levels = [self._found(channel) for channel in self.values]

    def _found(self, values: Array) -> tuple[float, float]:
        finite = values[np.isfinite(values)]
        if not len(finite):
            return 0.0, 1.0
        if self.settings.limits == "MAD":
            median = float(np.median(finite))
            reach = 1.4826 * float(np.median(np.abs(finite - median))) * self.settings.deviations
            return _in_order(median - reach, median + reach)
        top = self.settings.percentile
        low, high = np.percentile(finite, [100 - top, top])
        return _in_order(float(low), float(high))

    def _draw_markers(self, columns: MapColumns) -> None:
        end = (columns.newest + 1) * columns.step
        since = end - self.settings.seconds
        markers = sorted(
            (time - end, text)
            for buffer in self._markers.values()
            for time, text in buffer.since(since)
            if time <= end
        )
        if self._marked != (key := (self._look, *markers)):
            self._marked = key
            self.panels.draw_markers(markers)

    def _show_empty(self) -> None:
        source = self._source
        port = "map" if "map" in self._sinks else "signal"
        if source is None:
            text = "Nothing is linked yet: connect a signal, or a map of spectra.Morlet."
        elif source.problem:
            text = f"{self._streams[port]} cannot be shown: {source.problem}"
        elif source.look is None:
            text = f"waiting for {self._streams[port]}"
        else:
            text = f"{self._streams[port]}: the first wavelets are not over yet"
        self.show_text(text)

    # --- controls ----------------------------------------------------------------------------

    def worker_parameters(self) -> dict[str, Any]:
        """Return the parameters of the node that computes the map."""
        found: dict[str, Any] = self.settings.map_parameters(self.settings.parameters)
        return found

    def applied(self, names: set[str]) -> None:
        """Draw by the new parameters."""
        for sink in self._sinks.values():
            if "seconds" in names:
                sink.seconds = max(sink.seconds, self.settings.seconds)
            if isinstance(sink, ComputedMap):
                sink.configure(self.settings.parameters)
        if names & {"seconds", "n_columns", "channels", "colours"}:
            self._look = None
        self._limits_at = -math.inf
        self._median = None
        self._is_stale = True
        self.pane.show_values()
        self._name_actions()
        if self.is_paused:
            self.refresh()

    def turn_time(self, steps: float) -> None:
        """Show less time by steps of the wheel, or more if they are negative."""
        seconds = float(f"{self.settings.seconds * _TURN**-steps:.3g}")
        self.change(seconds=min(600.0, max(0.5, seconds)))

    def _fix_or_find(self) -> None:
        if self.settings.limits == "fixed" or not self.levels:
            self.change(limits="percentile")
            return
        low = min(low for low, _ in self.levels)
        high = max(high for _, high in self.levels)
        self.change(limits="fixed", low=float(f"{low:.4g}"), high=float(f"{high:.4g}"))

    def _next_colours(self) -> None:
        at = _MAPS.index(self.settings.colours)
        self.change(colours=_MAPS[(at + 1) % len(_MAPS)])

    def _name_actions(self) -> None:
        is_fixed = self.settings.limits == "fixed"
        self._auto.setText("Find colours" if is_fixed else "Fix colours")
        self._decibels.setChecked(self.settings.scale == "dB")
        self._relative.setChecked(self.settings.relative)

    def _read_out(self, channel: int, row: float, time: float) -> None:
        """Tell what is under the mouse; no channel: nothing is."""
        columns, look = self._columns, self._look
        if channel < 0 or columns is None or look is None or channel >= len(self.values):
            self.readout.setText("")
            return
        column = len(columns) - 1 + math.floor(time / columns.step) + 1
        line = math.floor(row)
        if not (0 <= column < len(columns) and 0 <= line < len(look.frequencies)):
            self.readout.setText("")
            return
        value = float(self.values[channel, line, column])
        unit = unit_text(
            look.unit, is_db=self.settings.scale == "dB", is_relative=self.settings.relative
        )
        name = look.channels[self._chosen[channel]]
        self.readout.setText(
            f"{name}   {look.frequencies[line]:.4g} Hz   {time:.2f} s   {value_text(value, unit)}"
        )

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow the palette of the desktop."""
        super().changeEvent(event)
        if event is not None and event.type() == QtCore.QEvent.Type.PaletteChange:
            self._look = None


def _medians(power: Array) -> Array:
    """Return the median over time of each channel and frequency, leaving out what is missing."""
    there = power[:, :, ~np.isnan(power).all(axis=(0, 1))]
    if not there.shape[2]:
        return np.ones((*power.shape[:2], 1), np.float32)
    if np.isnan(there).any():
        median = np.nanmedian(there, axis=2, keepdims=True)
        return np.asarray(np.nan_to_num(median, nan=1.0))
    return np.asarray(np.median(there, axis=2, keepdims=True))


def _in_order(low: float, high: float) -> tuple[float, float]:
    """Return limits that differ: colours need a distance."""
    low, high = min(low, high), max(low, high)
    least = 1e-6 * max(abs(low), abs(high), 1e-24)
    return (low, high) if high - low > least else (low - least, high + least)
