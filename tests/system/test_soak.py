"""Minutes of what the other tests do for seconds; run by `make soak`."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks.crash_check import FORMATS
from benchmarks.crashes import COUNTS, FAULTS, can_cut_power, measure
from benchmarks.loop.soak import soak
from tests.system.test_recorder_control import go_on, process_of, recorder_of, source_of
from tests.system.test_recording import Until, kill, load, produced, recording_of

from rigmesh.client import Manager
from rigmesh.recording import read_info
from rigmesh.streams import Cause

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


def test_384_channels_at_30_khz_are_recorded_for_a_minute_without_a_gap(
    manager: Manager, tmp_path: Path
) -> None:
    path = tmp_path / "file.h5"
    n_samples = 60 * 30_000
    _, recorder = recording_of(
        manager, path, n_channels=384, sampling_rate=30_000, dtype="int16", n_samples=n_samples
    )

    manager.start_all()
    recorder.wait("stopped", timeout=300)

    found = load(path)["source.signal"]
    expected = np.arange(n_samples) % 2**16
    np.testing.assert_array_equal(found.data[:, 0].astype(np.int64) % 2**16, expected)
    assert read_info(path).verdict == "OK"


@pytest.mark.parametrize("seed", range(10))
def test_what_is_killed_at_random_is_accounted_for(
    manager: Manager, tmp_path: Path, until: Until, seed: int
) -> None:
    chance = random.Random(seed)
    path = tmp_path / "file.h5"
    recording_of(manager, path, n_channels=8, sampling_rate=2000, dtype="float64")
    manager.start_all()

    def restarts() -> int:
        return sum(process.restarts for process in manager.status().processes)

    for _ in range(4):
        time.sleep(chance.uniform(0.5, 2.0))  # the moment is what is random
        before = restarts()
        kill(manager, chance.choice(["amp", "rec.record"]))
        until(lambda: restarts() > before)  # noqa: B023 (it is waited for at once)
    goal = produced(manager, "source.signal") + 1000
    until(lambda: produced(manager, "source.signal") > goal)
    manager.stop_all()

    found = load(path)["source.signal"]
    numbers = found.data[:, 0]
    holes = np.diff(numbers) - 1
    lost = sum(gap.count for gap in found.gaps if gap.cause is Cause.RESTART)
    assert (holes >= 0).all()
    assert lost == holes.sum()
    assert not read_info(path).verdict.startswith("FAILED")


def test_a_recorder_frozen_for_a_minute_holds_nobody_up_and_misses_a_counted_number(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "file.h5"
    recorder = recorder_of(manager, path, source_of(manager))
    manager.start_all()
    go_on(manager, until)
    process = process_of(manager, "rec.record")

    process.suspend()
    begin, before = time.monotonic(), produced(manager, "source.signal")
    time.sleep(60)  # its length is what is looked at
    took, made = time.monotonic() - begin, produced(manager, "source.signal") - before
    process.resume()
    go_on(manager, until, 2000)
    manager.stop_all()

    assert made / took == pytest.approx(1000, rel=0.02)  # the source was at its rate
    found = load(path)["source.signal"]
    numbers = found.data[:, 0]
    holes = np.diff(numbers).astype(int) - 1
    assert [gap.cause for gap in found.gaps] == [Cause.OVERRUN] * (holes > 0).sum()
    assert [gap.count for gap in found.gaps] == holes[holes > 0].tolist()
    assert 40_000 < holes.sum() < 60_000  # its ring held 10 s
    assert recorder.report["verdict"] == read_info(path).verdict
    assert read_info(path).verdict.startswith("OK with gaps")


@pytest.mark.parametrize(("phase", "fault"), FAULTS)
@pytest.mark.parametrize("name", FORMATS)
def test_whatever_dies_leaves_a_whole_recording(name: str, phase: str, fault: str) -> None:
    if fault == "power" and not can_cut_power():
        pytest.skip("this system lets nobody shut a file system down")

    found = measure(FORMATS[name], phase, fault, COUNTS[fault])

    assert not found.flaws
    assert found.is_good


def test_nothing_is_lost_in_ten_minutes_of_a_closed_loop() -> None:
    found, verdict = soak(600.0)

    assert found.packets > 3_000_000
    assert verdict.missing == {"packets": 0, "samples at the last stage": 0, "triggers": 0}
