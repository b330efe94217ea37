"""The last seconds of a signal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.display import ColumnCache, SignalBuffer
from rigmesh.streams import Cause, ChannelInfo, Gap, Signal, StreamInfo

RATE = 1000.0


def info(dtype: str = "int16", n_channels: int = 3, rate: float = RATE) -> StreamInfo:
    channels = tuple(ChannelInfo(f"c{k}", "uV") for k in range(n_channels))
    return StreamInfo(
        "amp.signal", dtype=dtype, sample_shape=(n_channels,), sampling_rate=rate, channels=channels
    )


def chunk(data: npt.NDArray[Any], first: int = 0, *gaps: Gap) -> Signal:
    times = 100 + (first + np.arange(len(data))) / RATE
    return Signal(data, times, index=first, gaps=gaps)


def gap(count: int, index: int, cause: Cause = Cause.OVERRUN, duration: float = 0.0) -> Gap:
    return Gap(cause, 0, index, count, duration)


def ramp(n: int, n_channels: int = 3, dtype: str = "int16", first: int = 0) -> npt.NDArray[Any]:
    return ((first + np.arange(n))[:, None] * 7 % 1000 + np.arange(n_channels)).astype(dtype)


def full(n: int = 20_000, dtype: str = "int16", seconds: float = 60.0) -> SignalBuffer:
    buffer = SignalBuffer(seconds)
    buffer.describe(info(dtype))
    buffer.take(chunk(ramp(n, dtype=dtype)))
    return buffer


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32", "float64", "int64"])
@pytest.mark.parametrize("factor", [1, 10, 16, 48, 256, 304, 512, 4096])
def test_columns_are_the_extremes_of_their_rows(dtype: str, factor: int) -> None:
    buffer = full(dtype=dtype)
    n = 20_000 // factor

    found = buffer.columns(factor, 0, n)

    rows = ramp(20_000, dtype=dtype)[: n * factor].reshape(n, factor, 3).astype(np.float32)
    np.testing.assert_array_equal(found.minimum, rows.min(axis=1))
    np.testing.assert_array_equal(found.maximum, rows.max(axis=1))
    np.testing.assert_array_equal(found.rows, np.arange(n + 1) * factor)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 3000), max_size=12), factor=st.sampled_from([1, 16, 40, 256]))
def test_it_does_not_matter_how_samples_are_cut(cuts: list[int], factor: int) -> None:
    n = sum(cuts)
    data = ramp(n)
    buffer = SignalBuffer(60)
    buffer.describe(info())
    first = 0
    for size in cuts:
        buffer.take(chunk(data[first : first + size], first))
        first += size

    found = buffer.columns(factor, 0, n // factor)

    whole = SignalBuffer(60)
    whole.describe(info())
    whole.take(chunk(data))
    expected = whole.columns(factor, 0, n // factor)
    np.testing.assert_array_equal(found.minimum, expected.minimum)
    np.testing.assert_array_equal(buffer.samples(0, n)[0], data)


def test_what_is_older_than_the_buffer_is_not_there() -> None:
    buffer = full(50_000, seconds=10.0)

    assert buffer.rows == (40_000, 50_000)
    data, missing = buffer.samples(0, 50_000)
    np.testing.assert_array_equal(data, ramp(50_000)[40_000:])
    assert not missing.any()
    columns = buffer.columns(1000, 38, 13)
    assert np.isnan(columns.minimum[:2]).all()
    assert np.isfinite(columns.minimum[2:12]).all()
    assert np.isnan(columns.minimum[12]).all()  # not there yet


def test_samples_that_take_too_much_memory_leave_their_extremes() -> None:
    buffer = SignalBuffer(60.0, max_bytes=8192 * 6)
    buffer.describe(info())
    buffer.take(chunk(ramp(50_000)))

    data, _ = buffer.samples(0, 50_000)
    columns = buffer.columns(256, 0, 195)

    np.testing.assert_array_equal(data, ramp(50_000)[-8192:])
    expected = ramp(50_000)[: 195 * 256].reshape(195, 256, 3).min(axis=1)
    np.testing.assert_array_equal(columns.minimum, expected)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_gap_is_a_hole_as_long_as_what_is_missing(dtype: str) -> None:
    buffer = SignalBuffer(60.0)
    buffer.describe(info(dtype))
    buffer.take(chunk(ramp(160, dtype=dtype)))

    buffer.take(chunk(ramp(640, dtype=dtype), 480, gap(320, 480)))

    assert buffer.rows == (0, 1120)
    assert (buffer.n_gaps, buffer.n_lost) == (1, 320)
    for factor in (16, 80, 160):
        columns = buffer.columns(factor, 0, 1120 // factor)
        holes = np.isnan(columns.minimum).all(axis=1)
        np.testing.assert_array_equal(np.flatnonzero(holes) * factor, np.arange(160, 480, factor))
    np.testing.assert_array_equal(np.flatnonzero(buffer.samples(0, 1120)[1]), np.arange(160, 480))
    np.testing.assert_allclose(np.diff(buffer.times(0, 1120)), 1 / RATE)


def test_a_column_that_lies_half_in_a_gap_shows_the_other_half() -> None:
    buffer = SignalBuffer(60.0)
    buffer.describe(info())
    buffer.take(chunk(np.full((24, 3), 500, np.int16)))
    buffer.take(chunk(np.full((24, 3), -500, np.int16), 40, gap(16, 40)))

    columns = buffer.columns(16, 0, 4)

    np.testing.assert_array_equal(columns.minimum[:, 0], [500, 500, -500, -500])
    np.testing.assert_array_equal(columns.maximum[:, 0], [500, 500, -500, -500])


def test_a_restart_takes_the_rows_of_its_duration() -> None:
    buffer = full(1000)

    restart = gap(0, 0, Cause.RESTART, duration=2.0)
    buffer.take(Signal(ramp(10), 103 + np.arange(10) / RATE, epoch=1, gaps=(restart,)))

    assert buffer.rows == (0, 3010)
    assert buffer.samples(1000, 3000)[1].all()


def test_a_gap_longer_than_the_buffer_empties_it() -> None:
    buffer = full(1000, seconds=1.0)

    buffer.take(chunk(ramp(10), 10_000_000, gap(9_999_000, 10_000_000)))

    first, last = buffer.rows
    assert buffer.samples(first, last)[1].sum() == last - first - 10


def test_another_format_drops_what_was_kept() -> None:
    buffer = full(1000)

    buffer.describe(info("float32", 5))
    buffer.take(chunk(ramp(10, 5, "float32")))

    assert buffer.generation == 2
    assert buffer.rows == (0, 10)
    assert buffer.samples(0, 10)[0].shape == (10, 5)


def test_the_same_format_goes_on() -> None:
    buffer = full(1000)

    buffer.describe(info())

    assert buffer.generation == 1
    assert buffer.rows == (0, 1000)


def test_time_that_goes_back_begins_anew() -> None:
    buffer = full(1000)

    buffer.take(Signal(ramp(900), 50 + np.arange(900) / RATE, epoch=1, gaps=(gap(7, 0),)))

    assert (buffer.rows, buffer.generation, buffer.newest) == ((0, 900), 2, 50.899)
    assert (buffer.n_gaps, buffer.n_lost) == (1, 7)
    np.testing.assert_array_equal(buffer.samples(0, 900)[0], ramp(900))
    np.testing.assert_array_equal(buffer.columns(16, 0, 1).maximum, ramp(16)[-1:])
    assert buffer.row_at(50.5) == 500


def test_time_that_goes_back_within_a_chunk_begins_anew_there() -> None:
    buffer = full(100)
    times = 200 + np.arange(300) / RATE
    times[100:] -= 60
    times[200:] -= 60

    buffer.take(Signal(ramp(300), times))

    assert (buffer.rows, buffer.generation) == ((0, 100), 3)
    np.testing.assert_array_equal(buffer.samples(0, 100)[0], ramp(100, first=200))
    np.testing.assert_array_equal(buffer.times(0, 100), times[200:])


def test_stamps_that_are_none_or_step_back_a_little_are_the_greatest_before() -> None:
    buffer = SignalBuffer(60.0)
    buffer.describe(info())

    buffer.take(Signal(ramp(8), np.array([np.nan, -np.inf, 1.0, np.nan, 2.0, 1.95, np.inf, 3.0])))
    buffer.take(Signal(ramp(1), np.array([np.nan])))

    np.testing.assert_array_equal(buffer.times(0, 7), [1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0])
    np.testing.assert_array_equal(buffer.samples(0, 6)[0], ramp(8)[2:])
    assert (buffer.rows, buffer.generation) == ((0, 7), 1)


def test_hours_of_many_channels_are_kept_as_far_as_there_is_memory() -> None:
    seconds, rate = 3600.0, 30_000.0
    buffer = SignalBuffer(seconds, max_bytes=2**20)

    buffer.describe(info("int16", 384, rate))

    parts = [buffer._times, buffer._missing]
    parts += [part for level in buffer._levels for part in (level.minima, level.maxima)]
    assert 2**29 < sum(part._rows.nbytes for part in parts) <= 2**30 + 2**20


def test_another_buffer_is_taken_over_with_its_gaps() -> None:
    old = full(1000)
    old.take(chunk(ramp(500, first=1200), 1200, gap(200, 1200)))
    buffer = SignalBuffer(100.0)

    buffer.take_over(old)

    assert (buffer.rows, buffer.n_gaps, buffer.n_lost) == ((0, 1700), 1, 200)
    assert buffer.generation != old.generation
    for mine, others in zip(buffer.samples(0, 1700), old.samples(0, 1700), strict=True):
        np.testing.assert_array_equal(mine, others)
    np.testing.assert_array_equal(buffer.times(0, 1700), old.times(0, 1700))
    for mine, others in zip(buffer.columns(16, 0, 106), old.columns(16, 0, 106), strict=True):
        np.testing.assert_array_equal(mine, others)


def test_a_time_leads_to_its_row() -> None:
    buffer = full(20_000, seconds=10.0)

    assert buffer.row_at(115.0) == 15_000
    assert buffer.row_at(0.0) == 10_000
    assert buffer.row_at(1e9) == 20_000
    np.testing.assert_allclose(buffer.times(15_000, 15_002), [115.0, 115.001])


def test_nan_counts_only_where_nothing_else_is() -> None:
    buffer = SignalBuffer(60.0)
    buffer.describe(info("float32"))
    data = ramp(64, dtype="float32")
    data[3, 0] = data[16:32, 1] = np.nan
    buffer.take(chunk(data))

    columns = buffer.columns(16, 0, 4)

    assert np.isfinite(columns.minimum[:, 0]).all()
    np.testing.assert_array_equal(np.isnan(columns.maximum[:, 1]), [False, True, False, False])


def test_irregular_signals_are_kept_by_samples() -> None:
    buffer = SignalBuffer(60.0)
    buffer.describe(info("float64", 1, rate=0.0))
    times = np.array([1.0, 1.5, 9.0])

    buffer.take(Signal(np.array([[1.0], [2.0], [3.0]]), times))
    buffer.take(Signal(np.array([[4.0]]), np.array([12.0]), gaps=(gap(5, 8),)))

    assert buffer.rows == (0, 5)
    np.testing.assert_array_equal(buffer.samples(0, 5)[1], [False, False, False, True, False])
    np.testing.assert_array_equal(buffer.times(0, 5), [1.0, 1.5, 9.0, 10.5, 12.0])


def test_an_empty_buffer_is_empty() -> None:
    buffer = SignalBuffer(1.0)

    assert buffer.rows == (0, 0)
    assert buffer.columns(16, 0, 4).minimum.shape == (4, 0)
    assert len(buffer.times(0, 10)) == 0
    assert buffer.samples(0, 10)[0].shape[0] == 0
    assert buffer.row_at(1.0) == 0


@pytest.mark.parametrize("factor", [1, 16, 48])
def test_a_cache_holds_the_newest_columns(factor: int) -> None:
    buffer = SignalBuffer(60.0)
    buffer.describe(info())
    cache = ColumnCache(buffer, factor, 10)
    data = ramp(5000)

    for first in range(0, 5000, 37):
        buffer.take(chunk(data[first : first + 37], first))
        found = cache.update()

        stop = buffer.rows[1] // factor
        expected = buffer.columns(factor, stop - 10, 10)
        np.testing.assert_array_equal(found.minimum, expected.minimum)
        np.testing.assert_array_equal(found.maximum, expected.maximum)
        np.testing.assert_array_equal(found.rows, expected.rows)


def test_a_cache_starts_anew_with_another_format() -> None:
    buffer = full(1000)
    cache = ColumnCache(buffer, 16, 10)
    cache.update()

    buffer.describe(info("float32", 5))
    buffer.take(chunk(ramp(160, 5, "float32")))

    found = cache.update()
    assert found.minimum.shape == (10, 5)
    assert np.isfinite(found.minimum).all()
