"""The triggered oscilloscope: every control used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets
from tests.gui.triggered_rig import TRIGGERS, Rig, responses, sweeps, values

# --- controls -----------------------------------------------------------------------------------


def test_stop_and_start_let_triggers_count_or_not() -> None:
    rig = Rig()
    rig.feed()
    rig.act("S")
    rig.trigger(3.0)
    assert rig.window.taking.text() == "Start"

    rig.act("S")
    rig.trigger(3.5)

    rig.slots()
    assert rig.window.count.text() == "1 sweep"


def test_reset_forgets_the_sweeps() -> None:
    rig = Rig()
    rig.feed()
    rig.trigger(3.0)
    rig.slots()

    rig.act("R")

    assert len(rig.slots()[0].sweeps) == 0
    assert rig.window.count.text() == "0 sweeps"


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [
        ("W", "show_sweeps", False), ("A", "show_average", False), ("D", "show_band", True),
        ("B", "baseline", False), ("N", "negative_up", True), ("P", "view", "stacked"),
        ("T", "trigger", "channel"),
    ],
)  # fmt: skip
def test_keys_change_parameters_there_and_back(key: str, name: str, value: Any) -> None:
    rig = Rig()
    before = rig.settings.parameters[name]

    rig.act(key)
    rig.act(key)

    assert rig.changes == [{name: value}, {name: before}]


def test_the_wheel_and_keys_change_the_gain_and_f_lets_it_fit() -> None:
    rig = Rig(half_range=100.0)
    rig.feed()
    rig.trigger(3.0)
    rig.slots()

    turn(rig.window.canvas, 120)
    turned = rig.settings.half_range
    rig.slots()
    rig.act("Down")
    back = rig.settings.half_range
    rig.act("F")

    assert (turned, back, rig.settings.half_range) == (80, 100, 0)


def turn(canvas: QtWidgets.QWidget, angle: int) -> None:
    at, nothing = QtCore.QPointF(100, 100), QtCore.QPoint()
    event = QtGui.QWheelEvent(
        at, at, nothing, QtCore.QPoint(0, angle), QtCore.Qt.MouseButton.NoButton,
        QtCore.Qt.KeyboardModifier.NoModifier, QtCore.Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QtWidgets.QApplication.sendEvent(canvas, event)


def test_fields_change_parameters() -> None:
    rig = Rig()
    window = rig.window

    for field, value in ((window.before, 0.3), (window.after, 0.4), (window.level, -2.0)):
        field.setValue(value)
        field.editingFinished.emit()
    window.last.setValue(7)
    window.last.editingFinished.emit()
    window.select.setText("x+")
    window.select.editingFinished.emit()
    rig.feed()
    rig.slots()
    for choice, at in ((window.trigger, 1), (window.direction, 2), (window.channel, 1)):
        choice.setCurrentIndex(at)
        choice.activated.emit(at)

    names = ("before", "after", "level", "n_sweeps", "select", "trigger", "direction", "channel")
    found = {name: rig.settings.parameters[name] for name in names}
    assert found == {
        "before": 0.3, "after": 0.4, "level": -2.0, "n_sweeps": 7, "select": "x+",
        "trigger": "channel", "direction": "both", "channel": "Pz",
    }  # fmt: skip
    assert [next(iter(change)) for change in rig.changes] == list(names)


def test_what_cannot_be_is_told_in_the_line() -> None:
    rig = Rig()

    rig.window.select.setText("(")
    rig.window.select.editingFinished.emit()

    assert "no regular expression" in rig.window.status
    assert rig.settings.select == ""


def test_another_width_of_the_sweeps_takes_new_ones() -> None:
    rig = Rig()
    rig.feed()
    rig.trigger(3.0)

    rig.window.apply({"after": 0.5})
    rig.feed(responses(), first=3000)
    rig.trigger(9.0)

    slot = rig.slots()[0]
    assert slot.sweeps.shape == (1, 301)


def test_fewer_sweeps_are_the_last_of_them() -> None:
    rig = Rig()
    data = rig.feed()
    rig.trigger(*TRIGGERS)

    rig.window.apply({"n_sweeps": 1})

    slot = rig.slots()[0]
    expected = sweeps(data, TRIGGERS[3:])[:, :, 0]
    np.testing.assert_allclose(values(slot, slot.sweeps), expected, atol=1e-3)


def test_every_control_has_a_tip_and_a_key_of_its_own() -> None:
    window = Rig().window

    keys = [action.shortcut().toString() for action in window.actions()]

    assert all(keys)
    assert len(set(keys)) == len(keys)
    fields = window.findChildren((QtWidgets.QAbstractSpinBox, QtWidgets.QComboBox))
    assert all(action.toolTip() for action in window.actions())
    assert all(field.toolTip() for field in fields)
