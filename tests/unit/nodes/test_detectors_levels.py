from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from rigmesh.errors import NodeError
from rigmesh.node import InputLink
from rigmesh.node.testing import NodeTests, chunked, run
from rigmesh.streams import Cause, Chunk, ClockModel, Gap, Markers, Signal, StreamInfo
from rigmesh_nodes._detect_levels import LevelCrossings, _cross
from rigmesh_nodes.detectors import LevelCrossing
from rigmesh_nodes.events import Threshold

NAMES = ["a", "b", "c", "d"]


def signal(
    *rows: list[float],
    start: float = 0.0,
    epoch: int = 0,
    index: int = 0,
    gaps: tuple[Gap, ...] = (),
    dtype: str = "float64",
) -> Signal:
    """Rows of samples at 10 Hz."""
    data = np.array(rows, dtype)
    stamps = start + np.arange(len(rows)) / 10
    info = StreamInfo.signal(
        "amp.signal", channels=NAMES[: data.shape[1]], sampling_rate=10, dtype=dtype
    )
    return Signal(data, stamps, index=index, epoch=epoch, gaps=gaps, info=info)


def column(*values: float, **more: Any) -> Signal:
    return signal(*([value] for value in values), **more)


def noise(n_channels: int = 4, n_samples: int = 600, dtype: str = "float64") -> Signal:
    data = np.random.default_rng(3).normal(0, 20, (n_samples, n_channels)).astype(dtype)
    info = StreamInfo.signal("amp.signal", channels=n_channels, sampling_rate=100, dtype=dtype)
    return Signal(data, np.arange(n_samples) / 100, info=info)


class TestLevelCrossing(NodeTests):
    make = partial(LevelCrossing, direction="both", text="{channel} {direction} {value} {index}")
    feed = noise()


class TestLevelCrossingWithEverything(NodeTests):
    make = partial(
        LevelCrossing, level=3, direction="both", n_across=2, refractory=0.15, groups=2,
        channels=[-1], text="{group} {time}",
    )  # fmt: skip
    feed = noise()


class TestLevelCrossingOfWideSignals(NodeTests):
    make = partial(LevelCrossing, level=40, refractory=0.05)
    feed = noise(130, dtype="float32")


def found(node: LevelCrossing, *chunks: Chunk) -> list[tuple[float, str]]:
    markers = run(node, list(chunks))
    if markers is None:
        return []
    return list(zip(markers.raw_timestamps.tolist(), markers.data, strict=True))


# --- crossings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int16", "int32"])
@pytest.mark.parametrize("direction", ["rising", "falling", "both"])
def test_each_channel_has_the_crossings_that_a_threshold_finds(dtype: str, direction: Any) -> None:
    feed = noise(70, 400, dtype)
    settings: dict[str, Any] = {"level": 7.5, "direction": direction, "refractory": 0.05}

    events = found(
        LevelCrossing(text="{channel} {direction} {value} {index}", **settings), *chunked(feed, 13)
    )

    expected = []
    for name in feed.info.channel_names if feed.info else ():
        text = f"{name} {{direction}} {{value}} {{index}}"
        markers = run(Threshold(channel=name, text=text, **settings), feed)
        expected += list(zip(markers.raw_timestamps.tolist(), markers.data, strict=True))
    assert len(expected) > 500
    assert sorted(events) == sorted(expected)


def test_crossings_come_in_order_of_time_then_of_channels() -> None:
    events = found(LevelCrossing(level=1), signal([0, 0, 0], [0, 2, 2], [2, 2, 2]))

    assert events == [(0.1, "b"), (0.1, "c"), (0.2, "a")]


def test_a_long_chunk_is_searched_to_its_end() -> None:
    feed = noise(2, 5000)

    whole, pieces = found(LevelCrossing(), feed), found(LevelCrossing(), *chunked(feed, 7))

    assert len(whole) > 2000
    assert whole == pieces


def test_what_begins_across_the_level_is_no_crossing() -> None:
    events = found(LevelCrossing(level=1, direction="both"), signal([5, 0], [5, 0], [5, 0]))

    assert events == []


def test_a_crossing_takes_so_many_samples_in_a_row() -> None:
    node = LevelCrossing(level=1, n_across=3)

    events = found(node, column(0, 2, 2, 0, 2, 2), column(2, 2, 0, 2, 2, 2, start=0.6))

    assert [time for time, _ in events] == [0.6]


def test_as_many_samples_lead_back() -> None:
    node = LevelCrossing(level=1, n_across=2)

    events = found(node, column(0, 2, 2, 0, 2, 2, 0, 0, 2, 2))

    assert [time for time, _ in events] == [0.2, 0.9]


def test_the_refractory_time_is_that_of_each_channel() -> None:
    node = LevelCrossing(level=1, refractory=0.35)

    events = found(node, signal([0, 0], [2, 0], [0, 2], [2, 0], [0, 2], [2, 0], [0, 0], [2, 2]))

    assert events == [(0.1, "a"), (0.2, "b"), (0.5, "a"), (pytest.approx(0.7), "b")]


