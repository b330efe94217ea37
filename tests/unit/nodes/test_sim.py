from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from scipy.signal import welch

from rigmesh.errors import NodeError, StreamFormatError
from rigmesh.node import Node
from rigmesh.node.testing import TestRuntime, collect, run
from rigmesh.streams import Chunk, ClockModel, Gap, Signal, local_clock
from rigmesh_nodes.sim import EEG, Blocks, Camera, Markers, Oscillators, frame_number


def started(seconds_ago: float) -> TestRuntime:
    runtime = TestRuntime(context={"resumed": True})
    runtime.run_start = local_clock() - seconds_ago
    return runtime


Dtype = Literal["float32", "float64", "int8", "int16", "int32"]
SMALL: list[Callable[..., Node]] = [
    lambda **more: Oscillators(n_channels=3, **more),
    lambda **more: EEG(channels=["Fp1", "O1"], **more),
    lambda **more: Camera(width=64, height=32, sampling_rate=500, **more),
    lambda **more: Markers(period=0.002, jitter=0.001, **more),
]
each_device = pytest.mark.parametrize("make", SMALL, ids=["sines", "eeg", "camera", "markers"])


@each_device
def test_an_unpaced_device_gives_so_many_samples_from_time_zero(make: Callable[..., Node]) -> None:
    chunk = run(make(paced=False, n_samples=25))

    assert len(chunk) == 25
    assert 0.0 <= chunk.raw_timestamps[0] <= 0.001


@each_device
def test_an_endless_device_stops_when_it_is_told(make: Callable[..., Node]) -> None:
    chunk = run(make(paced=False), max_samples=40)

    assert len(chunk) >= 40


@each_device
def test_a_paced_device_goes_on_where_its_count_is_by_now(make: Callable[..., Node]) -> None:
    runtime = started(seconds_ago=1.0)
    node = make(n_samples=5)

    chunk = run(node, runtime=runtime)

    (output,) = node.bound_outputs()
    assert output.device_index is not None
    whole = run(make(paced=False, n_samples=output.device_index + 5))
    assert chunk.raw_timestamps[0] >= runtime.run_start + 1.0
    np.testing.assert_array_equal(
        chunk.raw_timestamps, runtime.run_start + whole.raw_timestamps[-5:]
    )
    np.testing.assert_array_equal(np.array(chunk.data), np.array(whole.data[-5:]))


@each_device
def test_a_paced_device_waits_for_the_start_of_the_run(make: Callable[..., Node]) -> None:
    runtime = started(seconds_ago=-0.25)
    node = make(n_samples=5)

    chunk = run(node, runtime=runtime)

    (output,) = node.bound_outputs()
    assert output.device_index == 0
    assert local_clock() >= chunk.raw_timestamps[-1] >= runtime.run_start


@each_device
def test_an_unpaced_device_has_no_count_to_go_on_with(make: Callable[..., Node]) -> None:
    node = make(paced=False, n_samples=5)

    run(node, runtime=started(seconds_ago=1.0))

    (output,) = node.bound_outputs()
    assert output.device_index is None


class Watch:
    """Notes how late each chunk comes; holds the device up at the first one."""

    def __init__(self, hold: float = 0.0) -> None:
        self.late: list[float] = []
        self._hold = hold

    def announced(self, output: Any) -> None: ...
    def lost(self, gap: Gap) -> None: ...
    def clock_changed(self, clock: ClockModel) -> None: ...
    def ended(self) -> None: ...

    def deliver(self, chunk: Chunk) -> None:
        self.late.append(local_clock() - float(chunk.raw_timestamps[-1]))
        if len(self.late) == 1:
            threading.Event().wait(self._hold)


def test_no_sample_comes_before_its_time() -> None:
    node = Oscillators(n_samples=100, chunk_duration=5)
    watch = Watch()
    node.signal.add_target(watch)

    run(node, runtime=started(seconds_ago=0.0))

    assert len(watch.late) == 20
    assert min(watch.late) >= 0.0


