"""Bins of signals in files that have none, such as NWB and XDF: made once, kept in a cache.

They lie in files, since those of one recording may take as much as 3 % of it, and are made anew
by nobody after a restart: ``$CACHE_DIRECTORY`` (that of the systemd unit), else
``$XDG_CACHE_HOME/rigmesh`` or ``~/.cache/rigmesh``, in ``browse/<recording>/<stream>``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording import RecordedStream
from rigmesh.recording.pyramid import FACTORS, Level, PyramidBuilder, Segment, has_pyramid
from rigmesh.recording.recorded import blocks
from rigmesh.recording.rows import FlatRows
from rigmesh.web.recordings_root import Signature

__all__ = ["AT_ONCE", "BROKEN", "BinCache", "Bins", "cache_folder", "needs_bins"]

_log = logging.getLogger(__name__)

AT_ONCE = 48 * 2**20
"""Bytes of samples that are read for one picture: it takes about 0.2 s."""
BROKEN = (
    ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, struct.error,
)  # fmt: skip
"""What the readers of others raise at a file that is not what it seems."""
_MOST_BYTES = 10 * 2**30
_DONE = "done"

Streams = Callable[[], AbstractContextManager[dict[str, RecordedStream]]]


def needs_bins(stream: RecordedStream) -> bool:
    """Whether a signal is too long to be drawn from its samples, and has no bins."""
    if not has_pyramid(stream.info) or any(part.levels for part in stream.pyramid):
        return False
    return len(stream) * stream.info.sample_bytes > AT_ONCE


def cache_folder() -> Path:
    """Return the folder for what can be made anew."""
    given = os.environ.get("CACHE_DIRECTORY")
    if given:
        return Path(given.partition(":")[0])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rigmesh"


@dataclass(slots=True)
class Bins:
    """The bins of one stream, as far as they are made.

    Parameters
    ----------
    folder : Path
        Where their files are.
    n_rows : int
        Samples of the stream.
    counts : list of int
        Bins of each level that are made.
    n_done : int
        Samples that they are of.
    error : str
        Why there will be no more of them; empty if there will.
    """

    folder: Path
    n_rows: int
    counts: list[int] = field(default_factory=lambda: [0] * len(FACTORS))
    n_done: int = 0
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Whether all are there."""
        return self.n_done >= self.n_rows

    def file(self, number: int) -> Path:
        """Return the file of a level."""
        return self.folder / f"minmax{FACTORS[number]}"

    def apply(self, stream: RecordedStream) -> RecordedStream:
        """Return the stream with the bins that there are."""
        info = stream.info
        levels = []
        for number, n in enumerate(list(self.counts)):
            if n:
                bins = FlatRows([(self.file(number), n)], info.dtype, (2, *info.sample_shape))
                levels.append(Level(FACTORS[number], n, bins.__getitem__))
        return replace(stream, pyramid=(Segment(0, len(stream), tuple(levels)),))


