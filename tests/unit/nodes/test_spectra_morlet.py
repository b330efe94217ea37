from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.nodes.spectral_signals import density_of_mne, noise, scalogram

from rigmesh.errors import NodeError, ParameterError, PortMismatch
from rigmesh.node.testing import NodeTests, chunked, collect, run, sine, split
from rigmesh.streams import Cause, ClockModel, Gap, Signal, StreamInfo
from rigmesh_nodes.spectra import Morlet, MorletTransform, columns_of, frequency_grid, wavelet

Array = npt.NDArray[Any]


class TestMorlet(NodeTests):
    make = partial(Morlet, f_start=10, f_stop=60, n_frequencies=5, rate=50)
    feed = noise(duration=6)


class TestMorletBehindALowPass(NodeTests):
    make = partial(Morlet, f_start=30, f_stop=80, n_frequencies=3, rate=50, block=0.07)
    feed = noise(duration=1.5, sampling_rate=10_000, n_channels=1, dtype="int16", index=777)


CASES: list[tuple[float, float, float, float, float]] = [
    (250, 4, 40, 7, 50),
    (250, 6, 110, 7, 25),  # up to nearly half the sampling rate
    (250, 5, 60, 3, 30),  # wide: their spectra reach over zero
    (256, 5, 60, 6, 0),  # no decimation
    (3000, 20, 80, 6, 100),  # behind a low-pass
]


@pytest.mark.parametrize(("rate", "f_start", "f_stop", "n_cycles", "out"), CASES)
def test_in_any_pieces_it_is_the_convolution_of_the_whole(
    rate: float, f_start: float, f_stop: float, n_cycles: float, out: float
) -> None:
    feed = noise(duration=7, sampling_rate=rate, index=1234)
    node = Morlet(
        f_start=f_start, f_stop=f_stop, n_frequencies=7, n_cycles=n_cycles, rate=out, block=0.15
    )

    result = run(node, split(feed, np.random.default_rng(1).integers(1, 900, 100).tolist()))

    transform = MorletTransform(
        frequency_grid(f_start, f_stop, 7), 2, rate, n_cycles=n_cycles, rate=out
    )
    rows = np.searchsorted(feed.raw_timestamps, result.raw_timestamps - 1e-9)
    expected = scalogram(feed.data, transform, rate, n_cycles)[rows].reshape(len(rows), -1)
    assert len(rows) > 100
    assert result.data.dtype == np.float32
    np.testing.assert_array_equal(result.raw_timestamps, feed.raw_timestamps[rows])
    assert set((rows + feed.index) % transform.factor) == {0}
    np.testing.assert_allclose(np.sqrt(result.data), np.sqrt(expected), rtol=0, atol=2e-6 * 10)


@settings(max_examples=15, deadline=None)
@given(
    f_start=st.floats(3, 20),
    octaves=st.floats(0, 2.5),
    n_cycles=st.floats(2, 12),
    rate=st.sampled_from([0, 20, 60, 100]),
    block=st.floats(0.01, 2),
    index=st.integers(0, 1000),
)
def test_any_frequencies_and_blocks_give_the_convolution(
    f_start: float, octaves: float, n_cycles: float, rate: float, block: float, index: int
) -> None:
    feed = noise(duration=16, index=index)
    frequencies = frequency_grid(f_start, f_start * 2**octaves, 4)
    transform = MorletTransform(frequencies, 2, 250, n_cycles=n_cycles, rate=rate, block=block)

    power, stamps = transform(feed.data, feed.raw_timestamps, feed.index)

    rows = np.rint(stamps * 250).astype(int) - index
    expected = scalogram(feed.data, transform, 250, n_cycles)[rows].reshape(len(rows), -1)
    np.testing.assert_allclose(np.sqrt(power), np.sqrt(expected), rtol=0, atol=3e-6 * 10)
    if len(rows):
        assert transform.delay <= rows[0] < transform.delay + transform.factor
        assert len(feed) - rows[-1] <= transform.delay + transform.block + transform.factor


def test_density_is_the_power_of_mne() -> None:
    feed = noise()
    frequencies = frequency_grid(8, 40, 6)
    node = Morlet(f_start=8, f_stop=40, n_frequencies=6, rate=125, normalisation="density")

    result = run(node, feed)

    rows = np.searchsorted(feed.raw_timestamps, result.raw_timestamps - 1e-9)
    expected = density_of_mne(feed.data, frequencies, 250, 7)[rows].reshape(len(rows), -1)
    np.testing.assert_allclose(np.sqrt(result.data), np.sqrt(expected), rtol=0, atol=1e-5)
    assert result.info.channels[0].unit == "uV^2/Hz"


