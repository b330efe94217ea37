"""Power spectra: the curves of a known signal, and every control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets
from scipy.signal import welch
from tests.gui.power_windows import Key, QTest, fed, feed, press, shown, tones, turn_wheel

from rigmesh.node.testing import split
from rigmesh.streams import Cause, Gap, Signal, StreamInfo
from rigmesh.viewers import make_window
from rigmesh.viewers.spectrum import Spectrum
from rigmesh_nodes import viewers as declared

Make = Callable[..., Spectrum]


@pytest.fixture
def make(application: object) -> Make:
    def made(**parameters: Any) -> Spectrum:
        return shown(
            Spectrum(declared.Spectrum(**{"averaging": "last", "n_segments": 4, **parameters}))
        )

    return made


@pytest.fixture
def window(make: Make) -> Spectrum:
    return fed(make())


def drawn(window: Spectrum, name: str) -> tuple[Any, Any]:
    x, y = window.curves[name].getData()
    return x, y


def test_curves_are_those_of_scipy_and_peak_where_the_sines_are(window: Spectrum) -> None:
    signal = tones(10, 40)

    x, y = drawn(window, "E1")

    # The last four segments of 2 s, each 0.5 s after the one before.
    frequencies, power = welch(signal.data[-875:, 1], 250, nperseg=500, noverlap=375)
    np.testing.assert_allclose(x, frequencies)
    np.testing.assert_allclose(y, 10 * np.log10(power), rtol=1e-6)
    assert x[y.argmax()] == 40
    assert drawn(window, "E0")[0][drawn(window, "E0")[1].argmax()] == 10
    assert window.plot.getAxis("left").labelText == "dB re 1 µV²/Hz"


def test_a_curve_is_seen_where_its_values_are(window: Spectrum) -> None:
    window.change(channels=["E0"], f_start=5, f_stop=20)
    feed(window._sink, tones(10, 40))  # type: ignore[arg-type]
    window.refresh()
    QtWidgets.QApplication.processEvents()

    picture = window.plot.grab().toImage()
    box = window.plot.getViewBox()
    top = float(drawn(window, "E0")[1].max())

    def highest(frequency: float) -> int:
        """Return the first row of a column that has the curve's colour."""
        place = window.plot.mapFromScene(box.mapViewToScene(QtCore.QPointF(frequency, top)))
        colour = window.curves["E0"].opts["pen"].color()
        for row in range(picture.height()):
            found = picture.pixelColor(place.x(), row)
            if abs(found.hue() - colour.hue()) < 12 and found.saturation() > 60:
                return row - int(place.y())
        return 10_000

    assert abs(highest(10)) <= 4
    assert highest(15) > 100


def test_power_of_a_sine_is_its_mean_square(make: Make) -> None:
    window = make(normalisation="power", power_axis="linear")
    feed(window.sink("signal", "amp.signal"), tones(10, 40))

    window.refresh()

    assert drawn(window, "E0")[1].max() == pytest.approx(4.5, rel=0.01)
    assert window.plot.getAxis("left").labelText == "µV²"


def test_channels_of_one_label_have_a_curve_each(make: Make) -> None:
    window = make()
    signal = tones(10, 40, 70)
    assert signal.info is not None
    channels = tuple(replace(each, name="E") for each in signal.info.channels)
    signal.info = replace(signal.info, channels=channels)

    feed(window.sink("signal", "amp.signal"), signal)
    window.refresh()

    found = {name: drawn(window, name) for name in window.curves}
    peaks = {name: x[y.argmax()] for name, (x, y) in found.items()}
    assert peaks == {"E": 10, "E#1": 40, "E#2": 70}


def test_a_window_says_what_it_waits_for(make: Make) -> None:
    window = make()
    assert "Nothing is linked" in window.empty.text()

    sink = window.sink("signal", "amp.signal")
    feed(sink, tones(10, duration=1))
    window.refresh()
    assert window.empty.text() == "amp.signal: waiting for a segment of 2 s"

    window.drop("signal", "amp.signal")
    assert "Nothing is linked" in window.empty.text()


def test_what_cannot_be_computed_is_told(make: Make) -> None:
    window = make(channels=["Cz"])
    feed(window.sink("signal", "amp.signal"), tones(10))
    window.refresh()
    assert "Cz" in window.empty.text()

    window.change(channels=["E0"])
    feed(window._sink, tones(10), is_first=False)  # type: ignore[arg-type]
    window.refresh()

    assert set(window.curves) == {"E0"}
    assert window._pages.currentWidget() is window.plot


