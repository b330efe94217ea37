from __future__ import annotations

from functools import partial
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.errors import NodeError, ParameterError
from rigmesh.node import InputLink, Node, NodeRunner
from rigmesh.node.testing import Collector, NodeTests, TestRuntime, run, split
from rigmesh.streams import Cause, Chunk, ClockModel, Gap, Markers, Signal, StreamInfo
from rigmesh_nodes.averages import TriggerAverage

Array = npt.NDArray[Any]
RATE = 200.0
INFO = StreamInfo.signal("amp.signal", channels=["Cz", "Pz", "Oz"], sampling_rate=RATE)
EVENTS = [0.4, 1.1, 1.2, 2.013, 3.3, 4.0, 4.001]
TEXTS = ["S  1", "S  2", "S  1", "other", "S  3", "S  1", "S  2"]


def noise(n: int = 1000, dtype: str = "float64", start: float = 0.0, **more: Any) -> Signal:
    data = np.random.default_rng(0).normal(0, 50, size=(n, 3)).astype(dtype)
    info = StreamInfo.signal(
        "amp.signal", channels=["Cz", "Pz", "Oz"], sampling_rate=RATE, dtype=dtype
    )
    return Signal(data, start + np.arange(n) / RATE, info=info, **more)


def marks(times: list[float] = EVENTS, texts: list[str] = TEXTS, **more: Any) -> Markers:
    return Markers(
        texts[: len(times)], np.array(times), info=StreamInfo.markers("stim.out"), **more
    )


def epochs(signal: Signal, times: list[float], before: float, after: float) -> Array:
    """Cut with numpy, offline."""
    stamps = signal.timestamps
    nearest = [int(np.abs(stamps - time).argmin()) for time in times]
    first, last = round(before * RATE), round(after * RATE)
    return np.stack([signal.data[at - first : at + last + 1] for at in nearest]).astype(float)


class _WithEvents(TriggerAverage):
    """Has all events before the first sample, so that one chunk of a signal feeds it."""

    __doc__ = TriggerAverage.__doc__

    def process_signal(self, chunk: Signal) -> None:
        if not self._is_fed:
            self._is_fed = True
            self.process_events(marks())
        super().process_signal(chunk)

    _is_fed = False


class TestTriggerAverage(NodeTests):
    make = partial(_WithEvents, before=0.1, after=0.3, select={"a": "S  1", "b": "S  [23]"})
    feed = noise()


class TestTriggerAverageOfTheLast(NodeTests):
    make = partial(
        _WithEvents, before=0.1, after=0.3, last=2, baseline=[-0.1, 0], reject_above=170,
        channels=["Oz", 0], every=2, patience=0,
    )  # fmt: skip
    feed = noise(dtype="int16")


class Rig:
    """A running node whose inputs are fed in whatever order."""

    def __init__(self, node: Node, info: StreamInfo = INFO) -> None:
        node.runtime = TestRuntime()
        self.runner = NodeRunner(node, "average", scribble=True)
        self.given = {output.name: Collector() for output in node.bound_outputs()}
        for output in node.bound_outputs():
            output.add_target(self.given[output.name])
        self.links = {port: InputLink(port) for port in ("signal", "events")}
        for port, link in self.links.items():
            node.port(port).links.append(link)
        self.runner.open()
        self.announce("signal", info)
        self.announce("events", StreamInfo.markers("stim.out"))
        if self.runner.failure is not None:
            raise self.runner.failure
        self.runner.start()

    def announce(self, port: str, info: StreamInfo, *, new_epoch: bool = False) -> None:
        self.runner.input_announced(self.links[port], info, new_epoch=new_epoch)

    def feed(self, port: str, chunk: Chunk) -> None:
        with self.runner.lane:
            self.runner.handler(port)(chunk)
        if self.runner.failure is not None:
            raise self.runner.failure

    def newest(self, output: str) -> Array:
        frame: Array = self.given[output].chunks[-1].data[0]
        return frame

    def all(self, output: str) -> list[Any]:
        return [chunk.data[0] for chunk in self.given[output].chunks]


# --- against an offline average -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_mean_and_variance_are_those_of_an_offline_average(dtype: str) -> None:
    signal = noise(40_000, dtype)
    times = np.random.default_rng(1).uniform(1, 199, 700).tolist()
    node = TriggerAverage(before=0.1, after=0.3)

    result = run(node, signal=signal, events=marks(times, ["x"] * 700))

    sweeps = epochs(signal, sorted(times), 0.1, 0.3)
    assert node.n_sweeps == len(result["sweep"]) == 700
    np.testing.assert_allclose(result["mean"].data[-1], sweeps.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result["variance"].data[-1], sweeps.var(axis=0, ddof=1), rtol=1e-12)


