from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import cheby1, firwin, lfilter, sosfilt

from rigmesh.errors import NodeError, ParameterError, PortMismatch
from rigmesh.node import Node
from rigmesh.node.testing import NodeTests, chunked, collect, run, sine, split
from rigmesh.streams import Cause, ClockModel, Gap, Signal, StreamInfo
from rigmesh_nodes.resampling import Decimate, Decimator, Rebuffer

Array = npt.NDArray[Any]
Method = Literal["fir", "iir"]
each_method = pytest.mark.parametrize("method", ["fir", "iir"])


def noise(n_samples: int = 1000, dtype: str = "float64", n_channels: int = 3) -> Signal:
    """Make noise that has its samples' numbers in channel 0."""
    data = 100 * np.random.default_rng(0).normal(size=(n_samples, n_channels))
    data[:, 0] = np.arange(n_samples)
    info = StreamInfo.signal(
        "amp.signal", channels=n_channels, sampling_rate=1000, dtype=dtype, unit="uV"
    )
    return Signal(data.astype(dtype), np.arange(n_samples) / 1000, info=info)


class TestRebuffer(NodeTests):
    make = partial(Rebuffer, size=7)
    feed = noise()


class TestDecimateByFIR(NodeTests):
    make = partial(Decimate, factor=7)
    feed = noise(dtype="int16")


class TestDecimateByIIR(NodeTests):
    make = partial(Decimate, factor=4, method="iir")
    feed = noise(dtype="float32")


SIZES = st.lists(st.integers(1, 400), max_size=10)


@settings(max_examples=30, deadline=None)
@given(sizes=SIZES, size=st.integers(1, 300))
def test_every_chunk_has_the_size_whatever_came_in(sizes: list[int], size: int) -> None:
    feed = noise()

    chunks = collect(Rebuffer(size=size), split(feed, sizes))["rebuffered"].chunks

    assert {len(chunk) for chunk in chunks} == {size}
    whole = len(feed) // size * size
    assert np.concatenate([c.data[:, 0] for c in chunks]).tolist() == list(range(whole))
    stamps = np.concatenate([c.raw_timestamps for c in chunks])
    np.testing.assert_array_equal(stamps, feed.raw_timestamps[:whole])


def test_a_duration_is_rounded_to_whole_samples() -> None:
    chunks = collect(Rebuffer(duration=0.0204), noise())["rebuffered"].chunks

    assert {len(chunk) for chunk in chunks} == {20}


def test_the_description_and_the_clock_are_handed_on() -> None:
    feed = noise(dtype="int16")
    feed.clock = ClockModel(offset=5.0)

    outputs = collect(Rebuffer(size=100), chunked(feed, 33))["rebuffered"]

    assert feed.info is not None
    assert outputs.infos[0].same_format(feed.info)
    assert {chunk.clock for chunk in outputs.chunks} == {feed.clock}


def test_no_chunk_reaches_over_missing_samples() -> None:
    begin, end = split(noise(), [250])
    end.gaps = (Gap(Cause.OVERRUN, 0, 250, 40),)
    node = Rebuffer(size=100)

    outputs = collect(node, [begin, end])["rebuffered"]

    assert [chunk.data[0, 0] for chunk in outputs.chunks] == [0, 100, *range(250, 950, 100)]
    assert [(gap.index, gap.count, gap.cause) for gap in outputs.gaps] == [
        (200, 40, Cause.OVERRUN),
        (200, 50, Cause.OVERRUN),
    ]
    assert [bool(chunk.gaps) for chunk in outputs.chunks[:4]] == [False, False, True, False]
    assert node.n_left_out == 50


def test_a_new_epoch_begins_with_a_new_chunk() -> None:
    first, second = noise(250), noise(250)
    second.epoch = 1

    chunks = collect(Rebuffer(size=100), [first, second])["rebuffered"].chunks

    assert [(chunk.epoch, chunk.data[0, 0]) for chunk in chunks] == [
        (0, 0), (0, 100), (1, 0), (1, 100),
    ]  # fmt: skip


def test_an_irregular_signal_is_cut_by_size_and_not_by_duration() -> None:
    feed = noise(10)
    feed.info = StreamInfo.signal("probe.value", channels=3, sampling_rate=0)

    assert len(run(Rebuffer(size=5), feed)) == 10
    with pytest.raises(NodeError, match=r"by duration, takes a regular signal") as caught:
        run(Rebuffer(duration=1), feed)

    assert isinstance(caught.value.__cause__, PortMismatch)


