"""Pictures of maps side by side, on common axes, with their scale of colours."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PyQt5 import QtCore, QtGui

from rigmesh.viewers.colours import Colours
from rigmesh.viewers.power_axes import frequency_ticks

__all__ = ["MapPanels"]

Array = npt.NDArray[Any]

_NAMES = {"grey": "CET-L1"}
_MOST_TEXTS = 20
_DEGREES_A_STEP = 120.0
_AXIS_WIDTH = 52
_BAR_WIDTH = 14
_MARKER = "#ffffff"


class MapPanels(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Maps in rows and columns.

    Attributes
    ----------
    turned : pyqtSignal(float)
        The wheel, in steps.
    pointed : pyqtSignal(int, float, float)
        Where the mouse is: number of the map or -1, row and time.
    limits_moved : pyqtSignal(float, float)
        Ends of the colours that a person has dragged.
    plots : list of PlotItem
        The maps.
    images : list of ImageItem
        Their pictures.
    bar : ColorBarItem
        The scale of colours.
    """

    turned = QtCore.pyqtSignal(float)
    pointed = QtCore.pyqtSignal(int, float, float)
    limits_moved = QtCore.pyqtSignal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.plots: list[Any] = []
        self.images: list[Any] = []
        self.bar: Any = None
        self._lines: list[Any] = []
        self._texts: list[Any] = []
        self._n_rows = 1
        self._n_columns = 1
        self._colours: Colours | None = None
        self.scene().sigMouseMoved.connect(self._point)

    def lay_out(
        self, names: Sequence[str], frequencies: Array, settings: Any, colours: Colours
    ) -> None:
        """Make a map for each channel.

        Parameters
        ----------
        names : sequence of str
            Of the channels.
        frequencies : ndarray, shape (n_frequencies,)
            In Hz, from the lowest.
        settings : viewers.TimeFreq
            Parameters of the window.
        colours : Colours
            Those of the palette.
        """
        self.clear()
        self.plots, self.images, self._lines, self._texts = [], [], [], []
        self._colours = colours
        self.setBackground(colours.sheet)
        n = len(names)
        self._n_rows = max(1, -(-n // settings.n_columns))
        self._n_columns = max(1, -(-n // self._n_rows))
        colour_map = pg.colormap.get(_NAMES.get(settings.colours, settings.colours))
        # The first colour is for what is missing; bytes are drawn ten times as fast as floats.
        lut = np.zeros((256, 4), np.ubyte)
        lut[1:, :3] = colour_map.getLookupTable(0.0, 1.0, 255)[:, :3]
        lut[1:, 3] = 255
        ticks = _ticks(frequencies)
        for number, name in enumerate(names):
            row, column = divmod(number, self._n_columns)
            plot = self.addPlot(row=row, col=column)
            self._furnish(plot, name, colours)
            is_lowest = number + self._n_columns >= n
            left, bottom = plot.getAxis("left"), plot.getAxis("bottom")
            left.setTicks([ticks])
            left.setWidth(_AXIS_WIDTH)
            left.setStyle(showValues=column == 0)
            bottom.setStyle(showValues=is_lowest)
            if column:
                left.setWidth(8)
            if not is_lowest:
                bottom.setHeight(8)
            plot.setRange(
                xRange=(-settings.seconds, 0), yRange=(0, len(frequencies)), padding=0, update=True
            )
            image = pg.ImageItem(axisOrder="row-major")
            image.setLookupTable(lut)
            image.setRect(QtCore.QRectF(-settings.seconds, 0, settings.seconds, len(frequencies)))
            plot.addItem(image)
            line = pg.PlotCurveItem(pen=pg.mkPen(_MARKER, width=1), connect="pairs")
            plot.addItem(line)
            self.plots.append(plot)
            self.images.append(image)
            self._lines.append(line)
        self._add_bar(colour_map, colours)
        self._add_words(n, colours)

    def draw(self, values: Array, levels: Sequence[tuple[float, float]], step: float) -> None:
        """Draw maps.

        Parameters
        ----------
        values : ndarray, shape (n_channels, n_frequencies, n_columns)
            What colours stand for.
        levels : sequence of (float, float)
            Values of the first and last colour, a channel each.
        step : float
            Seconds a column.
        """
        width = values.shape[2] * step
        for image, picture, (low, high) in zip(self.images, values, levels, strict=True):
            numbers = (picture - low) * (254.0 / (high - low)) + 1.5
            np.clip(numbers, 1.0, 255.0, out=numbers)
            np.nan_to_num(numbers, copy=False, nan=0.0)
            image.setImage(numbers.astype(np.uint8), autoLevels=False)
            image.setRect(QtCore.QRectF(-width, 0, width, len(picture)))

    def draw_markers(self, markers: Sequence[tuple[float, str]]) -> None:
        """Draw lines at the times of markers, and their texts above the maps of the first row."""
        times = np.repeat([time for time, _ in markers], 2)
        for plot, line in zip(self.plots, self._lines, strict=True):
            low, high = plot.viewRange()[1]
            line.setData(times, np.tile([low, high], len(markers)))
        self._write(markers[-_MOST_TEXTS:])

    @property
    def marker_texts(self) -> list[str]:
        """The texts of markers that are drawn on the first map."""
        return [item.toPlainText() for item in self._texts if item.isVisible()]

    def show_scale(self, ends: tuple[float, float] | None, unit: str) -> None:
        """Show what the colours stand for; None: each channel has limits of its own."""
        self.bar.setVisible(ends is not None)
        if ends is not None:
            self.bar.blockSignals(True)
            self.bar.setLevels(ends)
            self.bar.blockSignals(False)
            self.bar.setLabel("left", unit)

    def _furnish(self, plot: Any, name: str, colours: Colours) -> None:
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setMouseEnabled(x=False, y=False)
        plot.setTitle(escape(name), color=colours.ink, size="9pt")
        for side in ("left", "bottom"):
            axis = plot.getAxis(side)
            axis.setPen(colours.edge)
            axis.setTextPen(colours.soft)
            axis.setStyle(tickLength=-4)

    def _add_bar(self, colour_map: Any, colours: Colours) -> None:
        self.bar = pg.ColorBarItem(
            values=(0, 1), colorMap=colour_map, width=_BAR_WIDTH, interactive=True, rounding=0.01,
            pen=colours.edge, hoverPen=colours.accent,
        )  # fmt: skip
        self.bar.setToolTip("Drag the ends to fix the colours' limits")
        for side in ("left", "right"):
            axis = self.bar.getAxis(side)
            axis.setPen(colours.edge)
            axis.setTextPen(colours.soft)
        self.bar.sigLevelsChangeFinished.connect(
            lambda bar: self.limits_moved.emit(*(float(f"{end:.4g}") for end in bar.levels()))
        )
        self.addItem(self.bar, row=0, col=self._n_columns, rowspan=self._n_rows)

    def _add_words(self, n: int, colours: Colours) -> None:
        if not n:
            return
        first = self.plots[0]
        first.getAxis("left").setLabel("Hz", color=colours.soft)
        for number in range(max(0, n - self._n_columns), n):
            self.plots[number].getAxis("bottom").setLabel("s", color=colours.soft)
        for _ in range(_MOST_TEXTS):
            item = pg.TextItem(color=colours.ink, fill=pg.mkBrush(_clear(colours.sheet)))
            item.setVisible(False)
            first.addItem(item, ignoreBounds=True)
            self._texts.append(item)

    def _write(self, markers: Sequence[tuple[float, str]]) -> None:
        """Write texts, the newest first, where no newer one stands."""
        if not self.plots:
            return
        box = self.plots[0].getViewBox()
        top, pixel = box.viewRange()[1][1], box.viewPixelSize()[0]
        taken = np.inf
        for item, (time, text) in zip(self._texts, reversed(markers), strict=False):
            item.setPlainText(text)
            item.setPos(time, top)
            item.setVisible(time + item.boundingRect().width() * pixel <= taken)
            taken = time if item.isVisible() else taken
        for item in self._texts[len(markers) :]:
            item.setVisible(False)

    def _point(self, place: QtCore.QPointF) -> None:
        for number, plot in enumerate(self.plots):
            box = plot.getViewBox()
            if box.sceneBoundingRect().contains(place):
                at = box.mapSceneToView(place)
                self.pointed.emit(number, at.y(), at.x())
                return
        self.pointed.emit(-1, 0.0, 0.0)

    def wheelEvent(self, event: QtGui.QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Turn time."""
        if event is not None and event.angleDelta().y():
            self.turned.emit(event.angleDelta().y() / _DEGREES_A_STEP)
            event.accept()


def _ticks(frequencies: Array) -> list[tuple[float, str]]:
    """Return where round frequencies lie among rows, and what they are."""
    if len(frequencies) < 2:
        return [(0.5, f"{frequencies[0]:g}")] if len(frequencies) else []
    rows = np.arange(len(frequencies)) + 0.5
    wanted = frequency_ticks(float(frequencies[0]), float(frequencies[-1]))
    return [(float(np.interp(f, frequencies, rows)), f"{f:g}") for f in wanted]


def _clear(colour: str) -> QtGui.QColor:
    found = QtGui.QColor(colour)
    found.setAlpha(190)
    return found
