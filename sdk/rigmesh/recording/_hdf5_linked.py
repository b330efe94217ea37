"""Datasets of HDF5 whose samples lie in flat files beside the file: external storage.

HDF5 looks for relative names where the reading process works, not where the file lies. So names
are absolute: any program reads the file where it was made. Moved, together with its folder, it is
read by rigmesh, which looks beside the file first; `rigmesh recover` sets the names right for all
others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rigmesh.errors import RecordingError
from rigmesh.recording.paths import capture_folder, part_file
from rigmesh.recording.rows import FlatRows

__all__ = ["FOLDER", "Outside", "flat_rows", "is_moved", "relink"]

FOLDER = "linked_folder"
"""The attribute that says where the samples lie."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Where a file's samples are, and will be.

    Parameters
    ----------
    capture : Path
        Where they are.
    folder : Path
        By what name the file refers to that.
    """

    capture: Path
    folder: Path

    def link(self, group: Any, name: str, rows: FlatRows) -> None:
        """Make a dataset of rows that stay where they are."""
        files = [
            (os.fsencode(self.folder / path.relative_to(self.capture)), 0, n * rows.row_bytes)
            for path, n in rows.files
            if n
        ]
        group.create_dataset(name, rows.shape, rows.dtype, external=files or None)


def flat_rows(dataset: Any, path: Path) -> FlatRows | None:
    """Return the rows of a dataset from flat files that are not where it says; None if they are.

    Raises
    ------
    RecordingError
        If they are nowhere.
    """
    if not dataset.external:
        return None
    said, found = _folders(dataset.file, path)
    if found == said:
        return None
    row_bytes = dataset.dtype.itemsize * int(dataset.size // max(1, len(dataset)))
    files = [
        (found / Path(os.fsdecode(name)).relative_to(said), size // row_bytes)
        for name, _, size in dataset.external
    ]
    return FlatRows(files, dataset.dtype.str, dataset.shape[1:])


def is_moved(path: Path) -> bool:
    """Whether a file of HDF5 refers to samples that lie elsewhere now."""
    import h5py

    with h5py.File(path, "r") as file:
        if FOLDER not in file.attrs:
            return False
        said, found = _folders(file, path)
        return found != said


def relink(path: Path) -> None:
    """Let a file refer to its samples where they are, so that any program finds them."""
    import h5py

    part = part_file(path)
    shutil.copyfile(path, part)
    with h5py.File(part, "r+") as file:
        said, found = _folders(file, path)
        for group in file["streams"].values():
            same = group["timestamps"] == group["raw_timestamps"]
            for name in list(_outside(group)):
                old = group[name]
                files = [
                    (os.fsencode(found / Path(os.fsdecode(each)).relative_to(said)), at, size)
                    for each, at, size in old.external
                ]
                shape, dtype = old.shape, old.dtype
                del group[name]
                group.create_dataset(name, shape, dtype, external=files)
            if same:
                del group["raw_timestamps"]
                group["raw_timestamps"] = group["timestamps"]
        file.attrs[FOLDER] = str(found)
    with part.open("rb") as copy:
        os.fsync(copy.fileno())
    part.replace(path)


def _outside(group: Any) -> Iterator[str]:
    for name in ("data", "timestamps", "raw_timestamps"):
        if name in group and group[name].external:
            yield name


def _folders(file: Any, path: Path) -> tuple[Path, Path]:
    """Return the folder that a file names, and the one that is there."""
    said = Path(file.attrs[FOLDER])
    # It may be the part file, which is not called as the others expect.
    target = path.absolute().with_name(path.name.removesuffix(".part"))
    beside = (target.with_name(target.name + ".data"), target.with_name(said.name))
    for folder in (*beside, said, capture_folder(target)):
        if (folder / "streams").is_dir():
            return said, said if said.exists() and said.samefile(folder) else folder
    raise RecordingError(
        f"{path} refers to samples in {said}, which is not there; keep that folder beside the file"
    )