def test_chosen_channels_are_looked_at_alone() -> None:
    node = LevelCrossing(level=1, channels=["d", "1:3"])

    events = found(node, signal([0] * 4, [2] * 4))

    assert [text for _, text in events] == ["d", "b", "c"]


# --- groups -------------------------------------------------------------------------------------


def test_groups_are_numbered_and_choose_their_channels_alike() -> None:
    node = LevelCrossing(level=1, groups=2, channels=[1], text="{group}: {channel}")

    events = found(node, signal([0] * 4, [2] * 4))

    assert [text for _, text in events] == ["1: b", "2: d"]


def test_channels_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(NodeError, match=r"groups divides .* found 3 groups for the 4 channels"):
        run(LevelCrossing(groups=3), signal([0] * 4))


# --- what is missing or not finite --------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_on_neither_side_and_counted(bad: float) -> None:
    node = LevelCrossing(level=1, direction="both")

    events = found(node, signal([0, 0], [bad, 0], [0, 2], [bad, bad], [2, 2]))

    assert events == [(0.2, "b"), (0.4, "a")]
    assert node.n_not_finite == 3


def test_a_value_that_is_not_finite_does_not_interrupt_a_run() -> None:
    events = found(LevelCrossing(level=1, n_across=3), column(0, 2, 2, np.nan, 2))

    assert [time for time, _ in events] == [0.4]


def test_missing_samples_hide_the_side_of_a_channel() -> None:
    gap = Gap(Cause.OVERRUN, 0, 5, 3)
    node = LevelCrossing(level=1, text="{index}")

    events = found(node, column(0, 0), column(2, 0, 2, start=0.5, index=5, gaps=(gap,)))

    assert [text for _, text in events] == ["7"]


def test_a_new_epoch_knows_nothing_of_the_one_before() -> None:
    node = LevelCrossing(level=1, refractory=100)

    events = found(node, column(0, 2, 0), column(2, 0, 2, start=5.0, epoch=1))

    assert [time for time, _ in events] == [0.1, 5.2]


def test_an_integer_at_the_end_of_its_range_is_a_sample_as_any_other() -> None:
    node = LevelCrossing(level=0, direction="both", text="{value}")

    events = found(node, column(-128, 127, -128, dtype="int8"))

    assert [text for _, text in events] == ["127", "-128"]
    assert node.n_not_finite == 0


@pytest.mark.parametrize("level", [1e300, -1e300])
def test_a_level_beyond_the_range_of_the_samples_is_never_crossed(level: float) -> None:
    node = LevelCrossing(level=level, direction="both")

    assert found(node, column(-1, 1, -3e38, 3e38, dtype="float32")) == []


# --- markers ------------------------------------------------------------------------------------


def test_markers_keep_the_clock_of_the_signal() -> None:
    feed = column(0, 2)
    feed.clock = ClockModel(offset=100.0)

    markers = run(LevelCrossing(level=1), feed)

    assert markers.raw_timestamps.tolist() == [0.1]
    assert markers.timestamps.tolist() == [100.1]


def test_a_text_may_be_json_and_reaches_no_attributes() -> None:
    node = LevelCrossing(level=1, text='{"at": {index}, "v": {value}} {value.real} {0}')

    events = found(node, *chunked(column(0, 0.25, 1.25), 2))

    assert events == [(0.2, '{"at": 2, "v": 1.25} {value.real} {0}')]


def test_what_was_found_is_counted() -> None:
    node = LevelCrossing(level=1)

    found(node, *chunked(signal([0, 0], [2, 2], [0, 0], [2, 0]), 1))

    assert node.n_crossings == 3


# --- live changes -------------------------------------------------------------------------------


def prepared(node: LevelCrossing) -> LevelCrossing:
    node.signal.links.append(InputLink("amp.signal", info=column(0).info))
    node.prepare()
    return node


def times(markers: Markers | None) -> list[float]:
    return [] if markers is None else markers.raw_timestamps.tolist()


def test_a_level_that_passes_the_signal_is_no_crossing() -> None:
    node = prepared(LevelCrossing(level=5, direction="both"))
    assert node.process(column(3, 3)) is None

    node.set_parameters({"level": 1.0})

    assert node.process(column(3, 3)) is None
    assert times(node.process(column(0, 3))) == [0.0, 0.1]


def test_direction_and_refractory_time_change_between_two_chunks() -> None:
    node = prepared(LevelCrossing(level=1, refractory=100))
    assert times(node.process(column(0, 2, 0, 2))) == [0.1]

    node.set_parameters({"direction": "falling", "refractory": 0.0})

    assert times(node.process(column(0, 2, 0, 2, start=0.4))) == pytest.approx([0.4, 0.6])


def test_the_finder_runs_without_a_compiler() -> None:
    feed = noise(3, 200)
    compiled, plain = LevelCrossings(3, "float64"), LevelCrossings(3, "float64")
    plain._cross = _cross.function

    expected = compiled.find(feed.data, feed.raw_timestamps)
    by_python = plain.find(feed.data, feed.raw_timestamps)

    assert len(expected) > 100
    np.testing.assert_array_equal(by_python, expected)
