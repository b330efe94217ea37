"""Recorders of NWB files that are killed, power cuts, and captures that are cut."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pynwb
import pytest
from tests.unit.recording.killed import (
    ATTEMPTS,
    check_recovered,
    killed_recorder,
    sealing_dies_at_byte,
    sealing_dies_at_share,
)

from rigmesh.recording import Capture, read_info, recover
from rigmesh.streams import Chunk, Signal, StreamInfo

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]
ReadEpochs = Callable[[Path], dict[tuple[str, int], list[Any]]]

N = 200_000


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "session.nwb"


def samples(path: Path, attempt: int) -> list[int]:
    """Return channel 0 as pynwb reads it; one attempt of five, and all soaks, validate the file."""
    with pynwb.NWBHDF5IO(path, "r") as io:
        if attempt % 5 == 0 or attempt > 5:
            assert pynwb.validate(io=io) == []
        series = io.read().acquisition.get("amp.signal")
        if series is None:
            return []
        assert len(series.timestamps) == len(series.data)
        numbers: list[int] = series.data[:, 0].tolist()
        return numbers


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_killed_recorder_loses_nothing_it_had_reported(target: Path, attempt: int) -> None:
    promised = killed_recorder(target, "nwb", n_commits=random.Random(attempt).randint(1, 60))

    check_recovered(target, promised)
    found = samples(target, attempt)
    assert found == [n + 100 * (n // 200) for n in range(len(found))]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_recorder_killed_within_a_write_loses_nothing_it_had_reported(
    target: Path, attempt: int
) -> None:
    promised = killed_recorder(target, "nwb", limit=random.Random(attempt).randint(5_000, 10**6))

    check_recovered(target, promised)
    found = samples(target, attempt)
    assert found == [n + 100 * (n // 200) for n in range(len(found))]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished capture of many samples, each of which is its own number."""
    info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=1000, dtype="int32", unit="uV")
    path = tmp_path_factory.mktemp("large") / "session.nwb"
    capture = Capture.create(path, "run-1", {}, "nwb", {"compression": "none"})
    numbers = np.arange(N)
    data = np.stack([numbers, numbers], axis=1).astype("int32")
    capture.append(Signal(data, 100 + numbers / 1000, info=info))
    capture.finish({"amp.signal": {0: (0, N)}})
    return capture.folder


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_sealer_killed_within_a_write_loses_nothing(
    large: Path, target: Path, in_child: InChild, attempt: int
) -> None:
    folder = shutil.copytree(large, target.with_name(large.name))
    limit = random.Random(attempt).randint(0, 16 * N)

    status = in_child(sealing_dies_at_byte(folder, limit))

    assert status == -signal.SIGXFSZ
    assert not target.exists()
    _check_large(recover(target), attempt)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_sealer_killed_between_two_steps_loses_nothing(
    large: Path, target: Path, in_child: InChild, attempt: int
) -> None:
    folder = shutil.copytree(large, target.with_name(large.name))

    status = in_child(sealing_dies_at_share(folder, random.Random(attempt).random()))

    assert status == -signal.SIGKILL
    _check_large(recover(target), attempt)


def _check_large(path: Path, attempt: int) -> None:
    assert list(path.parent.iterdir()) == [path]
    assert read_info(path).verdict == "OK"
    assert samples(path, attempt) == list(range(N))


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_capture_cut_anywhere_keeps_what_is_whole(
    target: Path,
    make_finished: Callable[[Path], Path],
    read_epochs: ReadEpochs,
    attempt: int,
) -> None:
    dice = random.Random(attempt)
    whole = read_epochs(make_finished(target))
    files = [
        p for p in target.parent.rglob("*") if p.suffix in (".bin", ".dat", ".stamps", ".text")
    ]
    cut = dice.choice(sorted(files))
    os.truncate(cut, dice.randrange(cut.stat().st_size))

    recover(target)

    assert read_info(target).verdict.startswith("FAILED")
    found = read_epochs(target)
    assert all(rows == whole[key][: len(rows)] for key, rows in found.items())
    of_signal = [
        n for (name, _), rows in sorted(found.items()) if name == "amp.signal" for n in rows
    ]
    assert samples(target, attempt) == of_signal


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_power_cut_takes_only_what_was_not_committed(
    target: Path, chunk: MakeChunk, attempt: int
) -> None:
    dice = random.Random(attempt)
    capture = Capture.create(target, "run-1", {}, "nwb")
    committed = dice.randrange(1, 500)
    capture.append(chunk(0, committed))
    capture.commit()
    capture.append(chunk(committed, committed + 300))
    capture.close()
    _cut_power(capture.folder, committed, dice)

    recover(target)

    assert samples(target, attempt) == list(range(committed))


def _cut_power(folder: Path, committed: int, dice: random.Random) -> None:
    """Leave of what was not synced what a disk may: some of it, and zeros that nobody wrote."""
    stream = folder / "streams" / "amp.signal"
    for name, row_bytes in (("0.dat", 8), ("0.stamps", 8)):
        file = stream / name
        kept = committed * row_bytes
        content = file.read_bytes()[: kept + dice.randrange(300 * row_bytes)]
        file.write_bytes(content + bytes(dice.randrange(5000)))
    manifest = folder / "recording.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"clock_id": "', '"clock_id": "before-'), encoding="utf-8")
