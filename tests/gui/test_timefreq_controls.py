"""Maps of power over time and frequency: every control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets
from tests.gui.power_windows import Key, QTest, fed, feed, press, shown, tones, turn_wheel

from rigmesh.viewers import make_window
from rigmesh.viewers.timefreq import TimeFreq
from rigmesh_nodes import viewers as declared

Make = Callable[..., TimeFreq]

WORDS = {"f_start": 5, "f_stop": 80, "n_frequencies": 33, "seconds": 5}


@pytest.fixture
def make(application: object) -> Make:
    def made(**parameters: Any) -> TimeFreq:
        return shown(TimeFreq(declared.TimeFreq(**{**WORDS, **parameters})))

    return made


@pytest.fixture
def window(make: Make) -> TimeFreq:
    return fed(make())


def frequencies_of(window: TimeFreq) -> np.ndarray[Any, Any]:
    assert window._look is not None
    found: np.ndarray[Any, Any] = window._look.frequencies
    return found


def test_colours_are_fixed_found_and_dragged(window: TimeFreq) -> None:
    found = window.levels[0]
    press(window, "Fix colours")
    assert window.settings.limits == "fixed"
    assert window.settings.low == pytest.approx(found[0], rel=1e-3)

    window.panels.bar.setLevels((-20.0, 8.0))
    window.panels.bar.sigLevelsChangeFinished.emit(window.panels.bar)
    window.refresh()
    assert (window.settings.low, window.settings.high) == (-20, 8)
    assert window.levels == [(-20.0, 8.0)] * 2

    press(window, "Find colours")
    window.refresh()
    assert window.levels[0] == pytest.approx(found)

    window.change(limits="MAD", deviations=2)
    window.refresh()
    values = window.values[np.isfinite(window.values)]
    deviation = 1.4826 * np.median(np.abs(values - np.median(values)))
    assert window.levels[0][1] == pytest.approx(np.median(values) + 2 * deviation, rel=1e-3)


def test_channels_may_have_limits_of_their_own(make: Make) -> None:
    window = make(same_limits=False, percentile=100)
    signal = tones(10, 40)
    signal.data[:, 1] *= 10
    feed(window.sink("signal", "amp.signal"), signal)

    window.refresh()

    (_, one), (_, other) = window.levels
    assert other - one == pytest.approx(20, abs=0.1)
    assert not window.panels.bar.isVisible()


def test_power_is_shown_in_decibels_or_as_it_is(window: TimeFreq) -> None:
    press(window, "dB")
    window.refresh()

    assert window.settings.scale == "linear"
    assert np.nanmax(window.values) == pytest.approx(4.5, rel=0.02)
    assert window.panels.bar.getAxis("left").labelText == "µV²"


def test_each_frequency_is_compared_with_its_median(window: TimeFreq) -> None:
    press(window, "Relative")
    window.refresh()

    assert window.settings.relative
    np.testing.assert_allclose(np.nanmedian(window.values, axis=2), 0, atol=0.1)
    assert window.panels.bar.getAxis("left").labelText == "dB over the median"


def test_colour_maps_follow_each_other(window: TimeFreq) -> None:
    before = window.panels.images[0].lut.copy()
    seen = set()
    for _ in range(7):
        press(window, "Colours")
        window.refresh()
        seen.add(window.settings.colours)

    assert len(seen) == 7
    np.testing.assert_array_equal(window.panels.images[0].lut, before)


def test_time_is_turned_by_keys_and_wheel(window: TimeFreq) -> None:
    changes: list[dict[str, Any]] = []
    window.changed.connect(changes.append)
    before = window.values[0][:, -20:]

    QTest.keyClick(window, Key.Key_BracketLeft)
    turn_wheel(window.panels, 1)
    window.refresh()

    assert window.settings.seconds == pytest.approx(3.2, abs=0.01)
    assert changes == [{"seconds": 4.0}, {"seconds": 3.2}]
    (low, high), _ = window.panels.plots[0].viewRange()
    assert (low, high) == pytest.approx((-3.2, 0))
    np.testing.assert_allclose(window.values[0][:, -20:], before, atol=1e-3)

    press(window, "+t")
    turn_wheel(window.panels, -1)
    assert window.settings.seconds == pytest.approx(5, abs=0.02)


def test_more_time_shows_what_was_kept_and_new_samples_move_it(window: TimeFreq) -> None:
    newest = window._columns.newest if window._columns else 0
    feed(window._sinks["signal"], tones(20, 20, start=108, duration=2, index=2000), is_first=False)
    window.refresh()

    assert window._columns is not None
    assert (window._columns.newest - newest) * window._columns.step == pytest.approx(2, abs=0.2)
    peak = frequencies_of(window)[window.values[0][:, -5:].mean(axis=1).argmax()]
    assert peak == pytest.approx(20, rel=0.05)


def test_what_is_under_the_mouse_is_read(window: TimeFreq) -> None:
    row = int(np.abs(frequencies_of(window) - 40).argmin())
    box = window.panels.plots[1].getViewBox()

    window.panels._point(box.mapViewToScene(QtCore.QPointF(-1.0, row + 0.5)))

    text = window.readout.text()
    assert text.startswith("E1   40")
    assert "-1.00 s" in text
    assert "6.5 dB re 1 µV²" in text
    window.panels._point(QtCore.QPointF(-5, -5))
    assert window.readout.text() == ""


def test_all_parameters_are_in_a_form_beside_the_maps(window: TimeFreq) -> None:
    assert not window.pane.isVisible()
    press(window, "Settings…")
    assert window.pane.isVisible()
    assert set(window.pane.form.fields) == set(window.settings.parameters)

    window.pane.form.changed.emit("n_columns", 1)
    window.refresh()
    assert window.panels._n_columns == 1

    window.apply({"seconds": 7.0})
    assert window.pane.form.values["seconds"] == 7.0
    window.change(seconds=-1)
    assert "seconds" in window.status
    assert window.settings.seconds == 7.0


def test_a_paused_window_stands_still_and_still_obeys(window: TimeFreq) -> None:
    QTest.keyClick(window, Key.Key_Space)
    assert window.is_paused

    window.change(scale="linear")

    assert np.nanmax(window.values) == pytest.approx(4.5, rel=0.02)


def test_keys_are_told(window: TimeFreq) -> None:
    press(window, "?")

    assert "A: automatic or fixed colours" in window.status


def test_it_follows_the_palette_and_is_made_by_name(window: TimeFreq, tmp_path: Path) -> None:
    before = window.grab().toImage().pixelColor(5, 250)
    palette = QtWidgets.QApplication.palette()
    dark = QtGui.QPalette(palette)
    dark.setColor(QtGui.QPalette.ColorRole.Window, QtGui.QColor("#202020"))
    try:
        QtWidgets.QApplication.setPalette(dark)
        QtWidgets.QApplication.processEvents()
        window.refresh()
        after = window.grab().toImage().pixelColor(5, 250)
    finally:
        QtWidgets.QApplication.setPalette(palette)

    assert before.lightness() > 200
    assert after.lightness() < 60
    made = make_window("viewers.TimeFreq", "tf", {"seconds": 3})
    assert isinstance(made, TimeFreq)
    made.grab_to(tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000
