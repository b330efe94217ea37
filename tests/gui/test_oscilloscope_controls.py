"""The oscilloscope's controls: mouse, keys, tool bar, settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets
from tests.gui.trace_windows import (
    START,
    Source,
    at_channel,
    column_of,
    drag,
    draw,
    eeg_window,
    in_picture,
    mouse,
    only_panel,
    press_key,
    turn_wheel,
)

from rigmesh.streams import Signal, StreamInfo
from rigmesh.viewers.oscilloscope import Oscilloscope
from rigmesh.viewers.trace_keys import press
from rigmesh.viewers.trace_panel import TracePanel

Qt = QtCore.Qt
NAMES = ["Cz", "Pz", "Oz"]


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


def action(window: Oscilloscope, text: str) -> QtWidgets.QAction:
    return next(a for a in window.tools.actions() if a.text() == text)


# --- mouse -------------------------------------------------------------------------------------


def test_the_wheel_enlarges_all_traces(window: Oscilloscope, panel: TracePanel) -> None:
    changes = changes_of(window)
    before = panel.look.rows.scale.copy()

    turn_wheel(panel, in_picture(panel, 100, 100), 2)
    draw(window)

    assert window.settings.gain == pytest.approx(1.25**2, rel=1e-3)
    np.testing.assert_allclose(panel.look.rows.scale / before, 1.25**2, rtol=1e-3)
    assert changes == [{"gain": window.settings.gain}]


def test_the_wheel_over_a_label_enlarges_its_trace(window: Oscilloscope, panel: TracePanel) -> None:
    before = panel.look.rows.scale.copy()

    turn_wheel(panel, at_channel(panel, 1), -1)
    draw(window)

    assert window.settings.gains == {"eeg.signal/Pz": 0.8}
    np.testing.assert_allclose(panel.look.rows.scale / before, [1, 0.8, 1])
    assert "×0.8" in panel.look.labels[1].text

    turn_wheel(panel, at_channel(panel, 1), 1)
    assert window.settings.gains == {}


def test_the_wheel_with_shift_enlarges_the_chosen_trace(
    window: Oscilloscope, panel: TracePanel
) -> None:
    mouse(panel, "MouseButtonPress", at_channel(panel, 2), Qt.MouseButton.LeftButton)
    mouse(panel, "MouseButtonRelease", at_channel(panel, 2), Qt.MouseButton.LeftButton)

    turn_wheel(panel, in_picture(panel, 50, 20), 1, Qt.KeyboardModifier.ShiftModifier)

    assert window.chosen_name == "eeg.signal/Oz"
    assert window.settings.gains == {"eeg.signal/Oz": 1.25}


def test_the_wheel_with_control_shows_less_time(window: Oscilloscope, panel: TracePanel) -> None:
    turn_wheel(panel, in_picture(panel, 100, 100), 1, Qt.KeyboardModifier.ControlModifier)
    draw(window)

    assert window.settings.seconds == 1.6
    assert panel.base.seconds == 1.6
    assert np.isfinite(panel.follower.columns.low).mean() > 0.95


@pytest.mark.parametrize("button", [Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton])
def test_dragging_to_the_right_shows_less_time(
    window: Oscilloscope, panel: TracePanel, button: Any
) -> None:
    drag(panel, in_picture(panel, 100, 100), 120, 0, button)

    assert window.settings.seconds == pytest.approx(2 * np.exp(-120 / 250), rel=0.01)


def test_dragging_a_paused_picture_goes_back(window: Oscilloscope, panel: TracePanel) -> None:
    window.change(mode="scroll")
    window._pause.setChecked(True)
    right = panel.base.right

    drag(panel, in_picture(panel, 100, 100), 120, 0)

    assert window.settings.seconds == 2
    assert panel.base.right == right - 120
    assert panel.follower.columns.right == right - 120
    assert np.isfinite(panel.follower.columns.low).all()
    assert "back" in window.axis.note


def test_dragging_a_label_moves_its_trace(window: Oscilloscope, panel: TracePanel) -> None:
    before = panel.look.rows.zero.copy()

    drag(panel, at_channel(panel, 0), 0, 25)
    draw(window)

    np.testing.assert_allclose(panel.look.rows.zero - before, [25, 0, 0], atol=0.1)
    assert list(window.settings.offsets) == ["eeg.signal/Cz"]


def test_a_double_click_opens_the_settings(window: Oscilloscope, panel: TracePanel) -> None:
    mouse(panel, "MouseButtonDblClick", in_picture(panel, 30, 30), Qt.MouseButton.LeftButton)

    assert window.dialog is not None
    assert window.dialog.isVisible()
    assert not window.dialog.isModal()


def test_the_title_tells_what_is_under_the_pointer(window: Oscilloscope, panel: TracePanel) -> None:
    window.change(mode="scroll")
    draw(window)
    height = panel.picture_size[1]

    mouse(panel, "MouseMove", in_picture(panel, 200, height // 2))
    text = panel.pointed_at()
    assert text.startswith("Pz  ")
    assert "µV" in text

    panel.leaveEvent(None)
    assert panel.pointed_at() == ""


# --- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "gain"), [(Qt.Key.Key_Plus, 1.25), (Qt.Key.Key_Minus, 0.8)])
def test_plus_and_minus_change_the_gain(window: Oscilloscope, key: Any, gain: float) -> None:
    press_key(window, key)

    assert window.settings.gain == gain


def test_arrows_choose_a_channel_and_go_round(window: Oscilloscope) -> None:
    chosen = []
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Up, Qt.Key.Key_Up):
        press_key(window, key)
        chosen.append(window.chosen_name.partition("/")[2])
    press_key(window, Qt.Key.Key_Escape)

    assert chosen == ["Cz", "Pz", "Cz", "Oz"]
    assert window.chosen_name == ""


def test_keys_change_gain_and_offset_of_the_chosen_channel(
    window: Oscilloscope, panel: TracePanel
) -> None:
    before = panel.look.rows.zero[0]
    press_key(window, Qt.Key.Key_Down)

    press_key(window, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    draw(window)
    moved = panel.look.rows.zero[0] - before
    press_key(window, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)

    assert moved == pytest.approx(-0.1 * panel.picture_size[1] / 3, rel=0.01)
    assert window.settings.gains == {"eeg.signal/Cz": 1.25}


def test_keys_without_a_chosen_channel_do_no_harm(window: Oscilloscope) -> None:
    press_key(window, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    press_key(window, Qt.Key.Key_H)
    press_key(window, Qt.Key.Key_Escape)

    assert window.settings.offsets == {}
    assert window.settings.hidden == []


def test_h_hides_the_chosen_channel_and_with_control_shows_all(
    window: Oscilloscope, panel: TracePanel
) -> None:
    press_key(window, Qt.Key.Key_Down)

    press_key(window, Qt.Key.Key_H)
    draw(window)
    left = [label.text for label in panel.look.labels]
    title = panel.look.title
    press_key(window, Qt.Key.Key_H, Qt.KeyboardModifier.ControlModifier)
    draw(window)

    assert left == ["Pz", "Oz"]
    assert title.startswith("2 of 3 channels")
    assert [label.text for label in panel.look.labels] == NAMES


def test_arrows_go_back_and_forth_in_time(window: Oscilloscope, panel: TracePanel) -> None:
    newest = panel.base.right

    press_key(window, Qt.Key.Key_Left)
    one = panel.base.right
    press_key(window, Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier)
    page = panel.base.right
    press_key(window, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    press_key(window, Qt.Key.Key_Right)
    press_key(window, Qt.Key.Key_Right)

    width = panel.base.width
    assert newest - one == pytest.approx(0.1 * width, abs=2)
    assert one - page == pytest.approx(0.9 * width, abs=2)
    assert panel.base.right == newest
    assert window.is_paused
    press_key(window, Qt.Key.Key_End)
    assert not window.is_paused


def test_return_opens_the_settings(window: Oscilloscope) -> None:
    press_key(window, Qt.Key.Key_Return)

    assert window.dialog is not None
    assert window.dialog.isVisible()


def test_other_keys_are_left_to_others(window: Oscilloscope) -> None:
    assert not press(window, Qt.Key.Key_F9, Qt.KeyboardModifier.NoModifier)


# --- tool bar ----------------------------------------------------------------------------------


def test_every_action_has_a_tip_and_a_key_or_says_one(window: Oscilloscope) -> None:
    for each in window.tools.actions():
        if not each.isSeparator():
            assert each.toolTip(), each.text()
            assert not each.shortcut().isEmpty() or "(" in each.toolTip()


def test_buttons_change_what_they_say(window: Oscilloscope) -> None:
    for text, name, value in (
        ("Scroll", "mode", "scroll"), ("Scan", "mode", "scan"), ("+", "gain", 1.25),
        ("−", "gain", 1.0), ("−t", "seconds", 1.6), ("+t", "seconds", 2.0),
        ("Scale: alike", "scale", "by channel"), ("Scale: each", "scale", "real"),
        ("Scale: real", "scale", "same"),
    ):  # fmt: skip
        action(window, text).trigger()
        assert getattr(window.settings, name) == value


def test_auto_scale_forgets_what_was_set_by_hand(window: Oscilloscope, panel: TracePanel) -> None:
    window.change(gain=7.0, gains={"eeg.signal/Cz": 3.0}, offsets={"eeg.signal/Cz": 99.0})
    changes = changes_of(window)

    action(window, "Auto scale").trigger()
    draw(window)

    assert window.settings.gain == 1
    assert window.settings.gains == window.settings.offsets == {}
    rows = panel.look.rows
    middles = rows.zero - np.array([0, 100, -100]) * rows.scale
    expected = (np.arange(3) + 0.5) * panel.picture_size[1] / 3
    np.testing.assert_allclose(middles, expected, atol=3)
    assert set(changes[-1]) == {"gain", "gains", "offsets", "spans", "ranges"}


def test_by_channel_each_fills_its_row(window: Oscilloscope, panel: TracePanel) -> None:
    source = Source(
        window, StreamInfo.signal("b.signal", channels=2, sampling_rate=500), stream="b.signal"
    )
    source.give(np.random.default_rng(1).normal(0, [1, 1000], (2500, 2)))
    window.change(scale="by channel")
    draw(window)

    scale = window.panels["b.signal"].look.rows.scale
    assert scale[0] / scale[1] == pytest.approx(1000, rel=0.2)


def test_question_mark_tells_the_keys(window: Oscilloscope) -> None:
    action(window, "?").trigger()

    assert "space" in window.status


def test_a_pause_freezes_the_picture_and_keeps_what_comes(
    window: Oscilloscope, panel: TracePanel
) -> None:
    sink = panel.follower.sink
    info = sink.buffer.info
    assert info is not None
    action(window, "Pause").trigger()
    picture = panel.follower.raster.pixels.copy()
    held = sink.buffer.rows[1]

    sink.take(Signal(np.full((100, 3), 500.0), START + 5 + np.arange(100) / 500, info=info))
    window._draw()

    np.testing.assert_array_equal(panel.follower.raster.pixels, picture)
    assert sink.buffer.rows[1] == held + 100
    assert window.axis.note.startswith("paused")

    action(window, "Go on").trigger()
    assert panel.follower.columns.high[0, column_of(panel, START + 5.1)] == 500


def test_gain_and_size_of_a_paused_picture_change(window: Oscilloscope, panel: TracePanel) -> None:
    action(window, "Pause").trigger()
    right = panel.base.right * panel.base.step

    press_key(window, Qt.Key.Key_Plus)
    scale = panel.look.rows.scale[0]
    window.resize(900, 600)
    QtWidgets.QApplication.processEvents()
    QtWidgets.QApplication.processEvents()

    assert window.settings.gain == 1.25
    assert panel.look.rows.scale[0] != scale
    assert panel.follower.raster.pixels.shape[::-1] == panel.picture_size
    assert panel.base.right * panel.base.step == pytest.approx(right, abs=2 * panel.base.step)


def test_a_picture_is_saved(window: Oscilloscope, tmp_path: Path) -> None:
    window.grab_to(tmp_path / "scope.png")

    image = QtGui.QImage(str(tmp_path / "scope.png"))
    assert (image.width(), image.height()) == (window.width(), window.height())
