from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, cheby1, firwin, iirnotch, lfilter, sosfilt, tf2sos

from rigmesh.node import InputLink
from rigmesh.node.testing import collect, run, split
from rigmesh.streams import Signal, StreamInfo
from rigmesh_nodes._arithmetic import arithmetic_type, condition
from rigmesh_nodes.filters import FIR, BandPass, Biquads, FirFilter, HighPass, LowPass, SosFilter

Array = npt.NDArray[Any]
each_path = pytest.mark.parametrize("is_compiled", [True, False], ids=["numba", "scipy"])


def rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.asarray(values, np.float64) ** 2)))


def noise(n_samples: int, n_channels: int, dtype: str = "float64") -> Array:
    values = 1000 * np.random.default_rng(n_samples).normal(size=(n_samples, n_channels))
    return values.astype(dtype)


def signal(data: Array, sampling_rate: float = 1000.0) -> Signal:
    info = StreamInfo.signal(
        "amp.signal",
        channels=data.shape[1],
        sampling_rate=sampling_rate,
        dtype=data.dtype.name,
    )
    return Signal(data, np.arange(len(data)) / sampling_rate, info=info)


SIZES = st.lists(st.integers(1, 400), max_size=8)
WIDTHS = st.sampled_from([1, 3, 63, 64, 65, 130])
CUTOFFS = st.floats(0.5, 450.0)


@each_path
@settings(max_examples=30, deadline=None)
@given(sizes=SIZES, width=WIDTHS, cutoff=CUTOFFS, order=st.integers(1, 8))
def test_sections_in_any_pieces_are_scipy_over_the_whole(
    is_compiled: bool, sizes: list[int], width: int, cutoff: float, order: int
) -> None:
    data, sos = noise(700, width), butter(order, cutoff, fs=1000, output="sos")
    expected = sosfilt(sos, data, axis=0)

    sections = SosFilter(sos, width, is_compiled=is_compiled)
    found = np.concatenate([sections(piece.data) for piece in split(signal(data), sizes)])

    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * rms(data))


@settings(max_examples=30, deadline=None)
@given(sizes=SIZES, width=WIDTHS, cutoff=CUTOFFS, dtype=st.sampled_from(["int16", "float32"]))
def test_single_precision_in_any_pieces_is_close_to_scipy_over_the_whole(
    sizes: list[int], width: int, cutoff: float, dtype: str
) -> None:
    data = noise(700, width, dtype)
    expected = sosfilt(butter(4, cutoff, fs=1000, output="sos"), data.astype(float), axis=0)

    found = run(LowPass(cutoff=cutoff), split(signal(data), sizes)).data

    assert found.dtype == np.float32
    assert rms(found - expected) < 1e-4 * rms(data)


@each_path
@settings(max_examples=30, deadline=None)
@given(
    sizes=SIZES,
    width=WIDTHS,
    n_taps=st.integers(1, 70),
    dtype=st.sampled_from(["int16", "float32", "float64"]),
)
def test_weighted_sums_in_any_pieces_are_scipy_over_the_whole(
    is_compiled: bool, sizes: list[int], width: int, n_taps: int, dtype: str
) -> None:
    data, taps = noise(700, width, dtype), np.random.default_rng(n_taps).normal(size=n_taps)
    expected = lfilter(taps, [1.0], data.astype(float), axis=0)
    result = "float64" if dtype == "float64" else "float32"

    sums = FirFilter(taps, width, given=dtype, result=result, is_compiled=is_compiled)
    found = np.concatenate([sums(piece.data) for piece in split(signal(data), sizes)])

    tolerance = 1e-9 if dtype == "float64" else 1e-4
    assert found.dtype == result
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * rms(expected))


def test_compiled_sections_in_double_precision_are_those_of_scipy_to_the_bit() -> None:
    data, sos = noise(900, 70), butter(4, (8, 12), "bandpass", fs=1000, output="sos")

    np.testing.assert_array_equal(SosFilter(sos, 70)(data), sosfilt(sos, data, axis=0))


def test_what_a_channel_gives_does_not_depend_on_its_place() -> None:
    data = noise(500, 1, "float32").repeat(100, axis=1)

    filtered = run(BandPass(low=50, high=200), signal(data)).data

    np.testing.assert_array_equal(filtered, filtered[:, :1].repeat(100, axis=1))


def test_channels_that_are_cut_out_of_wider_samples_are_filtered_alike() -> None:
    wide, sos = noise(300, 10), butter(2, 40, fs=1000, output="sos")

    filtered = SosFilter(sos, 3)(wide[:, 2:8:2])

    np.testing.assert_array_equal(filtered, sosfilt(sos, wide[:, 2:8:2], axis=0))


DESIGNS = [
    partial(butter, 3, btype="lowpass", output="sos"),
    partial(butter, 5, btype="highpass", output="sos"),
    partial(cheby1, 8, 0.05, output="sos"),
    lambda cutoff: butter(3, (cutoff / 2, cutoff), "bandpass", output="sos"),
    lambda cutoff: tf2sos(*iirnotch(cutoff, 30)),
]


