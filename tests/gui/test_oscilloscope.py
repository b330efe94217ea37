"""The oscilloscope: what is drawn of which signals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.gui.trace_windows import (
    START,
    Source,
    column_of,
    draw,
    height_drawn,
    in_picture,
    mark,
    named,
    only_panel,
    screen,
    shown,
)

from rigmesh.streams import Cause, ChannelInfo, Gap, Signal, StreamInfo
from rigmesh.viewers.oscilloscope import Oscilloscope
from rigmesh.viewers.trace_panel import TITLE_HEIGHT, TracePanel
from rigmesh_nodes import viewers as declared


def window_of(**parameters: Any) -> Oscilloscope:
    window = Oscilloscope(named(declared.Oscilloscope(**parameters)))
    shown(window)
    return window


def info_of(n_channels: int = 2, rate: float = 1000, dtype: str = "float64") -> StreamInfo:
    return StreamInfo.signal(
        "amp.signal", channels=n_channels, sampling_rate=rate, dtype=dtype, unit="uV"
    )


def height_of(panel: TracePanel, row: int, value: float) -> float:
    rows = panel.look.rows
    return float(rows.zero[row] - value * rows.scale[row])


@pytest.mark.parametrize("mode", ["scan", "scroll"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32", "uint8"])
def test_a_known_signal_is_drawn_at_its_time_and_height(mode: str, dtype: str) -> None:
    window = window_of(
        seconds=2, mode=mode, spans={"amp.signal": 200}, offsets={"amp.signal/ch0": 0},
    )  # fmt: skip
    source = Source(window, info_of(1, dtype=dtype))
    data = np.zeros((2000, 1))
    data[1000:1500] = 50

    source.give(data)
    draw(window)

    panel = only_panel(window)
    colour = panel.theme.trace(0)
    for time, value in ((START + 0.9, 0), (START + 1.2, 50), (START + 1.7, 0)):
        found = height_drawn(panel, column_of(panel, time), colour)
        assert found == pytest.approx(height_of(panel, 0, value), abs=0.5)


def test_what_is_handed_to_the_rasteriser_are_the_extremes_of_the_columns() -> None:
    window = window_of(seconds=2)
    source = Source(window, info_of(3))
    data = np.random.default_rng(1).normal(size=(2000, 3)) * 30

    source.give(data)
    draw(window)

    panel = only_panel(window)
    columns, step = panel.follower.columns, panel.base.step
    numbers = np.floor((START + np.arange(2000) / 1000) / step).astype(int)
    for number in (panel.base.left + 40, panel.base.left + 200, panel.base.right - 7):
        inside = data[numbers == number]
        low = columns.low[:, number % columns.width]
        high = columns.high[:, number % columns.width]
        # A line's crossings of the column's edges belong to it as well.
        around = data[(numbers >= number - 1) & (numbers <= number + 1)]
        assert (low <= inside.min(axis=0) + 1e-4).all()
        assert (low >= around.min(axis=0) - 1e-4).all()
        assert (high >= inside.max(axis=0) - 1e-4).all()
        assert (high <= around.max(axis=0) + 1e-4).all()


def test_the_window_shows_the_picture() -> None:
    window = window_of(seconds=2, mode="scroll", spans={"amp.signal": 200})
    source = Source(window, info_of(1))
    source.give(np.full((2500, 1), 5.0))
    draw(window)

    panel = only_panel(window)
    image = screen(panel)
    y = TITLE_HEIGHT + int(height_of(panel, 0, 5.0))
    colours = {image.pixel(panel.gutter + x, y) & 0xFFFFFF for x in (10, 200, 500)}

    assert colours == {panel.theme.trace(0)}


def test_a_scrolling_and_a_scanning_picture_have_the_newest_where_they_say() -> None:
    window = window_of(seconds=2, mode="scan")
    source = Source(window, info_of(1))
    source.give(np.zeros((3000, 1)))
    draw(window)
    panel = only_panel(window)
    newest = source.time - 0.001

    scanning = panel.base.x_of(newest)
    window.change(mode="scroll")
    draw(window)

    assert scanning == pytest.approx(newest / panel.base.step % panel.base.width)
    assert panel.base.x_of(newest) >= panel.base.width - 1


def test_missing_samples_are_a_shaded_hole() -> None:
    window = window_of(seconds=2, mode="scroll", spans={"amp.signal": 200})
    source = Source(window, info_of(1))
    source.give(np.zeros((1000, 1)))
    source.time += 0.3
    source.give(np.zeros((1000, 1)), gaps=(Gap(Cause.TRANSPORT, 0, 1300, 300),))
    draw(window)

    panel = only_panel(window)
    inside = column_of(panel, START + 1.15)
    assert np.isnan(panel.follower.columns.low[0, inside])
    assert np.isnan(height_drawn(panel, inside, panel.theme.trace(0)))
    image = screen(panel)
    there = in_picture(panel, int(panel.base.x_of(START + 1.15)), 15)
    elsewhere = in_picture(panel, int(panel.base.x_of(START + 1.6)), 15)
    assert image.pixel(there) != image.pixel(elsewhere)
    assert "300 samples lost" in panel._description()


def test_a_single_missing_sample_can_be_seen() -> None:
    window = window_of(seconds=2, mode="scroll")
    source = Source(window, info_of(1, rate=30_000, dtype="int16"))
    source.give(np.zeros((30_000, 1)))
    source.time += 1 / 30_000
    source.give(np.zeros((30_000, 1)), gaps=(Gap(Cause.DEVICE, 0, 30_001, 1),))
    draw(window)

    panel = only_panel(window)
    image = screen(panel)
    x = int(panel.base.x_of(START + 1))
    found = {image.pixel(in_picture(panel, x + dx, 15)) for dx in (-1, 0, 1, 2)}
    assert len(found) > 1


def test_samples_that_are_not_numbers_are_not_drawn_and_kill_nothing() -> None:
    window = window_of(seconds=2)
    source = Source(window, info_of(2))
    data = np.zeros((2000, 2))
    data[500:900, 0] = np.nan
    data[1200, 0] = np.inf

    source.give(data)
    draw(window)

    panel = only_panel(window)
    column = column_of(panel, START + 0.7)
    assert np.isnan(panel.follower.columns.low[0, column])
    assert panel.follower.columns.low[1, column] == 0


def test_another_format_begins_a_new_picture() -> None:
    window = window_of(seconds=2)
    source = Source(window, info_of(2))
    source.give(np.zeros((2000, 2)))
    draw(window)

    source.change(info_of(5, rate=500, dtype="int16"))
    source.give(np.ones((1000, 5)))
    draw(window)

    panel = only_panel(window)
    assert panel.follower.columns.low.shape[0] == 5
    assert len(panel.look.labels) == 5
    assert np.nanmax(panel.follower.columns.low) == 1


@pytest.mark.parametrize("mode", ["scroll", "scan"])
def test_time_that_goes_back_begins_a_new_picture(mode: str) -> None:
    window = window_of(seconds=2, mode=mode)
    source = Source(window, info_of(2))
    source.give(np.zeros((3000, 2)))
    draw(window)

    # As a recording that is played again.
    source.time = START - 500
    for part in range(20):
        source.give(np.full((150, 2), part), gaps=() if part else (Gap(Cause.RESTART, 1, 0, 0),))
        draw(window)

    panel = only_panel(window)
    assert np.isfinite(panel.follower.columns.low).mean() > 0.95
    assert np.nanmax(panel.follower.columns.low) == 19
    assert panel.follower.sink.holes(-np.inf, np.inf) == []


def test_a_stamp_that_is_none_kills_nothing() -> None:
    window = window_of(seconds=2)
    source = Source(window, info_of(1))
    source.give(np.zeros((1000, 1)))
    times = source.time + np.arange(1000) / 1000
    times[[10, 500]] = np.nan, np.inf

    source.sink.take(Signal(np.ones((1000, 1)), times, info=source.info))
    draw(window)

    panel = only_panel(window)
    assert panel.follower.columns.low[0, column_of(panel, START + 1.9)] == 1


def test_an_irregular_signal_is_drawn_at_its_times() -> None:
    window = window_of(seconds=10, mode="scroll", spans={"amp.signal": 40})
    sink = window.sink("signal", "amp.signal")
    sink.describe(info_of(1, rate=0))
    times = np.array([START, START + 3, START + 9.9])
    sink.take(Signal(np.array([[0.0], [10.0], [10.0]]), times))
    draw(window)

    panel = only_panel(window)
    assert panel.follower.columns.low[0, column_of(panel, START + 1.5)] == pytest.approx(5, abs=0.1)
    assert panel.follower.columns.low[0, column_of(panel, START + 6)] == 10
    assert "irregular" in panel._description()


def test_a_window_of_nothing_says_what_it_waits_for() -> None:
    window = window_of()

    draw(window)
    assert window.empty.isVisible()

    window.sink("signal", "amp.signal")
    draw(window)
    assert not window.empty.isVisible()
    assert only_panel(window)._description() == "waiting for amp.signal"


def test_a_stream_without_samples_is_drawn_empty() -> None:
    window = window_of()
    Source(window, info_of(3))

    draw(window)

    panel = only_panel(window)
    assert len(panel.look.labels) == 3
    assert np.isnan(panel.follower.columns.low).all()


def test_several_streams_lie_on_one_time_axis() -> None:
    window = window_of(seconds=2, mode="scroll")
    slow = Source(window, info_of(1, rate=100), stream="slow.signal")
    fast = Source(window, info_of(1, rate=5000), stream="fast.signal")
    for source, rate in ((slow, 100), (fast, 5000)):
        data = np.zeros((2 * rate, 1))
        data[rate : rate + rate // 10] = 7
        source.give(data)
    draw(window)

    one, other = window.panels["slow.signal"], window.panels["fast.signal"]
    assert one.base is other.base
    assert one.gutter == other.gutter == window.axis.gutter
    for panel in (one, other):
        columns = panel.follower.columns
        assert columns.high[0, column_of(panel, START + 1.05)] == 7
        assert columns.high[0, column_of(panel, START + 0.9)] == 0


def test_a_stream_that_stops_leaves_room_and_says_so() -> None:
    window = window_of(seconds=4, mode="scan")
    one = Source(window, info_of(1), stream="one.signal")
    other = Source(window, info_of(1), stream="other.signal")
    one.give(np.zeros((5000, 1)))
    other.give(np.zeros((1000, 1)))
    draw(window)
    one.give(np.zeros((1000, 1)))
    draw(window)

    panel = window.panels["other.signal"]
    assert np.isnan(panel.follower.columns.low[0, column_of(panel, START + 5.5)])
    assert "nothing for 5 s" in panel._description()


def test_a_stream_that_is_dropped_is_gone() -> None:
    window = window_of()
    source = Source(window, info_of(1))
    source.give(np.zeros((1000, 1)))
    draw(window)

    window.drop("signal", "amp.signal")
    draw(window)

    assert window.panels == {}
    assert window.empty.isVisible()


def test_markers_are_lines_with_their_texts() -> None:
    window = window_of(seconds=2, mode="scroll")
    source = Source(window, info_of(1))
    source.give(np.zeros((2000, 1)))
    mark(window, [START + 0.5, START + 1.5], ["go", "<b>reward</b>"])
    draw(window)

    panel = only_panel(window)
    assert window.strip.drawn == ["go", "<b>reward</b>"]
    x = int(panel.base.x_of(START + 0.5))
    image = screen(panel)
    column = {image.pixel(in_picture(panel, x, y)) for y in range(10, 60)}
    beside = {image.pixel(in_picture(panel, x + 20, y)) for y in range(10, 60)}
    assert len(column) > len(beside)


def test_markers_without_room_are_counted() -> None:
    window = window_of(seconds=2, mode="scroll")
    source = Source(window, info_of(1))
    source.give(np.zeros((2000, 1)))
    mark(window, list(START + np.linspace(0.1, 1.9, 300)), ["a long text"] * 300)
    draw(window)

    assert 0 < len(window.strip.drawn) < 300
    window.drop("markers", "task.events")
    assert not window.strip.isVisible()


def test_labels_are_names_and_scales_have_units() -> None:
    window = window_of(seconds=2, spans={"amp.signal": 100})
    channels = [ChannelInfo("Cz", "uV"), ChannelInfo("Pz", "uV")]
    info = StreamInfo.signal("amp.signal", channels=channels, sampling_rate=250)
    Source(window, info).give(np.random.default_rng(1).normal(size=(600, 2)))
    draw(window)
    panel = only_panel(window)

    assert [label.text for label in panel.look.labels] == ["Cz", "Pz"]
    assert "100 µV a row" in panel.look.title

    window.change(scale="by channel")
    draw(window)
    assert all("µV" in label.text for label in panel.look.labels)

    window.change(scale="real", ranges={"amp.signal": [-10, 10]})
    draw(window)
    assert panel.look.labels[0].text == "10 µV"
    assert height_of(panel, 0, -10) == pytest.approx(panel.picture_size[1])


def test_noise_is_scaled_by_itself_once_there_is_some() -> None:
    window = window_of(seconds=2)
    source = Source(window, info_of(4))
    data = np.random.default_rng(3).normal(5000, 10, (2500, 4))

    source.give(data)
    draw(window)

    panel = only_panel(window)
    rows = panel.look.rows
    row_height = panel.picture_size[1] / 4
    assert 100 * rows.scale[0] == pytest.approx(row_height)
    middles = rows.zero - 5000 * rows.scale
    np.testing.assert_allclose(middles, (np.arange(4) + 0.5) * row_height, atol=3)


def test_the_picture_fits_the_window_after_it_grew() -> None:
    window = window_of(seconds=2)
    Source(window, info_of(2)).give(np.zeros((2000, 2)))
    draw(window)

    window.resize(1000, 700)
    draw(window)

    panel = only_panel(window)
    height, width = panel.follower.raster.pixels.shape
    assert (width, height) == (panel.width() - panel.gutter, panel.height() - TITLE_HEIGHT)
    assert np.isfinite(panel.follower.columns.low).mean() > 0.95


def test_neighbours_of_many_channels_have_one_colour_and_thin_lines() -> None:
    window = window_of(seconds=2)
    Source(window, info_of(128)).give(np.zeros((2000, 128)))
    draw(window)

    panel = only_panel(window)
    colours = panel.look.rows.colours
    assert len(set(colours[:16].tolist())) == 1
    assert colours[16] != colours[0]
    assert panel.follower.raster.thickness < 1
