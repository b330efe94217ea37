from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, firwin, iirnotch, lfilter, sosfilt

from rigmesh.errors import NodeError, ParameterError
from rigmesh.node import InputLink, Node
from rigmesh.node.testing import NodeTests, chunked, collect, run, sine
from rigmesh.streams import Signal, StreamInfo
from rigmesh_nodes.filters import FIR, BandPass, Biquads, HighPass, LowPass, Notch, SosFilter


def noise(dtype: str = "float64", sampling_rate: float = 1000.0) -> Signal:
    data = (1000 * np.random.default_rng(0).normal(size=(1000, 3))).astype(dtype)
    info = StreamInfo.signal(
        "amp.signal", channels=3, sampling_rate=sampling_rate, dtype=dtype, unit="uV"
    )
    return Signal(data, np.arange(1000) / sampling_rate, info=info)


class TestLowPass(NodeTests):
    make = LowPass
    feed = noise()


class TestHighPass(NodeTests):
    make = HighPass
    feed = noise("float32")


class TestBandPass(NodeTests):
    make = partial(BandPass, low=8, high=12)
    feed = noise()


class TestNotch(NodeTests):
    make = Notch
    feed = noise("int16")


class TestBiquads(NodeTests):
    make = partial(Biquads, sos=butter(5, 40, fs=1000, output="sos").tolist())
    feed = noise("int16")


class TestFIR(NodeTests):
    make = partial(FIR, coefficients=firwin(33, 0.2).tolist())
    feed = noise("float32")


class TestGain(NodeTests):
    make = partial(FIR, coefficients=[0.99])
    feed = noise("int16")


CASES: list[tuple[Node, Any]] = [
    (LowPass(cutoff=30, order=3), butter(3, 30, fs=1000, output="sos")),
    (HighPass(cutoff=2, order=5), butter(5, 2, "highpass", fs=1000, output="sos")),
    (BandPass(low=8, high=30), butter(4, (8, 30), "bandpass", fs=1000, output="sos")),
]


@pytest.mark.parametrize(("node", "sos"), CASES, ids=["low", "high", "band"])
def test_a_filter_in_pieces_is_scipy_over_the_whole(node: Node, sos: Any) -> None:
    feed = noise()

    filtered = run(node, chunked(feed, 37))

    np.testing.assert_array_equal(filtered.data, sosfilt(sos, feed.data, axis=0))
    np.testing.assert_array_equal(filtered.raw_timestamps, feed.raw_timestamps)


def test_a_notch_is_the_one_of_scipy() -> None:
    feed = noise()

    filtered = run(Notch(frequency=60, quality=20), chunked(feed, 37))

    expected = lfilter(*iirnotch(60, 20, fs=1000), feed.data, axis=0)
    np.testing.assert_allclose(filtered.data, expected, atol=1e-8)


@pytest.mark.parametrize(
    ("node", "kept", "taken"),
    [
        (LowPass(cutoff=40), 5, 400),
        (HighPass(cutoff=40), 400, 5),
        (BandPass(low=30, high=60), 42, 5),
        (Notch(frequency=50), 20, 50),
    ],
    ids=["low", "high", "band", "notch"],
)
def test_a_filter_passes_what_it_should_and_nothing_else(
    node: Node, kept: float, taken: float
) -> None:
    both = sine(kept, duration=4)
    both.data = both.data + sine(taken, duration=4).data

    settled = run(node, both).data[3000:, 0]

    # The phase differs, the amplitude does not: what is left has the RMS of one sine.
    assert settled.std() == pytest.approx(np.sqrt(0.5), rel=0.03)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("int16", "float32"),
        ("uint8", "float32"),
        ("float32", "float32"),
        ("int32", "float64"),
        ("float64", "float64"),
    ],
)
def test_what_float32_holds_comes_out_as_float32(given: str, expected: str) -> None:
    feed = noise()
    feed = Signal(feed.data.astype(given), feed.raw_timestamps)
    outputs = collect(LowPass(), feed)

    filtered = outputs["filtered"]

    assert filtered.infos[0].dtype == expected
    assert filtered.chunks[0].data.dtype == expected


