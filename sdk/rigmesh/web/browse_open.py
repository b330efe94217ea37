"""Recordings that are open for people to look at: a few, anew if they have changed."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rigmesh.display.timeline import Timeline, begin_of
from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording import RecordedStream, open_recording
from rigmesh.web.browse_bins import AT_ONCE, BinCache, Bins, needs_bins
from rigmesh.web.browse_tables import EventTable
from rigmesh.web.recordings_root import Root, Signature

__all__ = ["Library", "OpenRecording"]

_MOST_OPEN = 8
_BROKEN = (
    ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, struct.error,
)  # fmt: skip
"""What the readers of others raise at a file that is not what it seems."""
_HDF5 = b"\x89HDF\r\n\x1a\n"


class OpenRecording:
    """A recording as it was when it was opened.

    Attributes
    ----------
    path : Path
        Its file.
    state, verdict, run_id : str
        As of the recording; ``file`` and nothing if another program made it.
    begin : float
        Second 0 of what is shown, by the local clock.
    lines : dict of str to Timeline
        Of each stream, by its key.
    """

    def __init__(self, path: Path, signature: Signature, bins: BinCache) -> None:
        self.state, self.verdict, self.run_id = "file", "", ""
        self.created: Mapping[str, Any] = {}
        self.context: Mapping[str, Any] = {}
        self.notes: Sequence[Mapping[str, Any]] = ()
        self.path = path
        self.signature = signature
        self.lock = threading.RLock()
        self.tables: dict[str, EventTable] | None = None
        self.n_users = 0
        self.is_stale = False
        self._bins_cache = bins
        self._bins: dict[str, Bins] = {}
        self._stack = contextlib.ExitStack()
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    def _open(self) -> None:
        if self.path.is_file():
            check_links(self.path)
        streams = self._stack.enter_context(_streams(self.path, self))
        self.lines = {key: Timeline(stream) for key, stream in streams.items()}
        created = self.created.get("local_clock") if self.state != "file" else None
        self.begin = begin_of(list(self.lines.values()), created)
        for key, stream in streams.items():
            if self.state in ("sealed", "file") and needs_bins(stream):
                self._bins[key] = self._bins_cache.get(
                    self.path, self.signature, key, len(stream), lambda: _streams(self.path)
                )

    @property
    def end(self) -> float:
        """The last stamp, in seconds since the beginning."""
        lasts = [line.last for line in self.lines.values() if line.last == line.last]
        return max(lasts) - self.begin if lasts else 0.0

    def line(self, key: str) -> Timeline:
        """Return a stream.

        Raises
        ------
        UnknownName
            If there is none of that key.
        """
        if key not in self.lines:
            raise UnknownName.among("stream", key, self.lines)
        return self.lines[key]

    def ready(self, key: str) -> float:
        """Return up to which second a window of any length can be drawn; infinite if all can."""
        bins = self._bins.get(key)
        if bins is None or bins.is_done:
            return np.inf
        row = min(bins.n_done, len(self.lines[key].stream)) - 1
        return float(self.lines[key].times(np.array([max(0, row)]))[0]) if row > 0 else -np.inf

    def progress(self, key: str) -> float:
        """Return how much of the bins of a stream is made."""
        bins = self._bins.get(key)
        return 1.0 if bins is None else min(1.0, bins.n_done / max(1, bins.n_rows))

    def prepared(self, key: str, start: float, stop: float) -> tuple[Timeline, float]:
        """Return a stream with its bins, and up to when it can be drawn."""
        line, bins = self.line(key), self._bins.get(key)
        if bins is None:
            return line, stop
        is_done = bins.is_done
        line.stream = bins.apply(line.stream)
        if is_done:
            return line, stop
        rows = line.row_at(stop) - line.row_at(start)
        if rows * line.stream.info.sample_bytes <= AT_ONCE:
            return line, stop
        return line, min(stop, max(start, self.ready(key)))

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


@contextlib.contextmanager
def _streams(path: Path, into: OpenRecording | None = None) -> Iterator[dict[str, RecordedStream]]:
    with contextlib.ExitStack() as stack:
        try:
            recording = stack.enter_context(open_recording(path))
        except RecordingError:
            if not path.is_file():
                raise
            from rigmesh_nodes._readers import open_streams

            found = stack.enter_context(_as_recording_error(path, open_streams))
            yield {stream.key: stream for stream in found}
            return
        if into is not None:
            into.state, into.verdict = recording.state, recording.verdict
            into.run_id, into.created = recording.run_id, recording.created
            into.context, into.notes = recording.context, recording.notes
        yield dict(recording.streams)


@contextlib.contextmanager
def _as_recording_error(path: Path, open_streams: Any) -> Iterator[Sequence[RecordedStream]]:
    """Open a file that another program made, with whatever that did to it."""
    try:
        manager = open_streams(path)
        streams = manager.__enter__()
    except RecordingError:
        raise
    except _BROKEN as error:
        raise RecordingError(f"cannot read {path.name}: {error}") from error
    try:
        yield streams
    finally:
        manager.__exit__(None, None, None)


def check_links(path: Path) -> None:
    """See that an HDF5 file takes nothing from other files: they could be any on this machine.

    Raises
    ------
    RecordingError
        If it does, or is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return
    import h5py

    def look(name: str, link: Any) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return name
        found = opened.get(name) if isinstance(link, h5py.HardLink) else None
        is_outside = isinstance(found, h5py.Dataset) and (found.external or found.is_virtual)
        return name if is_outside else None

    try:
        with h5py.File(path, "r") as opened:
            outside = opened.visititems_links(look)
    except (OSError, RuntimeError, KeyError) as error:
        raise RecordingError(f"cannot read {path.name}: {error}") from error
    if outside is not None:
        raise RecordingError(f"{path.name}: {outside} is in another file, which is not opened here")