REFUSED: list[tuple[Callable[[], Node], str]] = [
    (Rebuffer, "takes either a size or a duration; found 0 samples and 0 s"),
    (partial(Rebuffer, size=5, duration=0.1), "found 5 samples and 0.1 s"),
    (partial(Rebuffer, duration=0.0001), r"at least one sample of amp.signal, which is 0.001 s"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_a_chunk_of_no_size_or_of_two_is_refused(make: Callable[[], Node], message: str) -> None:
    with pytest.raises(NodeError, match=message) as caught:
        run(make(), noise())

    assert isinstance(caught.value.__cause__, ParameterError)


@pytest.mark.parametrize("factor", [1, 101])
def test_a_factor_that_makes_no_sense_is_refused(factor: int) -> None:
    with pytest.raises(ParameterError, match="factor"):
        Decimate(factor=factor)


def offline(data: Array, factor: int, method: Method) -> Array:
    if method == "fir":
        taps = firwin(20 * factor + 1, 1 / factor, window="hamming")
        return np.asarray(lfilter(taps, [1.0], data, axis=0)[::factor])
    return np.asarray(sosfilt(cheby1(8, 0.05, 0.8 / factor, output="sos"), data, axis=0)[::factor])


@each_method
@settings(max_examples=20, deadline=None)
@given(sizes=SIZES, factor=st.integers(2, 40), dtype=st.sampled_from(["int16", "float64"]))
def test_decimating_in_any_pieces_is_scipy_over_the_whole(
    method: Method, sizes: list[int], factor: int, dtype: str
) -> None:
    feed = noise(dtype=dtype)

    result = run(Decimate(factor=factor, method=method), split(feed, sizes))

    expected = offline(feed.data.astype(float), factor, method)
    rms = np.sqrt(np.mean(feed.data.astype(float) ** 2))
    tolerance = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(result.data, expected, rtol=0, atol=tolerance * rms)
    np.testing.assert_array_equal(result.raw_timestamps, feed.raw_timestamps[::factor])


@each_method
def test_what_would_be_aliased_is_gone_and_the_rest_is_there(method: Method) -> None:
    both = sine(20, duration=4)
    both.data = both.data + sine(330, duration=4).data

    result = run(Decimate(factor=5, method=method), both)

    settled = result.data[200:, 0]
    spectrum = np.abs(np.fft.rfft(settled[:400])) / 200
    assert result.info.sampling_rate == 200
    assert spectrum[40] == pytest.approx(1, rel=0.01)
    assert np.delete(spectrum, 40).max() < 1e-3


@each_method
def test_the_group_delay_is_the_one_that_is_reported(method: Method) -> None:
    node = Decimate(factor=10, method=method)
    ramp = noise(4000, n_channels=1)

    result = run(node, ramp)

    times, values = result.raw_timestamps[-50:], result.data[-50:, 0]
    slope = (values[-1] - values[0]) / (times[-1] - times[0])  # less than 1000 by iir's ripple
    behind = times - values / slope
    np.testing.assert_allclose(behind, node.report["group_delay"], atol=1e-6)


def test_kept_samples_are_those_whose_index_is_a_multiple_of_the_factor() -> None:
    late = noise()
    late.index = 13

    result = run(Decimate(factor=5), chunked(late, 11))

    np.testing.assert_array_equal(result.raw_timestamps, late.raw_timestamps[2::5])


def test_faults_do_not_last_and_are_counted() -> None:
    feed = noise(dtype="float32")
    feed.data[500, 1] = np.nan
    feed.data[502, 2] = np.inf
    node = Decimate(factor=5)

    result = run(node, chunked(feed, 33))

    assert np.argwhere(np.isnan(result.data)).tolist() == [[100, 1]]
    assert node.n_not_finite == 2


def test_the_type_is_the_one_asked_for() -> None:
    given = noise(dtype="int16")

    assert run(Decimate(factor=2), given).data.dtype == np.float32
    assert run(Decimate(factor=2, precision="float64"), given).data.dtype == np.float64


def test_a_decimator_without_a_chunk_to_give_gives_nothing() -> None:
    decimator = Decimator(10, 2)

    assert decimator(np.ones((5, 2)), 7).shape == (0, 2)
