"""What windows of power by frequency share: ticks, words, and the form of their parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5 import QtCore, QtWidgets

from rigmesh.viewers.forms import ParameterForm, parameter_form
from rigmesh.viewers.window import ViewerWindow

__all__ = ["ParameterPane", "frequency_ticks", "unit_text", "value_text"]

Array = npt.NDArray[Any]

_PANE_WIDTH = 280
_LEAST_TICKS, _MOST_TICKS = 3, 9


def frequency_ticks(low: float, high: float) -> list[float]:
    """Return round frequencies from `low` to `high` for an axis whose octaves are equal.

    Examples
    --------
    >>> frequency_ticks(4, 100)
    [5.0, 10.0, 20.0, 50.0, 100.0]
    >>> frequency_ticks(8, 13)
    [8.0, 9.0, 10.0, 11.0, 12.0, 13.0]
    """
    if not 0 < low < high:
        return [low]
    for steps in ((1, 2, 5), (1, 3), (1,)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [round(step * 10.0**d, 9) for d in decades for step in steps]
        found = [f for f in found if low * (1 - 1e-9) <= f <= high * (1 + 1e-9)]
        if len(found) < _LEAST_TICKS:
            break
        if len(found) <= _MOST_TICKS or steps == (1,):
            return found
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next((m for m in (1, 2, 5) if (high - low) / (m * step) <= _MOST_TICKS), 10)
    return [round(k * step, 9) for k in range(math.ceil(low / step), int(high / step) + 1)]


def unit_text(unit: str, *, is_db: bool, is_relative: bool = False) -> str:
    """Return what an axis of power is in.

    Examples
    --------
    >>> unit_text("uV^2/Hz", is_db=True)
    'dB re 1 µV²/Hz'
    >>> unit_text("uV^2", is_db=False)
    'µV²'
    """
    shown = unit.replace("^2", "²")
    if shown.startswith("u"):
        shown = "µ" + shown[1:]
    if is_relative:
        return "dB over the median" if is_db else "of the median"
    if is_db:
        return f"dB re 1 {shown}" if shown else "dB"
    return shown or "power"


def value_text(value: float, unit: str) -> str:
    """Return a value of power with as many digits as one reads."""
    if not np.isfinite(value):
        return "no value"
    return f"{value:.1f} {unit}" if unit.startswith("dB") else f"{value:.3g} {unit}"


class ParameterPane(QtWidgets.QScrollArea):
    """All parameters of a window in a form beside it; hidden at first.

    Parameters
    ----------
    window : ViewerWindow
        Whose.
    """

    def __init__(self, window: ViewerWindow) -> None:
        super().__init__()
        self._window = window
        schema = type(window.settings).declared().schema()
        for each in schema["properties"].values():
            each.pop("live", None)  # all are: there is nothing to say of each
        self.form: ParameterForm = parameter_form(schema, window.settings.parameters)
        self.form.setContentsMargins(8, 8, 8, 8)
        self.form.changed.connect(lambda name, value: window.change(**{name: value}))
        self.setWidget(self.form)
        self.setWidgetResizable(True)
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(_PANE_WIDTH)
        self.hide()

    def show_values(self) -> None:
        """Show what the parameters are now."""
        self.form.set_values(self._window.settings.parameters)