class BinCache:
    """Makes bins, one stream after the other, in a thread of its own.

    Parameters
    ----------
    folder : Path
        Where they are kept; a temporary one is used if it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._wanted_folder = folder / "browse"
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._known: dict[tuple[Signature, str], Bins] = {}
        self._waiting: list[tuple[Bins, str, Streams]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._leave = threading.Event()

    def get(self, path: Path, signature: Signature, key: str, n_rows: int, open_: Streams) -> Bins:
        """Return the bins of a stream; they are being made from now on if there are none.

        Parameters
        ----------
        path, signature : Path, tuple
            The recording, and in which state.
        key : str
            Of the stream in it.
        n_rows : int
            Samples it has.
        open_ : callable
            Opens the recording once more, for the thread alone.
        """
        with self._lock:
            known = self._known.get((signature, key))
            # What failed is tried again when the file is opened anew: the disk may have been full.
            if known is not None and not known.error:
                return known
            name = hashlib.sha256(repr((str(path), signature)).encode("utf-8", "replace"))
            stream = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]
            bins = Bins(self._folder() / name.hexdigest()[:24] / stream, n_rows)
            self._known[signature, key] = bins
            if self._load(bins):
                return bins
            self._waiting.append((bins, key, open_))
            if self._thread is None:
                self._begin()
            return bins

    def close(self) -> None:
        """Make no more."""
        self._leave.set()
        thread = self._thread
        if thread is not None:
            thread.join()
        if self._temporary is not None:
            self._temporary.cleanup()

    # --- inside ------------------------------------------------------------------------------

    def _folder(self) -> Path:
        if self._temporary is not None:
            return Path(self._temporary.name)
        try:
            self._wanted_folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._wanted_folder):
                return self._wanted_folder
        except OSError as error:
            _log.warning("%s: bins are kept until the end only", error)
            self._temporary = tempfile.TemporaryDirectory(prefix="rigmesh-browse-")
            return Path(self._temporary.name)

    def _load(self, bins: Bins) -> bool:
        """Take up what was made before; return whether it was."""
        try:
            text = (bins.folder / _DONE).read_text(encoding="ascii").split()
            n_rows, *counts = map(int, text)
            os.utime(bins.folder.parent)
        except (OSError, ValueError):
            return False
        if n_rows != bins.n_rows or len(counts) != len(FACTORS):
            return False
        bins.counts, bins.n_done = counts, n_rows
        return True

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="bins", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._attempt(*job)
        finally:
            with self._lock:
                # Else there was nothing left to do, and another one may have been begun since.
                if self._thread is threading.current_thread():
                    self._thread = None
                    if self._waiting and not self._leave.is_set():
                        self._begin()

    def _next(self) -> tuple[Bins, str, Streams] | None:
        with self._lock:
            if self._waiting and not self._leave.is_set():
                return self._waiting.pop(0)
            self._thread = None
            return None

    def _attempt(self, bins: Bins, key: str, open_: Streams) -> None:
        error = "the thread that made its bins has ended"
        try:
            self._make_room(bins.folder.parent)
            with open_() as streams:
                self._make(bins, streams[key])
            error = ""
        except BROKEN as broken:
            _log.warning("no bins of %s: %s", key, broken)
            error = str(broken) or type(broken).__name__
        finally:
            bins.error = error

    def _make(self, bins: Bins, stream: RecordedStream) -> None:
        shutil.rmtree(bins.folder, ignore_errors=True)
        bins.folder.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            counts = [0] * len(FACTORS)
            files = [stack.enter_context(bins.file(n).open("wb")) for n in range(len(FACTORS))]

            def taker(number: int) -> Callable[[npt.NDArray[Any]], None]:
                def take(made: npt.NDArray[Any]) -> None:
                    files[number].write(np.ascontiguousarray(made).view(np.uint8).data)
                    counts[number] += len(made)

                return take

            builder = PyramidBuilder([taker(number) for number in range(len(FACTORS))])
            for block in blocks(len(stream), stream.info.sample_bytes, FACTORS[0]):
                if self._leave.is_set():
                    return
                builder.add(stream.data[block])
                for file in files:
                    file.flush()
                bins.counts, bins.n_done = list(counts), block.stop
                # Who looks goes first.
                time.sleep(0)
        told = " ".join(map(str, (bins.n_rows, *bins.counts)))
        (bins.folder / _DONE).write_text(told, encoding="ascii")

    def _make_room(self, kept: Path) -> None:
        """Remove what was looked at longest ago, if all takes too much."""
        found = []
        for folder in self._folder().iterdir():
            n = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            found.append((folder.stat().st_mtime, n, folder))
        total = sum(n for _, n, _ in found)
        for _, n, folder in sorted(found):
            if total <= _MOST_BYTES:
                return
            if folder != kept:
                shutil.rmtree(folder, ignore_errors=True)
                total -= n
