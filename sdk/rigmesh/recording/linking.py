"""Files that refer to the captured samples: the folder ``FILE.data`` beside them, and its making.

Sealing writes only descriptions, texts, mapped stamps and the pyramid; the flat files stay as they
are, so that a recording of any size is sealed in the time it takes to read it, without room for a
second copy::

    session.h5.capture  ->  session.h5       refers to session.h5.data
                            session.h5.data  what was the capture, complete

Until the file has its name, ``FILE.data`` is a symbolic link to the capture: so the file is
compared through the very names that it holds. Then the capture takes that name. Since it is a whole
capture, `recover` makes the file anew if it is gone.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rigmesh.errors import RecordingError
from rigmesh.recording.captured import RESERVE, CaptureState
from rigmesh.recording.disk import sync_folder
from rigmesh.recording.paths import target_of

__all__ = ["LINK", "data_folder", "keep_data", "prepare_data"]

LINK = "link"
"""The option of a capture that is to be sealed so."""
_DATA = ".data"


def data_folder(path: Path) -> Path:
    """Return where the samples lie that a file refers to."""
    return path.with_name(path.name + _DATA)


def prepare_data(state: CaptureState, target: Path) -> Path:
    """Bring all samples of a capture to the disk, and let their later names lead to them.

    Returns
    -------
    Path
        The folder by whose name the file is to refer to them.

    Raises
    ------
    RecordingError
        If something else has that name.
    """
    folder = data_folder(target.absolute())
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        raise RecordingError(
            f"{folder} exists, where the samples of {target} are to stay; move it away, then run "
            "`rigmesh recover`"
        )
    for path in state.folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    # Where there are no such links the names are not tried before they are needed.
    with contextlib.suppress(OSError):
        folder.symlink_to(state.folder.name, target_is_directory=True)
    return folder


def keep_data(capture: Path) -> None:
    """Give a capture, whose file is made, the name that this refers to; again is harmless."""
    folder = data_folder(target_of(capture))
    if folder.is_symlink():
        folder.unlink()
    capture.rename(folder)
    sync_folder(folder.parent)
    (folder / RESERVE).unlink(missing_ok=True)