def test_a_sine_gives_its_mean_square_at_its_frequency_and_noise_its_density() -> None:
    wave = sine(20, duration=6, amplitude=3)
    white = noise(duration=200, n_channels=1)

    power = run(Morlet(f_start=10, f_stop=40, n_frequencies=3), wave)
    density = run(Morlet(f_start=5, f_stop=80, n_frequencies=8, normalisation="density"), white)

    assert power.data[:, 1] == pytest.approx(4.5, rel=1e-4)
    assert power.data[:, [0, 2]].max() < 1e-4
    assert density.data.mean(axis=0) == pytest.approx(2 * 100 / 250, rel=0.1)


def test_no_burst_falls_between_two_rows() -> None:
    energies = []
    for begin in np.arange(2000, 2100, 10):
        feed = sine(100, duration=4)
        feed.data[:begin] = feed.data[begin + 20 :] = 0
        power = run(Morlet(f_start=100, f_stop=100, n_frequencies=1, n_cycles=3, rate=10), feed)
        energies.append(float(power.data.sum()))

    assert min(energies) > 0.97 * max(energies)


def test_columns_are_named_by_channel_and_frequency() -> None:
    feed = noise()
    node = Morlet(f_start=6, f_stop=13, delta=3.25, channels=["ch1", 0], rate=50)

    result = run(node, feed)

    assert [(c.name, c.unit) for c in result.info.channels] == [
        ("ch1 @ 6 Hz", "uV^2"), ("ch1 @ 9.25 Hz", "uV^2"), ("ch1 @ 12.5 Hz", "uV^2"),
        ("ch0 @ 6 Hz", "uV^2"), ("ch0 @ 9.25 Hz", "uV^2"), ("ch0 @ 12.5 Hz", "uV^2"),
    ]  # fmt: skip
    channels, frequencies, unit = columns_of(result.info)
    assert channels == ["ch1", "ch0"]
    assert frequencies.tolist() == [6, 9.25, 12.5]
    assert unit == "uV^2"
    swapped = run(Morlet(f_start=6, f_stop=13, delta=3.25, rate=50), feed)
    np.testing.assert_allclose(result.data[:, :3], swapped.data[:, 3:], rtol=1e-5)


def test_rates_that_are_close_have_labels_that_differ() -> None:
    names = run(Morlet(f_start=10, f_stop=10.001, n_frequencies=3), noise()).info.channel_names

    assert names[:3] == ("ch0 @ 10 Hz", "ch0 @ 10.0005 Hz", "ch0 @ 10.001 Hz")


def test_a_signal_that_is_no_map_is_told_apart() -> None:
    with pytest.raises(PortMismatch, match=r"'Cz', not like 'Cz @ 12\.5 Hz'"):
        columns_of(StreamInfo.signal("eeg", channels=["Cz", "Pz"], sampling_rate=100))
    mixed = ["Cz @ 8 Hz", "Cz @ 9 Hz", "Pz @ 8 Hz"]
    with pytest.raises(PortMismatch):
        columns_of(StreamInfo.signal("tf", channels=mixed, sampling_rate=100))


def test_rate_delay_and_clock_are_told() -> None:
    feed = noise(sampling_rate=1000)
    feed.clock = ClockModel(offset=5.0)
    node = Morlet(f_start=10, f_stop=120, rate=70)

    found = collect(node, chunked(feed, 50))["power"]

    assert node.decimation == 12  # not 14, which has a prime factor of 7
    assert found.infos[0].sampling_rate == pytest.approx(1000 / 12)
    half = len(wavelet(10, 7, 1000)) // 2
    assert node.delay == node.report["delay"] == pytest.approx(half / 1000)
    assert {chunk.clock for chunk in found.chunks} == {feed.clock}
    first = found.chunks[0].raw_timestamps[0]
    assert half / 1000 <= first < (half + 12) / 1000


def test_a_hole_is_not_bridged_and_the_rows_beside_it_count_as_lost() -> None:
    feed = noise(duration=12)
    begin, end = split(feed, [1500])
    end.gaps = (Gap(Cause.OVERRUN, 0, 1500, 50),)
    make = partial(Morlet, f_start=10, f_stop=40, n_frequencies=3, rate=50)

    found = collect(make(), [*chunked(begin, 33), end])["power"]

    before, after = run(make(), begin), run(make(), split(feed, [1500])[1])
    stamps = np.concatenate([chunk.raw_timestamps for chunk in found.chunks])
    expected = np.concatenate([before.raw_timestamps, after.raw_timestamps])
    np.testing.assert_array_equal(stamps, expected)
    data = np.concatenate([chunk.data for chunk in found.chunks])
    np.testing.assert_array_equal(data, np.concatenate([before.data, after.data]))
    rows_apart = round((after.raw_timestamps[0] - before.raw_timestamps[-1]) * 50)
    assert sum(gap.count for gap in found.gaps) == rows_apart - 1 + 50 // 5
    assert {gap.cause for gap in found.gaps} == {Cause.OVERRUN}


