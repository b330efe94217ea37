"""Maps of power over time and frequency: what is drawn for a known signal, and every control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PyQt5 import QtCore
from tests.gui.power_windows import fed, feed, shown, tones

from rigmesh.errors import PortMismatch
from rigmesh.node.registry import describe
from rigmesh.node.testing import chunked, collect, split
from rigmesh.streams import Cause, Gap, Markers, Signal, StreamInfo
from rigmesh.viewers.show import Shown, _port_for
from rigmesh.viewers.timefreq import TimeFreq
from rigmesh_nodes import viewers as declared
from rigmesh_nodes.spectra import Morlet

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


def test_a_sine_is_brightest_at_its_frequency_and_has_its_power(window: TimeFreq) -> None:
    frequencies = frequencies_of(window)

    for channel, frequency in enumerate((10, 40)):
        line = window.values[channel].mean(axis=1)
        assert frequencies[int(line.argmax())] == pytest.approx(frequency, rel=0.05)
        assert line.max() == pytest.approx(10 * np.log10(4.5), abs=0.1)
        drawn = window.panels.images[channel].image
        assert int(drawn.mean(axis=1).argmax()) == int(line.argmax())
        assert drawn.min() >= 1
    assert window.panels.bar.getAxis("left").labelText == "dB re 1 µV²"


def test_pixels_have_the_colours_of_the_map(window: TimeFreq) -> None:
    picture = window.grab().toImage()
    box = window.panels.plots[0].getViewBox()
    row = int(np.abs(frequencies_of(window) - 10).argmin())

    def colour(y: float) -> tuple[int, int, int]:
        at = window.panels.mapFromScene(box.mapViewToScene(QtCore.QPointF(-2.5, y)))
        place = window.panels.mapTo(window, at)
        found = picture.pixelColor(place)
        return found.red(), found.green(), found.blue()

    yellow, blue = colour(row + 0.5), colour(30.5)
    assert yellow[0] > 200 and yellow[1] > 200 and yellow[2] < 120  # noqa: PT018 - one colour
    assert blue[0] < 100 and blue[1] < 160  # noqa: PT018


def test_a_map_that_is_linked_is_drawn_instead_of_computed(make: Make) -> None:
    alone, window = make(), make()
    signal = tones(10, 40)
    feed(alone.sink("signal", "amp.signal"), signal)
    node = Morlet(**declared.TimeFreq.map_parameters(window.settings.parameters))
    chunks = collect(node, chunked(signal, 50))["power"]
    computing: Any = window.sink("signal", "amp.signal")
    sink = window.sink("map", "tf.power")
    sink.describe(chunks.infos[0])
    for chunk in chunks.chunks:
        sink.take(chunk)

    alone.refresh()
    window.refresh()

    np.testing.assert_allclose(window.values, alone.values, atol=1e-3)
    assert not computing.is_on
    window.drop("map", "tf.power")
    feed(computing, signal)
    window.refresh()
    assert computing.is_on
    np.testing.assert_allclose(window.values, alone.values, atol=1e-3)


def test_only_chosen_labels_of_a_map_are_drawn(make: Make) -> None:
    window = make(channels=["E1"])
    node = Morlet(f_start=5, f_stop=80, n_frequencies=10, rate=50)
    chunks = collect(node, tones(10, 40, 20))["power"]
    sink = window.sink("map", "tf.power")
    sink.describe(chunks.infos[0])
    sink.take(chunks.chunks[0])

    window.refresh()

    assert len(window.panels.plots) == 1
    assert frequencies_of(window)[int(window.values[0].mean(axis=1).argmax())] > 30


def test_channels_chosen_by_label_and_by_number_are_all_drawn(make: Make) -> None:
    window = fed(make(channels=["E1", 0]))

    assert sorted(window._look.channels if window._look else ()) == ["E0", "E1"]
    assert len(window.panels.plots) == 2


def test_time_that_goes_back_begins_a_new_map(make: Make) -> None:
    window = fed(make())
    sink = window._sinks["signal"]

    # As a recording that is played again, and yet again.
    feed(sink, tones(40, 10, start=20), is_first=False)
    window.refresh()
    brightest = window.values[0].mean(axis=1).argmax()
    feed(sink, tones(10, 40, start=5), is_first=False)
    window.refresh()

    assert window._columns is not None
    assert np.isfinite(window.values[0]).mean() > 0.95
    assert frequencies_of(window)[int(brightest)] > 30
    assert window._columns.newest * window._columns.step == pytest.approx(13, abs=2)


def test_a_window_says_what_it_waits_for(make: Make) -> None:
    window = make(f_start=2)
    assert "Nothing is linked" in window.empty.text()

    sink = window.sink("signal", "amp.signal")
    window.refresh()
    assert window.empty.text() == "waiting for amp.signal"

    feed(sink, tones(10, duration=1))
    window.refresh()
    assert "wavelets are not over" in window.empty.text()
    assert window._pages.currentWidget() is window.empty

    window.drop("signal", "amp.signal")
    assert "Nothing is linked" in window.empty.text()


def test_what_cannot_be_computed_is_told_and_mended(window: TimeFreq) -> None:
    window.change(f_stop=300)
    window.refresh()
    assert "below half the sampling rate, 125 Hz" in window.empty.text()

    window.change(f_stop=60)
    sink = window._sinks["signal"]
    feed(sink, tones(10, 40, start=108), is_first=False)
    window.refresh()

    assert window._pages.currentWidget() is window.panels
    assert frequencies_of(window)[-1] == pytest.approx(60)


def test_something_else_than_a_map_is_told(make: Make) -> None:
    window = make()
    signal = tones(10)
    feed(window.sink("map", "amp.signal"), signal)

    window.refresh()

    assert "is no map of channels × frequencies" in window.empty.text()


def test_a_stream_of_maps_goes_to_the_input_for_maps() -> None:
    type_ = describe(declared.TimeFreq, "viewers.TimeFreq")
    power = collect(Morlet(rate=50), tones(10))["power"].infos[0]

    def port_of(info: StreamInfo | None) -> str:
        stream = Shown("tf.power", "signal", pytest.fail, info)
        return _port_for(stream, type_, [stream])

    assert [port_of(info) for info in (power, tones(10).info, None)] == ["map", "signal", "signal"]


def test_two_maps_for_one_window_are_refused() -> None:
    type_ = describe(declared.TimeFreq, "viewers.TimeFreq")
    power = collect(Morlet(rate=50), tones(10))["power"].infos[0]
    streams = [Shown(name, "signal", pytest.fail, power) for name in ("a.power", "b.power")]

    with pytest.raises(PortMismatch, match=r"shows one map; a\.power is not the only one"):
        _port_for(streams[0], type_, streams)


def test_missing_samples_are_empty_columns(make: Make) -> None:
    window = make(f_start=20)
    first, second = split(tones(40, duration=8), [1000])
    late = Signal(
        second.data, second.raw_timestamps + 1, gaps=(Gap(Cause.OVERRUN, 0, 1000, 250),),
        index=1000,
    )  # fmt: skip
    sink = window.sink("signal", "amp.signal")
    feed(sink, first)
    sink.take(late)

    window.refresh()

    empty = np.isnan(window.values[0]).all(axis=0)
    runs = np.flatnonzero(np.diff(np.concatenate([[0], empty, [0]]))).reshape(-1, 2)
    assert len(runs) == 1
    assert window._columns is not None
    missing = (runs[0, 1] - runs[0, 0]) * window._columns.step
    assert missing == pytest.approx(1 + 2 * 7 / (2 * np.pi * 20) * 5, abs=0.1)
    drawn = window.panels.images[0].image
    assert (drawn[:, empty] == 0).all()
    assert window.panels.images[0].lut[0, 3] == 0


def test_markers_are_lines_at_their_times_and_texts(window: TimeFreq) -> None:
    sink = window.sink("markers", "ev.out")
    window._choose_source()
    sink.describe(StreamInfo.markers("ev.out"))
    sink.take(Markers.at([105.0, 106.0, 200.0], ["stim <b>on", "go", "too late"]))

    window.refresh()

    assert window._columns is not None
    end = (window._columns.newest + 1) * window._columns.step
    x, y = window.panels._lines[1].getData()
    assert x.tolist() == pytest.approx([105 - end] * 2 + [106 - end] * 2)
    assert y.tolist() == [0, 33, 0, 33]
    assert set(window.panels.marker_texts) <= {"stim <b>on", "go"}
    assert "go" in window.panels.marker_texts
    window.drop("markers", "ev.out")
    window.refresh()
    assert window.panels.marker_texts == []


def test_names_stay_text(make: Make) -> None:
    window = make()
    signal = tones(10)
    signal.info = StreamInfo.signal(
        "amp.signal", channels=["<img src=x><b>Cz</b>"], sampling_rate=250, unit="uV"
    )
    feed(window.sink("signal", "amp.signal"), signal)

    window.refresh()

    assert "&lt;img src=x&gt;" in window.panels.plots[0].titleLabel.text
    assert window.panels.plots[0].titleLabel.item.toPlainText() == "<img src=x><b>Cz</b>"


def test_the_axis_of_frequencies_has_round_ones_where_they_are(window: TimeFreq) -> None:
    (ticks,) = window.panels.plots[0].getAxis("left")._tickLevels

    assert [text for _, text in ticks] == ["5", "10", "20", "50"]
    rows = np.arange(33) + 0.5
    for at, text in ticks:
        assert np.interp(at, rows, frequencies_of(window)) == pytest.approx(float(text), rel=1e-6)


@pytest.mark.parametrize(
    ("n", "n_columns", "shape"), [(1, 4, (1, 1)), (5, 4, (2, 3)), (6, 2, (3, 2)), (4, 4, (1, 4))]
)
def test_maps_lie_in_an_even_grid(
    make: Make, n: int, n_columns: int, shape: tuple[int, int]
) -> None:
    window = make(n_columns=n_columns)
    feed(window.sink("signal", "amp.signal"), tones(*[10] * n))

    window.refresh()

    assert len(window.panels.plots) == n
    assert (window.panels._n_rows, window.panels._n_columns) == shape


def test_at_most_sixteen_channels_are_computed_unless_more_are_chosen(make: Make) -> None:
    window = make(n_frequencies=3)
    feed(window.sink("signal", "amp.signal"), tones(*[10] * 18))
    window.refresh()
    assert len(window.panels.plots) == 16

    window.change(channels=["0:18"])
    feed(window._sinks["signal"], tones(*[10] * 18, start=108), is_first=False)
    window.refresh()

    assert len(window.panels.plots) == 18
