from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch
from tests.unit.nodes.spectral_signals import noise

from rigmesh.errors import NodeError, ParameterError
from rigmesh.node.testing import NodeTests, chunked, collect, run, sine, split
from rigmesh.streams import Cause, ClockModel, Gap
from rigmesh_nodes._spectra_welch import Averaging
from rigmesh_nodes.spectra import Spectrum, Welch

Array = npt.NDArray[Any]


class TestSpectrum(NodeTests):
    make = partial(Spectrum, segment=0.5, overlap=75)
    feed = noise(index=13)


class TestSpectrumOfTheLastSegments(NodeTests):
    make = partial(Spectrum, segment=0.3, overlap=0, averaging="last", n_segments=3)
    feed = noise(dtype="int16")


def segments_of(data: Array, segment: int, step: int, n: int, **options: Any) -> Array:
    """Return scipy's average over the last `n` segments up to each, (n_segments, ch, freq)."""
    found = []
    for k in range((len(data) - segment) // step + 1):
        first = max(0, k - n + 1)
        part = data[first * step : k * step + segment]
        _, power = welch(part, 250, nperseg=segment, noverlap=segment - step, axis=0, **options)
        found.append(power.T)
    return np.array(found)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 500), max_size=10),
    segment=st.integers(2, 200),
    overlap=st.sampled_from([0.0, 50.0, 90.0]),
    n=st.integers(1, 10),
    window=st.sampled_from(["hann", "blackmanharris", "boxcar"]),
    is_density=st.booleans(),
    detrends=st.booleans(),
)
def test_the_mean_of_the_last_segments_is_scipys_welch(
    sizes: list[int], segment: int, overlap: float, n: int, window: Any, is_density: bool,
    detrends: bool,
) -> None:  # fmt: skip
    feed = noise(duration=3)
    node = Spectrum(
        segment=segment / 250,
        overlap=overlap,
        averaging="last",
        n_segments=n,
        window=window,
        normalisation="density" if is_density else "power",
        detrend="constant" if detrends else "none",
        f_stop=0,
    )

    result = run(node, split(feed, sizes))

    step = max(1, segment - round(segment * overlap / 100))
    expected = segments_of(
        feed.data,
        segment,
        step,
        n,
        window=window,
        detrend="constant" if detrends else False,
        scaling="density" if is_density else "spectrum",
    )
    np.testing.assert_allclose(
        result.data, expected.reshape(len(expected), -1), rtol=1e-9, atol=1e-9
    )
    centres = np.arange(len(expected)) * step + segment // 2
    np.testing.assert_array_equal(result.raw_timestamps, feed.raw_timestamps[centres])


def test_an_exponential_average_is_a_plain_one_first_and_then_forgets() -> None:
    feed = noise()

    result = run(Spectrum(segment=0.4, n_segments=5, f_stop=0), feed)

    single = segments_of(feed.data, 100, 50, 1).reshape(len(result), -1)
    mean = np.zeros(single.shape[1])
    for k, row in enumerate(single):
        mean += (row - mean) / min(k + 1, 5)
        np.testing.assert_allclose(result.data[k], mean, rtol=1e-9)


def test_a_sine_gives_its_mean_square_at_its_frequency() -> None:
    wave = sine(20, duration=4, amplitude=3)

    result = run(Spectrum(normalisation="power", channels=["ch0"]), wave)

    names = result.info.channel_names
    assert names[int(result.data[-1].argmax())] == "ch0 @ 20 Hz"
    assert result.data[-1].max() == pytest.approx(4.5)


def test_rows_say_what_they_are() -> None:
    feed = noise(dtype="float32")
    feed.clock = ClockModel(offset=5.0)
    node = Spectrum(segment=0.5, overlap=60, f_start=3, f_stop=9, channels=[1])

    found = collect(node, chunked(feed, 20))["power"]

    info = found.infos[0]
    assert info.channel_names == ("ch1 @ 4 Hz", "ch1 @ 6 Hz", "ch1 @ 8 Hz")
    assert {channel.unit for channel in info.channels} == {"uV^2/Hz"}
    assert (info.sampling_rate, info.dtype) == (5, "float32")
    assert node.delay == 62 / 250
    assert {chunk.clock for chunk in found.chunks} == {feed.clock}


