"""The folder of the recordings that can be looked at, and nothing outside of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rigmesh.errors import NotPermitted, RecordingError
from rigmesh.recording import capture_folder
from rigmesh.recording.captured import JOURNAL, MANIFEST
from rigmesh.recording.paths import target_of

__all__ = ["Entry", "Root", "Signature"]

_SUFFIXES = (".h5", ".hdf5", ".nwb", ".xdf", ".xdfz", ".edf", ".bdf")
"""Formats whose files say all themselves: a BrainVision header could name any other file."""
_CAPTURE = ".capture"
_DEEPEST = 8
_LONGEST = 4000
_MOST = 5000

Signature = tuple[object, ...]
"""Another one if a recording has changed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording in the list.

    Parameters
    ----------
    name : str
        Its path in the folder, with slashes.
    is_capture : bool
        Whether there is no file yet, only the folder that it grows in.
    n_bytes : int
        Of the file, or of all in the folder.
    modified : float
        Seconds since 1970.
    """

    name: str
    is_capture: bool
    n_bytes: int
    modified: float


class Root:
    """Finds recordings by their paths in one folder.

    Parameters
    ----------
    path : Path
        The folder; it may be a link itself, nothing in it is followed that is one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    def file(self, name: str) -> Path:
        """Return the file of a recording, which need not be there if it still grows.

        Raises
        ------
        NotPermitted
            If the name leads outside, or over a link.
        RecordingError
            If there is no recording of that name.
        """
        parts = name.split("/")
        is_odd = len(name) > _LONGEST or len(parts) > _DEEPEST + 1 or not name.isprintable()
        # No part that is empty, hidden, this folder or the one above.
        if is_odd or any(not part or part.startswith(".") for part in parts):
            raise NotPermitted(f"{name!r} is not the name of a recording in this folder")
        folder = self._path
        for part in parts[:-1]:
            folder /= part
            if not _is_folder(folder):
                raise RecordingError(f"no recording {name!r}")
        path = target_of(folder / parts[-1])
        if path.suffix.lower() not in _SUFFIXES:
            raise RecordingError(f"{name!r} is not of a format that can be browsed")
        if _is_file(path) or _is_capture(capture_folder(path)):
            # What was looked at part by part may have been exchanged meanwhile.
            if not path.parent.resolve().is_relative_to(self._path):
                raise NotPermitted(f"{name!r} leads outside of this folder")
            return path
        raise RecordingError(f"no recording {name!r}")

    def name_of(self, path: str) -> str | None:
        """Return the name of a file that somebody tells of; None if it is not in this folder."""
        told = Path(path)
        try:
            # Of the folder only: what is a link itself is not followed, here as elsewhere.
            return (told.parent.resolve() / told.name).relative_to(self._path).as_posix()
        except (OSError, RuntimeError, ValueError):
            return None

    def is_sealed(self, path: Path) -> bool:
        """Whether a recording is one file, which can be fetched."""
        return _is_file(path)

    def signature(self, path: Path) -> Signature:
        """Return what is another one if the recording has changed."""
        for each in (path, capture_folder(path) / JOURNAL, capture_folder(path) / MANIFEST):
            try:
                found = each.lstat()
            except OSError:
                continue
            return (each.name, found.st_ino, found.st_size, found.st_mtime_ns)
        return ()

    def entries(self) -> Iterator[Entry]:
        """Yield what is there, in no order; at most some thousand."""
        yield from islice(self._walk(self._path, "", 0), _MOST)

    def _walk(self, folder: Path, prefix: str, depth: int) -> Iterator[Entry]:
        try:
            found = sorted(os.scandir(folder), key=lambda each: each.name)
        except OSError:
            return
        names = {each.name for each in found}
        for each in found:
            if each.name.startswith(".") or each.is_symlink() or not each.name.isprintable():
                continue
            name = prefix + each.name
            try:
                if each.is_file(follow_symlinks=False):
                    if Path(each.name).suffix.lower() in _SUFFIXES:
                        told = each.stat(follow_symlinks=False)
                        yield Entry(name, False, told.st_size, told.st_mtime)
                elif each.name.endswith(_CAPTURE):
                    file = each.name.removesuffix(_CAPTURE)
                    # Of videos and the like nothing is browsed, while they grow either.
                    is_wanted = Path(file).suffix.lower() in _SUFFIXES and file not in names
                    if is_wanted and _is_capture(each):
                        yield _capture(Path(each), name.removesuffix(_CAPTURE))
                elif each.is_dir(follow_symlinks=False) and depth < _DEEPEST:
                    yield from self._walk(Path(each), f"{name}/", depth + 1)
            except OSError:
                continue


def _capture(folder: Path, name: str) -> Entry:
    n_bytes, modified = 0, (folder / JOURNAL).lstat().st_mtime
    for where, _, files in os.walk(folder):
        for file in files:
            try:
                told = Path(where, file).lstat()
            except FileNotFoundError:
                continue  # a recorder writes some anew, by another name first
            n_bytes += told.st_size
            modified = max(modified, told.st_mtime)
    return Entry(name, True, n_bytes, modified)


def _is_capture(folder: os.PathLike[str]) -> bool:
    return _is_folder(Path(folder)) and _is_file(Path(folder) / MANIFEST)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
