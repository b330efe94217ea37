from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
import pytest

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, chunked, run, sine
from rigmesh.streams import ClockModel, Signal, StreamInfo
from rigmesh_nodes.events import Crossings, Threshold


def signal(*values: float, start: float = 0.0, epoch: int = 0) -> Signal:
    """One channel at 10 Hz."""
    info = StreamInfo.signal("amp.signal", channels=["trigger"], sampling_rate=10)
    stamps = start + np.arange(len(values)) / 10
    return Signal(np.array(values, dtype=float)[:, None], stamps, epoch=epoch, info=info)


def noise() -> Signal:
    data = np.random.default_rng(0).normal(size=(500, 2)).cumsum(axis=0)
    info = StreamInfo.signal("amp.signal", channels=["x", "y"], sampling_rate=100)
    return Signal(data, np.arange(500) / 100, info=info)


class TestThreshold(NodeTests):
    make = partial(Threshold, channel="y", direction="both", text="{value} {time} {index}")
    feed = noise()


class TestThresholdWithEverything(NodeTests):
    make = partial(
        Threshold, channel=-1, level=0.5, direction="both", hysteresis=0.7, refractory=0.1,
        text="{direction} at {index}",
    )  # fmt: skip
    feed = noise()


def found(node: Threshold, *chunks: Signal) -> list[tuple[float, str]]:
    markers = run(node, list(chunks))
    if markers is None:
        return []
    return list(zip(markers.raw_timestamps.tolist(), markers.data, strict=True))


# --- crossings ----------------------------------------------------------------------------------

Direction = Literal["rising", "falling", "both"]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("rising", [(0.2, "rising"), (0.5, "rising")]),
        ("falling", [(0.3, "falling")]),
        ("both", [(0.2, "rising"), (0.3, "falling"), (0.5, "rising")]),
    ],
)
def test_a_marker_has_the_stamp_of_the_first_sample_across(
    direction: Direction, expected: list[tuple[float, str]]
) -> None:
    node = Threshold(level=1, direction=direction)

    events = found(node, signal(0, 0.5, 1, 0.9, 0.2, 3, 4))

    assert events == expected


@pytest.mark.parametrize("direction", ["rising", "falling"])
def test_crossings_are_those_of_numpy_over_the_whole(direction: Direction) -> None:
    feed = noise()

    events = found(Threshold(channel="x", direction=direction), *map(_signal, chunked(feed, 7)))

    above = feed.data[:, 0] >= 0
    step = 1 if direction == "rising" else -1
    at = np.flatnonzero(np.diff(above.astype(int)) == step) + 1
    assert len(at) >= 3
    assert [time for time, _ in events] == feed.raw_timestamps[at].tolist()


def _signal(chunk: object) -> Signal:
    assert isinstance(chunk, Signal)
    return chunk


def test_a_sine_crosses_once_a_period() -> None:
    feed = sine(10, sampling_rate=1000, duration=2, amplitude=100, dtype=np.int16)

    events = found(Threshold(level=50), feed)

    times = np.array([time for time, _ in events])
    np.testing.assert_allclose(np.diff(times), 0.1, atol=1e-9)
    assert times[0] == pytest.approx(np.arcsin(0.5) / (2 * np.pi * 10), abs=0.001)


def test_what_begins_across_the_level_is_no_crossing() -> None:
    assert found(Threshold(level=1, direction="both"), signal(5, 5, 5)) == []


def test_a_crossing_between_two_chunks_is_found() -> None:
    events = found(Threshold(level=1), signal(0, 0), signal(2, 2, start=0.2))

    assert events == [(0.2, "rising")]


def test_noise_within_the_hysteresis_makes_no_second_marker() -> None:
    node = Threshold(level=1, hysteresis=0.5)

    events = found(node, signal(0, 1, 0.7, 1.2, 0.6, 1.1, 0.4, 0.8, 1.3))

    assert [time for time, _ in events] == [0.1, 0.8]


def test_a_falling_crossing_needs_the_hysteresis_above_the_level() -> None:
    node = Threshold(level=1, hysteresis=0.5, direction="falling")

    events = found(node, signal(1.2, 0.9, 1.5, 0.9, 1.4, 0.9))

    assert [time for time, _ in events] == [0.3]


def test_missing_values_are_on_neither_side() -> None:
    events = found(Threshold(level=1), signal(0, np.nan, np.nan, 2, np.nan, 2))

    assert [time for time, _ in events] == [0.3]


# --- refractory time ----------------------------------------------------------------------------


def test_no_marker_follows_within_the_refractory_time() -> None:
    feed = signal(*[0, 1] * 6)

    events = found(Threshold(level=1, refractory=0.35), *map(_signal, chunked(feed, 3)))

    assert [time for time, _ in events] == pytest.approx([0.1, 0.5, 0.9])


def test_the_refractory_time_counts_from_the_last_marker_not_the_last_crossing() -> None:
    node = Threshold(level=1, refractory=0.3, direction="both")

    events = found(node, signal(0, 1, 0, 1, 1, 0))

    assert events == [(0.1, "rising"), (0.5, "falling")]


# --- epochs and clocks --------------------------------------------------------------------------


def test_a_new_epoch_knows_nothing_of_the_one_before() -> None:
    events = found(
        Threshold(level=1, refractory=100),
        signal(0, 2, 0),
        signal(2, 0, 2, start=5.0, epoch=1),
    )

    assert [time for time, _ in events] == [0.1, 5.2]


def test_markers_keep_the_clock_of_the_signal() -> None:
    feed = signal(0, 2)
    feed.clock = ClockModel(offset=100.0)

    markers = run(Threshold(level=1), feed)

    assert markers.raw_timestamps.tolist() == [0.1]
    assert markers.timestamps.tolist() == [100.1]


# --- texts --------------------------------------------------------------------------------------


def test_a_text_tells_value_time_and_index() -> None:
    node = Threshold(level=1, text='{"at": {index}, "is": {value}, "when": {time}}')

    events = found(node, *map(_signal, chunked(signal(0, 0.25, 0.5, 1.25), 2)))

    assert [text for _, text in events] == ['{"at": 3, "is": 1.25, "when": 0.300000}']


def test_a_text_reaches_no_attributes() -> None:
    events = found(Threshold(level=1, text="{value.__class__} {0}"), signal(0, 1))

    assert [text for _, text in events] == ["{value.__class__} {0}"]


# --- live changes -------------------------------------------------------------------------------


def test_a_level_that_passes_the_signal_is_no_crossing() -> None:
    crossings = Crossings(5.0, "both")
    crossings.find(np.array([3.0, 3.0]))

    crossings.level = 1.0

    assert crossings.find(np.array([3.0, 3.0])) == []
    assert [c.at for c in crossings.find(np.array([0.0, 3.0]))] == [0, 1]


def test_a_live_level_holds_from_the_next_chunk() -> None:
    node = Threshold(level=5)
    node.signal.links.append(InputLink("amp.signal", info=signal(0).info))
    node.prepare()
    assert node.process(signal(0, 3, 0)) is None

    node.set_parameters({"level": 2.0})
    markers = node.process(signal(0, 3, 0))

    assert markers is not None
    assert markers.raw_timestamps.tolist() == [0.1]


def test_an_unknown_channel_is_refused() -> None:
    with pytest.raises(NodeError, match=r"no channel of amp\.signal 'triger' \(did you mean trig"):
        run(Threshold(channel="triger"), signal(0, 1))
