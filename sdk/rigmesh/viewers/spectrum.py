"""Power spectra, a curve for each channel."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PyQt5 import QtCore, QtGui

from rigmesh.display import Sink
from rigmesh.node import Node
from rigmesh.viewers.colours import Colours
from rigmesh.viewers.power_axes import frequency_ticks, unit_text, value_text
from rigmesh.viewers.power_spectra import Curves, SpectrumSink
from rigmesh.viewers.power_window import PowerWindow
from rigmesh.viewers.trace_sinks import names_of
from rigmesh.viewers.trace_theme import Theme

__all__ = ["Spectrum"]

Array = npt.NDArray[Any]

_LEAST = 1e-30
_MOST_NAMES = 16
_NEAR_PIXELS = 12
"""Around the mouse, within which the highest point is the peak that is read."""
_SCALES = ("dB", "log", "linear")
_TURN = 1.25
_DEGREES_A_STEP = 120.0


class _Plot(pg.PlotWidget):  # type: ignore[misc]
    """A plot that tells of the wheel and of the mouse."""

    turned = QtCore.pyqtSignal(float)
    left = QtCore.pyqtSignal()

    def wheelEvent(self, event: QtGui.QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Turn the highest frequency."""
        if event is not None and event.angleDelta().y():
            self.turned.emit(event.angleDelta().y() / _DEGREES_A_STEP)
            event.accept()

    def leaveEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell that the mouse is elsewhere."""
        super().leaveEvent(event)
        self.left.emit()


class Spectrum(PowerWindow):
    """Draws `viewers.Spectrum`.

    Attributes
    ----------
    plot : PlotWidget
        Where curves are drawn.
    curves, held : dict of str to PlotDataItem
        Those of the channels, and of what is held of them, by label; a second one of that label
        is ``label#1``.
    mean_curve : PlotDataItem
        That of their mean.
    """

    keys = (
        "space: pause · D: decibels, log or linear · L: frequencies log or linear · A: automatic "
        "or fixed axis · H: hold the highest · M: mean · backspace: begin anew · [ ]: highest "
        "frequency · Ctrl+,: settings"
    )

    def __init__(self, settings: Node) -> None:
        super().__init__(settings)
        self.curves: dict[str, Any] = {}
        self.held: dict[str, Any] = {}
        self._sink: SpectrumSink | None = None
        self._stream = ""
        self._drawn: Curves | None = None
        self._is_stale = True
        self._mouse: QtCore.QPointF | None = None

        self.plot = _Plot()
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.turned.connect(self.turn_frequency)
        self.plot.left.connect(self._forget_mouse)
        self.plot.scene().sigMouseMoved.connect(self._point)
        self.legend = self.plot.addLegend(offset=(-10, 10), colCount=2)
        self.mean_curve = pg.PlotDataItem()
        self.mean_curve.setZValue(10)
        self.plot.addItem(self.mean_curve)
        self.peak = pg.ScatterPlotItem(size=9, symbol="o")
        self.peak.setZValue(20)
        self.plot.addItem(self.peak)
        self.lay_out(self.plot)
        self._add_controls()
        self._paint()
        self._show_empty()

    def _add_controls(self) -> None:
        self._scale = self.add_action("dB", "D", "Decibels, a log axis, or a linear one")
        self._scale.triggered.connect(self._next_scale)
        self._log = self.add_action("Log f", "L", "Octaves of frequency are equal")
        self._log.setCheckable(True)
        self._log.triggered.connect(
            lambda on: self.change(frequency_axis="log" if on else "linear")
        )
        self._auto = self.add_action("Fix axis", "A", "Keep the axis of power, or let it follow")
        self._auto.triggered.connect(self._fix_or_follow)
        self._hold = self.add_action("Hold", "H", "Draw the highest values since now")
        self._hold.setCheckable(True)
        self._hold.triggered.connect(lambda on: self.change(hold=on))
        self._mean = self.add_action("Mean", "M", "Draw the mean of the channels")
        self._mean.setCheckable(True)
        self._mean.triggered.connect(lambda on: self.change(mean=on))
        anew = self.add_action("Anew", "Backspace", "Begin averages with the next segment")
        anew.triggered.connect(self.begin_anew)
        self.add_action("−f", "[", "Up to lower frequencies").triggered.connect(
            lambda: self.turn_frequency(1)
        )
        self.add_action("+f", "]", "Up to higher frequencies").triggered.connect(
            lambda: self.turn_frequency(-1)
        )
        self.add_last_controls("curves", "The highest point near the mouse")
        self._name_actions()

    # --- what is linked ----------------------------------------------------------------------

    def sink(self, port: str, stream: str) -> Sink:
        """Return what takes the chunks of a stream that is linked from now on."""
        self._sink, self._stream = SpectrumSink(self.settings.parameters), stream
        self._drawn = None
        self._show_empty()
        return self._sink

    def drop(self, port: str, stream: str) -> None:
        """Forget a stream that is linked no more."""
        self._sink = None
        self._show_empty()

    # --- drawing -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw what is new."""
        curves = self._sink.curves if self._sink is not None else None
        if curves is None:
            self._show_empty()
            return
        self.show_contents()
        if curves is self._drawn and not self._is_stale:
            return
        if self._drawn is None or curves.channels != self._drawn.channels:
            self._lay_out(curves)
        self._drawn, self._is_stale = curves, False
        self._draw_curves(curves)
        self._read_out()

    def scaled(self, power: Array) -> Array:
        """Return power as the axis counts it."""
        if self.settings.power_axis == "linear":
            return power
        with np.errstate(invalid="ignore"):
            logarithm = np.log10(np.maximum(power, _LEAST))
        return 10 * logarithm if self.settings.power_axis == "dB" else logarithm

    def _lay_out(self, curves: Curves) -> None:
        """Make a curve for each channel."""
        for item in (*self.curves.values(), *self.held.values()):
            self.plot.removeItem(item)
        self.legend.clear()
        self.curves, self.held = {}, {}
        theme = Theme.now()
        for number, name in enumerate(_names(curves)):
            colour = QtGui.QColor.fromRgb(theme.trace(number))
            held = pg.PlotDataItem(pen=pg.mkPen(colour, width=1, style=QtCore.Qt.PenStyle.DotLine))
            curve = pg.PlotDataItem(pen=pg.mkPen(colour, width=1))
            for item in (held, curve):
                self.plot.addItem(item)
            self.held[name], self.curves[name] = held, curve
            if number < _MOST_NAMES:
                self.legend.addItem(curve, escape(name))
        if self.settings.mean:
            self.legend.addItem(self.mean_curve, "mean")
        for _, label in self.legend.items:
            label.setText(label.text, color=Colours.now().ink, size="8pt")

    def _draw_curves(self, curves: Curves) -> None:
        settings = self.settings
        is_log = settings.frequency_axis == "log"
        stop = settings.f_stop or float(curves.frequencies[-1])
        start = settings.f_start
        shown = (curves.frequencies >= start) & (curves.frequencies <= stop)
        if is_log:
            shown &= curves.frequencies > 0
        frequencies = curves.frequencies[shown]
        if not len(frequencies):
            self.tell(f"no frequency lies from {start:g} to {stop:g} Hz")
            return
        x = np.log10(frequencies) if is_log else frequencies
        power = self.scaled(curves.power[:, shown])
        highest = self.scaled(curves.highest[:, shown])
        for name, row, top in zip(_names(curves), power, highest, strict=True):
            self.curves[name].setData(x, row)
            self.held[name].setVisible(settings.hold)
            if settings.hold:
                self.held[name].setData(x, top)
        self.mean_curve.setVisible(settings.mean)
        if settings.mean:
            with np.errstate(invalid="ignore"):
                known = curves.power[~np.isnan(curves.power).any(axis=1)]
            self.mean_curve.setData(x, self.scaled(known[:, shown].mean(axis=0)))
        self._set_range(x, highest if settings.hold else power)
        unit = unit_text(curves.unit, is_db=settings.power_axis == "dB")
        self.plot.setLabel("left", unit, color=Colours.now().soft)

    def _set_range(self, x: Array, drawn: Array) -> None:
        settings = self.settings
        low, high = float(x[0]), float(x[-1])
        self.plot.setXRange(low, high if high > low else low + 1.0, padding=0.01)
        if settings.frequency_axis == "log":
            marks = frequency_ticks(10**low, 10**high)
            self.plot.getAxis("bottom").setTicks([[(math.log10(f), f"{f:g}") for f in marks]])
        else:
            self.plot.getAxis("bottom").setTicks(None)
        if settings.limits == "fixed":
            ends = settings.low, settings.high
        else:
            finite = drawn[np.isfinite(drawn)]
            ends = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        low, high = min(ends), max(ends)
        room = 0.0 if settings.limits == "fixed" else 0.05
        self.plot.setYRange(low, high if high > low else low + 1.0, padding=room)

    def _show_empty(self) -> None:
        if self._sink is None:
            text = "Nothing is linked yet: connect a signal to this window."
        elif self._sink.problem:
            text = f"{self._stream} cannot be shown: {self._sink.problem}"
        else:
            text = f"{self._stream}: waiting for a segment of {self.settings.segment:g} s"
        self.show_text(text)

    def _paint(self) -> None:
        """Draw in the colours of the palette."""
        colours = Colours.now()
        self.plot.setBackground(colours.card if not colours.is_dark else colours.sheet)
        self.plot.showGrid(x=True, y=True, alpha=0.15)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(colours.soft)
            axis.setTextPen(colours.soft)
        self.plot.getAxis("left").setWidth(64)
        self.plot.setLabel("bottom", "Hz", color=colours.soft)
        self.mean_curve.setPen(pg.mkPen(colours.ink, width=2))
        self.peak.setPen(pg.mkPen(colours.ink))
        self.peak.setBrush(pg.mkBrush(colours.accent))
        self._drawn = None

    # --- controls ----------------------------------------------------------------------------

    def applied(self, names: set[str]) -> None:
        """Draw by the new parameters."""
        if self._sink is not None:
            if "hold" in names and self.settings.hold:
                self._sink.hold()
            self._sink.configure(self.settings.parameters)
        if "mean" in names:
            self._drawn = None  # the legend, too
        self._is_stale = True
        self.pane.show_values()
        self._name_actions()
        if self.is_paused:
            self.refresh()

    def begin_anew(self) -> None:
        """Begin averages, and what is held, with the next segment."""
        if self._sink is not None:
            self._sink.reset()
        self._is_stale = True

    def turn_frequency(self, steps: float) -> None:
        """Show up to a lower frequency by steps of the wheel, or a higher one if negative."""
        if self._drawn is None:
            return
        highest = float(self._drawn.frequencies[-1])
        stop = float(f"{(self.settings.f_stop or highest) * _TURN**-steps:.3g}")
        least = self.settings.f_start + 4 * float(self._drawn.frequencies[1])
        self.change(f_stop=0.0 if stop >= highest else max(stop, least))

    def _next_scale(self) -> None:
        at = _SCALES.index(self.settings.power_axis)
        self.change(power_axis=_SCALES[(at + 1) % len(_SCALES)], limits="auto")

    def _fix_or_follow(self) -> None:
        if self.settings.limits == "fixed":
            self.change(limits="auto")
            return
        low, high = (float(f"{end:.4g}") for end in self.plot.viewRange()[1])
        self.change(limits="fixed", low=low, high=high)

    def _name_actions(self) -> None:
        settings = self.settings
        self._scale.setText(f"Power: {settings.power_axis}")
        self._log.setChecked(settings.frequency_axis == "log")
        self._auto.setText("Free axis" if settings.limits == "fixed" else "Fix axis")
        self._hold.setChecked(settings.hold)
        self._mean.setChecked(settings.mean)

    # --- the mouse ---------------------------------------------------------------------------

    def _point(self, place: QtCore.QPointF) -> None:
        is_inside = self.plot.getViewBox().sceneBoundingRect().contains(place)
        self._mouse = QtCore.QPointF(place) if is_inside else None
        self._read_out()

    def _forget_mouse(self) -> None:
        self._mouse = None
        self._read_out()

    def _read_out(self) -> None:
        """Tell the peak near the mouse: of the curve that is nearest to it."""
        found = self._peak_near(self._mouse) if self._mouse is not None else None
        self.peak.setVisible(found is not None)
        self.readout.setText("")
        if found is None or self._drawn is None:
            return
        name, x, y = found
        self.peak.setData([x], [y])
        frequency = 10**x if self.settings.frequency_axis == "log" else x
        unit = unit_text(self._drawn.unit, is_db=self.settings.power_axis == "dB")
        value = 10**y if self.settings.power_axis == "log" else y
        self.readout.setText(f"{name}   {frequency:.4g} Hz   {value_text(value, unit)}")

    def _peak_near(self, place: QtCore.QPointF) -> tuple[str, float, float] | None:
        box = self.plot.getViewBox()
        at, pixel = box.mapSceneToView(place), box.viewPixelSize()[0]
        best: tuple[str, float, float] | None = None
        for name, curve in self.curves.items():
            x, y = curve.getData()
            if x is None:
                continue
            near = np.flatnonzero(np.abs(x - at.x()) <= _NEAR_PIXELS * pixel)
            if not len(near):
                near = np.array([int(np.abs(x - at.x()).argmin())])
            if np.isnan(y[near]).all():
                continue
            top = near[int(np.nanargmax(y[near]))]
            if best is None or abs(y[top] - at.y()) < abs(best[2] - at.y()):
                best = name, float(x[top]), float(y[top])
        return best

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow the palette of the desktop."""
        super().changeEvent(event)
        if event is not None and event.type() == QtCore.QEvent.Type.PaletteChange:
            self._paint()


def _names(curves: Curves) -> list[str]:
    """Return the labels of the channels, told apart where two are alike."""
    return [name.removeprefix("/") for name in names_of(curves.channels, "")]
