"""What is said about a recording."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, capture_folder, read_info, seal
from rigmesh.streams import Cause, Chunk, Gap, StreamInfo

MakeChunk = Callable[..., Chunk]


@pytest.mark.parametrize(
    ("produced", "verdict"),
    [
        (112, "OK with gaps (3, 1012.0 ms)"),
        (
            113,
            "FAILED (amp.signal, epoch 1: 113 samples were produced, 100 are recorded and 12 "
            "known to be missing)",
        ),
        (
            111,
            "FAILED (amp.signal, epoch 1: 111 samples were produced, 100 are recorded and 12 "
            "known to be missing)",
        ),
    ],
)
def test_produced_is_recorded_and_missing_but_for_restarts(
    capture: Capture, target: Path, chunk: MakeChunk, produced: int, verdict: str
) -> None:
    restart = Gap(Cause.RESTART, 1, 0, 1000, 1.0)
    capture.append(chunk(0, 50, epoch=1, gaps=(restart, Gap(Cause.DEVICE, 1, 0, 2))))
    capture.append(chunk(60, 110, epoch=1, gaps=(Gap(Cause.OVERRUN, 1, 60, 10),)))
    capture.finish({"amp.signal": {1: (0, produced)}})

    assert read_info(target).verdict == verdict
    assert read_info(seal(capture)).verdict == verdict


def test_samples_of_which_none_came_are_missed(
    capture: Capture, target: Path, amp: StreamInfo
) -> None:
    capture.describe(amp)
    capture.finish({"amp.signal": {0: (0, 0), 1: (0, 70)}})

    assert read_info(target).verdict == (
        "FAILED (amp.signal, epoch 1: 70 samples were produced, 0 are recorded and 0 known to be "
        "missing)"
    )


def test_an_end_that_nobody_knows_is_no_contradiction(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 50))
    capture.finish({})

    info = read_info(target)

    assert info.verdict == "OK"
    assert info.streams[0].epochs[0].produced is None


def test_the_summary_is_the_same_before_and_after_sealing(
    capture: Capture, chunk: MakeChunk, events: StreamInfo
) -> None:
    capture.append(chunk(0, 50))
    capture.append(chunk(60, 90, gaps=(Gap(Cause.OVERRUN, 0, 60, 10),)))
    capture.append(chunk(0, 4, events))
    capture.finish({"amp.signal": {0: (0, 90)}})

    before = read_info(capture.folder)
    after = read_info(seal(capture))

    assert (before.state, after.state) == ("capture", "sealed")
    assert before.streams == after.streams
    assert before.verdict == after.verdict == "OK with gaps (1, 10.0 ms)"
    amp = after.streams[0]
    assert (amp.n_samples, amp.n_gaps, amp.missing, amp.shape) == (80, 1, 10, (2,))
    assert amp.duration == pytest.approx(0.089)


def test_the_summary_is_json(capture: Capture, target: Path, chunk: MakeChunk) -> None:
    capture.append(chunk(0, 50))
    capture.note({"kind": "note", "time": 1.0, "text": "hello"})
    capture.finish({"amp.signal": {0: (0, 50)}})

    told = json.loads(json.dumps(read_info(target).to_dict()))

    assert told["path"] == str(capture_folder(target))
    assert (told["run_id"], told["n_notes"], told["verdict"]) == ("run-1", 1, "OK")
    assert told["streams"][0]["epochs"] == [
        {"epoch": 0, "first_index": 0, "produced": 50, "delivered": 50, "missing": 0}
    ]


def test_nothing_has_no_summary(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="neither"):
        read_info(tmp_path / "none.h5")


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"rigmesh_capture": 99}', "\0"])
def test_a_capture_of_something_else_is_refused(tmp_path: Path, manifest: str) -> None:
    folder = tmp_path / "a.h5.capture"
    folder.mkdir()
    (folder / "recording.json").write_text(manifest)

    with pytest.raises(RecordingError):
        read_info(folder)
