"""Files that refer to the captured samples: read by strangers, moved, and never lost on the way."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.unit.recording.killed import ATTEMPTS, sealing_dies_at_byte

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, hdf5, open_recording, read_info, recover, seal
from rigmesh.streams import Cause, Chunk, ClockModel, Frames, Gap, Signal, StreamInfo
from rigmesh.streams.info import DTYPES

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]


@pytest.fixture
def capture(target: Path) -> Iterator[Capture]:
    made = Capture.create(target, "run-1", {}, "hdf5", {"link": True})
    yield made
    made.close()


@pytest.fixture
def finished(capture: Capture, chunk: MakeChunk, events: StreamInfo) -> Path:
    """A finished capture of 35,000 samples in two epochs, a gap, a clock and 3 texts."""
    clock = ClockModel(offset=7.0, drift=1e-5, reference=100.0, uncertainty=1e-4)
    capture.append(chunk(0, 10_000))
    capture.append(chunk(10_005, 20_005, gaps=(Gap(Cause.OVERRUN, 0, 10_005, 5),)))
    capture.append(chunk(0, 3, events))
    capture.append(chunk(0, 15_000, epoch=1, clock=clock))
    capture.finish({"amp.signal": {0: (0, 20_005), 1: (0, 15_000)}, "box.events": {0: (0, 3)}})
    return capture.folder


NUMBERS = [*range(10_000), *range(10_005, 20_005), *range(15_000)]


def numbers(path: Path) -> list[int]:
    """Return channel 0 as h5py reads it."""
    with h5py.File(path) as file:
        found: list[int] = file["streams/amp.signal/data"][:, 0].tolist()
        return found


def numbers_of_ours(path: Path) -> list[int]:
    with open_recording(path) as recording:
        found: list[int] = recording.streams["amp.signal"].data[:][:, 0].tolist()
        return found


def test_a_stranger_reads_samples_that_are_not_in_the_file(finished: Path, target: Path) -> None:
    size = (finished / "streams" / "amp.signal" / "0.dat").stat().st_size
    with open_recording(finished) as recording:
        stream = recording.streams["amp.signal"]
        local, raw = stream.timestamps[:], stream.raw_timestamps[:]

    assert seal(finished) == target

    with h5py.File(target) as file:
        group = file["streams/amp.signal"]
        assert group["data"][:, 0].tolist() == NUMBERS
        assert group["data"][19_998:20_002, 1].tolist() == NUMBERS[19_998:20_002]
        assert group["timestamps"][:].tolist() == local.tolist()
        assert group["raw_timestamps"][:].tolist() == raw.tolist()
        assert [name for name, _, _ in group["data"].external] == [
            str(target.with_name("session.h5.data") / "streams" / "amp.signal" / name)
            for name in ("0.dat", "1.dat")
        ]
        assert file["streams/box.events/data"].asstr()[:].tolist() == ["text 0", "text 1", "text 2"]
        assert "pyramid" in group
    assert sorted(path.name for path in target.parent.iterdir()) == [
        "session.h5", "session.h5.data",
    ]  # fmt: skip
    kept = target.with_name("session.h5.data") / "streams" / "amp.signal" / "0.dat"
    assert kept.stat().st_size == size
    assert read_info(target).verdict.startswith("OK with gaps (1")
    assert numbers_of_ours(target) == NUMBERS


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "text"])
def test_every_dtype_is_referred_to_bit_for_bit(capture: Capture, target: Path, dtype: str) -> None:
    data = np.frombuffer(random.Random(7).randbytes(500 * 3 * np.dtype(dtype).itemsize), dtype)
    data = data.reshape(500, 3)
    info = StreamInfo.signal("amp.signal", channels=3, sampling_rate=0, dtype=dtype)
    capture.append(Signal(data, np.arange(500.0), info=info))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        found = file["streams/amp.signal/data"][:]

    assert found.dtype.name == dtype
    assert found.tobytes() == data.tobytes()


def test_frames_are_referred_to(capture: Capture, target: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype="uint8")
    info = StreamInfo.frames("cam.frames", shape=(4, 5, 3), sampling_rate=30)
    capture.append(Frames(data, np.arange(7) / 30, info=info))
    capture.finish()

    with h5py.File(seal(capture)) as file:
        np.testing.assert_array_equal(file["streams/cam.frames/data"][:], data)


def test_a_recording_of_nothing_is_linked(capture: Capture, amp: StreamInfo) -> None:
    capture.describe(amp)
    capture.finish()

    with h5py.File(seal(capture)) as file:
        assert file["streams/amp.signal/data"].shape == (0, 2)


def test_a_moved_file_is_read_with_the_folder_beside_it(finished: Path, tmp_path: Path) -> None:
    target = seal(finished)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in (target, target.with_name("session.h5.data")):
        shutil.move(path, elsewhere / path.name)
    moved = elsewhere / "session.h5"

    assert numbers_of_ours(moved) == NUMBERS
    with pytest.raises(OSError, match="external"):
        numbers(moved)
    assert recover(moved) == moved
    assert numbers(moved) == NUMBERS
    assert not list(elsewhere.glob("*.part"))
    assert read_info(moved).verdict.startswith("OK with gaps")


def test_a_file_without_its_folder_says_so(finished: Path) -> None:
    target = seal(finished)
    target.with_name("session.h5.data").rename(target.with_name("lost"))

    with pytest.raises(RecordingError, match="keep that folder beside the file"):
        read_info(target)


def test_a_file_that_is_gone_is_made_anew_from_its_folder(finished: Path) -> None:
    target = seal(finished)
    target.unlink()

    assert recover(target) == target
    assert numbers(target) == NUMBERS


def test_a_folder_of_that_name_is_left_alone(finished: Path, target: Path) -> None:
    other = target.with_name("session.h5.data")
    other.mkdir()
    (other / "precious").touch()

    with pytest.raises(RecordingError, match=r"session\.h5\.data exists.* move it away"):
        seal(finished)

    assert (other / "precious").exists()
    shutil.rmtree(other)
    assert numbers(recover(target)) == NUMBERS


def test_it_works_where_there_are_no_symbolic_links(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)

    assert numbers(seal(finished)) == NUMBERS


def test_what_a_file_refers_to_is_compared_with_the_capture(
    finished: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = hdf5.write_linked

    def write_wrongly(recording: Any, path: Path, *rest: Any) -> None:
        write(recording, path, *rest)
        with h5py.File(path, "r+") as file:
            group = file["streams/amp.signal"]
            (name, at, size), second = group["data"].external
            del group["data"]
            group.create_dataset("data", (35_000, 2), "<i4", external=[second, (name, at, size)])

    monkeypatch.setattr(hdf5, "write_linked", write_wrongly)

    with pytest.raises(RecordingError, match=r"amp\.signal: data .* differ"):
        seal(finished)

    assert not target.exists()
    assert read_info(finished).verdict.startswith("OK with gaps")


def test_samples_that_vanished_make_the_verdict(finished: Path, target: Path) -> None:
    samples = finished / "streams" / "amp.signal" / "1.dat"
    os.truncate(samples, 14_000 * 8 + 3)

    seal(finished)

    assert "1000 samples are gone" in read_info(target).verdict
    assert numbers(target) == NUMBERS[:34_000]


def test_sealing_can_be_killed_at_any_step(
    finished: Path, target: Path, in_child: InChild, die_at: Callable[[int, Path], None]
) -> None:
    kept = target.parent.with_name(f"{target.parent.name}-kept")
    shutil.copytree(finished, kept)
    folder, step, status = target.parent, 0, -9
    while status:
        step += 3
        shutil.rmtree(folder)
        folder.mkdir()
        shutil.copytree(kept, finished)

        def die_sealing(step: int = step) -> None:
            die_at(step, folder)
            recover(target)

        status = in_child(die_sealing)

        assert status in (0, -9)
        assert recover(target) == target
        assert sorted(path.name for path in folder.iterdir()) == ["session.h5", "session.h5.data"]
        assert numbers(target) == numbers_of_ours(target) == NUMBERS

    assert step > 20


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_sealer_killed_within_a_write_loses_nothing(
    finished: Path, target: Path, in_child: InChild, attempt: int
) -> None:
    copied = shutil.copytree(finished, target.parent / "other" / finished.name)
    size = seal(copied).stat().st_size
    shutil.rmtree(copied.parent)
    limit = random.Random(attempt).randrange(size)

    status = in_child(sealing_dies_at_byte(finished, limit))

    assert status == -signal.SIGXFSZ
    assert not target.exists()
    assert numbers(recover(target)) == NUMBERS
