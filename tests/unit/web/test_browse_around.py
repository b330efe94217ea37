"""What is around events, as a page is told it, and how much of it there may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rigmesh.display.timeline import Timeline
from rigmesh.errors import ParameterError
from rigmesh.recording import RecordedStream
from rigmesh.streams import StreamInfo
from rigmesh.web import browse_around
from rigmesh.web.browse_around import around_events
from rigmesh.web.browse_tables import EventTable

RATE = 1000.0


class Opened:
    """A recording with one signal, of which no file is needed."""

    begin = 0.0

    def __init__(self, n_channels: int = 2, stamps: Any = None) -> None:
        info = StreamInfo.signal("amp", channels=n_channels, sampling_rate=RATE)
        stamps = np.arange(5000) / RATE if stamps is None else stamps
        data = np.repeat(stamps[:, None], n_channels, 1)
        self.lines = {"amp": Timeline(RecordedStream("amp", info, 1, data, stamps, stamps))}

    def line(self, key: str) -> Timeline:
        return self.lines[key]


def table(key: str, times: Any, **more: Any) -> EventTable:
    times = np.asarray(times, np.float64)
    return EventTable(key, key, len(times), {"time": times, **more})


def told(
    events: EventTable,
    targets: EventTable,
    asked: dict[str, str],
    start: float,
    stop: float,
    stamps: Any = None,
) -> dict[str, Any]:
    tables = {events.key: events, targets.key: targets}
    opened: Any = Opened(stamps=stamps)
    return around_events(opened, tables, events, asked, start, stop, 0.5)


def test_of_a_raster_that_is_too_large_the_first_rows_of_each_group_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(browse_around, "_MOST_DOTS", 100)
    events = table("trials", np.arange(1.0, 41.0), kind=["a"] * 30 + ["b"] * 10)
    spikes = table("spikes", np.arange(0, 50, 0.1) + 0.05)

    found = told(events, spikes, {"target": "spikes", "by": "kind"}, 0.0, 1.0)

    assert [(group["n"], len(group["raster"])) for group in found["groups"]] == [(30, 5), (10, 5)]
    assert found["n_shown"] == 10
    assert found["groups"][1]["events"] == [31.0, 32.0, 33.0, 34.0, 35.0]
    assert sum(found["groups"][0]["counts"]) == 300


def test_a_small_group_leaves_its_room_in_the_raster_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(browse_around, "_MOST_RASTER_ROWS", 20)
    events = table("trials", np.arange(1.0, 41.0), kind=["a"] * 35 + ["b"] * 5)

    found = told(events, table("spikes", []), {"target": "spikes", "by": "kind"}, 0.0, 1.0)

    assert [len(group["raster"]) for group in found["groups"]] == [15, 5]


def test_a_raster_with_room_for_all_has_all() -> None:
    events = table("trials", np.arange(1.0, 41.0))

    found = told(events, table("spikes", [1.25, 3.5]), {"target": "spikes"}, 0.0, 1.0)

    assert found["n_shown"] == found["groups"][0]["n"] == 40


@pytest.mark.parametrize(("start", "stop"), [(-1e12, 1e12), (0.0, 3000.0)])
def test_a_mean_over_too_long_a_window_is_refused(start: float, stop: float) -> None:
    events = table("trials", [1.0, 2.0])

    with pytest.raises(ParameterError, match="at most; take a shorter window"):
        told(events, events, {"target": "amp"}, start, stop)


def test_around_too_many_events_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse_around, "_MOST_EVENTS", 5)
    events = table("trials", np.arange(10.0), kind=["a", "b"] * 5)

    with pytest.raises(ParameterError, match=r"10 events.*5 at most.*only where"):
        told(events, events, {"target": "trials"}, 0.0, 1.0)
    chosen = told(events, events, {"target": "trials", "only": "kind", "is": "a"}, 0.0, 1.0)
    assert chosen["groups"][0]["n"] == 5


def test_of_many_events_a_mean_is_over_some_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse_around, "_MOST_SWEEPS", 8)
    events = table("trials", np.linspace(0.5, 4, 80), kind=["a"] * 40 + ["b"] * 40)

    found = told(events, events, {"target": "amp", "by": "kind"}, 0.0, 0.1)

    assert (found["n_events"], found["n_used"]) == (80, 8)
    assert [group["n"] for group in found["groups"]] == [4, 4]


@pytest.mark.parametrize("ppm", [-100, 0, 50, 100])
def test_a_mean_is_of_all_events_also_where_the_clock_of_the_device_is_a_little_wrong(
    ppm: float,
) -> None:
    events = table("trials", [1.0, 1.5, 2.0])
    stamps = np.arange(50_000) / RATE * (1 + ppm * 1e-6)

    found = told(events, events, {"target": "amp"}, -0.5, 20.0, stamps)

    assert found["n_used"] == 3


@pytest.mark.parametrize(
    ("event", "start", "stop"),
    [(1.9, 0.5, 0.9), (3.5, -2.0, -1.6), (60.0, -1.0, 0.0), (1.9, -0.5, 0.5), (2.5, -0.2, 0.2)],
    ids=["before a hole", "after a hole", "after the end", "over a hole", "in a hole"],
)
def test_no_mean_is_of_samples_from_another_time(event: float, start: float, stop: float) -> None:
    stamps = np.arange(5000) / RATE
    stamps[2000:] += 1.0
    events = table("trials", [1.0, event])

    found = told(events, events, {"target": "amp"}, start, stop, stamps)

    assert found["n_used"] == (0 if start < -1 else 1)
