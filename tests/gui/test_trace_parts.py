"""Scales, time axes, sinks: what windows of traces are made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rigmesh.display import SignalBuffer
from rigmesh.streams import Cause, ClockModel, Gap, Signal, StreamInfo
from rigmesh.viewers.trace_follower import Follower, TimeBase
from rigmesh.viewers.trace_scales import overlaid, robust, stacked
from rigmesh.viewers.trace_sinks import BitSink, TraceSink, bits_of
from rigmesh.viewers.traces import Rows

Array = npt.NDArray[Any]


def signal(data: Array, start: float, rate: float, **more: Any) -> Signal:
    return Signal(data, start + np.arange(len(data)) / rate, **more)


def everything(sink: TraceSink) -> Array:
    data, _ = sink.buffer.samples(*sink.buffer.rows)
    return data


# --- scales ------------------------------------------------------------------------------------


def test_a_scale_is_found_from_medians_whatever_spikes_there_are() -> None:
    data = np.random.default_rng(1).normal([10, -50], [1, 20], (5000, 2))
    data[::500] = 1e6

    found = robust(data)

    np.testing.assert_allclose(found.medians, [10, -50], atol=2)
    np.testing.assert_allclose(found.spans, [9, 180], rtol=0.1)


def test_a_trigger_that_is_nearly_always_zero_fits_its_row() -> None:
    data = np.zeros((1000, 1))
    data[500:510] = 5

    found = robust(data)

    assert found.medians[0] == 0
    assert found.spans[0] == pytest.approx(12.5)


def test_samples_that_are_not_numbers_are_left_out_of_a_scale() -> None:
    data = np.array([[1.0, np.nan], [np.inf, np.nan], [3.0, np.nan]])

    found = robust(data)

    assert found.medians[0] == 2
    assert math.isnan(found.medians[1])
    assert found.common_span > 0
    assert np.isfinite(found.extent).all()


def test_a_constant_channel_has_a_span() -> None:
    assert robust(np.full((10, 1), 7)).spans[0] == 1


def test_rows_are_evenly_spread_and_their_middle_is_minus_the_offset() -> None:
    rows = stacked(
        np.array([0, 2]), 100.0, span=np.array([10.0, 1.0, 20.0]),
        offset=np.array([-3.0, 0.0, 0.0]), colours=np.arange(3),
    )  # fmt: skip

    heights = rows.zero - np.array([3.0, 0.0]) * rows.scale
    assert heights.tolist() == [25, 75]
    assert rows.scale.tolist() == [5, 2.5]
    assert rows.colours.tolist() == [0, 2]


def test_overlaid_rows_share_one_axis() -> None:
    rows = overlaid(np.array([0, 1]), 200.0, low=-50, high=150, colours=np.arange(2))

    assert (rows.zero - 150 * rows.scale).tolist() == [0, 0]
    assert (rows.zero + 50 * rows.scale).tolist() == [200, 200]


# --- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["scan", "scroll"])
def test_what_is_at_a_place_is_drawn_there(mode: Any) -> None:
    base = TimeBase(seconds=5, width=500, mode=mode)
    base.show(1234.567)

    for time in np.linspace(base.start + 0.02, base.stop - 0.02, 20):
        x = base.x_of(time)

        assert 0 <= x < 500
        assert base.time_at(x) == pytest.approx(time, abs=base.step)


def test_the_newest_is_at_the_right_of_a_scrolling_picture() -> None:
    base = TimeBase(seconds=5, width=500, mode="scroll")
    base.show(1234.567)

    assert base.x_of(1234.567) == pytest.approx(499.5, abs=0.51)


# --- sinks -------------------------------------------------------------------------------------


def test_a_hole_reaches_from_the_last_sample_to_the_next() -> None:
    sink = TraceSink(10)
    sink.describe(StreamInfo.signal("x", channels=1, sampling_rate=100))
    data = np.zeros((100, 1))

    sink.take(signal(data, 0.0, 100))
    sink.take(signal(data, 1.5, 100, gaps=(Gap(Cause.OVERRUN, 0, 150, 50),)))

    (hole,) = sink.holes(0, 10)
    assert (hole.start, hole.stop) == pytest.approx((0.99, 1.5))
    assert (hole.count, hole.cause) == (50, "overrun")
    assert sink.holes(2, 10) == []


def test_what_is_kept_longer_takes_over_what_there_is() -> None:
    sink = TraceSink(1)
    sink.describe(StreamInfo.signal("x", channels=1, sampling_rate=1000))
    sink.take(signal(np.arange(500.0)[:, None], 0.0, 1000))
    sink.take(
        signal(np.arange(600.0, 700)[:, None], 0.6, 1000, gaps=(Gap(Cause.OVERRUN, 0, 600, 100),))
    )
    before = sink.buffer.generation

    sink.keep(100)

    assert sink.buffer.generation > before
    numbers = np.arange(700.0)
    numbers[500:600] = np.nan
    np.testing.assert_array_equal(everything(sink)[:, 0], numbers)
    assert (sink.buffer.n_lost, sink.buffer.n_gaps) == (100, 1)
    assert len(sink.holes(0, 1)) == 1


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
def test_bits_are_those_of_the_numbers(dtype: str) -> None:
    limits = np.iinfo(dtype)
    data = np.array([[0, 1], [limits.max, limits.min], [5, 64]], dtype)
    width = data.itemsize * 8

    bits = bits_of(data)

    expected = [[(int(value) >> bit) & 1 for value in row for bit in range(width)] for row in data]
    assert bits.tolist() == expected


def test_bits_of_numbers_of_the_other_byte_order_are_the_same() -> None:
    data = np.array([[258, 3]], ">u2")

    np.testing.assert_array_equal(bits_of(data), bits_of(data.astype("<u2")))


def test_bits_become_channels_with_names() -> None:
    sink = BitSink(10)
    sink.describe(StreamInfo.signal("p", channels=["in", "out"], sampling_rate=10, dtype="int16"))

    info = sink.buffer.info
    assert info is not None
    assert info.n_channels == 32
    assert info.channel_names[:2] == ("in.0", "in.1")
    assert info.channel_names[-1] == "out.15"


def test_other_numbers_are_bits_by_their_level() -> None:
    sink = BitSink(10, level=2.5)
    sink.describe(StreamInfo.signal("ttl", channels=2, sampling_rate=10, dtype="float32"))

    data = np.array([[0, 5], [3, np.nan]], np.float32)
    sink.take(signal(data, 0, 10, clock=ClockModel(offset=100.0)))

    assert everything(sink).tolist() == [[0, 1], [1, 0]]
    assert sink.buffer.times(0, 1)[0] == 100
    assert sink.active.tolist() == [True, True]


def test_integers_can_be_read_by_level() -> None:
    sink = BitSink(10, read_as="level", level=2.5)
    sink.describe(StreamInfo.signal("ttl", channels=1, sampling_rate=10, dtype="uint8"))

    sink.take(signal(np.array([[2], [3]], np.uint8), 0, 10))

    assert everything(sink)[:, 0].tolist() == [0, 1]


def test_reading_in_another_way_begins_anew() -> None:
    sink = BitSink(10)
    sink.describe(StreamInfo.signal("ttl", channels=1, sampling_rate=10, dtype="uint8"))
    sink.take(signal(np.array([[2], [3]], np.uint8), 0, 10))

    sink.read_as("level", 2.5)
    sink.take(signal(np.array([[2], [3]], np.uint8), 1, 10))

    assert everything(sink).tolist() == [[0], [1]]


# --- following ---------------------------------------------------------------------------------


def followed(
    rate: float, n_channels: int = 2, dtype: str = "float32"
) -> tuple[TraceSink, Follower]:
    sink = TraceSink(20)
    sink.describe(StreamInfo.signal("x", channels=n_channels, sampling_rate=rate, dtype=dtype))
    follower = Follower(sink)
    follower.resize(200, 60)
    n = np.arange(n_channels)
    follower.rows = Rows(n, np.ones(len(n)), n * 10.0 + 10, n + 1, np.zeros(0))
    return sink, follower


@pytest.mark.parametrize("rate", [20, 1000, 5000, 30_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_columns_followed_are_those_of_the_samples(rate: int, dtype: str) -> None:
    sink, follower = followed(rate, dtype=dtype)
    base = TimeBase(seconds=2, width=200)
    data = (np.random.default_rng(2).normal(size=(int(3 * rate), 2)) * 100).astype(dtype)
    begin = 100.0
    size = max(1, rate // 30)
    for first in range(0, len(data), size):
        sink.take(signal(data[first : first + size], begin + first / rate, rate))
        base.show(follower.newest)
        follower.follow(base)

    times = begin + np.arange(len(data)) / rate
    for column in (base.left + 30, base.left + 100, base.right - 3):
        inside = np.floor(times / base.step) == column
        low = follower.columns.low[:, column % 200]
        if inside.any():
            # A bin belongs to the column that its first sample is in.
            near = np.abs(times / base.step - column - 0.5) <= 1.5
            assert (low >= data[near].min(axis=0) - 1e-3).all()
            if rate < 3200:
                assert (low <= data[inside].min(axis=0) + 1e-3).all()
        else:
            assert np.isfinite(low).all()


def test_what_is_followed_is_as_what_is_read_at_once() -> None:
    sink, follower = followed(30_000)
    other = Follower(sink)
    other.resize(200, 60)
    other.rows = follower.rows
    base = TimeBase(seconds=2, width=200)
    data = np.random.default_rng(2).normal(size=(90_000, 2)).astype(np.float32) * 5
    for first in range(0, len(data), 1000):
        sink.take(signal(data[first : first + 1000], 50 + first / 30_000, 30_000))
        base.show(follower.newest)
        follower.follow(base)

    other.load(base)

    # The columns at the ends are not whole, or joined to others.
    inner = [column % 200 for column in range(base.left + 2, base.right)]
    np.testing.assert_array_equal(follower.columns.low[:, inner], other.columns.low[:, inner])
    np.testing.assert_array_equal(follower.raster.pixels[:, inner], other.raster.pixels[:, inner])


def test_a_signal_of_no_samples_is_an_empty_picture() -> None:
    _, follower = followed(1000)
    base = TimeBase(seconds=2, width=200)

    follower.follow(base)

    assert np.isnan(follower.columns.low).all()
    assert math.isnan(follower.newest)
    assert follower.recent(10).shape == (0, 2)


def test_a_stream_that_is_not_described_yet_can_be_followed() -> None:
    follower = Follower(TraceSink(10))
    follower.resize(50, 20)

    follower.follow(TimeBase(seconds=2, width=50))

    assert isinstance(follower.sink.buffer, SignalBuffer)
    assert follower.n_channels == 0


def test_irregular_samples_are_joined_by_lines() -> None:
    sink = TraceSink(20)
    sink.describe(StreamInfo.signal("x", channels=1, sampling_rate=0))
    follower = Follower(sink)
    follower.resize(100, 60)
    follower.rows = Rows(np.array([0]), np.ones(1), np.array([50.0]), np.array([1]), np.zeros(0))
    base = TimeBase(seconds=10, width=100)
    sink.take(Signal(np.array([[0.0], [10.0], [20.0]]), np.array([100.0, 105.0, 109.9])))
    base.show(109.9)

    follower.follow(base)

    assert np.isfinite(follower.columns.low).all()
    assert follower.columns.low[0, 1025 % 100] == pytest.approx(5, abs=0.3)