def test_runs_that_are_too_short_for_a_row_count_as_lost_once() -> None:
    feed = noise(duration=12)
    pieces = split(feed, [1000, 20, 20])
    for piece in pieces[1:]:
        piece.gaps = (Gap(Cause.DEVICE, 0, piece.index, 0),)

    found = collect(Morlet(f_start=10, f_stop=40, n_frequencies=3, rate=50), pieces)["power"]

    stamps = np.concatenate([chunk.raw_timestamps for chunk in found.chunks])
    rows = np.rint(stamps * 50).astype(int)
    assert sum(gap.count for gap in found.gaps) == rows[-1] - rows[0] + 1 - len(rows)


def test_a_new_epoch_begins_anew() -> None:
    first, second = noise(4), noise(4)
    second.epoch = 1
    make = partial(Morlet, f_start=10, f_stop=40, n_frequencies=3, rate=50)

    found = collect(make(), [first, second])["power"]

    data = {e: np.concatenate([c.data for c in found.chunks if c.epoch == e]) for e in (0, 1)}
    np.testing.assert_array_equal(data[0], data[1])
    assert not found.gaps


def test_what_is_not_finite_is_held_counted_and_marked() -> None:
    feed, clean = noise(), noise()
    feed.data[:10, 1] = np.nan
    feed.data[1000, 0] = np.nan
    feed.data[1002, 1] = np.inf
    clean.data[1000, 0], clean.data[1002, 1] = clean.data[999, 0], clean.data[1001, 1]
    node = Morlet(f_start=10, f_stop=40, n_frequencies=3, rate=50)

    result = run(node, chunked(feed, 70))

    expected = run(Morlet(f_start=10, f_stop=40, n_frequencies=3, rate=50), clean)
    row = int(np.flatnonzero(np.isnan(result.data).any(axis=1))[0])
    assert node.n_not_finite == 12
    assert np.isnan(result.data).sum() == 3
    assert np.isnan(result.data[row, :3]).all()
    assert result.raw_timestamps[row] == 4.0
    later = slice(100, None)
    known = ~np.isnan(result.data[later])
    np.testing.assert_allclose(
        result.data[later][known], expected.data[later][known], rtol=1e-3, atol=1e-2
    )


def test_a_channel_that_never_is_finite_harms_nobody() -> None:
    feed = noise()
    feed.data[:, 1] = np.nan

    result = run(Morlet(f_start=10, f_stop=40, n_frequencies=3, rate=50), feed)

    assert np.isfinite(result.data[:, :3]).all()
    assert np.isnan(result.data[:, 3:]).all()


REFUSED = [
    ({"f_start": 50, "f_stop": 20}, "from f_start, above 0 Hz, up to f_stop; found 50 to 20 Hz"),
    ({"f_stop": 125}, "below half the sampling rate, 125 Hz; found 125 Hz"),
    ({"n_cycles": [7.0, 7.0]}, "one for each of the 40 frequencies; found 2"),
    ({"n_cycles": 0.2}, "n_cycles lies from 1 to 1000; found 0.2"),
    ({"n_frequencies": 1000, "channels": [0] * 40}, "40 channels × 1000 frequencies; more than"),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED)
def test_frequencies_that_make_no_sense_are_refused(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(NodeError, match=message) as caught:
        run(Morlet(**parameters), noise())

    assert isinstance(caught.value.__cause__, ParameterError)


def test_an_irregular_signal_is_refused() -> None:
    feed = Signal(np.zeros((3, 1)), np.arange(3.0))
    feed.info = StreamInfo.signal("probe.value", channels=1, sampling_rate=0)

    with pytest.raises(NodeError, match="takes a regular signal"):
        run(Morlet(), feed)


def test_each_frequency_may_have_its_own_number_of_cycles() -> None:
    feed = noise()

    both = run(Morlet(f_start=10, f_stop=20, n_frequencies=2, n_cycles=[4, 7], rate=50), feed)

    alone = run(Morlet(f_start=10, f_stop=10, n_frequencies=1, n_cycles=4, rate=50), feed)
    rows = np.isin(alone.raw_timestamps, both.raw_timestamps)
    n = rows.sum()
    np.testing.assert_allclose(both.data[:n, ::2], alone.data[rows], rtol=1e-3, atol=1e-3)


def test_samples_of_another_index_begin_anew() -> None:
    feed = noise()
    transform = MorletTransform(frequency_grid(10, 40, 3), 2, 250, rate=50)
    transform(feed.data[:1000], feed.raw_timestamps[:1000], 0)

    power, stamps = transform(feed.data[1000:], feed.raw_timestamps[1000:], 5000)

    anew = MorletTransform(frequency_grid(10, 40, 3), 2, 250, rate=50)
    expected, expected_stamps = anew(feed.data[1000:], feed.raw_timestamps[1000:], 5000)
    np.testing.assert_array_equal(power, expected)
    np.testing.assert_array_equal(stamps, expected_stamps)
    assert transform.n_missed > 0
