"""Opens a recording of any format as streams that are read when they are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError
from rigmesh.recording import (
    EpochRows,
    RecordedStream,
    RowClock,
    Rows,
    capture_folder,
    open_recording,
)
from rigmesh.streams import StreamInfo

__all__ = ["EvenStamps", "open_streams", "stream_of"]

Streams = Sequence[RecordedStream]


class EvenStamps:
    """Stamps that are made from a count of samples.

    Parameters
    ----------
    first : float
        In seconds.
    sampling_rate : float
        In Hz.
    n : int
        How many.
    """

    def __init__(self, first: float, sampling_rate: float, n: int) -> None:
        self._first = first
        self._rate = sampling_rate
        self._n = n

    def __len__(self) -> int:
        """Return the number of stamps."""
        return self._n

    def __getitem__(self, wanted: slice) -> npt.NDArray[np.float64]:
        """Return stamps in seconds, shape (n_samples,)."""
        return self._first + np.arange(*wanted.indices(self._n)) / self._rate


def stream_of(
    info: StreamInfo,
    data: Rows,
    stamps: Rows,
    *,
    timestamps: Rows | None = None,
    epochs: Sequence[EpochRows] = (),
    clocks: Sequence[RowClock] = (),
) -> RecordedStream:
    """Describe a stream; `stamps` are raw, and the file's own time if there are no others."""
    return RecordedStream(
        key=info.name,
        info=info,
        part=1,
        data=data,
        timestamps=stamps if timestamps is None else timestamps,
        raw_timestamps=stamps,
        epochs=tuple(epochs),
        clocks=tuple(clocks),
    )


@contextlib.contextmanager
def open_streams(path: Path) -> Iterator[Streams]:
    """Open a recording of rigmesh, or a file of another format by its suffix.

    Raises
    ------
    RecordingError
        If there is no such file, or none that can be read.
    """
    if not path.exists() and not capture_folder(path).exists():
        raise RecordingError(f"no file {path}")
    with contextlib.ExitStack() as stack:
        streams = _own(path, stack)
        if streams is None:
            streams = stack.enter_context(_READERS[path.suffix.lower()](path))
        yield streams


def _own(path: Path, stack: contextlib.ExitStack) -> Streams | None:
    """Return the streams of a recording of rigmesh; None if it is to be read by its suffix."""
    try:
        return list(stack.enter_context(open_recording(path)).streams.values())
    except RecordingError as error:
        if path.suffix.lower() in _READERS:
            return None
        raise RecordingError(
            f"cannot replay {path}: {error}. By its suffix can be read: {', '.join(_READERS)}"
        ) from error


def _mne(path: Path) -> AbstractContextManager[Streams]:
    from rigmesh_nodes._readers_mne import open_raw

    return open_raw(path)


def _xdf(path: Path) -> AbstractContextManager[Streams]:
    from rigmesh_nodes._readers_xdf import open_xdf

    return open_xdf(path)


def _nwb(path: Path) -> AbstractContextManager[Streams]:
    from rigmesh_nodes._readers_nwb import open_nwb

    return open_nwb(path)


_READERS: Mapping[str, Callable[[Path], AbstractContextManager[Streams]]] = {
    ".xdf": _xdf,
    ".xdfz": _xdf,
    ".edf": _mne,
    ".bdf": _mne,
    ".vhdr": _mne,
    ".fif": _mne,
    ".nwb": _nwb,
}
