"""Recordings that are open for people to look at: a few, anew if they have changed."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rigmesh.display.timeline import Timeline, begin_of
from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording import RecordedStream, open_recording
from rigmesh.recording._hdf5_linked import FOLDER
from rigmesh.recording.linking import data_folder
from rigmesh.web.browse_bins import AT_ONCE, BROKEN, BinCache, Bins, needs_bins
from rigmesh.web.browse_tables import EventTable
from rigmesh.web.recordings_root import Root, Signature

__all__ = ["Library", "OpenRecording", "check_links"]

_MOST_OPEN = 8
_IDLE, _TIDY_EVERY = 60.0, 10.0
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
    is_linked : bool
        Whether its samples lie in a folder beside its file.
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
        self.is_linked = False
        self.used = time.monotonic()
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
            self.is_linked = check_links(self.path)
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

    def fault(self, key: str) -> str:
        """Return why the bins of a stream are not made; empty if they are, or will be."""
        bins = self._bins.get(key)
        return "" if bins is None else bins.error

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
        except BROKEN as error:  # a file of ours, with a part missing
            raise RecordingError(f"cannot read {path.name}: {error!r}") from error
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
    except BROKEN as error:
        raise RecordingError(f"cannot read {path.name}: {error}") from error
    try:
        yield streams
    finally:
        manager.__exit__(None, None, None)


def check_links(path: Path) -> bool:
    """See that an HDF5 file takes nothing from other files: they could be any on this machine.

    Samples may lie in the folder of their own that a file is sealed with to refer to them.

    Returns
    -------
    bool
        Whether some lie there.

    Raises
    ------
    RecordingError
        If it takes something from elsewhere, or is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return False
    import h5py

    path = path.parent.resolve() / path.name
    beside: list[str] = []

    def look(name: str, link: Any) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return name
        found = opened.get(name) if isinstance(link, h5py.HardLink) else None
        if not isinstance(found, h5py.Dataset):
            return None
        if found.is_virtual or not all(_is_beside(each, path) for each, *_ in found.external or ()):
            return name
        beside.extend([name] if found.external else [])
        return None

    try:
        with h5py.File(path, "r") as opened:
            outside = opened.visititems_links(look)
            # By the folder that it names its readers find them.
            said = opened.attrs.get(FOLDER) if beside else None
            if said is not None and Path(str(said)).resolve() != data_folder(path):
                outside = outside or beside[0]
    except BROKEN as error:
        raise RecordingError(f"cannot read {path.name}: {error}") from error
    if outside is not None:
        raise RecordingError(
            f"{path.name}: {outside} is in another file, which is not opened here. If it was "
            f"recorded with 'seal: link', keep {data_folder(path).name} beside it, and run "
            f"`rigmesh recover {path.name}` after moving both"
        )
    return bool(beside)


def _is_beside(name: str | bytes, path: Path) -> bool:
    """Whether a file is a real one among the samples that belong to a recording."""
    file, folder = Path(os.fsdecode(name)), data_folder(path) / "streams"
    try:
        is_real = stat.S_ISREG(file.lstat().st_mode) and folder.resolve() == folder
        # Readers join parts of the name anew: it must not lead up again.
        is_plain = file.is_absolute() and ".." not in file.parts
        return is_real and is_plain and file.resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):
        return False


class Library:
    """Keeps a few recordings open, as long as somebody looks.

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
        self._tidier: threading.Thread | None = None
        self._leave = threading.Event()

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
                found.used = time.monotonic()
                if found.is_stale and not found.n_users:
                    found.close()

    def tidy(self) -> None:
        """Close what nobody has looked at for a while, and what is another file now, or gone.

        As long as a file is open that was removed, the disk is as full as before.
        """
        now = time.monotonic()
        with self._lock:
            for path, found in list(self._open.items()):
                is_idle = not found.n_users and now - found.used > _IDLE
                if is_idle or self.root.signature(path) != found.signature:
                    self._retire(path)

    def close(self) -> None:
        """Close all."""
        self._leave.set()
        with self._lock:
            tidier = self._tidier
            while self._open:
                self._retire(next(iter(self._open)))
        if tidier is not None:
            tidier.join()
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
            if self._tidier is None and not self._leave.is_set():
                self._tidier = threading.Thread(target=self._keep_tidy, name="tidy", daemon=True)
                self._tidier.start()
        return made

    def _keep_tidy(self) -> None:
        while not self._leave.wait(_TIDY_EVERY):
            self.tidy()
            with self._lock:
                if not self._open:
                    self._tidier = None
                    return

    def _retire(self, path: Path) -> None:
        old = self._open.pop(path)
        old.is_stale = True
        if not old.n_users:
            old.close()
