"""The raster: known events in, the ticks on the screen looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.streams import Markers
from rigmesh.viewers import make_window
from rigmesh.viewers.event_rows import EventRows
from rigmesh.viewers.raster import Raster, Ticks
from rigmesh_nodes import viewers as declared

NOW = 100.0


class Rig:
    """A raster at a known time."""

    def __init__(self, *streams: str, **parameters: Any) -> None:
        self.window = Raster(declared.Raster(**parameters))
        self.window.clock = lambda: NOW
        self.changes: list[dict[str, Any]] = []
        self.window.changed.connect(self.changes.append)
        self.sinks = {name: self.window.sink("events", name) for name in streams or ("spikes.out",)}
        self.window.resize(900, 500)
        self.window.show()
        QtWidgets.QApplication.processEvents()

    def feed(self, *events: tuple[float, str], stream: str = "spikes.out") -> None:
        times, texts = [time for time, _ in events], [text for _, text in events]
        self.sinks[stream].take(Markers(texts, np.array(times, dtype=float)))

    def ticks(self) -> Ticks:
        self.window.refresh()
        self.window.canvas.repaint()
        ticks = self.window.canvas.ticks
        assert ticks is not None
        return ticks

    def rows(self) -> list[str]:
        self.window.refresh()
        view = self.window.canvas._view
        return [f"{row.stream}|{row.name}" for row in view.rows] if view is not None else []

    def message(self) -> str:
        self.window.refresh()
        return self.window.canvas._message

    def act(self, key: str) -> None:
        """Do what a key does."""
        keys = QtGui.QKeySequence(key)
        (action,) = (a for a in self.window.actions() if a.shortcut() == keys)
        action.trigger()


# --- what is drawn ------------------------------------------------------------------------------


def test_a_tick_is_where_its_event_was() -> None:
    rig = Rig(seconds=20)
    rig.feed((85.0, "b"), (90.0, "a"), (97.5, "b"), (70.0, "a"), (101.0, "b"))

    ticks = rig.ticks()

    share = (ticks.x - ticks.area.left()) / ticks.area.width()
    assert rig.rows() == ["|a", "|b"]
    np.testing.assert_allclose(20 * (share - 1) + NOW, [85.0, 90.0, 97.5])
    assert ticks.at.tolist() == [1, 0, 1]


def test_ticks_are_on_the_screen_in_the_colour_of_their_row() -> None:
    rig = Rig()
    rig.feed((93.0, "a"), (96.0, "b"), (98.0, "c"))

    ticks = rig.ticks()
    picture = rig.window.canvas.grab().toImage()

    background = picture.pixelColor(int(ticks.area.left()) + 3, int(ticks.area.top()) + 2)
    colours = []
    for x, row in zip(ticks.x, ticks.at, strict=True):
        for other in range(3):
            y = round(ticks.area.top() + (other + 0.5) * ticks.height)
            near = [picture.pixelColor(round(x) + step, y) for step in (-1, 0, 1)]
            found = [colour for colour in near if colour.saturation() > 60]
            assert bool(found) == (other == row)
            colours += [colour.name() for colour in found[:1]]
    assert len(set(colours)) == 3
    assert background.name() not in colours


def test_rates_are_those_of_the_last_seconds() -> None:
    rig = Rig(rate_seconds=4)
    rig.feed(*[(time, "a") for time in np.arange(90.0, 100.0, 0.5)], (97.0, "b"), (90.0, "c"))
    rig.feed((100.5, "b"))

    rig.window.refresh()

    view = rig.window.canvas._view
    assert view is not None
    assert [row.rate for row in view.rows] == [7 / 4, 1 / 4, 0]
    assert [row.n for row in view.rows] == [20, 2, 1]


def test_rows_of_several_streams_are_told_apart() -> None:
    rig = Rig("one.out", "two.out")
    rig.feed((95.0, "a"), stream="one.out")
    rig.feed((96.0, "a"), stream="two.out")

    before = rig.rows()
    rig.window.drop("events", "one.out")
    after = rig.rows()

    assert before == ["one.out|a", "two.out|a"]
    assert after == ["|a"]
    assert len(rig.ticks().x) == 1


@pytest.mark.parametrize(
    ("group", "rows"),
    [
        ("", ["|other", "|unit 2 at 1.5", "|unit 2 at 1.7", "|unit 10 at 2"]),
        (r"unit \d+", ["|unit 2", "|unit 10"]),
        (r"unit (\d+)", ["|2", "|10"]),
        (r"nothing", []),
    ],
)
def test_texts_are_grouped_by_what_they_have_in_common(group: str, rows: list[str]) -> None:
    rig = Rig(group=group)

    rig.feed(
        (95.0, "unit 10 at 2"), (96.0, "unit 2 at 1.5"), (97.0, "unit 2 at 1.7"), (97.0, "other")
    )

    assert rig.rows() == rows


@pytest.mark.parametrize(
    ("order", "rows"),
    [("name", ["|a", "|b", "|c"]), ("first", ["|b", "|c", "|a"]), ("rate", ["|c", "|a", "|b"])],
)
def test_rows_are_sorted(order: str, rows: list[str]) -> None:
    rig = Rig(order=order)

    rig.feed((91.0, "b"), (92.0, "c"), (93.0, "a"), (94.0, "c"), (95.0, "c"), (96.0, "a"))

    assert rig.rows() == rows


def test_more_texts_than_rows_share_the_last_one() -> None:
    rig = Rig()

    rig.feed(*[(95.0, f"text {k}") for k in range(300)])

    rows = rig.rows()
    assert (len(rows), rows[-1]) == (200, "|further rows")
    assert np.bincount(rig.ticks().at)[-1] == 101


def test_hostile_texts_stay_texts() -> None:
    rig = Rig()

    rig.feed((95.0, "<img src=x>\n\0"), (96.0, "x" * 5000), (np.nan, "never"))

    assert len(rig.rows()) == 2
    assert rig.ticks().area.left() < 400


def test_a_pause_lets_the_picture_stand_still() -> None:
    rig = Rig()
    rig.feed((95.0, "a"))
    before = rig.ticks().x.copy()

    rig.act("Space")
    rig.feed((96.0, "a"))
    rig.window._draw()
    rig.window.canvas.repaint()
    paused = rig.window.canvas.ticks
    rig.act("Space")

    assert paused is not None
    np.testing.assert_array_equal(paused.x, before)
    assert len(rig.ticks().x) == 2


# --- what it waits for --------------------------------------------------------------------------


def test_an_empty_window_says_what_it_waits_for() -> None:
    lonely = Raster(declared.Raster())
    lonely.refresh()
    rig = Rig("stim.out")

    waiting = rig.message()
    rig.feed((50.0, "a"), stream="stim.out")
    long_ago = rig.message()
    rig.feed((99.0, "a"), stream="stim.out")

    assert "link a marker stream" in lonely.canvas._message
    assert waiting == "Waiting for events of stim.out"
    assert long_ago == "No events for 50 s"
    assert rig.message() == ""


# --- controls -----------------------------------------------------------------------------------


def test_reset_forgets_the_events() -> None:
    rig = Rig()
    rig.feed((95.0, "a"))

    rig.act("R")
    rig.feed((96.0, "b"))

    assert rig.rows() == ["|b"]


def test_keys_and_the_wheel_change_how_much_time_is_shown() -> None:
    rig = Rig(seconds=10)

    rig.act("Down")
    longer = rig.window.settings.seconds
    at, nothing = QtCore.QPointF(100, 100), QtCore.QPoint()
    event = QtGui.QWheelEvent(
        at, at, nothing, QtCore.QPoint(0, 120), QtCore.Qt.MouseButton.NoButton,
        QtCore.Qt.KeyboardModifier.NoModifier, QtCore.Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QtWidgets.QApplication.sendEvent(rig.window.canvas, event)
    rig.act("Up")

    assert (longer, rig.changes) == (12.5, [{"seconds": 12.5}, {"seconds": 10}, {"seconds": 8}])


def test_fields_change_parameters() -> None:
    rig = Rig()
    window = rig.window

    for field, value in ((window.seconds, 30.0), (window.over, 2.0)):
        field.setValue(value)
        field.editingFinished.emit()
    window.group.setText("unit")
    window.group.editingFinished.emit()
    window.order.setCurrentIndex(1)
    window.order.activated.emit(1)
    rig.act("O")

    assert rig.changes == [
        {"seconds": 30.0}, {"rate_seconds": 2.0}, {"group": "unit"}, {"order": "first"},
        {"order": "rate"},
    ]  # fmt: skip
    assert window.order.currentText() == "busiest first"


def test_a_wrong_pattern_is_told_in_the_line() -> None:
    rig = Rig()

    rig.window.group.setText("[")
    rig.window.group.editingFinished.emit()

    assert "no regular expression" in rig.window.status


def test_every_control_has_a_tip_and_a_key_of_its_own() -> None:
    window = make_window("viewers.Raster", "raster", {})

    keys = [action.shortcut().toString() for action in window.actions()]

    assert all(keys)
    assert len(set(keys)) == len(keys)
    assert all(action.toolTip() for action in window.actions())


# --- what is kept -------------------------------------------------------------------------------


def test_the_memory_of_events_goes_round() -> None:
    rows = EventRows()
    for first in range(0, 250_000, 50_000):
        rows.take("s", np.arange(first, first + 50_000).tolist(), ["a"] * 50_000)

    view = rows.view(0, 1e9, group="", order="name", rate_seconds=1)

    assert np.sort(view.times).tolist() == list(range(50_000, 250_000))
    assert view.rows[0].n == 250_000


def test_texts_that_never_end_cannot_fill_the_memory() -> None:
    rows = EventRows()

    rows.take("s", [1.0] * 10_000, [f"value {k}" for k in range(10_000)])

    view = rows.view(0, 2, group=r"^other texts$|value \d$", order="name", rate_seconds=1)
    assert (view.rows[0].name, view.rows[0].n) == ("other texts", 10_000 - 4096)


@pytest.mark.parametrize("group", [r"unit \d+", r"unit (\d+)"])
def test_texts_that_never_end_keep_their_rows(group: str) -> None:
    rows = EventRows()
    texts = [f"unit {k % 3} amp={k}" for k in range(30_000)]

    for first in range(0, 30_000, 1000):
        part = slice(first, first + 1000)
        rows.take("s", np.linspace(first, first + 1, 1000).tolist(), texts[part])
        view = rows.view(first, first + 1, group=group, order="name", rate_seconds=1)

    assert [row.n for row in view.rows] == [10_000] * 3
    assert [row.rate for row in view.rows] == pytest.approx([333, 333, 333], abs=2)
    again = rows.view(0, 30_000, group="amp", order="name", rate_seconds=1)
    assert {row.name: row.n for row in again.rows}["other texts"] == 30_000 - 4096


def test_texts_without_a_row_have_none_when_they_never_end() -> None:
    rows = EventRows()
    rows.view(0, 1, group=r"cond \d", order="name", rate_seconds=1)

    rows.take("s", [1.0] * 6001, [*(f"rt={k}" for k in range(6000)), "cond 1"])

    view = rows.view(0, 2, group=r"cond \d", order="name", rate_seconds=1)
    assert [(row.name, row.n) for row in view.rows] == [("cond 1", 1)]


def test_rows_that_never_end_are_one() -> None:
    rows = EventRows()
    rows.view(0, 1, group=r"\d+", order="name", rate_seconds=1)

    rows.take("s", [1.0] * 30_000, [f"unit {k}" for k in range(30_000)])

    view = rows.view(0, 2, group=r"\d+", order="rate", rate_seconds=1)
    assert (view.rows[0].name, view.rows[0].n) == ("other texts", 30_000 - 2 * 4096)
    assert sum(row.n for row in view.rows) == 30_000
