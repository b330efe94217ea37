"""Making the file of a recording out of its capture, and doing so again after a crash."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording import hdf5
from rigmesh.recording._hdf5_linked import is_moved, relink
from rigmesh.recording.capture import Capture
from rigmesh.recording.captured import MANIFEST, CaptureState, read_manifest
from rigmesh.recording.disk import Lock, as_recording_error, publish, sync_folder
from rigmesh.recording.formats import format_named, open_recording
from rigmesh.recording.linking import LINK, data_folder, keep_data, prepare_data
from rigmesh.recording.paths import capture_folder, part_file, target_of
from rigmesh.recording.recorded import Recording, Rows, blocks

__all__ = ["Progress", "can_link", "recover", "seal", "write_file"]

Progress = Callable[[int, int], None]
"""Told the bytes of samples done, and those in all; each is written, and read again."""


def seal(capture: Capture | Path, progress: Progress | None = None) -> Path:
    """Make the file of a recording; only when that is on the disk the capture is removed.

    The file is written beside, compared with the capture sample by sample, and given its name.
    May be killed at any moment and called again. A capture with damage, such as missing samples
    that had been on the disk, is not removed but kept under the ending ``.damaged``.

    Parameters
    ----------
    capture : Capture or Path
        The capture, which is closed, or its folder.
    progress : callable
        Told how far it is.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RecordingError
        If the file's name is taken, the capture is in use, or the disk refuses. Nothing is lost
        then.
    """
    if isinstance(capture, Capture):
        capture.close()
        capture = capture.folder
    target = target_of(capture)
    trying = as_recording_error(f"cannot seal {capture}; `rigmesh recover` tries again")
    with _locked(capture), trying:
        state = CaptureState(capture, owned=True)
        if not _is_published(state, target):
            _make(state, target, progress)
        _put_away(state)
    return target


def recover(path: Path, progress: Progress | None = None) -> Path:
    """Seal what a crash has left; harmless if nothing is left to do.

    Parameters
    ----------
    path : Path
        The recording's file, or the folder it grew in.
    progress : callable
        As for :func:`seal`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RecordingError
        If there is no recording, or it is still being recorded.
    """
    target = target_of(path)
    folder = capture_folder(target)
    data = data_folder(target)
    if not (target.exists() or folder.exists()) and (data / MANIFEST).exists():
        data.rename(folder)  # the file is gone that referred to it
    if (folder / MANIFEST).exists():
        return seal(folder, progress)
    with open_recording(target):
        shutil.rmtree(_sealed(folder), ignore_errors=True)
    if hdf5.recognises(target) and is_moved(target):
        with as_recording_error(f"cannot let {target} refer to {data}"):
            relink(target)
    return target


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    read_manifest(folder)
    try:
        lock = Lock(folder / MANIFEST)
    except BlockingIOError as error:
        raise RecordingError(f"{folder} is being recorded or sealed; wait, or stop that") from error
    except OSError as error:
        raise RecordingError(f"cannot open {folder}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _is_published(state: CaptureState, target: Path) -> bool:
    """Whether the file is there already.

    Raises
    ------
    RecordingError
        If another file has its name.
    """
    if not (target.exists() or target.is_symlink()):
        return False
    run_id = None
    if target.is_file() and not target.is_symlink():
        with contextlib.suppress(RecordingError), open_recording(target) as found:
            run_id = found.run_id
    if run_id != state.manifest["run_id"]:
        raise RecordingError(
            f"{target} exists and is not what {state.folder} recorded; recordings are never "
            "overwritten. Move it away, then run `rigmesh recover` again"
        )
    part_file(target).unlink(missing_ok=True)
    return True


def _make(state: CaptureState, target: Path, progress: Progress | None) -> None:
    recording = state.recording()
    wanted = state.manifest["target"]
    part_file(target).unlink(missing_ok=True)
    folder = prepare_data(state, target) if _is_linked(state) else None
    _check_room(recording, target, is_linked=folder is not None)
    options = {name: value for name, value in wanted["options"].items() if name != LINK}
    write_file(recording, target, wanted["format"], options, progress, folder)


def _is_linked(state: CaptureState) -> bool:
    wanted = state.manifest["target"]
    return bool(wanted["options"].get(LINK)) and can_link(wanted["format"])


def can_link(format_name: str) -> bool:
    """Whether files of a format can refer to captured samples instead of holding them."""
    return hasattr(format_named(format_name), "write_linked")


def write_file(
    recording: Recording,
    target: Path,
    format_name: str,
    options: Mapping[str, Any],
    progress: Progress | None = None,
    folder: Path | None = None,
) -> None:
    """Write a recording into a new file, which gets its name once it is on the disk and the same.

    Parameters
    ----------
    recording : Recording
        What to write.
    target : Path
        The file.
    format_name : str
        Name of its format.
    options : mapping
        How to write it.
    progress : callable
        Told how far it is.
    folder : Path
        Where the captured samples will be that the file is to refer to; None if it holds its own.

    Raises
    ------
    RecordingError
        If the file does not hold what the recording does.
    FileExistsError
        If the file's name is taken by then.
    """
    fmt: Any = format_named(format_name)
    part = part_file(target)
    part.unlink(missing_ok=True)
    steps = _Steps(recording, progress)
    try:
        if folder is None:
            fmt.write(recording, part, options, steps.add)
        else:
            fmt.write_linked(recording, part, options, steps.add, folder)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        with fmt.open_file(part) as copy:
            _compare(recording, copy, steps.add)
            if hasattr(fmt, "write_beside"):
                # Before the file has its name: when that is there all is.
                fmt.write_beside(copy, target)
        publish(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _put_away(state: CaptureState) -> None:
    """Remove the capture; its name goes at once, so that no half of it is taken for a whole."""
    folder = state.folder
    if _is_linked(state):
        keep_data(folder)
        return
    if state.is_damaged:
        folder.rename(target_of(folder).with_name(target_of(folder).name + ".damaged"))
    else:
        shutil.rmtree(_sealed(folder), ignore_errors=True)
        folder.rename(_sealed(folder))
    sync_folder(folder.parent)
    shutil.rmtree(_sealed(folder), ignore_errors=True)


def _sealed(folder: Path) -> Path:
    return folder.with_name(folder.name + ".sealed")


class _Steps:
    """Counts bytes of samples, each twice."""

    def __init__(self, recording: Recording, progress: Progress | None) -> None:
        streams = recording.streams.values()
        self._total = 2 * sum(len(stream) * stream.info.sample_bytes for stream in streams)
        self._done = 0
        self._progress = progress

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _check_room(recording: Recording, target: Path, *, is_linked: bool) -> None:
    streams = recording.streams.values()
    share = 16 if is_linked else 1  # for the pyramid
    needed = 2**20 + sum(len(s) * (s.info.sample_bytes // share + 16) for s in streams)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise RecordingError(
            f"sealing {recording.path} takes {needed / 1e6:.0f} MB beside it; "
            f"{free / 1e6:.0f} MB are free. Make room, then run `rigmesh recover`"
        )


def _compare(original: Recording, copy: Recording, done: Callable[[int], None]) -> None:
    """Raise unless two recordings hold the same."""
    for what in ("run_id", "created", "context", "notes", "verdict"):
        _check_same(what, json.dumps(getattr(original, what)), json.dumps(getattr(copy, what)))
    _check_same("streams", sorted(original.streams), sorted(copy.streams))
    for key, stream in original.streams.items():
        other = copy.streams[key]
        for what in ("info", "part", "epochs", "gaps", "clocks"):
            _check_same(f"{key}: {what}", getattr(stream, what), getattr(other, what))
        _compare_rows(f"{key}: timestamps", stream.timestamps, other.timestamps, 8)
        _compare_rows(f"{key}: raw_timestamps", stream.raw_timestamps, other.raw_timestamps, 8)
        _compare_rows(
            f"{key}: data", stream.data, other.data, stream.row_bytes, done,
            is_exact=other.is_exact,
        )  # fmt: skip


def _compare_rows(
    what: str,
    rows: Rows,
    copy: Rows,
    row_bytes: int,
    done: Callable[[int], None] | None = None,
    *,
    is_exact: bool = True,
) -> None:
    _check_same(f"{what}: number", len(rows), len(copy))
    for block in blocks(len(rows), row_bytes):
        values, copied = rows[block], copy[block]
        if isinstance(values, np.ndarray):
            _check_same(f"{what}: shape", values.shape, copied.shape)
            values, copied = _bits(values), _bits(copied)
        if is_exact:
            _check_same(f"{what} {block.start} to {block.stop}", values, copied)
        if done is not None:
            done(getattr(values, "nbytes", 0))


def _bits(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return bits, not numbers, since NaN is not equal to itself; eight bytes at a time."""
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return flat.view(np.uint64) if len(flat) % 8 == 0 else flat


def _check_same(what: str, recorded: Any, written: Any) -> None:
    if not (
        np.array_equal(recorded, written)
        if isinstance(recorded, np.ndarray)
        else recorded == written
    ):
        raise RecordingError(f"the file does not hold what was recorded: {what} differ")