class Library:
    """Keeps a few recordings open.

    Parameters
    ----------
    root : Root
        Where they are.
    bins : BinCache
        For files without bins of their own.
    """

    def __init__(self, root: Root, bins: BinCache) -> None:
        self.root = root
        self._bins = bins
        self._open: OrderedDict[Path, OpenRecording] = OrderedDict()
        self._lock = threading.Lock()
        self._opening: dict[Path, threading.Lock] = {}

    @contextlib.contextmanager
    def use(self, name: str) -> Iterator[OpenRecording]:
        """Use a recording as it is now; it stays open meanwhile.

        Parameters
        ----------
        name : str
            Its path in the folder.

        Raises
        ------
        RecordingError, NotPermitted
            If there is none that may be read.
        """
        path = self.root.file(name)
        with self._lock:
            gate = self._opening.setdefault(path, threading.Lock())
        with gate:
            found = self._current(path)
        try:
            # What others wrote is read by libraries that know nothing of threads; ours are, so
            # that nobody waits for an average over a whole recording.
            is_ours = found.state != "file" and path.suffix.lower() in (".h5", ".hdf5", ".nwb")
            with contextlib.nullcontext() if is_ours else found.lock:
                yield found
        finally:
            with self._lock:
                found.n_users -= 1
                if found.is_stale and not found.n_users:
                    found.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            while self._open:
                self._retire(next(iter(self._open)))
        self._bins.close()

    def _current(self, path: Path) -> OpenRecording:
        signature = self.root.signature(path)
        with self._lock:
            found = self._open.get(path)
            if found is not None and found.signature == signature:
                found.n_users += 1
                self._open.move_to_end(path)
                return found
        made = OpenRecording(path, signature, self._bins)
        with self._lock:
            if path in self._open:
                self._retire(path)
            made.n_users += 1
            self._open[path] = made
            while len(self._open) > _MOST_OPEN:
                self._retire(next(iter(self._open)))
            self._opening = {p: lock for p, lock in self._opening.items() if p in self._open}
        return made

    def _retire(self, path: Path) -> None:
        old = self._open.pop(path)
        old.is_stale = True
        if not old.n_users:
            old.close()