def test_a_device_that_was_held_up_catches_up_without_a_loss() -> None:
    node = Oscillators(n_samples=400, chunk_duration=5, sample_number=True, dtype="int32")
    watch = Watch(hold=0.2)
    node.signal.add_target(watch)

    chunk = run(node, runtime=started(seconds_ago=0.0))

    assert set(np.diff(chunk.data[:, 0])) == {1}
    assert watch.late[1] > 0.15
    assert min(watch.late[-20:]) < 0.1


def test_the_pieces_of_a_device_are_as_long_as_asked() -> None:
    node = Oscillators(paced=False, n_samples=70, sampling_rate=1000, chunk_duration=20)

    pieces = collect(node)["signal"].chunks

    assert [len(piece) for piece in pieces] == [20, 20, 20, 10]


def test_blocks_give_the_same_samples_however_they_are_cut() -> None:
    blocks = Blocks(lambda number: np.arange(10 * number, 10 * number + 10), 10)

    assert blocks(3, 7).tolist() == [3, 4, 5, 6]
    assert blocks(8, 31).tolist() == list(range(8, 31))
    assert blocks(5, 6).tolist() == [5]


def test_what_blocks_give_is_read_only() -> None:
    blocks = Blocks(lambda number: np.zeros(10), 10)

    with pytest.raises(ValueError, match="read-only"):
        blocks(0, 5)[0] = 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int16", "int32"])
def test_chunking_never_changes_the_data(dtype: Dtype) -> None:
    def chunks_of(milliseconds: float) -> Any:
        node = Oscillators(
            paced=False, n_samples=1000, chunk_duration=milliseconds, dtype=dtype, seed=4
        )
        return run(node)

    whole = chunks_of(1000)

    assert np.array_equal(whole.data, chunks_of(1).data)
    assert np.array_equal(whole.data, chunks_of(7).data)
    assert np.array_equal(whole.data, chunks_of(300).data)


def test_the_sines_are_exact_and_cycle_over_the_channels() -> None:
    node = Oscillators(
        n_channels=3, frequencies=[7, 12.5], amplitude=50, noise=0, dtype="float64",
        paced=False, n_samples=5000, sampling_rate=1000,
    )  # fmt: skip

    chunk = run(node)

    times = np.arange(5000) / 1000
    np.testing.assert_array_equal(chunk.raw_timestamps, times)
    for channel, frequency in enumerate([7, 12.5, 7]):
        np.testing.assert_allclose(
            chunk.data[:, channel], 50 * np.sin(2 * np.pi * frequency * times), atol=1e-9
        )


def test_the_phase_is_kept_after_days() -> None:
    runtime = started(seconds_ago=3 * 86400)
    node = Oscillators(
        n_channels=1, frequencies=[250], amplitude=1, noise=0, dtype="float64", n_samples=400
    )

    chunk = run(node, runtime=runtime)

    assert node.signal.device_index is not None
    numbers = node.signal.device_index + np.arange(400)
    quarter_turns = np.array([0.0, 1.0, 0.0, -1.0])
    np.testing.assert_allclose(chunk.data[:, 0], quarter_turns[numbers % 4], atol=1e-9)


def test_the_noise_is_white_and_as_strong_as_asked() -> None:
    node = Oscillators(amplitude=0, noise=5, paced=False, n_samples=20_000)

    data = run(node).data

    assert data.std(axis=0) == pytest.approx(np.full(8, 5), rel=0.05)
    assert np.abs(np.corrcoef(data.T) - np.eye(8)).max() < 0.05
    assert abs(np.corrcoef(data[:-1, 0], data[1:, 0])[0, 1]) < 0.05


def test_another_seed_makes_another_noise() -> None:
    one = run(Oscillators(paced=False, n_samples=100, seed=1))
    other = run(Oscillators(paced=False, n_samples=100, seed=2))

    assert not np.any(one.data == other.data)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32", "float64"])