def test_no_segment_reaches_over_a_hole_and_the_average_goes_on() -> None:
    feed = noise()
    begin, end = split(feed, [980])
    end.gaps = (Gap(Cause.OVERRUN, 0, 980, 100),)
    node = Spectrum(segment=0.4, overlap=50, averaging="last", n_segments=1000, f_stop=0)

    found = collect(node, [*chunked(begin, 33), end])["power"]

    before = segments_of(feed.data[:980], 100, 50, 1)
    after = segments_of(feed.data[1000:], 100, 50, 1)
    expected = np.concatenate([before, after]).mean(axis=0).ravel()
    np.testing.assert_allclose(found.chunks[-1].data[-1], expected, rtol=1e-9)
    # Segments from 900 and 950 were begun; the hole is worth two more.
    assert [gap.count for gap in found.gaps] == [2, 2]
    assert found.gaps[1].cause is Cause.OVERRUN


@pytest.mark.parametrize("averaging", ["exponential", "last"])
def test_a_segment_with_a_fault_is_left_out_of_its_channel(averaging: Averaging) -> None:
    feed = noise()
    feed.data[:150, 1] = np.nan
    feed.data[510, 0] = np.inf
    node = Spectrum(
        segment=0.4, overlap=0, averaging=averaging, n_segments=1000, f_stop=0
    )  # fmt: skip

    result = run(node, chunked(feed, 33))

    power = result.data.reshape(len(result), 2, -1)
    single = segments_of(np.nan_to_num(feed.data, posinf=0), 100, 100, 1)
    assert node.n_not_finite == 151
    assert np.isnan(power[:2, 1]).all()
    assert np.isfinite(power[2:]).all()
    np.testing.assert_array_equal(power[5, 0], power[4, 0])
    np.testing.assert_allclose(power[-1, 1], single[2:, 1].mean(axis=0), rtol=1e-9)
    others = np.delete(single[:, 0], 5, axis=0)
    np.testing.assert_allclose(power[-1, 0], others.mean(axis=0), rtol=1e-9)


def test_the_average_begins_anew_by_command_and_by_another_kind() -> None:
    feed = noise()
    node = Spectrum(segment=0.4, overlap=0, n_segments=100, f_stop=0)
    single = segments_of(feed.data, 100, 100, 1).reshape(20, -1)

    class Commanded(Spectrum):
        def process(self, chunk: Any) -> Any:
            if chunk.index == 500:
                self.reset()
            if chunk.index == 1000:
                self.set_parameters({"averaging": "last", "n_segments": 2})
            return super().process(chunk)

    result = run(Commanded(**node.parameters), chunked(feed, 100))

    found = list(result.data)
    np.testing.assert_allclose(found[4], single[:5].mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found[9], single[5:10].mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found[10], single[10], rtol=1e-9)
    np.testing.assert_allclose(found[15], single[14:16].mean(axis=0), rtol=1e-9)


def test_frequencies_that_no_bin_lies_at_are_refused() -> None:
    with pytest.raises(NodeError, match=r"1 Hz apart up to 125 Hz, lies from 10\.2 to 10\.7") as e:
        run(Spectrum(f_start=10.2, f_stop=10.7), noise())

    assert isinstance(e.value.__cause__, ParameterError)


def test_so_many_columns_that_nobody_can_name_them_are_refused() -> None:
    with pytest.raises(NodeError, match="40 channels × 1876 frequencies; more than 32768"):
        run(Spectrum(segment=15, f_stop=0, channels=[0] * 40), noise())


def test_segments_apart_by_more_than_their_length_skip_samples() -> None:
    feed = noise()
    analysis = Welch(2, 250, segment=50, step=80)

    pieces = [
        analysis(c.data, c.raw_timestamps, c.index) for c in chunked(feed, 17)
    ]  # fmt: skip

    stamps = np.concatenate([stamps for _, stamps in pieces])
    np.testing.assert_allclose(np.diff(stamps), 80 / 250)
    power = np.concatenate([power for power, _ in pieces])
    np.testing.assert_allclose(power, segments_of(feed.data, 50, 80, 1), rtol=1e-9)