def test_a_hole_is_not_bridged(make: Make) -> None:
    window = make(n_segments=1000)
    signal = tones(10)
    first, second = split(signal, [900])
    sink = window.sink("signal", "amp.signal")
    feed(sink, first)
    sink.take(
        Signal(
            second.data, second.raw_timestamps + 0.013, index=900,
            gaps=(Gap(Cause.DEVICE, 0, 900, 3),),
        )
    )  # fmt: skip

    window.refresh()

    power = drawn(window, "E0")[1]
    assert power[100:].max() < power.max() - 60  # a step would be seen everywhere


def test_frequencies_are_spread_by_octaves(window: Spectrum) -> None:
    press(window, "Log f")
    window.refresh()

    x, y = drawn(window, "E1")
    assert x[0] == pytest.approx(np.log10(0.5))
    assert 10 ** x[y.argmax()] == pytest.approx(40)
    (ticks,) = window.plot.getAxis("bottom")._tickLevels
    assert [text for _, text in ticks] == ["0.5", "1", "2", "5", "10", "20", "50", "100"]
    assert 10 ** ticks[4][0] == pytest.approx(10)
    press(window, "Log f")
    window.refresh()
    assert window.plot.getAxis("bottom")._tickLevels is None
    assert drawn(window, "E1")[0][0] == 0


def test_power_is_spread_in_three_ways(window: Spectrum) -> None:
    decibels = drawn(window, "E0")[1].copy()
    press(window, "Power: dB")
    window.refresh()
    np.testing.assert_allclose(drawn(window, "E0")[1], decibels / 10)

    press(window, "Power: log")
    window.refresh()
    np.testing.assert_allclose(drawn(window, "E0")[1], 10 ** (decibels / 10))

    press(window, "Power: linear")
    assert window.settings.power_axis == "dB"


def test_the_axis_follows_or_is_fixed(window: Spectrum) -> None:
    low, high = window.plot.viewRange()[1]
    press(window, "Fix axis")
    assert window.settings.limits == "fixed"
    assert (window.settings.low, window.settings.high) == pytest.approx((low, high), rel=1e-3)

    feed(window._sink, tones(10, 40, amplitude=3000), is_first=False)  # type: ignore[arg-type]
    window.refresh()
    assert window.plot.viewRange()[1] == pytest.approx([low, high], rel=1e-3)

    press(window, "Free axis")
    window.refresh()
    assert window.plot.viewRange()[1][1] > high + 50


def test_the_highest_values_are_held_from_when_it_is_switched_on(window: Spectrum) -> None:
    assert not window.held["E0"].isVisible()
    sink: Any = window._sink
    feed(sink, tones(10, 40, amplitude=300), is_first=False)
    press(window, "Hold")
    feed(sink, tones(10, 40, amplitude=30), is_first=False)
    feed(sink, tones(10, 40, amplitude=3), is_first=False)
    window.refresh()

    top = window.held["E0"].getData()[1].max()
    now = drawn(window, "E0")[1].max()
    assert window.held["E0"].isVisible()
    assert 19 < top - now < 41
    press(window, "Hold")
    window.refresh()
    assert not window.held["E0"].isVisible()


def test_the_mean_of_the_channels_is_drawn(window: Spectrum) -> None:
    press(window, "Mean")
    window.refresh()

    y = window.mean_curve.getData()[1]
    both = [10 ** (drawn(window, name)[1] / 10) for name in ("E0", "E1")]
    np.testing.assert_allclose(y, 10 * np.log10(np.mean(both, axis=0)))
    assert "mean" in [label.text for _, label in window.legend.items]
    press(window, "Mean")
    window.refresh()
    assert not window.mean_curve.isVisible()
    assert "mean" not in [label.text for _, label in window.legend.items]


def test_averages_begin_anew(make: Make) -> None:
    window = make(averaging="exponential", n_segments=1000)
    sink: Any = window.sink("signal", "amp.signal")
    feed(sink, tones(10, amplitude=300))
    press(window, "Anew")
    window.refresh()
    assert "waiting for a segment" in window.empty.text()

    feed(sink, tones(10, amplitude=3), is_first=False)
    window.refresh()

    y = drawn(window, "E0")[1]
    assert y.max() == pytest.approx(10 * np.log10(4.5 / 0.75), abs=0.2)


