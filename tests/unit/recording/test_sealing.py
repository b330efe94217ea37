"""From the capture to the file, and never a file lost on the way."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording import Capture, hdf5, open_recording, read_info, recover, seal
from rigmesh.streams import Chunk, StreamInfo

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]


def _numbers(path: Path) -> list[int]:
    with open_recording(path) as recording:
        numbers: list[int] = recording.streams["amp.signal"].data[:][:, 0].tolist()
        return numbers


@pytest.fixture
def finished(capture: Capture, chunk: MakeChunk, events: StreamInfo) -> Path:
    """A finished capture of 100 samples and 3 events."""
    capture.append(chunk(0, 100))
    capture.append(chunk(0, 3, events))
    capture.finish({"amp.signal": {0: (0, 100)}, "box.events": {0: (0, 3)}})
    return capture.folder


def test_only_the_file_remains(finished: Path, target: Path) -> None:
    assert seal(finished) == target

    assert list(target.parent.iterdir()) == [target]
    assert read_info(target).verdict == "OK"
    assert _numbers(target) == list(range(100))


def test_a_recording_of_nothing_makes_a_readable_file(capture: Capture, target: Path) -> None:
    capture.finish()

    info = read_info(seal(capture))

    assert (info.state, info.verdict, info.streams) == ("sealed", "OK", ())


def test_progress_ends_at_the_whole(finished: Path) -> None:
    seen: list[tuple[int, int]] = []

    seal(finished, lambda done, total: seen.append((done, total)))

    assert seen == sorted(seen)
    assert seen[-1] == (1600, 1600)  # each of 100 samples of 8 bytes is written and read


def test_recovering_again_changes_nothing(finished: Path, target: Path) -> None:
    first = recover(target)
    before = target.read_bytes()

    again = [recover(target), recover(finished)]

    assert [first, *again] == [target] * 3
    assert target.read_bytes() == before


def test_what_was_interrupted_is_sealed_and_says_so(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 50))
    capture.close()

    verdict = read_info(recover(target)).verdict

    assert verdict == "FAILED (it was interrupted; all that was written until then is here)"
    assert _numbers(target) == list(range(50))


def test_a_moved_capture_is_sealed_where_it_is(finished: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "other.h5.capture"
    moved.parent.mkdir()
    shutil.move(finished, moved)

    assert recover(moved) == tmp_path / "elsewhere" / "other.h5"


def test_a_file_of_that_name_is_not_overwritten(finished: Path, target: Path) -> None:
    target.write_bytes(b"precious")

    with pytest.raises(RecordingError, match=r"exists and is not what .* recorded"):
        seal(finished)

    assert target.read_bytes() == b"precious"
    assert read_info(finished).verdict == "OK"


def test_a_recording_of_another_run_is_not_overwritten(
    finished: Path, target: Path, tmp_path: Path
) -> None:
    other = Capture.create(tmp_path / "other.h5", "run-2", {})
    other.finish()
    shutil.copy(seal(other), target)

    with pytest.raises(RecordingError, match="never overwritten"):
        seal(finished)

    assert read_info(target).run_id == "run-2"


def test_a_link_of_that_name_is_not_followed(finished: Path, target: Path, tmp_path: Path) -> None:
    target.symlink_to(tmp_path / "nowhere")

    with pytest.raises(RecordingError, match="never overwritten"):
        seal(finished)

    assert not (tmp_path / "nowhere").exists()


def test_a_capture_that_is_being_recorded_is_not_sealed(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 10))

    with pytest.raises(RecordingError, match="is being recorded or sealed"):
        recover(target)

    capture.append(chunk(10, 20))


def test_a_file_that_differs_from_the_capture_is_not_published(
    finished: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = hdf5.write

    def write_wrongly(recording: Any, path: Path, *rest: Any) -> None:
        write(recording, path, *rest)
        with h5py.File(path, "r+") as file:
            file["streams/amp.signal/data"][57, 0] = -1

    monkeypatch.setattr(hdf5, "write", write_wrongly)

    with pytest.raises(RecordingError, match=r"amp\.signal: data 0 to 100 differ"):
        seal(finished)

    assert list(target.parent.iterdir()) == [finished]
    assert read_info(finished).verdict == "OK"


def test_an_unknown_format_leaves_the_capture_whole(target: Path) -> None:
    capture = Capture.create(target, "run-1", {}, "hdf6")
    capture.finish()

    with pytest.raises(UnknownName, match="hdf5"):
        seal(capture)

    assert capture.folder.is_dir()


def test_a_full_disk_leaves_the_capture_whole(
    capture: Capture, target: Path, chunk: MakeChunk, in_child: InChild
) -> None:
    capture.append(chunk(0, 100_000))
    capture.finish()

    def seal_without_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
        with pytest.raises(RecordingError, match="cannot seal"):
            seal(capture.folder)

    assert in_child(seal_without_room) == 0
    assert list(target.parent.iterdir()) == [capture.folder]
    assert recover(target) == target
    assert _numbers(target) == list(range(100_000))


def test_sealing_is_not_begun_where_it_cannot_end(
    finished: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil._ntuple_diskusage(10**9, 10**9, 5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(RecordingError, match="Make room, then run `rigmesh recover`"):
        seal(finished)


def test_samples_that_vanished_make_the_verdict_and_are_searched_for_by_hand(
    finished: Path, target: Path
) -> None:
    samples = finished / "streams" / "amp.signal" / "0.dat"
    samples.write_bytes(samples.read_bytes()[: 40 * 8 + 3])

    seal(finished)

    assert read_info(target).verdict == (
        "FAILED (60 samples are gone that had been written; amp.signal, epoch 0: 100 samples were "
        "produced, 40 are recorded and 0 known to be missing)"
    )
    assert _numbers(target) == list(range(40))
    assert (target.parent / "session.h5.damaged" / "streams").is_dir()
    assert recover(target) == target


def test_a_damaged_journal_makes_the_verdict(finished: Path, target: Path) -> None:
    journal = finished / "journal.bin"
    content = bytearray(journal.read_bytes())
    content[content.index(b'"kind": "produced"') + 12] ^= 1
    journal.write_bytes(content)

    assert read_info(seal(finished)).verdict == ("FAILED (its journal is damaged (1 times))")


def test_nothing_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="neither"):
        recover(tmp_path / "none.h5")


def test_sealing_can_be_killed_at_any_step(
    finished: Path,
    target: Path,
    in_child: InChild,
    die_at: Callable[[int, Path], None],
) -> None:
    kept = target.parent.with_name(f"{target.parent.name}-kept")
    shutil.copytree(finished, kept)
    folder, step, status = target.parent, 0, -9
    while status:
        step += 1
        shutil.rmtree(folder)
        folder.mkdir()
        shutil.copytree(kept, finished)

        def die_sealing(step: int = step) -> None:
            die_at(step, folder)
            recover(target)

        status = in_child(die_sealing)

        assert status in (0, -9)
        assert recover(target) == target
        assert list(folder.iterdir()) == [target]
        assert read_info(target).verdict == "OK"
        assert _numbers(target) == list(range(100))

    assert step > 20