def test_every_mean_is_that_of_the_sweeps_until_then() -> None:
    signal = noise()

    result = run(TriggerAverage(before=0.1, after=0.3), signal=signal, events=marks())

    sweeps = epochs(signal, EVENTS, 0.1, 0.3)
    np.testing.assert_array_equal(result["sweep"].data, sweeps)
    for n in range(1, 8):
        np.testing.assert_allclose(result["mean"].data[n - 1], sweeps[:n].mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(result["sweep"].raw_timestamps, EVENTS)
    np.testing.assert_array_equal(result["mean"].raw_timestamps, EVENTS)


def test_a_moving_average_is_that_of_the_last_sweeps() -> None:
    signal = noise()

    result = run(TriggerAverage(before=0.1, after=0.3, last=3), signal=signal, events=marks())

    sweeps = epochs(signal, EVENTS, 0.1, 0.3)[-3:]
    np.testing.assert_allclose(result["mean"].data[-1], sweeps.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result["variance"].data[-1], sweeps.var(axis=0, ddof=1), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    plan=st.lists(st.booleans(), max_size=80),
    sizes=st.lists(st.integers(1, 400), max_size=30),
    last=st.sampled_from([0, 3]),
)
def test_averages_do_not_depend_on_what_comes_first(
    plan: list[bool], sizes: list[int], last: int
) -> None:
    signal, events = noise(), marks()
    node = TriggerAverage(before=0.1, after=0.3, last=last, patience=60, select={"a": "S.*"})
    rig = Rig(node)

    chunks, marked = split(signal, sizes), split(events, [1] * len(EVENTS))
    for is_event in [*plan, *[False] * len(chunks), *[True] * len(marked)]:
        queue = marked if is_event else chunks
        if queue:
            rig.feed("events" if is_event else "signal", queue.pop(0))

    ours = [time for time, text in zip(EVENTS, TEXTS, strict=True) if text != "other"]
    sweeps = epochs(signal, ours[-last:], 0.1, 0.3)
    straight = run(
        TriggerAverage(before=0.1, after=0.3, last=last), signal=signal,
        events=marks(ours, ["S"] * len(ours)),
    )  # fmt: skip
    np.testing.assert_allclose(rig.newest("mean"), sweeps.mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(rig.newest("mean"), straight["mean"].data[-1])
    np.testing.assert_array_equal(rig.newest("variance"), straight["variance"].data[-1])
    assert (node.n_sweeps, node.n_late, node.n_incomplete, node.n_waiting) == (6, 0, 0, 0)


# --- conditions ---------------------------------------------------------------------------------


def test_conditions_lie_one_below_the_other() -> None:
    signal = noise()
    node = TriggerAverage(before=0.1, after=0.3, select={"a": "S  1", "b": r"S +[0-9]"})

    result = run(node, signal=signal, events=marks())

    mean = result["mean"].data[-1].reshape(2, 81, 3)
    for name, texts, found in zip("ab", (["S  1"], ["S  2", "S  3"]), mean, strict=True):
        times = [time for time, text in zip(EVENTS, TEXTS, strict=True) if text in texts]
        sweeps = epochs(signal, times, 0.1, 0.3)
        np.testing.assert_allclose(found, sweeps.mean(axis=0), rtol=1e-12, err_msg=name)
    assert result["condition"].data == ["a", "b", "a", "b", "a", "b"]
    assert node.n_averaged == [3, 3]


def test_a_condition_without_sweeps_is_nan() -> None:
    select = {"a": "S  1", "none": "never"}

    result = run(TriggerAverage(select=select), signal=noise(), events=marks())

    mean = result["mean"].data[-1].reshape(2, 201, 3)
    assert np.isfinite(mean[0]).all()
    assert np.isnan(mean[1]).all()


def test_a_pattern_fits_whole_texts_only() -> None:
    node = TriggerAverage(select={"one": "1"})

    run(node, signal=noise(), events=marks([1.0, 2.0, 3.0], ["1", "10", "21"]))

    assert node.n_sweeps == 1


def test_frames_say_what_their_rows_and_columns_are() -> None:
    rig = Rig(TriggerAverage(before=0.1, after=0.3, channels=["Oz", "Cz"], select={"a\0": "x"}))

    info = rig.given["mean"].infos[-1]

    desc = ET.fromstring(info.description)
    assert (info.kind, info.dtype, info.sample_shape) == ("frames", "float64", (81, 2))
    assert [e.text for e in desc.iterfind("channels/channel/label")] == ["Oz", "Cz"]
    assert [e.text for e in desc.iterfind("sweeps/condition")] == ["a\ufffd"]
    assert desc.findtext("sweeps/first_sample") == "-0.1"
    assert desc.findtext("sweeps/sampling_rate") == "200.0"


# --- sweeps that do not count -------------------------------------------------------------------


def test_the_baseline_is_subtracted() -> None:
    signal = noise(dtype="float32")
    node = TriggerAverage(before=0.1, after=0.3, baseline=[-0.1, 0])

    result = run(node, signal=signal, events=marks())

    sweeps = epochs(signal, EVENTS, 0.1, 0.3)
    expected = sweeps - sweeps[:, :21].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(result["sweep"].data, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "n_rejected"),
    [({"reject_above": 700}, 1), ({"reject_range": 700}, 2), ({"reject_above": 3000}, 0)],
)
def test_large_sweeps_are_rejected(parameters: dict[str, Any], n_rejected: int) -> None:
    signal = noise()
    signal.data[220, 1] = -800.0
    signal.data[[660, 661], 2] = 600.0, -600.0
    node = TriggerAverage(before=0.1, after=0.1, **parameters)

    run(node, signal=signal, events=marks([0.4, 1.1, 3.3], ["", "", ""]))

    assert (node.n_rejected, node.n_sweeps) == (n_rejected, 3 - n_rejected)


def test_the_amplitude_counts_after_the_baseline() -> None:
    signal = noise()
    signal.data[:] += 5000
    node = TriggerAverage(before=0.1, after=0.1, baseline=[-0.1, 0], reject_above=400)

    run(node, signal=signal, events=marks())

    assert (node.n_rejected, node.n_sweeps) == (0, 7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_left_out_and_counted(value: float) -> None:
    signal = noise()
    signal.data[80, 2] = value
    node = TriggerAverage(before=0.1, after=0.1)

    result = run(node, signal=signal, events=marks([0.4, 1.1], ["", ""]))

    assert (node.n_not_finite, node.n_sweeps) == (1, 1)
    assert np.isfinite(result["mean"].data).all()


def test_events_at_no_time_are_counted() -> None:
    node = TriggerAverage()
    rig = Rig(node)

    rig.feed("events", marks([np.nan, np.inf, 1.0]))
    rig.feed("signal", noise())

    assert (node.n_not_finite, node.n_sweeps) == (2, 1)


def test_sweeps_over_a_gap_are_incomplete() -> None:
    node = TriggerAverage(before=0.1, after=0.3)
    rig = Rig(node)
    rig.feed("events", marks([0.9, 1.1, 2.3], ["", "", ""]))
    gap = Gap(Cause.DEVICE, 0, 400, 200)

    rig.feed("signal", noise(200))
    rig.feed("signal", noise(400, start=2.0, index=400, gaps=(gap,)))

    assert (node.n_incomplete, node.n_sweeps, node.n_waiting) == (2, 1, 0)
    assert not rig.given["sweep"].gaps


def test_averages_go_on_over_a_new_epoch_and_no_sweep_spans_it() -> None:
    node = TriggerAverage(before=0.1, after=0.3)
    rig = Rig(node)
    rig.feed("events", marks([0.5, 0.9, 1.5], ["", "", ""]))

    rig.feed("signal", noise(200))
    rig.announce("signal", INFO, new_epoch=True)
    rig.feed("signal", noise(400, start=1.0, epoch=1))

    assert (node.n_sweeps, node.n_incomplete) == (2, 1)
    assert node.n_averaged == [2]
    assert rig.given["mean"].epochs == [0, 1]


def test_other_channels_begin_anew() -> None:
    node = TriggerAverage(before=0.1, after=0.3)
    rig = Rig(node)
    rig.feed("signal", noise())
    rig.feed("events", marks())

    rig.announce("signal", StreamInfo.signal("amp.signal", channels=2, sampling_rate=RATE))

    assert node.n_sweeps == 0
    assert rig.given["mean"].infos[-1].sample_shape == (81, 2)


# --- clocks, commands, parameters ---------------------------------------------------------------


def test_stamps_of_other_clocks_meet_on_the_local_one() -> None:
    signal, events = noise(), marks()
    signal.clock = ClockModel(offset=100.0)
    events.clock = ClockModel(offset=98.0, drift=1e-3, reference=2.0)

    result = run(TriggerAverage(before=0.1, after=0.3), signal=signal, events=events)

    times = [time for time in events.timestamps.tolist() if time >= 100.1]
    np.testing.assert_array_equal(result["sweep"].data, epochs(signal, times, 0.1, 0.3))
    np.testing.assert_array_equal(result["sweep"].raw_timestamps, times)


def test_reset_forgets_averages_counts_and_waiting_events() -> None:
    node = TriggerAverage(before=0.1, after=0.3)
    rig = Rig(node)
    rig.feed("signal", noise())
    rig.feed("events", marks([-3.0, 1.0, 4.9], ["", "", ""]))

    node.reset()
    rig.feed("signal", noise(start=5.0, index=1000))
    rig.feed("events", marks([6.0], [""]))

    assert (node.n_sweeps, node.n_averaged, node.n_late, node.n_waiting) == (1, [1], 0, 0)
    np.testing.assert_array_equal(rig.newest("mean"), rig.newest("sweep"))


def test_the_mean_is_given_after_every_so_many_sweeps() -> None:
    result = run(TriggerAverage(every=3, after=0.5), signal=noise(), events=marks())

    assert result["mean"].raw_timestamps.tolist() == [1.2, 4.0]
    assert len(result["sweep"]) == 7


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"select": {"a": "("}}, "select"),
        ({"baseline": [-0.5, 0]}, "within -0.2 s and 0.8 s"),
        ({"baseline": [0.0]}, "baseline"),
        ({"baseline": [0.1, 0.0]}, "baseline"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        TriggerAverage(**parameters)


def test_an_irregular_signal_is_refused() -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=0)

    with pytest.raises(NodeError, match="irregular"):
        Rig(TriggerAverage(), info)