def test_a_change_of_the_average_goes_on_with_the_next_segment(window: Spectrum) -> None:
    window.change(n_segments=1)
    signal = tones(10, 40, amplitude=30)
    feed(window._sink, signal, is_first=False)  # type: ignore[arg-type]
    window.refresh()

    _, power = welch(signal.data[-500:, 0], 250, nperseg=500)
    np.testing.assert_allclose(drawn(window, "E0")[1], 10 * np.log10(power), rtol=1e-6)


def test_frequencies_are_turned_by_keys_and_wheel(window: Spectrum) -> None:
    changes: list[dict[str, Any]] = []
    window.changed.connect(changes.append)

    QTest.keyClick(window, Key.Key_BracketLeft)
    turn_wheel(window.plot, 1)
    window.refresh()

    assert changes == [{"f_stop": 100.0}, {"f_stop": 80.0}]
    assert drawn(window, "E0")[0][-1] == 80
    assert window.plot.viewRange()[0][1] == pytest.approx(80, rel=0.02)
    for _ in range(3):
        press(window, "+f")
    assert window.settings.f_stop == 0
    for _ in range(30):
        press(window, "−f")
    assert window.settings.f_stop == 2


def test_limits_that_hold_nothing_are_told(window: Spectrum) -> None:
    window.change(f_start=300, f_stop=310)
    window.refresh()

    assert "no frequency lies from 300 to 310 Hz" in window.status


def test_the_peak_near_the_mouse_is_read(window: Spectrum) -> None:
    box = window.plot.getViewBox()
    top = float(drawn(window, "E1")[1].max())

    window._point(box.mapViewToScene(QtCore.QPointF(40.4, top - 1)))

    assert window.readout.text() == f"E1   40 Hz   {top:.1f} dB re 1 µV²/Hz"
    assert window.peak.isVisible()
    assert [point.pos().x() for point in window.peak.points()] == [40]
    press(window, "Log f")
    press(window, "Power: dB")
    window.refresh()
    box = window.plot.getViewBox()
    window._point(box.mapViewToScene(QtCore.QPointF(np.log10(40), top / 10)))
    assert window.readout.text() == f"E1   40 Hz   {10 ** (top / 10):.3g} µV²/Hz"
    window.plot.left.emit()
    assert window.readout.text() == ""
    assert not window.peak.isVisible()


def test_names_stay_text(make: Make) -> None:
    window = make()
    signal = tones(10)
    signal.info = StreamInfo.signal(
        "amp.signal", channels=["<b>Cz</b>"], sampling_rate=250, unit="uV"
    )
    feed(window.sink("signal", "amp.signal"), signal)

    window.refresh()

    ((_, label),) = window.legend.items
    assert label.item.toPlainText() == "<b>Cz</b>"


def test_all_parameters_are_in_a_form_beside_the_curves(window: Spectrum) -> None:
    press(window, "Settings…")
    assert window.pane.isVisible()
    assert set(window.pane.form.fields) == set(window.settings.parameters)

    window.pane.form.changed.emit("power_axis", "linear")
    window.refresh()
    assert drawn(window, "E0")[1].min() > 0

    window.apply({"segment": 4.0})
    assert window.pane.form.values["segment"] == 4.0


def test_a_paused_window_still_obeys_and_keys_are_told(window: Spectrum) -> None:
    QTest.keyClick(window, Key.Key_Space)
    before = drawn(window, "E0")[1].copy()

    window.change(power_axis="log")

    assert window.is_paused
    np.testing.assert_allclose(drawn(window, "E0")[1], before / 10)
    press(window, "?")
    assert "H: hold the highest" in window.status


def test_it_follows_the_palette_and_is_made_by_name(window: Spectrum) -> None:
    before = window.plot.backgroundBrush().color().lightness()
    palette = QtWidgets.QApplication.palette()
    dark = QtGui.QPalette(palette)
    dark.setColor(QtGui.QPalette.ColorRole.Window, QtGui.QColor("#202020"))
    try:
        QtWidgets.QApplication.setPalette(dark)
        QtWidgets.QApplication.processEvents()
        window.refresh()
        after = window.plot.backgroundBrush().color().lightness()
    finally:
        QtWidgets.QApplication.setPalette(palette)

    assert before > 200
    assert after < 60
    assert isinstance(make_window("viewers.Spectrum", "psd", {"segment": 3}), Spectrum)