def test_channel_0_counts_the_samples_and_wraps_with_its_type(dtype: Dtype) -> None:
    node = Oscillators(
        n_channels=2, sampling_rate=30_000, sample_number=True, dtype=dtype,
        paced=False, n_samples=100_000, chunk_duration=33,
    )  # fmt: skip

    chunk = run(node)

    np.testing.assert_array_equal(chunk.data[:, 0], np.arange(100_000).astype(dtype))


def test_a_float32_counts_on_where_it_would_run_out_of_digits() -> None:
    runtime = started(seconds_ago=2**24 / 1000 + 5.0)
    node = Oscillators(n_channels=1, sample_number=True, n_samples=20)

    chunk = run(node, runtime=runtime)

    assert node.signal.device_index is not None
    assert node.signal.device_index > 2**24
    np.testing.assert_array_equal(
        chunk.data[:, 0], node.signal.device_index % 2**24 + np.arange(20)
    )


def test_integers_saturate_as_a_converter_does() -> None:
    node = Oscillators(amplitude=1e6, noise=0, dtype="int16", paced=False, n_samples=1000)

    data = run(node).data

    assert data.dtype == np.int16
    assert (data.min(), data.max()) == (-(2**15), 2**15 - 1)


def spectrum(chunk: Signal, rate: float) -> tuple[Any, Any]:
    frequencies, power = welch(chunk.data, fs=rate, nperseg=int(4 * rate), axis=0)
    return frequencies, power


def test_eeg_describes_its_electrodes() -> None:
    node = EEG(paced=False, n_samples=1)

    run(node)

    info = node.signal.info
    assert info.stype == "EEG"
    assert info.channel_names[:2] == ("Fp1", "Fp2")
    assert {(c.unit, c.type) for c in info.channels} == {("uV", "EEG")}


@pytest.mark.parametrize("milliseconds", [4, 30, 1700])
def test_the_chunks_of_eeg_never_change_it(milliseconds: float) -> None:
    whole = run(EEG(paced=False, n_samples=3000, chunk_duration=60_000))

    pieces = run(EEG(paced=False, n_samples=3000, chunk_duration=milliseconds))

    assert np.array_equal(whole.data, pieces.data)


def test_the_background_of_eeg_is_1_over_f() -> None:
    node = EEG(
        alpha=0, line_noise=0, background=10, paced=False, n_samples=60_000, chunk_duration=1000
    )

    chunk = run(node)

    frequencies, power = spectrum(chunk, 250)
    band = (frequencies >= 1) & (frequencies <= 80)
    slope, _ = np.polyfit(np.log(frequencies[band]), np.log(power[band].mean(axis=1)), 1)
    assert slope == pytest.approx(-1, abs=0.1)
    assert chunk.data.std(axis=0) == pytest.approx(np.full(19, 10), rel=0.1)


def test_no_seam_shows_between_blocks_of_eeg() -> None:
    node = EEG(alpha=0, line_noise=0, paced=False, n_samples=100_000, chunk_duration=1000)

    steps = np.abs(np.diff(run(node).data, axis=0)).mean(axis=1)

    at_seams = steps[499::500]
    assert at_seams.mean() == pytest.approx(steps.mean(), rel=0.1)


def test_alpha_is_strongest_at_the_back_of_the_head_and_comes_in_bursts() -> None:
    node = EEG(
        channels=["Fz", "O1"],
        background=1,
        line_noise=0,
        paced=False,
        n_samples=60_000,
        chunk_duration=1000,
    )

    chunk = run(node)

    frequencies, power = spectrum(chunk, 250)
    assert frequencies[power[:, 1].argmax()] == pytest.approx(10, abs=0.5)
    assert power[:, 1].max() > 10 * power[40, 0]
    seconds = chunk.data[:, 1].reshape(-1, 125).std(axis=1)
    assert seconds.max() > 3 * seconds.min()


