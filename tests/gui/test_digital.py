"""The digital oscilloscope: a trace a bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PyQt5 import QtCore
from tests.gui.trace_windows import (
    START,
    Source,
    column_of,
    draw,
    height_drawn,
    in_picture,
    named,
    only_panel,
    press_key,
    shown,
    turn_wheel,
)

from rigmesh.streams import Signal, StreamInfo
from rigmesh.viewers.digital import DigitalOscilloscope
from rigmesh_nodes import viewers as declared

Qt = QtCore.Qt


def window_of(**parameters: Any) -> DigitalOscilloscope:
    window = DigitalOscilloscope(named(declared.DigitalOscilloscope(seconds=2, **parameters)))
    shown(window)
    return window


def ports(dtype: str = "uint16", rate: float = 1000, n_channels: int = 1) -> StreamInfo:
    return StreamInfo.signal("ports.in", channels=n_channels, sampling_rate=rate, dtype=dtype)


@pytest.mark.parametrize(
    ("dtype", "bit"),
    [("uint8", 7), ("uint16", 9), ("int16", 15), ("int32", 30), ("uint64", 63), ("int64", 40)],
)
def test_a_bit_is_drawn_low_and_high_at_its_times(dtype: str, bit: int) -> None:
    window = window_of()
    source = Source(window, ports(dtype))
    values = np.zeros((2000, 1), np.uint64)
    values[1000:1500] = np.uint64(1) << np.uint64(bit)
    source.sink.take(_chunk(values.astype(f"u{np.dtype(dtype).itemsize}").view(dtype), source.info))
    draw(window)
    panel = only_panel(window)
    columns = panel.follower.columns
    assert np.nansum(columns.high) == np.nansum(columns.high[bit])
    window.change(hidden=[name for name in window.names() if not name.endswith(f".{bit}")])
    draw(window)

    rows, colour = panel.look.rows, panel.theme.trace(bit)
    assert rows.channels.tolist() == [bit]
    for time, value in ((START + 0.9, 0), (START + 1.2, 1), (START + 1.7, 0)):
        column = column_of(panel, time)
        assert columns.low[bit, column] == columns.high[bit, column] == value
        expected = rows.zero[0] - value * rows.scale[0]
        assert height_drawn(panel, column, colour) == pytest.approx(expected, abs=1)


def _chunk(values: Any, info: StreamInfo) -> Any:
    return Signal(values, START + np.arange(len(values)) / info.sampling_rate, info=info)


def test_a_pulse_of_one_sample_is_seen_at_30_khz() -> None:
    window = window_of()
    source = Source(window, ports("uint8", rate=30_000))
    values = np.zeros((60_000, 1))
    values[30_000] = 4
    source.give(values)
    draw(window)

    columns = only_panel(window).follower.columns
    near = [column_of(only_panel(window), START + 1) + d for d in (-1, 0, 1)]
    assert columns.high[2, near].max() == 1
    assert np.nanmax(columns.high[[0, 1, 3]]) == 0


def test_bits_have_the_names_they_are_given() -> None:
    window = window_of(names={"ports.in/ch0.3": "Reward valve"})
    Source(window, ports("uint8")).give(np.zeros((100, 1)))
    draw(window)

    texts = [label.text for label in only_panel(window).look.labels]
    assert texts[2:5] == ["ch0.2", "Reward valve", "ch0.4"]


def test_bits_that_never_changed_can_be_left_out() -> None:
    window = window_of()
    source = Source(window, ports("uint8"))
    source.give(np.full((100, 1), 0b101))
    draw(window)
    press_key(window, Qt.Key.Key_B)
    window.change(only_active=True)
    draw(window)
    panel = only_panel(window)
    assert len(panel.look.labels) == 0

    source.give(np.array([[0b001]] * 50))
    draw(window)

    assert [label.text for label in panel.look.labels] == ["ch0.2"]
    assert "7 never changed" in panel.look.title


def test_the_button_leaves_idle_bits_out() -> None:
    window = window_of()

    window._active.trigger()
    assert window.settings.only_active is True
    window._active.trigger()
    assert window.settings.only_active is False


def test_ttl_channels_of_other_types_are_read_by_their_level() -> None:
    window = window_of(level=2.5)
    source = Source(window, ports("float32", n_channels=2))
    data = np.zeros((2000, 2))
    data[1000:, 1] = 5
    source.give(data)
    draw(window)

    panel = only_panel(window)
    assert len(panel.look.labels) == 2
    assert panel.follower.columns.high[1, column_of(panel, START + 1.5)] == 1
    assert panel.follower.columns.high[0, column_of(panel, START + 1.5)] == 0


def test_how_numbers_are_read_changes_while_it_runs() -> None:
    window = window_of()
    source = Source(window, ports("uint8"))
    source.give(np.full((500, 1), 3))
    draw(window)
    assert len(only_panel(window).look.labels) == 8

    window.change(read_as="level", level=2.5)
    source.give(np.full((500, 1), 3))
    draw(window)

    panel = only_panel(window)
    assert [label.text for label in panel.look.labels] == ["ch0"]
    assert np.nanmax(panel.follower.columns.low) == 1


def test_the_wheel_shows_less_time() -> None:
    window = window_of()
    Source(window, ports()).give(np.zeros((100, 1)))
    draw(window)
    panel = only_panel(window)

    turn_wheel(panel, in_picture(panel, 50, 50), 1)
    press_key(window, Qt.Key.Key_Minus)
    assert window.settings.seconds == 2

    press_key(window, Qt.Key.Key_Plus)
    assert window.settings.seconds == 1.6


def test_the_table_names_bits() -> None:
    window = window_of()
    Source(window, ports("uint8")).give(np.zeros((100, 1)))
    draw(window)
    window.show_settings()
    assert window.dialog is not None
    table = window.dialog.channels
    titles = [entry[0] for entry in table.columns]
    assert titles == ["Show", "Channel", "Unit", "Name", "Colour"]

    table.setData(table.index(3, 3), "Lick")
    draw(window)

    assert window.settings.names == {"ports.in/ch0.3": "Lick"}
    assert only_panel(window).look.labels[3].text == "Lick"


def test_another_width_begins_anew() -> None:
    window = window_of()
    source = Source(window, ports("uint8"))
    source.give(np.zeros((500, 1)))
    draw(window)

    source.change(ports("uint32"))
    source.give(np.zeros((500, 1)))
    draw(window)

    assert len(only_panel(window).look.labels) == 32


def test_no_samples_are_no_traces() -> None:
    window = window_of(only_active=True)
    Source(window, ports())

    draw(window)

    assert np.isnan(only_panel(window).follower.columns.low).all()
