"""Recordings as files of other formats; never over a file that exists."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rigmesh.errors import RecordingError, UnknownName, Unsupported
from rigmesh.recording._export_what import Progress, SignalExport, choose
from rigmesh.recording.disk import as_recording_error, publish
from rigmesh.recording.formats import open_recording
from rigmesh.recording.paths import target_of
from rigmesh.recording.recorded import RecordedStream, Recording
from rigmesh.recording.sealing import write_file

__all__ = ["EXPORTS", "Exported", "Labels", "export_recording"]

EXPORTS = {
    "hdf5": ".h5", "nwb": ".nwb", "xdf": ".xdf", "fif": "_raw.fif", "edf": ".edf", "bids": "_bids",
}  # fmt: skip
"""What can be exported to, and how names of its files end."""

_WHOLE = ("hdf5", "nwb", "xdf")


@dataclass(frozen=True, slots=True)
class Labels:
    """What a file of a BIDS dataset is named by; empty: as the recording's metadata says."""

    subject: str = ""
    session: str = ""
    task: str = ""


@dataclass(slots=True)
class Exported:
    """What was written, and what its readers should know."""

    paths: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def export_recording(
    path: Path | str,
    to: str,
    output: Path | str | None = None,
    *,
    streams: Sequence[str] = (),
    unit: str = "",
    labels: Labels = Labels(),
    progress: Progress = lambda done, total: None,
) -> Exported:
    """Write a recording in another format.

    ``hdf5``, ``nwb`` and ``xdf`` hold everything, and are compared with the recording before they
    get their name. ``fif``, ``edf`` and ``bids`` hold one signal with a rate each: gaps are zeros
    under an annotation ``BAD_gap``, markers and notes are annotations.

    Parameters
    ----------
    path : Path or str
        The recording.
    to : str
        The format, one of :data:`EXPORTS`.
    output : Path or str
        The file, or the folder of a BIDS dataset; beside the recording if not given. Where several
        signals are written, each has the name of its stream added.
    streams : sequence of str
        Only these.
    unit : str
        Unit of channels that name none.
    labels : Labels
        For BIDS.
    progress : callable
        Told how far it is.

    Returns
    -------
    Exported
        The files.

    Raises
    ------
    UnknownName
        If there is no such format or stream.
    RecordingError
        If it cannot be written; then there is no file.
    Unsupported
        If a library is missing.
    """
    if to not in EXPORTS:
        raise UnknownName.among("format to export to", to, EXPORTS)
    with open_recording(path) as recording:
        if recording.state == "recording":
            raise RecordingError(f"{path} is being recorded; export it when that is over")
        source = target_of(Path(path))
        target = Path(output) if output is not None else source.with_name(source.stem + EXPORTS[to])
        target = target.expanduser().absolute()
        with as_recording_error(f"cannot export to {target}"):
            if to in _WHOLE:
                return _whole(recording, to, target, streams, progress)
            return _signals(recording, to, target, streams, unit, labels, progress)


def _whole(
    recording: Recording, to: str, target: Path, streams: Sequence[str], progress: Progress
) -> Exported:
    _check_free(target)
    every = recording.streams
    for name in streams:
        if name not in every and name not in [one.info.name for one in every.values()]:
            raise UnknownName.among("stream", name, every)
    kept = {
        key: one for key, one in every.items() if not streams or key in streams
        or one.info.name in streams
    }  # fmt: skip
    chosen = replace(recording, streams=kept)
    _check_room(sum(len(one) * (one.info.sample_bytes + 16) for one in kept.values()), target)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_file(chosen, target, to, {}, progress)
    return Exported([target])


def _signals(
    recording: Recording,
    to: str,
    target: Path,
    streams: Sequence[str],
    unit: str,
    labels: Labels,
    progress: Progress,
) -> Exported:
    signals, events, remarks = choose(recording, streams)
    if to == "bids" and len(signals) > 1:
        listed = ", ".join(one.key for one in signals)
        raise RecordingError(f"a BIDS file holds one signal; choose by --stream among {listed}")
    targets = [_name(target, one, EXPORTS[to], several=len(signals) > 1) for one in signals]
    if to != "bids":
        for each in targets:
            _check_free(each)
    done = Exported(remarks=remarks)
    steps = _Steps(signals, 2 if to in ("edf", "bids") else 1, progress)
    # Each is written only when all can be: none is left alone because another was refused.
    with tempfile.TemporaryDirectory(prefix=".rigmesh-export-", dir=_made(target.parent)) as folder:
        written: list[tuple[Path, Path]] = []
        for stream, final in zip(signals, targets, strict=True):
            export = SignalExport(recording, stream, unit)
            part = Path(folder) / final.name
            _check_room(len(export.grid) * (stream.info.n_channels * 8), final)
            files = _write(to, export, events, part, final, labels, steps)
            written += [(file, final.parent / file.name) for file in files]
            done.remarks += export.remarks
            if to == "bids":
                done.paths = files
                return done
        for _, final in written:
            _check_free(final)
        for file, final in reversed(written):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            publish(file, final)
        done.paths = [final for _, final in written]
    return done


def _write(
    to: str,
    export: SignalExport,
    events: Sequence[RecordedStream],
    part: Path,
    final: Path,
    labels: Labels,
    steps: _Steps,
) -> list[Path]:
    try:
        if to == "fif":
            from rigmesh.recording._export_mne import write_fif

            return write_fif(export, events, part, steps.add)
        if to == "edf":
            from rigmesh.recording._export_edf import write_edf

            write_edf(export, events, part, steps.add)
            return [part]
        from rigmesh.recording._export_bids import write_bids
    except ImportError as error:
        raise Unsupported(
            f"exporting to {to} needs {error.name}; install it: pip install 'rigmesh[files]'"
        ) from error
    named = {"subject": labels.subject, "session": labels.session, "task": labels.task}
    return [write_bids(export, events, final, named, steps.add)]


class _Steps:
    """Counts bytes of samples, each as often as it is read."""

    def __init__(
        self, signals: Sequence[RecordedStream], times: int, progress: Callable[[int, int], None]
    ) -> None:
        self._total = times * sum(len(one) * one.info.sample_bytes for one in signals)
        self._done = 0
        self._progress = progress

    def add(self, count: int) -> None:
        self._done += count
        self._progress(min(self._done, self._total), self._total)


def _name(target: Path, stream: RecordedStream, ending: str, *, several: bool) -> Path:
    """Return the file of a stream: with its key in front of the ending, if there are several."""
    if not several:
        return target
    # MNE's readers know raw data by the ending: keep it whole.
    last = ending if target.name.endswith(ending) else target.suffix
    return target.with_name(f"{target.name.removesuffix(last)}_{stream.key}{last}")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check_free(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise RecordingError(f"{target} exists, and is not overwritten; choose another name by -o")


def _check_room(needed: int, target: Path) -> None:
    folder = next(each for each in target.parents if each.is_dir())
    free = shutil.disk_usage(folder).free
    if free < needed + 2**20:
        raise RecordingError(
            f"exporting takes {needed / 1e6:.0f} MB in {folder}; {free / 1e6:.0f} MB are free. "
            "Make room, or choose another place by -o"
        )