def test_labels_and_units_are_handed_on() -> None:
    feed = noise()

    filtered = collect(LowPass(), feed)["filtered"]

    assert feed.info is not None
    assert filtered.infos[0].channels == feed.info.channels


REFUSED: list[tuple[Callable[[], Node], str]] = [
    (partial(LowPass, cutoff=500), "cutoff is below half .* amp.signal, .* 1000 Hz; found 500 Hz"),
    (partial(HighPass, cutoff=600), "cutoff is below half .* 1000 Hz; found 600 Hz"),
    (partial(BandPass, low=8, high=510), "high is below half .* 1000 Hz; found 510 Hz"),
    (partial(BandPass, low=12, high=8), "low is below high; found 12 Hz and 8 Hz"),
    (partial(Notch, frequency=500), "frequency is below half .* 1000 Hz; found 500 Hz"),
    (partial(Biquads, sos=[[1.0, 0, 0, 1, 0]]), r"sos\.0 is six numbers, .* found \[1\.0, 0\.0, "),
    (partial(Biquads, sos=[[1.0, 0, 0, 0, 0, 0]]), "is six numbers, of which the fourth is not 0"),
    (partial(Biquads, sos=[[1.0, 0, 0, 1, -1, 0]]), "is stable, .* found a1 -1 and a2 0"),
    (
        partial(FIR, coefficients=[1.0, np.nan]),
        r"coefficients are finite numbers; found \[1\.0, nan",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_a_cut_off_that_the_rate_cannot_carry_is_refused(
    make: Callable[[], Node], message: str
) -> None:
    with pytest.raises(NodeError, match=message) as caught:
        run(make(), noise())

    assert isinstance(caught.value.__cause__, ParameterError)


def test_an_irregular_signal_is_refused() -> None:
    info = StreamInfo.signal("probe.value", channels=1, sampling_rate=0)
    feed = Signal(np.zeros((5, 1)), np.arange(5.0), info=info)

    with pytest.raises(NodeError, match=r"takes a regular signal; probe\.value is irregular"):
        run(LowPass(), feed)


def test_a_new_epoch_begins_with_a_state_of_zero() -> None:
    first, second = noise(), noise()
    second.epoch = 1
    second.raw_timestamps = second.raw_timestamps + 10

    chunks = collect(LowPass(), [first, second])["filtered"].chunks

    np.testing.assert_array_equal(chunks[0].data, chunks[1].data)


def prepared(node: LowPass) -> LowPass:
    node.signal.links.append(InputLink("amp.signal", info=noise().info))
    node.prepare()
    return node


def test_a_live_change_goes_on_from_the_state_there_is() -> None:
    node = prepared(LowPass(cutoff=40, order=2))
    begin, end = (piece for piece in chunked(noise(), 500) if isinstance(piece, Signal))

    node.process(begin)
    node.set_parameters({"cutoff": 80.0})
    filtered = node.process(end).data

    before, after = (butter(2, hz, fs=1000, output="sos") for hz in (40, 80))
    _, state = sosfilt(before, begin.data, axis=0, zi=np.zeros((1, 2, 3)))
    expected, _ = sosfilt(after, end.data, axis=0, zi=state)
    np.testing.assert_array_equal(filtered, expected)


def test_a_live_change_beyond_the_rate_is_refused_and_changes_nothing() -> None:
    node = prepared(LowPass(cutoff=40))
    unchanged = prepared(LowPass(cutoff=40))

    with pytest.raises(ParameterError, match=r"found 700 Hz"):
        node.set_parameters({"cutoff": 700.0})

    assert node.cutoff == node.parameters["cutoff"] == 40
    np.testing.assert_array_equal(node.process(noise()).data, unchanged.process(noise()).data)


def test_a_filter_that_gets_other_sections_begins_anew_when_there_are_more() -> None:
    short, long = (butter(n, 40, fs=1000, output="sos") for n in (2, 6))
    data = noise().data
    changed = SosFilter(short, 3)
    changed(data)

    changed.change(long)

    np.testing.assert_array_equal(changed(data), sosfilt(long, data, axis=0))