def test_line_noise_is_at_its_frequency_and_nowhere_beyond_half_the_rate() -> None:
    def line(sampling_rate: float) -> Any:
        node = EEG(
            line_frequency=50, line_noise=3, alpha=0, background=0,
            sampling_rate=sampling_rate, paced=False, n_samples=2000,
        )  # fmt: skip
        return run(node)

    at_50, beyond = line(250), line(100)

    expected = 3 * np.sin(2 * np.pi * 50 * np.arange(2000) / 250)
    np.testing.assert_allclose(at_50.data[:, 3], expected, atol=1e-5)
    assert not beyond.data.any()


def test_an_alpha_rhythm_that_the_rate_cannot_carry_is_refused() -> None:
    with pytest.raises(NodeError, match=r"alpha_frequency is below half .* 16 Hz; found 10 Hz"):
        run(EEG(sampling_rate=16, paced=False, n_samples=1))


@pytest.mark.parametrize("rgb", [False, True])
def test_every_frame_carries_its_number(rgb: bool) -> None:
    node = Camera(width=96, height=72, rgb=rgb, paced=False, n_samples=300)

    chunk = run(node)

    assert chunk.data.dtype == np.uint8
    assert chunk.data.shape == (300, 72, 96, 3) if rgb else (300, 72, 96)
    assert [frame_number(frame) for frame in chunk.data] == list(range(300))


def test_a_frame_number_survives_noise() -> None:
    frame = run(Camera(paced=False, n_samples=200)).data[-1].astype(float)

    frame += np.random.default_rng(0).normal(0, 60, frame.shape)

    assert frame_number(frame.clip(0, 255)) == 199


def test_a_frame_without_room_for_a_number_is_refused() -> None:
    with pytest.raises(StreamFormatError, match=r"32 rows of 64 pixels.*\(20, 64\)"):
        frame_number(np.zeros((20, 64), dtype=np.uint8))


def test_the_spot_goes_round_in_its_period() -> None:
    node = Camera(width=320, height=240, sampling_rate=20, spot_period=1, paced=False, n_samples=41)

    frames = run(node).data[:, 33:, :].astype(float) - 16

    brightest = frames.reshape(41, -1).argmax(axis=1)
    columns, rows = brightest % 320, brightest // 320 + 33
    np.testing.assert_allclose(columns[[0, 5, 10, 15]], [256, 160, 64, 160], atol=1)
    np.testing.assert_allclose(rows[[0, 5, 10, 15]], [120, 192, 120, 48], atol=1)
    np.testing.assert_array_equal(brightest[:21], brightest[20:])


def test_markers_are_numbered_and_regular() -> None:
    chunk = run(Markers(period=0.25, paced=False, n_samples=4))

    assert chunk.data == ["event 0", "event 1", "event 2", "event 3"]
    assert chunk.raw_timestamps.tolist() == [0.0, 0.25, 0.5, 0.75]


def test_the_texts_of_markers_come_over_and_over_again() -> None:
    chunk = run(Markers(texts=["left", "right {n}"], paced=False, n_samples=4))

    assert chunk.data == ["left", "right 1", "left", "right 3"]


def test_jitter_delays_each_marker_by_chance_in_its_bounds() -> None:
    node = Markers(period=1, jitter=0.5, seed=3, paced=False, n_samples=400)

    stamps = run(node).raw_timestamps

    delays = stamps - np.arange(400)
    assert delays.min() >= 0
    assert delays.max() <= 0.5
    assert delays.std() == pytest.approx(0.5 / np.sqrt(12), rel=0.1)
    again = run(Markers(period=1, jitter=0.5, seed=3, paced=False, n_samples=400))
    np.testing.assert_array_equal(stamps, again.raw_timestamps)


def test_jitter_beyond_the_period_is_refused() -> None:
    with pytest.raises(NodeError, match=r"jitter is at most the period of 1 s.*found 2 s"):
        run(Markers(period=1, jitter=2, paced=False, n_samples=1))
