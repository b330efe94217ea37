"""The oscilloscope's settings: the table of channels, the form, and what is saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PyQt5 import QtCore
from tests.gui.trace_windows import draw, eeg_window, only_panel

from rigmesh.viewers.oscilloscope import Oscilloscope
from rigmesh.viewers.trace_panel import TracePanel
from rigmesh_nodes import viewers as declared

Qt = QtCore.Qt


@pytest.fixture
def window() -> Oscilloscope:
    return eeg_window()


@pytest.fixture
def panel(window: Oscilloscope) -> TracePanel:
    return only_panel(window)


def changes_of(window: Oscilloscope) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    window.changed.connect(found.append)
    return found


def test_the_table_changes_channels(window: Oscilloscope, panel: TracePanel) -> None:
    window.show_settings()
    assert window.dialog is not None
    table = window.dialog.channels
    titles = [entry[0] for entry in table.columns]
    assert titles == ["Show", "Channel", "Unit", "Gain", "Offset", "Colour"]
    index = {title: table.index(1, at) for at, title in enumerate(titles)}

    assert table.setData(index["Show"], Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    assert table.setData(index["Gain"], "2.5")
    assert table.setData(index["Offset"], "-12")
    assert table.setData(index["Colour"], "#ff8800")

    name = "eeg.signal/Pz"
    assert window.settings.hidden == [name]
    assert window.settings.gains == {name: 2.5}
    assert window.settings.offsets == {name: -12}
    assert window.settings.colours == {name: "#ff8800"}
    table.setData(index["Show"], Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole)
    draw(window)
    assert panel.look.rows.colours[1] == 0xFF8800
    assert table.data(index["Gain"], Qt.ItemDataRole.DisplayRole) == "2.5"
    assert table.data(index["Unit"], Qt.ItemDataRole.DisplayRole) == "µV"


def test_what_the_table_cannot_take_is_told_in_the_line(window: Oscilloscope) -> None:
    window.show_settings()
    assert window.dialog is not None
    table = window.dialog.channels

    assert not table.setData(table.index(0, 3), "much")
    assert "much" in window.status
    assert not table.setData(table.index(0, 3), "-1")
    assert "gains" in window.status
    assert not table.setData(table.index(0, 5), "red")
    assert window.settings.colours == {}
    assert window.settings.gains == {}


def test_an_emptied_cell_is_automatic_again(window: Oscilloscope) -> None:
    window.change(offsets={"eeg.signal/Cz": 5.0})
    window.show_settings()
    assert window.dialog is not None
    table = window.dialog.channels

    assert table.data(table.index(0, 4), Qt.ItemDataRole.DisplayRole) == "5"
    table.setData(table.index(0, 4), "")

    assert window.settings.offsets == {}
    assert table.data(table.index(0, 4), Qt.ItemDataRole.DisplayRole) == "median"


def test_selected_channels_are_hidden_and_shown(window: Oscilloscope) -> None:
    window.show_settings()
    dialog = window.dialog
    assert dialog is not None
    dialog.table.selectRow(2)

    dialog.show_selected(False)
    assert window.settings.hidden == ["eeg.signal/Oz"]

    dialog.table.clearSelection()
    dialog.show_selected(False)
    assert len(window.settings.hidden) == 3
    dialog.show_selected(True)
    assert window.settings.hidden == []


def test_the_form_changes_the_window_and_follows_it(window: Oscilloscope) -> None:
    window.show_settings()
    assert window.dialog is not None
    form = window.dialog.form

    form.changed.emit("seconds", 5.0)
    assert window.settings.seconds == 5

    window.change(mode="scroll")
    assert form.values["mode"] == "scroll"


def test_everything_a_person_changed_makes_the_same_window_again(window: Oscilloscope) -> None:
    window.change(
        gain=2.0, hidden=["eeg.signal/Pz"], colours={"eeg.signal/Cz": "#112233"}, scale="real",
        ranges={"eeg.signal": [-50.0, 50.0]},
    )  # fmt: skip

    again = declared.Oscilloscope(**window.settings.parameters)

    assert again.parameters == window.settings.parameters


def test_what_is_not_acceptable_changes_nothing(window: Oscilloscope) -> None:
    changes = changes_of(window)

    window.change(seconds=-1)

    assert window.settings.seconds == 2
    assert "seconds" in window.status
    assert changes == []


def test_more_history_keeps_what_there_is(window: Oscilloscope, panel: TracePanel) -> None:
    kept = panel.follower.sink.buffer.rows

    window.change(history=300)
    draw(window)

    assert panel.follower.sink.buffer.rows == kept
    assert np.isfinite(panel.follower.columns.low).mean() > 0.95
