from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import butter, firwin, sosfilt

from rigmesh.errors import StateError
from rigmesh.node import Node
from rigmesh.node.testing import NodeTests, chunked, collect, run
from rigmesh.streams import Cause, Gap, Signal, StreamInfo
from rigmesh_nodes.filters import FIR, Biquads, FirFilter, HighPass, LowPass, SosFilter

Array = npt.NDArray[Any]
SOS = butter(4, (30, 60), "bandpass", fs=1000, output="sos")
TAPS = firwin(21, 0.2)


def noise(n_samples: int = 700, n_channels: int = 70, dtype: str = "float64") -> Array:
    return np.random.default_rng(1).normal(size=(n_samples, n_channels)).astype(dtype)


def signal(data: Array) -> Signal:
    info = StreamInfo.signal(
        "amp.signal", channels=data.shape[1], sampling_rate=1000, dtype=data.dtype.name
    )
    return Signal(data, np.arange(len(data)) / 1000, info=info)


def with_faults() -> tuple[Array, Array]:
    """Make samples with faults, and what they count as."""
    data = noise()
    held = data.copy()
    for t, c, fault in ((0, 0, np.nan), (100, 5, np.inf), (101, 5, np.nan), (699, 69, -np.inf)):
        data[t, c] = fault
        held[t, c] = held[t - 1, c] if t else 0
    data[300:400, 64] = np.nan
    held[300:400, 64] = held[299, 64]
    return data, held


FILTERS: list[Callable[..., SosFilter | FirFilter]] = [
    partial(SosFilter, SOS, 70),
    partial(FirFilter, TAPS, 70),
    partial(FirFilter, np.array([0.5]), 70),
]
each_filter = pytest.mark.parametrize("make", FILTERS, ids=["sections", "sums", "gain"])
each_path = pytest.mark.parametrize("is_compiled", [True, False], ids=["numba", "scipy"])


@each_path
@each_filter
def test_what_is_not_finite_counts_as_the_last_finite_sample_and_comes_out_as_nan(
    make: Callable[..., SosFilter | FirFilter], is_compiled: bool
) -> None:
    data, held = with_faults()
    expected = make(is_compiled=is_compiled)(held)
    expected[~np.isfinite(data)] = np.nan
    cleaned = make(is_compiled=is_compiled)

    found = np.concatenate([cleaned(data[at : at + 37]) for at in range(0, len(data), 37)])

    np.testing.assert_array_equal(found, expected)
    assert cleaned.n_not_finite == 104


@each_path
@each_filter
def test_no_samples_change_nothing(
    make: Callable[..., SosFilter | FirFilter], is_compiled: bool
) -> None:
    data, _ = with_faults()
    undisturbed, disturbed = make(is_compiled=is_compiled), make(is_compiled=is_compiled)
    expected = undisturbed(data)

    begin, nothing, end = disturbed(data[:300]), disturbed(data[:0]), disturbed(data[300:])

    assert nothing.shape == (0, 70)
    np.testing.assert_array_equal(np.concatenate([begin, end]), expected)


class TestLowPassOfFaults(NodeTests):
    make = LowPass
    feed = signal(with_faults()[0].astype(np.float32))


class TestFIROfFaults(NodeTests):
    make = partial(FIR, coefficients=TAPS.tolist())
    feed = signal(with_faults()[0].astype(np.float32))


@pytest.mark.parametrize(
    "node",
    [HighPass(cutoff=5), Biquads(sos=SOS.tolist()), FIR(coefficients=[0.9])],
    ids=["high", "biquads", "gain"],
)
def test_a_node_counts_what_is_not_finite(node: Node) -> None:
    first, second = signal(with_faults()[0]), signal(with_faults()[0])
    second.epoch = 1

    run(node, chunked(first, 50), chunked(second, 80))

    assert node.n_not_finite == 208  # type: ignore[attr-defined]


def test_a_sample_beyond_single_precision_counts_as_not_finite() -> None:
    data = noise(100, 2)
    data[50, 1] = 1e300
    node = LowPass(precision="float32")

    filtered = run(node, signal(data)).data

    assert np.isnan(filtered).sum() == np.isnan(filtered[50, 1]) == node.n_not_finite == 1


@each_path
def test_a_filter_that_overflows_begins_anew(is_compiled: bool) -> None:
    data = np.full((600, 2), 1.0)
    data[100:110, 0] = 1e308
    resonance = np.array([[1.0, 0, 0, 1, -1.99, 0.9999]])
    overflowing = SosFilter(resonance, 2, is_compiled=is_compiled)

    with np.errstate(over="ignore", invalid="ignore"):
        filtered = overflowing(data)

    assert not np.isfinite(filtered[150, 0])
    assert np.isfinite(filtered[256:]).all()
    np.testing.assert_array_equal(filtered[:, 1], sosfilt(resonance, data[:, 1]))


@each_path
@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
def test_silence_leaves_subnormal_numbers_for_a_moment_only(
    is_compiled: bool, arithmetic: str
) -> None:
    data = np.zeros((40_000, 3), arithmetic)
    data[:100] = noise(100, 3, arithmetic)
    silenced = SosFilter(
        SOS, 3, given=arithmetic, result=arithmetic, arithmetic=arithmetic, is_compiled=is_compiled
    )

    filtered = silenced(data)

    size = np.abs(filtered).max(axis=1)
    is_subnormal = (size > 0) & (size < np.finfo(arithmetic).tiny)
    assert 0 < np.count_nonzero(is_subnormal) < 1000
    assert not filtered[-1000:].any()


def test_settling_does_not_depend_on_how_samples_are_cut() -> None:
    data = np.zeros((5000, 3), np.float32)
    data[:100] = noise(100, 3)
    feed = signal(data)

    whole, cut = run(LowPass(), feed), run(LowPass(), chunked(feed, 37))

    np.testing.assert_array_equal(whole.data, cut.data)


def test_missing_samples_leave_the_state_as_it_is() -> None:
    begin, end = chunked(signal(noise(400, 2)), 200)
    end.gaps = (Gap(Cause.DEVICE, 0, 200, 50),)

    outputs = collect(Biquads(sos=SOS.tolist()), [begin, end])["filtered"]

    expected = sosfilt(SOS, noise(400, 2), axis=0)
    np.testing.assert_array_equal(outputs.chunks[1].data, expected[200:])
    assert [gap.count for gap in outputs.gaps] == [50]


def test_a_filter_that_is_not_prepared_says_so() -> None:
    with pytest.raises(StateError, match="LowPass filters before it is prepared"):
        LowPass().process(signal(noise(10, 1)))
