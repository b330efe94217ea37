"""The formats a recording can be sealed into, and opening a recording whatever it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording import hdf5, nwb, video, xdf
from rigmesh.recording.captured import MANIFEST, CaptureState
from rigmesh.recording.disk import as_recording_error
from rigmesh.recording.paths import capture_folder, target_of
from rigmesh.recording.recorded import Recording

__all__ = ["Format", "format_named", "open_recording"]


class Format(Protocol):
    """A module that writes and reads files of one format.

    One whose files can refer to captured samples also has `write_linked`: as `write`, with the
    name that the folder of the samples will have. One that makes more than a file also has
    `write_beside`: given what is in the file and the name that this will have, it finishes the
    others.
    """

    def recognises(self, path: Path) -> bool:
        """Whether a file is a recording of this format."""

    def write(
        self,
        recording: Recording,
        path: Path,
        options: Mapping[str, Any],
        progress: Callable[[int], None],
    ) -> None:
        """Write a recording into a new file."""

    def open_file(self, path: Path) -> contextlib.AbstractContextManager[Recording]:
        """Open a file for reading."""


_FORMATS: Mapping[str, Format] = {"hdf5": hdf5, "nwb": nwb, "xdf": xdf, "video": video}


def format_named(name: str) -> Format:
    """Return a format.

    Raises
    ------
    UnknownName
        If there is none of that name.
    """
    if name not in _FORMATS:
        raise UnknownName.among("format", name, _FORMATS)
    return _FORMATS[name]


@contextlib.contextmanager
def open_recording(path: Path | str) -> Iterator[Recording]:
    """Open a recording for reading, also while it is being recorded.

    Parameters
    ----------
    path : Path or str
        The file; as long as there is none, or instead of it, the folder that it grows in.

    Raises
    ------
    RecordingError
        If there is no recording, or not a readable one.

    Examples
    --------
    >>> with open_recording("session.h5") as recording:  # doctest: +SKIP
    ...     amp = recording.streams["amp.signal"]
    ...     amp.data[:1000], amp.timestamps[:1000]
    """
    path = Path(path)
    folder = capture_folder(target_of(path))
    if not path.is_file():
        if not (folder / MANIFEST).exists():
            raise RecordingError(f"neither {path} nor {folder} is a recording")
        yield CaptureState(folder).recording()
        return
    with contextlib.ExitStack() as stack:
        with as_recording_error(f"cannot read {path}"):
            fmt = next((fmt for fmt in _FORMATS.values() if fmt.recognises(path)), None)
            if fmt is None:
                raise RecordingError(
                    f"{path} is no recording; known formats: {', '.join(_FORMATS)}"
                )
            recording = stack.enter_context(fmt.open_file(path))
        yield recording
