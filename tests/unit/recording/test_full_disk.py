"""Disks that take no more."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, capture_folder, open_recording, read_info, seal
from rigmesh.streams import Cause, Chunk, Gap, StreamInfo

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]


def _rows(path: Path) -> list[int]:
    """Return channel 0, which carries the sample numbers."""
    with open_recording(path) as recording:
        numbers: list[int] = recording.streams["amp.signal"].data[:][:, 0].tolist()
        return numbers


def test_what_a_full_disk_does_not_take_is_one_gap(
    target: Path, chunk: MakeChunk, in_child: InChild
) -> None:
    def record() -> None:
        capture = Capture.create(target, "run-1", {})
        capture.append(chunk(0, 1000))
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_001, resource.RLIM_INFINITY))
        with pytest.raises(RecordingError, match="takes no more samples: File too large"):
            capture.append(chunk(1000, 2000))
        for start in range(2000, 5000, 1000):
            capture.append(chunk(start, start + 1000))
        capture.commit()
        assert capture.failure is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        capture.append(chunk(5000, 6000))
        capture.commit()
        assert capture.failure is None
        capture.finish({"amp.signal": {0: (0, 6000)}})

    assert in_child(record) == 0
    assert read_info(seal(capture_folder(target))).verdict == "OK with gaps (1, 4000.0 ms)"
    assert _rows(target) == [*range(1000), *range(5000, 6000)]
    with open_recording(target) as recording:
        (found,) = recording.streams["amp.signal"].gaps
    assert (found.row, found.gap) == (1000, Gap(Cause.DISK, 0, 5000, 4000, 4.0))


def test_a_journal_that_cannot_grow_is_caught_up_later(
    target: Path, chunk: MakeChunk, in_child: InChild
) -> None:
    def record() -> None:
        capture = Capture.create(target, "run-1", {})
        capture.append(chunk(0, 10))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        with pytest.raises(RecordingError, match="File too large"):
            capture.note({"kind": "note", "time": 0.0, "text": "0"})
        for number in range(1, 50):
            capture.note({"kind": "note", "time": 0.0, "text": str(number)})
        capture.append(chunk(10, 20, gaps=(Gap(Cause.DEVICE, 0, 10, 3),)))
        capture.commit()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        capture.append(chunk(20, 30))
        capture.finish({"amp.signal": {0: (0, 33)}})

    assert in_child(record) == 0
    assert read_info(target).verdict == "OK with gaps (2, 13.0 ms)"
    with open_recording(target) as recording:
        assert [note["text"] for note in recording.notes] == [str(n) for n in range(50)]


def test_samples_that_the_disk_forgets_at_the_commit_are_a_gap(
    capture: Capture, target: Path, chunk: MakeChunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture.append(chunk(0, 10))
    capture.commit()
    capture.append(chunk(10, 20, gaps=(Gap(Cause.DEVICE, 0, 10, 3),)))
    capture.append(chunk(20, 30, gaps=(Gap(Cause.DEVICE, 0, 20, 2),)))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", _refuse)
        with pytest.raises(RecordingError, match="Input/output error"):
            capture.commit()
    capture.append(chunk(30, 40))
    capture.finish({"amp.signal": {0: (0, 45)}})

    assert read_info(target).verdict == "OK with gaps (3, 25.0 ms)"
    assert _rows(target) == [*range(10), *range(30, 40)]
    with open_recording(target) as recording:
        assert [found.row for found in recording.streams["amp.signal"].gaps] == [10, 10, 10]


def test_a_stream_that_never_found_room_is_not_forgotten(
    target: Path, chunk: MakeChunk, events: StreamInfo, in_child: InChild
) -> None:
    def record() -> None:
        capture = Capture.create(target, "run-1", {})
        capture.describe(events)
        (capture.folder / "streams").rmdir()
        (capture.folder / "streams").touch()  # where folders should be made
        with pytest.raises(RecordingError, match="takes no more samples"):
            capture.append(chunk(0, 7, events))
        capture.finish({"box.events": {0: (0, 7)}})

    assert in_child(record) == 0
    assert read_info(target).verdict == "OK with gaps (1, 0.0 ms)"
    assert read_info(target).streams[0].missing == 7


def _refuse(fd: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