@pytest.mark.parametrize("design", DESIGNS, ids=["low", "high", "chebyshev", "band", "notch"])
@settings(max_examples=25, deadline=None)
@given(logarithm=st.floats(-3.5, -0.05))
def test_single_precision_is_chosen_only_where_it_is_enough(design: Any, logarithm: float) -> None:
    sos = np.asarray(design(10**logarithm))
    if arithmetic_type("float32", "auto", sos) == "float64":
        return
    n = np.arange(5000)
    sine = np.sin(np.pi * 10**logarithm * n)
    data = np.stack([1 + noise(5000, 1)[:, 0] / 1e6, noise(5000, 1)[:, 0], sine], axis=1)
    data = data.astype(np.float32)

    single = SosFilter(sos, 3, given="float32", result="float32", arithmetic="float32")(data)

    error = single - sosfilt(sos, data.astype(float), axis=0)
    assert all(rms(error[:, c]) < 1e-4 * rms(data[:, c]) for c in range(3))


def test_a_section_of_little_gain_is_computed_in_double_precision() -> None:
    sos = np.asarray(butter(12, 0.05, output="sos"))

    assert condition(sos) < 2000
    assert np.abs(sos[0, :3]).max() < 1e-12
    assert arithmetic_type("float32", "auto", sos) == "float64"


def test_the_condition_is_that_of_the_worst_frequency_of_the_worst_section() -> None:
    sos = np.asarray(butter(4, (300, 6000), "bandpass", fs=30_000, output="sos"))
    on_the_circle = np.exp(-1j * np.linspace(0, np.pi, 100_001))

    brute = max(
        (1 + abs(a1) + abs(a2)) / np.abs(1 + a1 * on_the_circle + a2 * on_the_circle**2).min()
        for a1, a2 in sos[:, 4:]
    )

    assert condition(sos) == pytest.approx(brute, rel=1e-6)


@pytest.mark.parametrize(
    ("precision", "given_type", "result"),
    [
        ("auto", "int16", "float32"),
        ("float64", "int16", "float64"),
        ("float64", "float32", "float64"),
        ("float32", "float64", "float32"),
    ],
)
def test_a_precision_that_is_asked_for_is_given(
    precision: Any, given_type: str, result: str
) -> None:
    node = LowPass(precision=precision)

    outputs = collect(node, signal(noise(50, 2, given_type)))["filtered"]

    assert outputs.infos[0].dtype == outputs.chunks[0].data.dtype == result
    assert node.report == {"kernel": "numba", "arithmetic": result}


def test_a_cut_off_far_below_the_rate_is_computed_in_double_precision() -> None:
    node, data = HighPass(cutoff=0.1), noise(3000, 2, "float32")

    filtered = run(node, signal(data)).data

    expected = sosfilt(butter(4, 0.1, "highpass", fs=1000, output="sos"), data.astype(float), 0)
    assert node.report["arithmetic"] == "float64"
    np.testing.assert_array_equal(filtered, expected.astype(np.float32))


def prepared(node: LowPass, feed: Signal) -> LowPass:
    node.signal.links.append(InputLink("amp.signal", info=feed.info))
    node.prepare()
    return node


def test_a_live_change_changes_to_double_precision_where_it_has_to() -> None:
    feed = signal(noise(400, 2, "float32"))
    node = prepared(LowPass(cutoff=100, order=2), feed)
    begin, end = feed.data[:200], feed.data[200:]

    node.process(Signal(begin, feed.raw_timestamps[:200]))
    node.set_parameters({"cutoff": 0.5})
    filtered = node.process(Signal(end, feed.raw_timestamps[200:])).data

    before, after = (butter(2, hz, fs=1000, output="sos") for hz in (100, 0.5))
    _, state = sosfilt(before, begin.astype(float), axis=0, zi=np.zeros((1, 2, 2)))
    expected, _ = sosfilt(after, end.astype(float), axis=0, zi=state)
    assert node.report["arithmetic"] == "float64"
    assert filtered.dtype == np.float32
    assert rms(filtered - expected) < 1e-4 * rms(begin)


def test_sections_whose_a0_is_not_1_are_scaled() -> None:
    feed = signal(noise(300, 2))
    sos = butter(4, 40, fs=1000, output="sos")

    filtered = run(Biquads(sos=(2 * sos).tolist()), feed).data

    np.testing.assert_array_equal(filtered, sosfilt(sos, feed.data, axis=0))


def test_a_live_change_of_coefficients_keeps_the_last_samples() -> None:
    data, (long, short) = noise(400, 70), (firwin(40, 0.3), firwin(9, 0.1))
    changed = FirFilter(long, 70)
    changed(data[:200])

    changed.change(short)
    after_short = changed(data[200:300])
    changed.change(long)

    np.testing.assert_allclose(after_short, lfilter(short, [1.0], data, axis=0)[200:300], atol=1e-9)
    known = np.concatenate([np.zeros((40, 70)), data[289:]])  # 9 coefficients are filled up to 12
    expected = lfilter(long, [1.0], known, axis=0)[-100:]
    np.testing.assert_allclose(changed(data[300:]), expected, atol=1e-9)


def test_one_coefficient_is_a_gain() -> None:
    feed = signal(noise(300, 5, "int16"))

    filtered = run(FIR(coefficients=[0.99]), feed).data

    np.testing.assert_array_equal(filtered, feed.data * np.float32(0.99))
